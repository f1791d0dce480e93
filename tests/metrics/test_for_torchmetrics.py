"""Metrics with update and compute: the same values as those of a test of this package."""

import importlib
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import acsnet
from acsnet.checkpoints import CheckpointMetadata
from acsnet.errors import InputError, MissingPackageError
from acsnet.metrics import classification_metrics, segmentation_metrics, summarize_segmentation

torchmetrics = pytest.importorskip("torchmetrics", reason="needs torchmetrics")

from acsnet.metrics.for_torchmetrics import ClassificationMetrics, SegmentationMetrics  # noqa: E402

# Of torchmetrics, for the calls that this package refuses.
pytestmark = pytest.mark.filterwarnings("ignore:The ``compute`` method of metric:UserWarning")
NAMES = ("benign", "malignant", "normal")
GENERATOR = np.random.default_rng(0)


def blob(seed: int, size: tuple[int, int] = (40, 50)) -> np.ndarray:
    """A disk with a ragged edge; empty for every fourth seed."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[: size[0], : size[1]]
    radius = random.uniform(4, 10, size)
    return ((rows - size[0] / 2) ** 2 + (columns - size[1] / 2) ** 2 < radius**2) & (seed % 4 != 3)


TRUTHS = [blob(seed) for seed in range(8)]
PREDICTIONS = [blob(seed + 5) for seed in range(8)]
LABELS = GENERATOR.integers(0, 3, 8)
PROBABILITIES = GENERATOR.dirichlet(np.ones(3), 8)


def tensors(masks: Sequence[np.ndarray]) -> torch.Tensor:
    return torch.from_numpy(np.stack(masks))


def expected_segmentation() -> dict[str, float]:
    rows = [segmentation_metrics(*pair) for pair in zip(PREDICTIONS, TRUTHS, strict=True)]
    summary = summarize_segmentation(rows, [""] * 8)["all"]
    return summary | {f"detection_{name}": value for name, value in summary.pop("detection").items()}


def assert_equal(found: dict[str, torch.Tensor], expected: dict[str, Any]) -> None:
    for name, value in found.items():
        assert value.shape == ()
        own = expected[name]
        assert value.item() == own or (own is None and math.isnan(value.item())), name


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("channel", [False, True])
@pytest.mark.parametrize("sizes", [(8,), (3, 5), (1,) * 8])
def test_masks_in_batches(dtype: torch.dtype, channel: bool, sizes: tuple[int, ...]) -> None:
    metric = SegmentationMetrics()
    index = (slice(None), None) if channel else (slice(None),)
    batches = zip(tensors(PREDICTIONS).split(list(sizes)), tensors(TRUTHS).split(list(sizes)), strict=True)
    for predictions, truths in batches:
        metric.update(predictions[index].to(dtype), truths[index])
    expected = expected_segmentation()
    assert metric.compute().keys() == expected.keys()
    assert_equal(metric.compute(), expected)
    metric.reset()
    with pytest.raises(InputError, match=r"^there are no images: call update before compute$"):
        metric.compute()


def test_masks_of_several_sizes_and_spacings() -> None:
    masks = [blob(1, (30, 20)), blob(2, (50, 60))]
    metric = SegmentationMetrics()
    metric.update(
        [torch.from_numpy(mask) for mask in masks], [torch.from_numpy(mask) for mask in masks], [(0.1, 0.2), None]
    )
    assert metric.compute()["hd95_mm_undefined"] == 1
    assert metric.compute()["dice"] == 1


def test_classes_in_batches() -> None:
    metric = ClassificationMetrics(NAMES)
    for start, stop in ((0, 3), (3, 8)):
        metric.update(torch.from_numpy(PROBABILITIES[start:stop]), torch.from_numpy(LABELS[start:stop]))
    assert_equal(metric.compute(), classification_metrics(LABELS, PROBABILITIES, NAMES))
    assert {"accuracy", "f1_macro", "auroc_malignant", "ece"} <= metric.compute().keys()
    metric.reset()
    with pytest.raises(InputError, match=r"^there are no images: call update before compute$"):
        metric.compute()


def test_the_values_of_an_evaluation(phantom_root: Path) -> None:
    from acsnet.data import read_busi
    from acsnet.data.images import read_image, read_merged_mask
    from acsnet.evaluation import evaluate

    torch.manual_seed(0)
    metadata = CheckpointMetadata(
        model="unet", arguments={}, class_names=NAMES, input_size=(32, 32), mean=(0.33,), std=(0.2,)
    )
    predictor = acsnet.Predictor(acsnet.create_model("unet", width=4, depth=2), metadata, device="cpu")
    records = read_busi(phantom_root)[::6]
    metrics = evaluate(predictor, records, progress=False).metrics
    images = [read_image(record.image) for record in records]
    collection = torchmetrics.MetricCollection({"mask": SegmentationMetrics()})
    classes = ClassificationMetrics(NAMES)
    for record, image, prediction in zip(records, images, predictor.predict(images), strict=True):
        truth = read_merged_mask(record.masks, image.shape[:2])
        collection.update(torch.from_numpy(prediction.mask)[None], torch.from_numpy(truth)[None])
        probabilities = torch.tensor([[*prediction.probabilities.values()]], dtype=torch.float64)
        classes.update(probabilities, torch.tensor([NAMES.index(record.label)]))
    expected = metrics["segmentation"]
    detection = {f"detection_{name}": value for name, value in expected["detection"].items()}
    assert_equal(collection.compute(), expected | detection)
    assert_equal(classes.compute(), metrics["classification"])


def test_states_are_gathered_across_processes() -> None:
    """Half of the images in each of two processes; what the other one gathers is given by hand."""
    first, second = SegmentationMetrics(), SegmentationMetrics()
    first.update(tensors(PREDICTIONS[:3]), tensors(TRUTHS[:3]))
    other = torch.cat(first.rows)
    second = SegmentationMetrics(distributed_available_fn=lambda: True, dist_sync_fn=lambda rows, group: [other, rows])
    second.update(tensors(PREDICTIONS[3:5]), tensors(TRUTHS[3:5]))
    second.update(tensors(PREDICTIONS[5:]), tensors(TRUTHS[5:]))
    assert_equal(second.compute(), expected_segmentation())
    # After the synchronization, the process has its own rows again.
    assert sum(map(len, second.rows)) == 5


def test_numbers_of_masks_that_differ() -> None:
    with pytest.raises(InputError) as caught:
        SegmentationMetrics().update(tensors(PREDICTIONS), tensors(TRUTHS[:7]))
    assert str(caught.value) == "received 8 predictions, 7 truths and 8 spacings: expected one of each per image"
    with pytest.raises(InputError, match=r"^the prediction has values from 0 to 0\.5: expected a mask of 0 and 1, for"):
        SegmentationMetrics().update(tensors(PREDICTIONS) * 0.5, tensors(TRUTHS))


def test_without_torchmetrics(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "acsnet.metrics.for_torchmetrics")
    monkeypatch.setitem(sys.modules, "torchmetrics", None)
    with pytest.raises(MissingPackageError) as caught:
        importlib.import_module("acsnet.metrics.for_torchmetrics")
    assert str(caught.value) == ("acsnet.metrics.for_torchmetrics needs torchmetrics: pip install 'acsnet[interop]'")
