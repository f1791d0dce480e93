import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

import acsnet
from acsnet.checkpoints import CheckpointMetadata
from acsnet.config import EvaluationConfig
from acsnet.data import Record, read_busi
from acsnet.errors import DataError, InputError
from acsnet.evaluation import evaluate, metric_table
from acsnet.evaluation.evaluate import Evaluation
from acsnet.inference import Predictor, mask_path, probability_path
from acsnet.metrics.published import PUBLISHED_METRICS

CLASSES = ("benign", "malignant", "normal")


class Oracle(torch.nn.Module):
    """Lesion where the image is white; the class is the gray level of the first pixel."""

    def forward(self, images: torch.Tensor) -> acsnet.MultiTaskOutput:
        codes = (images[:, 0, 0, 0] * 255).round().long()
        return acsnet.MultiTaskOutput(1000 * (images[:, :1] - 0.9), 9 * torch.nn.functional.one_hot(codes, 3).float())


@pytest.fixture
def predictor() -> Predictor:
    metadata = CheckpointMetadata(
        model="acsnet", arguments={}, class_names=CLASSES, input_size=(64, 64), mean=(0.0,), std=(1.0,)
    )
    return Predictor(Oracle(), metadata)


def make_record(folder: Path, name: str, label: str, seen: slice | None, truth: slice | None, code: int) -> Record:
    """A 64x64 image with white rows ``seen``, which the oracle predicts as lesion, and the mask ``truth``."""
    image, mask = np.zeros((64, 64), np.uint8), np.zeros((64, 64), np.uint8)
    if seen is not None:
        image[seen, 16:48] = 255
    if truth is not None:
        mask[truth, 16:48] = 255
    image[0, 0] = code
    cv2.imwrite(str(folder / f"{name}.png"), image)
    cv2.imwrite(str(folder / f"{name}_mask.png"), mask)
    return Record(folder / f"{name}.png", (folder / f"{name}_mask.png",), label, name)


@pytest.fixture
def records(tmp_path: Path) -> list[Record]:
    return [
        make_record(tmp_path, "right", "benign", slice(10, 30), slice(10, 30), 0),
        # Half of the prediction is right: 10 of 20 rows in each.
        make_record(tmp_path, "half", "malignant", slice(20, 40), slice(30, 50), 1),
        make_record(tmp_path, "missed", "malignant", None, slice(30, 50), 2),
        make_record(tmp_path, "clean", "normal", None, None, 2),
        make_record(tmp_path, "invented", "normal", slice(10, 30), None, 0),
    ]


def test_hand_computed_metrics(predictor: Predictor, records: list[Record]) -> None:
    result = evaluate(predictor, records, batch_size=2, progress=False)
    by_name = {row["image"]: row for row in result.cases}
    assert [row["image"] for row in result.cases] == [record.name for record in records]
    assert [by_name[name]["dice"] for name in ("right", "half", "missed", "clean", "invented")] == [1, 0.5, 0, 1, 0]
    assert by_name["half"]["iou"] == pytest.approx(1 / 3)
    assert by_name["half"]["hd95"] == 10
    assert by_name["right"]["assd"] == 0
    assert by_name["missed"]["hd95"] is None
    segmentation = result.metrics["segmentation"]
    assert segmentation["dice"] == pytest.approx(2.5 / 5)
    assert segmentation["lesion"]["dice"] == pytest.approx(1.5 / 3)
    assert segmentation["normal"]["dice"] == pytest.approx(0.5)
    assert segmentation["hd95"] == pytest.approx((0 + 10) / 2)
    assert segmentation["hd95_undefined"] == 3
    # Half an overlap is an IoU of a third: not enough to have found the lesion.
    assert segmentation["detection"] == {
        "lesions": 3,
        "true_positives": 1,
        "false_positives": 2,
        "false_negatives": 2,
        "sensitivity": 1 / 3,
        "precision": 1 / 3,
        "f1": 1 / 3,
        "false_positives_per_image": 2 / 5,
    }
    assert [by_name[name]["lesion_false_positives"] for name in ("right", "half", "invented")] == [0, 1, 1]
    # As much missed as invented; nothing found; undefined without a lesion.
    assert [by_name[name]["area_error"] for name in ("right", "half", "missed", "clean")] == [0, 1, 1, None]
    assert segmentation["area_difference"] == pytest.approx((0 + 0 - 1) / 3)
    assert (segmentation["area_difference_undefined"], segmentation["normal"]["area_error"]) == (2, None)
    classification = result.metrics["classification"]
    assert classification["accuracy"] == pytest.approx(3 / 5)
    assert classification["confusion_matrix"] == [[1, 0, 0], [0, 1, 1], [1, 0, 1]]
    assert classification["sensitivity"] == 0.5
    assert classification["specificity"] == 1.0
    assert result.metrics["n"] == 5
    # IoU (1 + 1/3 + 0 + 1 + 0) / 5, F1 2/3 of benign and malignant and 1/2 of normal.
    expected = ((7 / 15 + 0.5 + 0.5) / 3 + (2 / 3 + 2 / 3 + 1 / 2) / 3) / 2
    assert result.metrics["overall_score"] == pytest.approx(expected)


