from pathlib import Path

import numpy as np
import pytest
import torch

import acsnet
from acsnet.checkpoint import CheckpointCard
from acsnet.config import EvaluationConfig
from acsnet.data.images import read_image
from acsnet.errors import InputError
from acsnet.evaluation import Predictor


class BrightIsLesion(torch.nn.Module):
    """Says lesion where the first channel is above the mean, and gives fixed class logits."""

    def __init__(self, tasks: tuple[str, ...] = ("segmentation", "classification")) -> None:
        super().__init__()
        self.tasks = tasks
        self.seen: torch.Tensor | None = None

    def forward(self, images: torch.Tensor) -> acsnet.MultiTaskOutput:
        self.seen = images
        mask = 100 * images[:, :1] if "segmentation" in self.tasks else None
        label = torch.tensor([[0.0, 2.0, 1.0]]).repeat(len(images), 1) if "classification" in self.tasks else None
        return acsnet.MultiTaskOutput(mask, label)


def make_card(**changes: object) -> CheckpointCard:
    values = {
        "model": "acsnet",
        "arguments": {"in_channels": 3},
        "class_names": ("benign", "malignant", "normal"),
        "input_size": (32, 32),
        "mean": (0.5,),
        "std": (0.25,),
    }
    return CheckpointCard.model_validate({**values, **changes})


def half_bright(height: int, width: int) -> np.ndarray:
    image = np.zeros((height, width, 3), np.uint8)
    image[:, width // 2 :] = 255
    return image


def test_mask_and_class_at_the_image_size() -> None:
    prediction = Predictor(BrightIsLesion(), make_card())(half_bright(50, 80))
    assert prediction.mask is not None
    assert prediction.mask.shape == (50, 80)
    assert prediction.mask_probability is not None
    assert prediction.mask_probability.dtype == np.float32
    # Right half foreground; the seam is interpolated.
    assert not prediction.mask[:, :38].any()
    assert prediction.mask[:, 42:].all()
    assert prediction.label == "malignant"
    expected = np.exp([0.0, 2.0, 1.0]) / np.exp([0.0, 2.0, 1.0]).sum()
    np.testing.assert_allclose(list((prediction.probabilities or {}).values()), expected, rtol=1e-6)


def test_input_is_resized_and_normalised_as_the_card_says() -> None:
    network = BrightIsLesion()
    Predictor(network, make_card(arguments={"in_channels": 1}))(half_bright(64, 64))
    assert network.seen is not None
    assert network.seen.shape == (1, 1, 32, 32)
    assert network.seen[0, 0, 0, 0] == pytest.approx((0 - 0.5) / 0.25)
    assert network.seen[0, 0, 0, -1] == pytest.approx((1 - 0.5) / 0.25)


def test_threshold_cuts_the_probability() -> None:
    image = half_bright(32, 32)
    image[:, :16] = 129  # a probability a little above one half
    loose = Predictor(BrightIsLesion(), make_card())(image)
    strict = Predictor(BrightIsLesion(), make_card(), evaluation=EvaluationConfig(threshold=0.95))(image)
    assert loose.mask is not None
    assert strict.mask is not None
    assert loose.mask.all()
    assert strict.mask.mean() == 0.5


def test_batch_of_mixed_sizes_equals_one_by_one() -> None:
    predictor = Predictor(BrightIsLesion(), make_card())
    images = [half_bright(40, 60), half_bright(32, 32), half_bright(90, 20)]
    for image, prediction in zip(images, predictor.predict(images), strict=True):
        np.testing.assert_array_equal(prediction.mask, predictor(image).mask)


@pytest.mark.parametrize("task", ["segmentation", "classification"])
def test_single_task_leaves_the_other_none(task: str) -> None:
    prediction = Predictor(BrightIsLesion((task,)), make_card())(half_bright(32, 32))
    assert (prediction.mask is None) == (task == "classification")
    assert (prediction.label is None) == (task == "segmentation")


class SaysNormal(torch.nn.Module):
    """A mask everywhere, and a class that is normal for dark images."""

    def forward(self, images: torch.Tensor) -> acsnet.MultiTaskOutput:
        dark = images.mean(dim=(1, 2, 3)) < 0
        label = torch.where(dark[:, None], torch.tensor([0.0, 1.0, 3.0]), torch.tensor([0.0, 3.0, 1.0]))
        return acsnet.MultiTaskOutput(torch.where(dark, 5.0, -5.0)[:, None, None, None].expand(-1, 1, 32, 32), label)


@pytest.mark.parametrize("by", ["card", "argument"])
def test_refining_makes_mask_and_class_agree(by: str) -> None:
    """Dark: a mask but normal. Bright: malignant but no mask."""
    both = EvaluationConfig(refining={"empty_mask_for_normal": True, "normal_for_empty_mask": True})
    dark, bright = np.zeros((40, 40, 3), np.uint8), np.full((40, 40, 3), 255, np.uint8)
    card = make_card(config={"evaluation": both.model_dump()}) if by == "card" else make_card()
    refined = Predictor(SaysNormal(), card, evaluation=None if by == "card" else both)
    plain = Predictor(SaysNormal(), card, evaluation=EvaluationConfig())
    one_way = Predictor(SaysNormal(), card, evaluation=EvaluationConfig(refining={"empty_mask_for_normal": True}))
    before, after, half = (p.predict([dark, bright]) for p in (plain, refined, one_way))
    assert [(p.mask.all(), p.label) for p in before] == [(True, "normal"), (False, "malignant")]
    assert [(p.mask.any(), p.label) for p in after] == [(False, "normal"), (False, "normal")]
    assert [(p.mask.any(), p.label) for p in half] == [(False, "normal"), (False, "malignant")]
    assert sum((after[1].probabilities or {}).values()) == pytest.approx(1)


def test_from_checkpoint_on_a_file(trained_run: Path, phantom_root: Path) -> None:
    path = phantom_root / "benign" / "benign (1).png"
    predictor = acsnet.Predictor.from_checkpoint(trained_run / "best.safetensors")
    prediction = predictor(path)
    assert prediction.mask is not None
    assert prediction.mask.shape == read_image(path).shape[:2]
    assert prediction.label in predictor.card.class_names


def test_missing_file_is_named(trained_run: Path) -> None:
    with pytest.raises(acsnet.AcsnetError, match=r"there is no image nowhere\.png"):
        Predictor.from_checkpoint(trained_run / "best.safetensors")("nowhere.png")


def test_half_precision_is_near_float32() -> None:
    torch.manual_seed(0)
    arguments = {"encoder": "mobilenetv3_small_050", "widths": [16] * 5}
    exact = Predictor(acsnet.create_model("acsnet", **arguments), make_card())
    torch.manual_seed(0)
    fast = Predictor(acsnet.create_model("acsnet", **arguments), make_card(), precision="bfloat16")
    dtypes = {parameter.dtype: parameter.ndim > 1 for parameter in fast.model.parameters()}
    assert dtypes == {torch.float32: False, torch.bfloat16: True}
    assert {parameter.dtype for parameter in exact.model.parameters()} == {torch.float32}
    ours, theirs = fast(half_bright(32, 32)), exact(half_bright(32, 32))
    np.testing.assert_allclose(ours.mask_probability, theirs.mask_probability, atol=0.03)
    assert ours.probabilities == pytest.approx(theirs.probabilities, abs=0.03)


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(InputError, match="precision is 'int8': choose float32, bfloat16, float16"):
        Predictor(BrightIsLesion(), make_card(), precision="int8")
