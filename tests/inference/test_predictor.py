from pathlib import Path

import numpy as np
import pytest
import torch

import acsnet
from acsnet.checkpoints import CheckpointMetadata, read_metadata, read_weights, save_checkpoint
from acsnet.config import EvaluationConfig
from acsnet.data.images import read_image
from acsnet.errors import CheckpointError, InputError
from acsnet.inference import Predictor


class BrightIsLesion(torch.nn.Module):
    """Lesion where the first channel is above the mean, and fixed class logits."""

    def __init__(self, tasks: tuple[str, ...] = ("segmentation", "classification")) -> None:
        super().__init__()
        self.tasks = tasks
        self.seen: torch.Tensor | None = None

    def forward(self, images: torch.Tensor) -> acsnet.MultiTaskOutput:
        self.seen = images
        mask = 100 * images[:, :1] if "segmentation" in self.tasks else None
        label = torch.tensor([[0.0, 2.0, 1.0]]).repeat(len(images), 1) if "classification" in self.tasks else None
        return acsnet.MultiTaskOutput(mask, label)


def make_metadata(**changes: object) -> CheckpointMetadata:
    values = {
        "model": "acsnet",
        "arguments": {"in_channels": 3},
        "class_names": ("benign", "malignant", "normal"),
        "input_size": (32, 32),
        "mean": (0.5,),
        "std": (0.25,),
    }
    return CheckpointMetadata.model_validate({**values, **changes})