def test_millimeters_with_a_spacing(predictor: Predictor, records: list[Record]) -> None:
    """Rows are half as far apart as columns; the spacing of one image is unknown."""
    sized = [replace(record, spacing=(0.1, 0.2)) for record in records if record.name != "right"]
    result = evaluate(predictor, [*sized, *(record for record in records if record.name == "right")], progress=False)
    by_name = {row["image"]: row for row in result.cases}
    assert (by_name["half"]["hd95"], by_name["half"]["hd95_mm"]) == (10, pytest.approx(1.0))
    assert (by_name["right"]["hd95"], by_name["right"]["hd95_mm"], by_name["missed"]["hd95_mm"]) == (0, None, None)
    segmentation = result.metrics["segmentation"]
    assert (segmentation["hd95_mm"], segmentation["hd95_mm_undefined"]) == (pytest.approx(1.0), 4)
    assert (segmentation["per_class"]["benign"]["assd_mm"], segmentation["hd95_undefined"]) == (None, 3)
    table = metric_table(result.metrics, CLASSES)
    assert "HD95 [mm]             1.000   1.000       -       -      1.000" in table
    assert "undefined in mm           4       2       2       1          1" in table


def test_one_task_alone_has_no_overall_score(predictor: Predictor, records: list[Record]) -> None:
    predictor.model.forward = lambda images: acsnet.MultiTaskOutput(Oracle().forward(images).mask, None)  # type: ignore
    result = evaluate(predictor, records, progress=False)
    assert result.metrics["segmentation"]["dice"] == 0.5
    assert (result.metrics["classification"], result.metrics["overall_score"]) == (None, None)
    assert "overall score" not in metric_table(result.metrics, CLASSES)


def test_files_and_table(predictor: Predictor, records: list[Record], tmp_path: Path) -> None:
    result = evaluate(predictor, records, progress=False)
    result.write(tmp_path / "out", {"checkpoint": "x"})
    assert json.loads((tmp_path / "out" / "metrics.json").read_text()) == {**result.metrics, "checkpoint": "x"}
    lines = (tmp_path / "out" / "cases.csv").read_text().splitlines()
    probabilities = "probability_benign,probability_malignant,probability_normal"
    more = "boundary_f1,area_error,area_difference,hd95_mm,assd_mm"
    lesions = "lesion_true_positives,lesion_false_positives,lesion_false_negatives"
    assert lines[0] == (
        f"image,label,predicted,{probabilities},dice,iou,hd95,assd,precision,recall,{more},{lesions},dataset,group"
    )
    assert len(lines) == 6
    table = metric_table(result.metrics, CLASSES)
    assert "Dice                  0.500   0.500   0.500   1.000      0.250" in table
    assert "accuracy                         0.600" in table
    assert "found                          1       1       0       1          0" in table
    assert "false positives per image  0.400   0.333   0.500   0.000      0.500" in table
    assert f"overall score (formula of Chung et al. 2024): {result.metrics['overall_score']:.3f}" in table
    assert "[mm]" not in table
    assert "malignant               0          1       1" in table


def test_predictions_are_saved(predictor: Predictor, records: list[Record], tmp_path: Path) -> None:
    result = evaluate(predictor, records, batch_size=2, progress=False, save_predictions_to=tmp_path / "out")
    assert result.cases == evaluate(predictor, records, progress=False).cases
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert len(files) == 2 * len(records), "and no partial files"
    for record in records:
        mask = cv2.imread(str(mask_path(tmp_path / "out", "busi", record.name)), cv2.IMREAD_UNCHANGED)
        probability = cv2.imread(str(probability_path(tmp_path / "out", "busi", record.name)), cv2.IMREAD_UNCHANGED)
        # The oracle sees white, and is certain.
        seen = cv2.imread(str(record.image), cv2.IMREAD_GRAYSCALE)
        assert np.array_equal(mask, np.where(seen == 255, 255, 0))
        assert np.array_equal(mask, probability)


def test_predictions_are_written_during_the_test(
    predictor: Predictor, records: list[Record], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Predictions of a batch are written before the next batch is predicted."""
    written = []
    predict = predictor.predict

    def watch(images: list, batch_size: int) -> list:
        written.append(len(list(tmp_path.glob("out/masks/busi/*.png"))))
        return predict(images, batch_size)

    monkeypatch.setattr(predictor, "predict", watch)
    evaluate(predictor, records, batch_size=2, progress=False, save_predictions_to=tmp_path / "out")
    assert written == [0, 2, 4]


def test_predictions_of_one_name_are_refused_before_predicting(
    predictor: Predictor, records: list[Record], tmp_path: Path
) -> None:
    twice = [replace(records[0], name="a.png"), replace(records[1], name="a.jpg")]
    with pytest.raises(DataError, match=r"a\.png and a\.jpg of busi would both be saved as masks/busi/a\.png"):
        evaluate(predictor, twice, progress=False, save_predictions_to=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_seconds_are_those_of_predicting_an_image(
    predictor: Predictor, records: list[Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches of 2, 2 and 1 that take 1, 3 and 5 seconds: 0.5, 1.5 and 5 per image."""
    ticks = iter([0.0, 1.0, 10.0, 13.0, 20.0, 25.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(ticks))
    assert evaluate(predictor, records, batch_size=2, progress=False).seconds_per_image == 1.5


def test_each_of_several_datasets(predictor: Predictor, records: list[Record]) -> None:
    """Two datasets, one without normal cases; names are unique within a dataset."""
    here = [replace(record, dataset="here") for record in records]
    there = [replace(record, dataset="there") for record in records if record.label != "normal"]
    result = evaluate(predictor, [*here, *there], progress=False)
    assert {(row["dataset"], row["image"]) for row in result.cases} == {(r.dataset, r.name) for r in [*here, *there]}
    datasets = result.metrics["datasets"]
    assert result.metrics["n"] == 8
    assert {name: metrics["n"] for name, metrics in datasets.items()} == {"here": 5, "there": 3}
    assert datasets["here"] == evaluate(predictor, here, progress=False).metrics
    assert datasets["there"] == evaluate(predictor, there, progress=False).metrics
    assert "datasets" not in datasets["here"]
    table = metric_table(result.metrics, CLASSES)
    assert "dataset  images   Dice  accuracy  AUROC (malignant)" in table
    assert "there         3  0.500     0.667" in table


def test_a_set_without_normal_cases(predictor: Predictor, records: list[Record], tmp_path: Path) -> None:
    """Metrics of a class without images are omitted from means, None if no class remains, and explained in notes."""
    result = evaluate(predictor, [record for record in records if record.label != "normal"], progress=False)
    segmentation, classification = result.metrics["segmentation"], result.metrics["classification"]
    assert segmentation["dice"] == segmentation["lesion"]["dice"] == pytest.approx(1.5 / 3)
    assert (segmentation["normal"]["n"], segmentation["normal"]["dice"]) == (0, None)
    assert "normal" not in segmentation["per_class"]
    # One of three is called normal: that counts as wrong.
    assert classification["accuracy"] == pytest.approx(2 / 3)
    assert classification["balanced_accuracy"] == pytest.approx((1 + 0.5) / 2)
    assert classification["per_class"]["normal"] == {
        "precision": None,
        "recall": None,
        "f1": None,
        "auroc": None,
        "average_precision": None,
        "support": 0,
    }
    assert classification["confusion_matrix"][2] == [0, 0, 0]
    per_class = classification["per_class"]
    for ranking in ("auroc", "average_precision"):
        present = [per_class[name][ranking] for name in ("benign", "malignant")]
        assert classification[f"{ranking}_macro"] == pytest.approx(np.mean(present))
    assert classification["auroc_malignant"] is not None
    assert {key for key, note in classification["notes"].items() if "normal" in note} == {
        "precision_macro",
        "recall_macro",
        "f1_macro",
        "balanced_accuracy",
        "auroc_macro",
        "average_precision_macro",
    }
    result.write(tmp_path, {})
    assert "balanced_accuracy: no case of normal: left out" in metric_table(result.metrics, CLASSES)


def test_class_without_cases_is_a_note_not_a_zero(predictor: Predictor, records: list[Record]) -> None:
    result = evaluate(predictor, records[:1], progress=False)
    classification = result.metrics["classification"]
    assert classification["auroc_malignant"] is None
    assert "malignant" in classification["notes"]["auroc_malignant"]
    assert "AUROC (malignant)                    -" in metric_table(result.metrics, CLASSES)


def counted(predictor: Predictor, *publications: str, **evaluation: Any) -> Predictor:
    settings = EvaluationConfig(published_metrics=publications, **evaluation)
    return Predictor(predictor.model, predictor.metadata, evaluation=settings)


def test_publications_count_the_same_predictions(predictor: Predictor, records: list[Record]) -> None:
    """At the size of the images, Aumente's Dice is ours, and He's has 1e-5 in the denominator."""
    plain = evaluate(predictor, records, progress=False)
    result = evaluate(counted(predictor, *PUBLISHED_METRICS), records, batch_size=2, progress=False)
    assert result.cases == plain.cases
    published = result.metrics.pop("published")
    assert result.metrics == plain.metrics
    assert [*published] == [*PUBLISHED_METRICS]
    assert published["aumente2025"]["dice"] == pytest.approx(2.5 / 5)
    assert [published["aumente2025"][f"dice_{name}"] for name in CLASSES] == [1, 0.25, 0.5]
    # The empty mask of the clean image is worth nothing.
    assert published["he2024"]["dice"] == pytest.approx(1.5 / 5, abs=1e-6)
    # 30 of 40 predicted and 60 true rows are right, 32 pixels each.
    assert published["eee402"]["dice"] == pytest.approx(2 * 30 / (60 + 60))
    assert {own["accuracy"] for own in published.values()} == {plain.metrics["classification"]["accuracy"]}
    table = metric_table({**plain.metrics, "published": published}, CLASSES)
    lines = [line.split() for line in table.splitlines()]
    assert ["as", "counted", "by", "he2024", "chung2024", "aumente2025", "eee402"] in lines
    assert ["accuracy", "0.600", "0.600", "0.600", "0.600"] in lines
    assert ["overall", "-", f"{published['chung2024']['overall']:.3f}", "-", "-"] in lines


def test_publications_count_at_the_input_size_of_the_network(predictor: Predictor, tmp_path: Path) -> None:
    """An image of twice the size: its cases are those of the resized masks, from one forward pass."""
    image, mask = np.zeros((128, 128), np.uint8), np.zeros((128, 128), np.uint8)
    image[20:60, 32:96] = 255
    mask[21:60, 32:96] = 255
    for name, pixels in (("a.png", image), ("a_mask.png", mask)):
        cv2.imwrite(str(tmp_path / name), pixels)
    record = Record(tmp_path / "a.png", (tmp_path / "a_mask.png",), "benign", "a")
    shapes = []
    forward = predictor.model.forward
    predictor.model.forward = lambda images: shapes.append(images.shape) or forward(images)  # type: ignore
    result = evaluate(counted(predictor, "aumente2025"), [record], progress=False)
    assert shapes == [(1, 3, 64, 64)]
    # Rows 10 to 29 of the small mask; the nearest rows of the truth are 22, 24, ..., 58.
    assert result.metrics["published"]["aumente2025"]["dice"] == pytest.approx(2 * 19 / (20 + 19))
    assert result.metrics["segmentation"]["dice"] != pytest.approx(2 * 19 / (20 + 19))


@pytest.mark.parametrize(("crop", "aspect"), [(True, False), (False, True), (True, True)])
def test_a_framed_prediction_is_measured_in_the_frame_of_the_image(
    predictor: Predictor, tmp_path: Path, crop: bool, aspect: bool
) -> None:
    """An image of 60x128 with a margin: distances in pixels and millimeters, and the metrics of a publication."""
    generator = np.random.default_rng(0)
    image, mask = generator.integers(20, 90, (60, 128), dtype=np.uint8), np.zeros((60, 128), np.uint8)
    image[:20] = 0
    # The class, for the oracle, of the image and of its crop.
    image[20, 0] = 0
    image[30:50, 40:80] = 255
    mask[30:50, 40:84] = 255
    for name, pixels in (("a.png", image), ("a_mask.png", mask)):
        cv2.imwrite(str(tmp_path / name), pixels)
    record = Record(tmp_path / "a.png", (tmp_path / "a_mask.png",), "benign", "a", spacing=(0.1, 0.2))
    # The size at which nothing is resized, so that the metrics are exact.
    size = (40 if crop else 60, 128)
    size = (size[0] + 24, size[1]) if aspect else size
    metadata = predictor.metadata.model_copy(update={"crop_margins": crop, "keep_aspect": aspect, "input_size": size})
    evaluation = EvaluationConfig(published_metrics=("aumente2025",))
    row = evaluate(Predictor(Oracle(), metadata, evaluation=evaluation), [record], progress=False)
    case, expected = row.cases[0], 2 * 40 / (40 + 44)
    assert case["dice"] == pytest.approx(expected)
    assert case["hd95"] == pytest.approx(4)
    assert case["hd95_mm"] == pytest.approx(0.8)
    # Masks of the whole image, stretched to the input, where 20 rows become 13 or 14; that of the crop would give 0.6.
    assert row.metrics["published"]["aumente2025"]["dice"] == pytest.approx(expected, abs=0.04)


def test_crops_are_logged(predictor: Predictor, records: list[Record], caplog: pytest.LogCaptureFixture) -> None:
    metadata = predictor.metadata.model_copy(update={"crop_margins": True})
    with caplog.at_level("INFO", logger="acsnet"):
        evaluate(Predictor(Oracle(), metadata), records, progress=False)
    assert any(message.startswith("cropped ") and "of 5 images" in message for message in caplog.messages)


def test_publications_see_each_mask_of_an_image(predictor: Predictor, records: list[Record], tmp_path: Path) -> None:
    more = make_record(tmp_path, "second", "benign", None, slice(40, 60), 0)
    both = replace(records[0], masks=(*records[0].masks, *more.masks))
    result = evaluate(counted(predictor, "he2024", "aumente2025"), [both], progress=False)
    assert result.metrics["published"]["he2024"]["dice"] == pytest.approx(1, abs=1e-6)
    assert result.metrics["published"]["aumente2025"]["dice"] == pytest.approx(2 * 20 / (20 + 40))
    unmasked = evaluate(counted(predictor, *PUBLISHED_METRICS), [replace(records[3], masks=())], progress=False)
    assert unmasked.metrics["published"]["aumente2025"]["dice_normal"] == 1


def test_publications_count_after_refining(predictor: Predictor, records: list[Record]) -> None:
    refining = {"empty_mask_for_normal": True, "normal_for_empty_mask": True}
    invented = replace(records[4], label="normal")
    called_normal = counted(predictor, "aumente2025", refining=refining)
    called_normal.model.forward = lambda images: acsnet.MultiTaskOutput(  # type: ignore
        Oracle().forward(images).mask, 9 * torch.tensor([[0.0, 0.0, 1.0]])
    )
    assert evaluate(called_normal, [invented], progress=False).metrics["published"]["aumente2025"]["dice"] == 1


def test_publications_that_need_a_task_are_refused_before_any_image_is_read(predictor: Predictor) -> None:
    predictor.model.tasks = ("segmentation",)  # type: ignore[assignment]
    with pytest.raises(
        InputError, match="the metrics of eee402 need classification, the network has only segmentation"
    ):
        evaluate(counted(predictor, "aumente2025", "eee402"), [], progress=False)


def test_written_files_are_strict_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Out of range float values are not JSON compliant"):
        Evaluation({"n": float("nan")}, [{"image": "x"}], 0.1).write(tmp_path, {})
    assert not list(tmp_path.iterdir())


def test_on_phantoms_with_a_trained_network(trained_run: Path, phantom_root: Path) -> None:
    predictor = Predictor.from_checkpoint(trained_run / "best.safetensors")
    result = evaluate(predictor, read_busi(phantom_root), progress=False)
    assert result.metrics["n"] == len(result.cases) == 36
    assert 0 <= result.metrics["segmentation"]["dice"] <= 1


# --- images of lesion classes without masks ---------------------------------------------------------------------------


@pytest.mark.parametrize("left", [["right", "half"], ["right", "half", "missed", "clean"], ["missed", "invented"]])
def test_without_any_mask_of_a_lesion_only_classes_are_evaluated(
    predictor: Predictor, records: list[Record], left: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bare = [replace(record, masks=()) for record in records if record.name in left]
    result = evaluate(predictor, bare, progress=False, save_predictions_to=tmp_path / "saved")
    assert (result.metrics["segmentation"], result.metrics["overall_score"]) == (None, None)
    assert result.metrics["classification"]["accuracy"] is not None
    assert not {"dice", "lesion_false_positives"} & result.cases[0].keys()
    table = metric_table(result.metrics, CLASSES)
    assert "Dice" not in table
    assert "overall score" not in table
    lesions = sum(record.label != "normal" for record in bare)
    assert f"none of the {lesions} images of lesion classes has a mask: only their classes are evaluated" in caplog.text
    assert mask_path(tmp_path / "saved", bare[0].dataset, bare[0].name).is_file(), "predictions are saved all the same"


def test_normal_images_need_no_mask_file(
    predictor: Predictor, records: list[Record], caplog: pytest.LogCaptureFixture
) -> None:
    normal = [replace(record, masks=()) for record in records if record.label == "normal"]
    assert evaluate(predictor, normal, progress=False).metrics["segmentation"]["dice"] == 0.5
    result = evaluate(predictor, [*records[:3], *normal], progress=False)
    assert result.metrics["segmentation"]["dice"] == pytest.approx(2.5 / 5)
    assert caplog.text == ""


def test_a_few_missing_masks_are_logged(
    predictor: Predictor, records: list[Record], caplog: pytest.LogCaptureFixture
) -> None:
    evaluate(predictor, [*records[:2], replace(records[2], masks=())], progress=False)
    assert "1 of the 3 images of lesion classes have no mask: their true masks count as empty" in caplog.text


@pytest.mark.parametrize("kind", ["no classes", "published", "one dataset"])
def test_missing_masks_that_are_needed(kind: str, predictor: Predictor, records: list[Record]) -> None:
    bare = [replace(record, masks=()) for record in records]
    if kind == "no classes":
        predictor = Predictor(MasksOnly(), predictor.metadata)
        expected = "none of the 3 tested images of lesion classes has a mask, which the metrics of a network without"
    elif kind == "published":
        settings = EvaluationConfig(published_metrics=("chung2024",))
        predictor = Predictor(Oracle(), predictor.metadata, evaluation=settings)
        expected = "none of the 3 tested images of lesion classes has a mask, which the metrics of chung2024 compare"
    else:
        bare = [*records, *(replace(record, dataset="clinic") for record in bare)]
        expected = "no image of a lesion class in the dataset clinic has a mask, but others have: test clinic alone"
    with pytest.raises(InputError, match=f"^{expected}"):
        evaluate(predictor, bare, progress=False)


class MasksOnly(torch.nn.Module):
    tasks = ("segmentation",)

    def forward(self, images: torch.Tensor) -> acsnet.MultiTaskOutput:
        return acsnet.MultiTaskOutput(images[:, :1], None)