def half_bright(height: int, width: int) -> np.ndarray:
    image = np.zeros((height, width, 3), np.uint8)
    image[:, width // 2 :] = 255
    return image


def test_mask_and_class_at_the_image_size() -> None:
    prediction = Predictor(BrightIsLesion(), make_metadata())(half_bright(50, 80))
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


def test_input_is_resized_and_normalized_as_in_the_metadata() -> None:
    network = BrightIsLesion()
    Predictor(network, make_metadata(arguments={"in_channels": 1}))(half_bright(64, 64))
    assert network.seen is not None
    assert network.seen.shape == (1, 1, 32, 32)
    assert network.seen[0, 0, 0, 0] == pytest.approx((0 - 0.5) / 0.25)
    assert network.seen[0, 0, 0, -1] == pytest.approx((1 - 0.5) / 0.25)


def test_probabilities_at_the_input_size_are_those_before_resizing() -> None:
    predictor = Predictor(BrightIsLesion(), make_metadata())
    images = [half_bright(50, 80), half_bright(32, 32)]
    small = predictor.probabilities_at_input_size(images)
    assert [own.mask.shape for own in small if own.mask is not None] == [(32, 32), (32, 32)]
    for own, expected in zip(small, predictor.probabilities(images), strict=True):
        resized = predictor.to_image(own)
        np.testing.assert_array_equal(resized.mask, expected.mask)
        np.testing.assert_array_equal(resized.label, expected.label)
    masks_only = Predictor(BrightIsLesion(("segmentation",)), make_metadata())
    assert masks_only.tasks == ("segmentation",)
    assert masks_only.probabilities_at_input_size(images)[0].label is None


def test_the_threshold_applies_to_the_probability() -> None:
    image = half_bright(32, 32)
    image[:, :16] = 129  # a probability a little above one half
    loose = Predictor(BrightIsLesion(), make_metadata())(image)
    strict = Predictor(BrightIsLesion(), make_metadata(), evaluation=EvaluationConfig(threshold=0.95))(image)
    assert loose.mask is not None
    assert strict.mask is not None
    assert loose.mask.all()
    assert strict.mask.mean() == 0.5


def test_batch_of_mixed_sizes_equals_one_by_one() -> None:
    predictor = Predictor(BrightIsLesion(), make_metadata())
    images = [half_bright(40, 60), half_bright(32, 32), half_bright(90, 20)]
    for image, prediction in zip(images, predictor.predict(images), strict=True):
        np.testing.assert_array_equal(prediction.mask, predictor(image).mask)


@pytest.mark.parametrize("task", ["segmentation", "classification"])
def test_single_task_leaves_the_other_none(task: str) -> None:
    prediction = Predictor(BrightIsLesion((task,)), make_metadata())(half_bright(32, 32))
    assert (prediction.mask is None) == (task == "classification")
    assert (prediction.label is None) == (task == "segmentation")


class NormalIfDark(torch.nn.Module):
    """A mask on dark images, which are classified as normal."""

    def forward(self, images: torch.Tensor) -> acsnet.MultiTaskOutput:
        dark = images.mean(dim=(1, 2, 3)) < 0
        label = torch.where(dark[:, None], torch.tensor([0.0, 1.0, 3.0]), torch.tensor([0.0, 3.0, 1.0]))
        return acsnet.MultiTaskOutput(torch.where(dark, 5.0, -5.0)[:, None, None, None].expand(-1, 1, 32, 32), label)


@pytest.mark.parametrize("by", ["metadata", "argument"])
def test_refining_makes_mask_and_class_agree(by: str) -> None:
    """Dark: a mask but normal. Bright: malignant but no mask."""
    both = EvaluationConfig(refining={"empty_mask_for_normal": True, "normal_for_empty_mask": True})
    dark, bright = np.zeros((40, 40, 3), np.uint8), np.full((40, 40, 3), 255, np.uint8)
    metadata = make_metadata(config={"evaluation": both.model_dump()}) if by == "metadata" else make_metadata()
    refined = Predictor(NormalIfDark(), metadata, evaluation=None if by == "metadata" else both)
    plain = Predictor(NormalIfDark(), metadata, evaluation=EvaluationConfig())
    one_way = Predictor(NormalIfDark(), metadata, evaluation=EvaluationConfig(refining={"empty_mask_for_normal": True}))
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
    assert prediction.label in predictor.metadata.class_names


def test_missing_file_is_named(trained_run: Path) -> None:
    with pytest.raises(acsnet.AcsnetError, match=r"there is no image nowhere\.png"):
        Predictor.from_checkpoint(trained_run / "best.safetensors")("nowhere.png")


def test_half_precision_is_near_float32() -> None:
    torch.manual_seed(0)
    arguments = {"encoder": "mobilenetv3_small_050", "widths": [16] * 5}
    exact = Predictor(acsnet.create_model("acsnet", **arguments), make_metadata())
    torch.manual_seed(0)
    fast = Predictor(acsnet.create_model("acsnet", **arguments), make_metadata(), precision="bfloat16")
    dtypes = {parameter.dtype: parameter.ndim > 1 for parameter in fast.model.parameters()}
    assert dtypes == {torch.float32: False, torch.bfloat16: True}
    assert {parameter.dtype for parameter in exact.model.parameters()} == {torch.float32}
    ours, theirs = fast(half_bright(32, 32)), exact(half_bright(32, 32))
    np.testing.assert_allclose(ours.mask_probability, theirs.mask_probability, atol=0.03)
    assert ours.probabilities == pytest.approx(theirs.probabilities, abs=0.03)


def test_a_network_without_metadata_is_refused() -> None:
    with pytest.raises(InputError) as caught:
        Predictor(BrightIsLesion())
    assert str(caught.value) == (
        "this BrightIsLesion has no metadata: name and arguments of the network, class names, input size, mean and std "
        "of the normalization are missing; load a trained network by acsnet.load_model, or describe this one by "
        "model.metadata = acsnet.checkpoints.CheckpointMetadata(model=..., arguments=..., class_names=..., "
        "input_size=(height, width), mean=..., std=...)"
    )


@pytest.mark.parametrize("metadata", [{}, {"model": "unet"}, "metadata.json"])
@pytest.mark.parametrize("by", ["argument", "attribute"])
def test_metadata_of_another_type_is_refused(metadata: object, by: str) -> None:
    network = BrightIsLesion()
    given = metadata if by == "argument" else None
    network.metadata = metadata  # type: ignore[assignment]
    with pytest.raises(InputError) as caught:
        Predictor(network, given)  # type: ignore[arg-type]
    assert str(caught.value) == (
        f"the metadata is of type {type(metadata).__name__}: expected acsnet.checkpoints.CheckpointMetadata(model=..., "
        "arguments=..., class_names=..., input_size=(height, width), mean=..., std=...)"
    )


@pytest.mark.parametrize(
    ("model", "advice"),
    [
        ("acsnet_busi", "load it by acsnet.load_model, or use Predictor.from_checkpoint"),
        (Path("best.safetensors"), "load it by acsnet.load_model, or use Predictor.from_checkpoint"),
        (None, "expected a network, a torch.nn.Module"),
        (torch.zeros(3), "expected a network, a torch.nn.Module"),
        (BrightIsLesion, "expected a network, a torch.nn.Module"),
    ],
)
def test_objects_that_are_no_network(model: object, advice: str) -> None:
    with pytest.raises(InputError) as caught:
        Predictor(model, make_metadata())  # type: ignore[arg-type]
    assert str(caught.value) == f"the model is of type {type(model).__name__}: {advice}"


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(InputError, match="precision is 'int8': choose float32, bfloat16, float16"):
        Predictor(BrightIsLesion(), make_metadata(), precision="int8")


# --- test-time augmentation and ensembles -----------------------------------------------------------------------------


class Columns(torch.nn.Module):
    """Lesion on the left third of any image, malignant if the first pixel is bright; records the sizes of its input."""

    divisor = 8

    def __init__(self, sign: float = 1.0) -> None:
        super().__init__()
        self.sign = sign
        self.sizes: list[tuple[int, ...]] = []

    def forward(self, images: torch.Tensor) -> acsnet.MultiTaskOutput:
        self.sizes.append(tuple(images.shape[2:]))
        width = images.shape[3]
        columns = torch.where(torch.arange(width) < width / 3, 200.0, -200.0) * self.sign
        first = images[:, 0, 0, 0]
        label = torch.stack((-first, first, torch.full_like(first, -200.0)), dim=1)
        return acsnet.MultiTaskOutput(columns.expand(len(images), 1, *images.shape[2:]), label)


class Several(torch.nn.Module):
    """An ensemble, of which only the members are used."""

    def __init__(self, *members: torch.nn.Module) -> None:
        super().__init__()
        self.members = torch.nn.ModuleList(members)


def with_tta(**changes: object) -> EvaluationConfig:
    return EvaluationConfig(test_time_augmentation=changes)


def test_a_single_network_without_tta_has_no_uncertainty() -> None:
    predictor = Predictor(Columns(), make_metadata())
    prediction = predictor(half_bright(24, 48))
    assert not predictor.supports_uncertainty
    assert (prediction.mask_uncertainty, prediction.label_uncertainty) == (None, None)


def test_flips_are_averaged() -> None:
    """Lesion on the left third and, flipped back, on the right third: one half each, and 0 between; classes of both."""
    predictor = Predictor(Columns(), make_metadata(input_size=(24, 48)), evaluation=with_tta(horizontal_flip=True))
    prediction = predictor(half_bright(24, 48))
    expected = np.repeat([0.5, 0.0, 0.5], 16)
    np.testing.assert_allclose(prediction.mask_probability, np.broadcast_to(expected, (24, 48)), atol=1e-6)
    # The first pixel is black (-2), the last white (2): logits (2, -2) and (-2, 2).
    assert prediction.probabilities == pytest.approx({"benign": 0.5, "malignant": 0.5, "normal": 0.0})
    assert predictor.supports_uncertainty
    np.testing.assert_allclose(prediction.mask_uncertainty, 2 * np.broadcast_to(expected, (24, 48)), atol=1e-5)
    assert prediction.label_uncertainty == pytest.approx(np.log(2) / np.log(3))


def test_scaled_sizes_are_valid_for_the_network() -> None:
    network = Columns()
    predictor = Predictor(network, make_metadata(input_size=(24, 48)), evaluation=with_tta(scales=[1, 1.4, 0.1]))
    prediction = predictor(half_bright(50, 70))
    assert network.sizes == [(24, 48), (32, 64), (8, 8)]
    assert prediction.mask_probability is not None
    assert prediction.mask_probability.shape == (50, 70)
    assert prediction.mask_uncertainty is not None
    assert prediction.mask_uncertainty.shape == (50, 70)
    # The left of the left third is lesion in all of them.
    assert (prediction.mask_probability[:, :12] > 0.99).all()
    assert (prediction.mask_probability[:, 45:] < 0.01).all()


def test_members_are_averaged() -> None:
    """One predicts lesion on the left third, the other everywhere else: the mean is one half."""
    image = half_bright(24, 48)
    metadata = make_metadata(input_size=(24, 48))
    both = Predictor(Several(Columns(), Columns(-1)), metadata)
    prediction = both(image)
    assert both.supports_uncertainty
    np.testing.assert_allclose(prediction.mask_probability, 0.5, atol=1e-6)
    np.testing.assert_allclose(prediction.mask_uncertainty, 1, atol=1e-5)
    several = Predictor(
        Several(Columns(), Columns(), Columns(), Columns(-1)), metadata, evaluation=with_tta(vertical_flip=True)
    )
    np.testing.assert_allclose(several(image).mask_probability[:, [0, -1]], [[0.75, 0.25]] * 24, atol=1e-6)
    # An ensemble of one member equals the network bit for bit, and has no uncertainty.
    alone, plain = Predictor(Several(Columns()), metadata)(image), Predictor(Columns(), metadata)(image)
    assert np.array_equal(alone.mask_probability, plain.mask_probability)
    assert (alone.probabilities, alone.mask_uncertainty) == (plain.probabilities, None)


def test_members_may_need_different_divisors() -> None:
    other = Columns()
    other.divisor = 12
    predictor = Predictor(
        Several(Columns(), other), make_metadata(input_size=(24, 48)), evaluation=with_tta(scales=[1, 1.9])
    )
    predictor(half_bright(24, 48))
    assert other.sizes == [(24, 48), (48, 96)]


def test_a_network_with_one_channel_gets_one() -> None:
    network = acsnet.create_model("acsnet", in_channels=1, encoder="mobilenetv3_small_050", widths=[16] * 5)
    predictor = Predictor(Several(network), make_metadata(arguments={"in_channels": 1}, mean=(0.5,), std=(0.25,)))
    assert predictor(half_bright(32, 32)).mask is not None


@pytest.mark.parametrize("tasks", [("segmentation",), ("classification",)])
def test_uncertainty_of_one_task(tasks: tuple[str, ...]) -> None:
    predictor = Predictor(BrightIsLesion(tasks), make_metadata(), evaluation=with_tta(horizontal_flip=True))
    prediction = predictor(half_bright(32, 32))
    assert (prediction.mask_uncertainty is None) == (tasks == ("classification",))
    assert (prediction.label_uncertainty is None) == (tasks == ("segmentation",))
    assert predictor.supports_mask_uncertainty == (tasks == ("segmentation",))


def test_another_threshold_shares_the_network() -> None:
    predictor = Predictor(
        BrightIsLesion(), make_metadata(), evaluation=EvaluationConfig(postprocessing={"fill_holes": True})
    )
    other = predictor.with_threshold(0.95)
    assert other.model is predictor.model
    assert (other.evaluation.threshold, predictor.evaluation.threshold) == (0.95, 0.5)
    assert other.evaluation.postprocessing.fill_holes
    image = np.full((32, 32, 3), 129, np.uint8)
    assert predictor(image).mask.all()
    assert not other(image).mask.any()


def test_a_checkpoint_is_predicted_as_its_training_was_configured(trained_run: Path, tmp_path: Path) -> None:
    metadata = read_metadata(trained_run / "best.safetensors")
    section = EvaluationConfig(
        threshold=0.3, test_time_augmentation={"horizontal_flip": True}, postprocessing={"fill_holes": True}
    )
    metadata = metadata.model_copy(
        update={"config": {**metadata.config, "evaluation": section.model_dump(mode="json")}}
    )
    save_checkpoint(tmp_path / "a.safetensors", read_weights(trained_run / "best.safetensors"), metadata)
    predictor = Predictor.from_checkpoint(tmp_path / "a.safetensors")
    assert predictor.evaluation == section
    assert len(predictor.tta_transforms) == 2
    plain = Predictor.from_checkpoint(tmp_path / "a.safetensors", evaluation=EvaluationConfig())
    assert (plain.evaluation.threshold, len(plain.tta_transforms)) == (0.5, 1)


def test_a_trained_network_is_averaged_over_flips(trained_run: Path, phantom_root: Path) -> None:
    """Compared with predictions without test-time augmentation for images flipped by hand."""
    image = read_image(phantom_root / "benign" / "benign (1).png")
    checkpoint = trained_run / "best.safetensors"
    plain = Predictor.from_checkpoint(checkpoint)
    tta = Predictor.from_checkpoint(checkpoint, evaluation=with_tta(horizontal_flip=True, vertical_flip=True))
    flips = [(), (1,), (0,), (0, 1)]
    by_hand = [plain(np.ascontiguousarray(np.flip(image, flip))) for flip in flips]
    mask = np.mean([np.flip(p.mask_probability, flip) for p, flip in zip(by_hand, flips, strict=True)], axis=0)
    prediction = tta(image)
    np.testing.assert_allclose(prediction.mask_probability, mask, atol=1e-5)
    for name, value in prediction.probabilities.items():
        assert value == pytest.approx(np.mean([p.probabilities[name] for p in by_hand]), abs=1e-5)


# --- framing ----------------------------------------------------------------------------------------------------------


def in_margin(height: int = 60, width: int = 100) -> np.ndarray:
    """A white lesion on speckle, in a gray margin of 20 rows above and 30 columns to the left."""
    image = np.full((height + 20, width + 30, 3), 40, np.uint8)
    image[20:, 30:] = np.random.default_rng(0).integers(50, 110, (height, width, 1))
    image[40:60, 60:100] = 255
    return image


LESION = np.zeros((80, 130), bool)
LESION[40:60, 60:100] = True


@pytest.mark.parametrize("scales", [[1], [1, 1.3], [0.7, 1, 1.5]])
@pytest.mark.parametrize(("crop", "aspect"), [(False, False), (True, False), (False, True), (True, True)])
def test_masks_come_back_in_the_frame_of_the_image(crop: bool, aspect: bool, scales: list[float]) -> None:
    metadata = make_metadata(input_size=(96, 96), crop_margins=crop, keep_aspect=aspect, mean=(0.7,))
    predictor = Predictor(BrightIsLesion(), metadata, evaluation=with_tta(horizontal_flip=True, scales=scales))
    prediction = predictor(in_margin())
    assert prediction.mask is not None
    assert prediction.mask_probability is not None
    assert 2 * (prediction.mask & LESION).sum() / (prediction.mask.sum() + LESION.sum()) > 0.96
    rows, columns = np.nonzero(prediction.mask)
    # The network's mask is binary: half a pixel of the input is up to 0.7 pixels of the image.
    assert (rows.mean(), columns.mean()) == pytest.approx((49.5, 79.5), abs=0.7)
    assert prediction.frame is not None
    assert prediction.frame.is_cropped == crop
    if crop:
        assert tuple(prediction.frame.region) == (20, 30, 60, 100)
        assert not prediction.mask_probability[:20].any()
        assert not prediction.mask_probability[:, :30].any()
    if prediction.mask_uncertainty is not None and crop:
        assert not prediction.mask_uncertainty[:20].any()


def test_padding_has_no_gray_value_for_the_network() -> None:
    network = BrightIsLesion()
    Predictor(network, make_metadata(keep_aspect=True, mean=(0.3,)))(half_bright(30, 60))
    assert network.seen is not None
    assert network.seen[:, :, :8].abs().max() < 0.5 / 255 / 0.25
    assert network.seen[:, :, -8:].abs().max() < 0.5 / 255 / 0.25
    assert network.seen[:, :, 8:24].abs().min() > 1


def test_an_image_that_is_all_margin_is_predicted_whole() -> None:
    image = np.full((40, 60, 3), 200, np.uint8)
    prediction = Predictor(BrightIsLesion(), make_metadata(crop_margins=True))(image)
    assert prediction.frame is not None
    assert prediction.frame.is_all_margin
    assert prediction.mask is not None
    assert prediction.mask.all()


def test_views_are_predicted_as_copies() -> None:
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    for view in (image[::-1], image[:, ::-1], image[::2, ::2], image[..., ::-1]):
        predictor = Predictor(BrightIsLesion(), make_metadata())
        first, second = predictor(view), predictor(view.copy())
        assert first.probabilities == second.probabilities
        np.testing.assert_array_equal(first.mask, second.mask)


@pytest.mark.parametrize("field", ["mask", "label"])
def test_probabilities_that_are_not_finite_are_refused(field: str) -> None:
    class Diverged(BrightIsLesion):
        def forward(self, images: torch.Tensor) -> acsnet.MultiTaskOutput:
            output = super().forward(images)
            return output._replace(**{field: getattr(output, field) * float("nan")})

    predictor = Predictor(Diverged(), make_metadata())
    with pytest.raises(
        CheckpointError, match="are not finite: the checkpoint is damaged, or its training diverged; use"
    ):
        predictor.predict([half_bright(32, 32)])
