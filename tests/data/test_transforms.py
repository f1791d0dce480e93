import os
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from acsnet.config import TransformConfig
from acsnet.data import Augmentation, transforms
from acsnet.errors import ConfigError

Pair = tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]
SIZE = (20, 20)


def pair(channels: int = 3, size: tuple[int, int] = SIZE) -> Pair:
    """Return an image of noise and a mask that no flip or rotation maps to itself."""
    mask = np.zeros(size, bool)
    mask[3:12, 5:9] = mask[3:5, 9:16] = True
    return np.random.default_rng(0).integers(0, 256, (*size, channels), dtype=np.uint8), mask


def transform(name: str, **arguments: Any) -> TransformConfig:
    return TransformConfig.model_validate({"name": name, **arguments})


def pipeline(*steps: TransformConfig, size: tuple[int, int] = SIZE, channels: int = 3) -> Augmentation:
    return Augmentation(steps, size, channels)


def assert_equal(given: Pair, expected: Pair) -> None:
    for one, other in zip(given, expected, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


def equal(one: Pair, other: Pair) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


FLIPS: dict[str, Callable[[npt.NDArray[Any]], npt.NDArray[Any]]] = {
    "HorizontalFlip": lambda x: x[:, ::-1],
    "VerticalFlip": lambda x: x[::-1],
    "Transpose": lambda x: x.swapaxes(0, 1),
}


@pytest.mark.parametrize("name", FLIPS)
@pytest.mark.parametrize("channels", [1, 3])
def test_image_and_mask_move_together(name: str, channels: int) -> None:
    image, mask = pair(channels)
    given = pipeline(transform(name, p=1.0), channels=channels)(image, mask, 0)
    assert_equal(given, (FLIPS[name](image), FLIPS[name](mask)))


def test_the_order_of_the_steps_is_kept() -> None:
    image, mask = pair()
    steps = [transform("Transpose", p=1.0), transform("VerticalFlip", p=1.0)]
    assert_equal(pipeline(*steps)(image, mask, 0), (image.swapaxes(0, 1)[::-1], mask.T[::-1]))
    assert_equal(pipeline(*steps[::-1])(image, mask, 0), (image[::-1].swapaxes(0, 1), mask[::-1].T))


@pytest.mark.parametrize(
    "step",
    [
        transform("Affine", scale=[0.7, 1.4], rotate=[-40, 40], shear=[-10, 10], interpolation=0, p=1.0),
        transform("ElasticTransform", alpha=30, sigma=4, interpolation=0, p=1.0),
        transform("RandomResizedCrop", size=[40, 40], interpolation=0, p=1.0),
    ],
    ids=lambda step: step.name,
)
def test_random_warps_move_image_and_mask_alike(step: TransformConfig) -> None:
    # The image shows its own mask: after any warp of nearest pixels it still does.
    _, mask = pair(size=(40, 40))
    image = np.dstack([mask.astype(np.uint8) * 200] * 3)
    warp = pipeline(step, size=(40, 40))
    moved = 0
    for seed in range(5):
        warped_image, warped_mask = warp(image, mask, seed)
        np.testing.assert_array_equal(warped_image[..., 0] > 0, warped_mask)
        moved += not np.array_equal(warped_mask, mask)
    assert moved == 5


def test_transforms_of_brightness_leave_the_mask() -> None:
    image, mask = pair()
    bright, same = pipeline(transform("RandomBrightnessContrast", brightness_limit=[0.2, 0.3], p=1.0))(image, mask, 0)
    np.testing.assert_array_equal(same, mask)
    assert bright.mean() > image.mean() + 20


RANDOM = [
    transform("HorizontalFlip", p=0.5),
    transform("Affine", scale=[0.8, 1.25], rotate=[-15, 15], p=0.9),
    transform("GaussNoise", p=0.5),
    transform(
        "OneOf",
        p=0.8,
        transforms=[
            {"name": "RandomGamma", "gamma_limit": [70, 140], "p": 1.0},
            {"name": "SomeOf", "n": 1, "transforms": [{"name": "GaussianBlur"}, {"name": "ElasticTransform"}]},
        ],
    ),
]


def test_the_result_depends_on_the_seed_only() -> None:
    image, mask = pair()
    one, other = pipeline(*RANDOM), pipeline(*RANDOM)
    expected = {seed: one(image, mask, seed) for seed in range(12)}
    # In another order, by another object, with numpy's global generator in other states.
    for seed in (11, 3, 3, 0, 7, 1):
        np.random.seed(seed)
        assert_equal(other(image, mask, seed), expected[seed])
    results = list(expected.values())
    assert sum(not equal(results[0], result) for result in results[1:]) >= 10


def test_transforms_are_applied_independently_of_each_other() -> None:
    """With one generator per transform, all of the same seed, one draw would decide about all transforms."""
    image, mask = pair()
    both = pipeline(transform("HorizontalFlip", p=0.5), transform("VerticalFlip", p=0.5))
    options = {(x, y): image[:: 1 - 2 * y, :: 1 - 2 * x].tobytes() for x in (0, 1) for y in (0, 1)}
    found = [both(image, mask, seed)[0].tobytes() for seed in range(400)]
    # A quarter of 400 with a standard deviation of 9.
    assert all(65 < found.count(option) < 135 for option in options.values())


def test_transforms_draw_their_values_independently_of_each_other() -> None:
    image, mask = np.full((*SIZE, 1), 200, np.uint8), np.zeros(SIZE, bool)
    twice = pipeline(*[transform("Attenuation", decibels=[0, 20], p=1.0)] * 2, channels=1)
    drawn = []
    for seed in range(200):
        twice(image, mask, seed)
        drawn.append([float(step.params["decibels"].min()) for step in twice._compose.transforms])
    # The standard deviation of the correlation of 200 independent pairs is 0.07.
    assert abs(np.corrcoef(np.array(drawn).T)[0, 1]) < 0.25


def test_large_seeds_of_the_sampler_are_distinct() -> None:
    image, mask = pair()
    assert not equal(*(pipeline(*RANDOM)(image, mask, seed) for seed in (2**31 - 1, 2**31 - 2)))


def test_nested_choices() -> None:
    image, mask = pair()
    inner = {
        "name": "Sequential",
        "p": 1.0,
        "transforms": [{"name": "VerticalFlip", "p": 1.0}, {"name": "Transpose", "p": 1}],
    }
    choice = pipeline(transform("OneOf", p=1.0, transforms=[{"name": "HorizontalFlip", "p": 1.0}, inner]))
    options = [(image[:, ::-1], mask[:, ::-1]), (image[::-1].swapaxes(0, 1), mask[::-1].T)]
    results = [choice(image, mask, seed) for seed in range(20)]
    matches = [[equal(result, option) for option in options] for result in results]
    assert all(sum(row) == 1 for row in matches)
    assert {row.index(True) for row in matches} == {0, 1}


def test_the_input_is_not_changed() -> None:
    image, mask = pair()
    before = image.copy(), mask.copy()
    pipeline(*RANDOM, transform("CoarseDropout", p=1.0))(image, mask, 1)
    assert_equal((image, mask), before)


def test_no_transforms() -> None:
    image, mask = pair()
    assert_equal(pipeline()(image, mask, 5), (image, mask))


def test_one_channel_stays_a_channel() -> None:
    image, mask = pair(1)
    names = ("RandomBrightnessContrast", "RandomGamma", "GaussianBlur", "CLAHE", "Rotate", "ElasticTransform")
    for name in names:
        changed, _ = pipeline(transform(name, p=1.0), channels=1)(image, mask, 0)
        assert changed.shape == (*SIZE, 1), name
        assert changed.dtype == np.uint8


def test_the_size_may_change_if_it_is_restored() -> None:
    steps = [transform("RandomCrop", height=10, width=12, p=1.0), transform("Resize", height=20, width=20, p=1.0)]
    image, mask = pair()
    changed, moved = pipeline(*steps)(image, mask, 0)
    assert changed.shape == (20, 20, 3)
    assert moved.shape == (20, 20)


FLIP = {"name": "HorizontalFlip"}
LIST = r"expected a list of transforms, as in [{name: HorizontalFlip}]"
WRONG = {
    "unknown name": (
        [transform("HorizontalFlop")],
        "augmentation.0.name: unknown transform 'HorizontalFlop': did you mean 'HorizontalFlip'",
    ),
    "of numpy": ([transform("np")], "augmentation.0.name: unknown transform 'np'"),
    "second": (
        [transform("VerticalFlip"), transform("Blurr")],
        "augmentation.1.name: unknown transform 'Blurr': did you",
    ),
    "unknown argument": (
        [transform("HorizontalFlip", prob=0.5)],
        "augmentation.0 (HorizontalFlip): Argument(s) 'prob' are not valid",
    ),
    "range": (
        [transform("GaussNoise", std_range=[0.5, 0.1])],
        "augmentation.0 (GaussNoise): 1 validation error for InitSchema std_range Value error, First value should be",
    ),
    "type": ([transform("Rotate", limit="far")], "augmentation.0 (Rotate): 2 validation errors for InitSchema limit"),
    "missing argument": ([transform("RandomCrop", p=1.0)], "augmentation.0 (RandomCrop): "),
    "abstract": (
        [transform("DualTransform")],
        "augmentation cannot be applied to images of 20x20 with 3 channels: NotImplementedError",
    ),
    "p above 1": ([transform("HorizontalFlip", p=2)], "augmentation.0.p is 2: expected a probability between 0 and 1"),
    "p is text": (
        [transform("HorizontalFlip", p="0.5")],
        "augmentation.0.p is '0.5': expected a probability between 0",
    ),
    "p is null": ([transform("HorizontalFlip", p=None)], "augmentation.0.p is None: expected a probability between 0"),
    "p is yes": ([transform("HorizontalFlip", p=True)], "augmentation.0.p is True: expected a probability between 0"),
    "p of a choice": (
        [transform("OneOf", transforms=[FLIP], p=-1)],
        "augmentation.0.p is -1: expected a probability between 0 and 1",
    ),
    "inner name": (
        [transform("OneOf", transforms=[FLIP, {"name": "Blurr"}])],
        "augmentation.0.transforms.1.name: unknown transform 'Blurr': did you mean 'Blur'",
    ),
    "inner without name": (
        [transform("OneOf", transforms=[{"p": 1}])],
        "augmentation.0.transforms.0.name: unknown transform ''",
    ),
    "inner argument": (
        [transform("Sequential", transforms=[{"name": "OneOf", "transforms": [FLIP | {"q": 1}]}])],
        "augmentation.0.transforms.0.transforms.0 (HorizontalFlip): Argument(s) 'q' are not valid",
    ),
    "inner text": ([transform("OneOf", transforms="Blur")], f"augmentation.0.transforms is 'Blur': {LIST}"),
    "inner texts": ([transform("OneOf", transforms=["Blur"])], f"augmentation.0.transforms is ['Blur']: {LIST}"),
    "inner null": ([transform("OneOf", transforms=None)], f"augmentation.0.transforms is None: {LIST}"),
    "inner nothing": ([transform("OneOf", transforms=[])], f"augmentation.0.transforms is []: {LIST}"),
    "inner missing": ([transform("OneOf")], "augmentation.0 (OneOf): OneOf.__init__() missing 1 required positional"),
    "smaller": (
        [transform("RandomCrop", height=10, width=12, p=1.0)],
        "augmentation changes the size from 20x20 to 10x12 (height x width): end it with a transform that restores the",
    ),
    "sometimes smaller": (
        [transform("OneOf", transforms=[{"name": "RandomCrop", "height": 10, "width": 12}, FLIP], p=0.8)],
        "augmentation changes the size from 20x20 to 10x12",
    ),
    "crop too large": (
        [transform("RandomCrop", height=64, width=64, p=1.0)],
        "augmentation cannot be applied to images of 20x20 with 3 channels: CropSizeError: Crop size",
    ),
    "more data needed": (
        [transform("Mosaic", p=1.0)],
        "augmentation cannot be applied to images of 20x20 with 3 channels: ValueError: Mosaic requires",
    ),
    "normalized": (
        [transform("Normalize", p=1.0)],
        "augmentation turns uint8 pixels into float32: remove Normalize, ToFloat and the like, since images are",
    ),
    "fewer channels": (
        [transform("ToGray", num_output_channels=1, p=1.0)],
        "augmentation changes the number of channels from 3 to 1: remove transforms that change it, or set model.",
    ),
}


@pytest.mark.parametrize(("steps", "message"), WRONG.values(), ids=WRONG)
def test_invalid_pipelines(steps: list[TransformConfig], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)) as error:
        pipeline(*steps)
    assert "\n" not in str(error.value)
    assert "pydantic" not in str(error.value)


def test_tensors_are_refused() -> None:
    pytest.importorskip("albumentations.pytorch")
    with pytest.raises(ConfigError, match=r"augmentation turns uint8 pixels into Tensor: remove Normalize"):
        pipeline(transform("ToTensorV2"))


def test_transforms_of_color_are_refused_for_one_channel() -> None:
    pipeline(transform("RandomFog", p=1.0), channels=3)
    message = r"augmentation cannot be applied to images of 20x20 with 1 channels: ValueError: .*3-channel"
    with pytest.raises(ConfigError, match=message):
        pipeline(transform("RandomFog", p=1.0), channels=1)


def test_a_rare_change_of_size_is_refused_when_it_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transforms, "_TRIALS", 0)
    rare = pipeline(transform("RandomCrop", height=10, width=12, p=1.0))
    with pytest.raises(
        ConfigError, match=r"augmentation changes the size from 20x20 to 10x12 \(height x width\): end it with"
    ):
        rare(*pair(), 0)


def test_albumentations_does_not_ask_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_ALBUMENTATIONS_UPDATE", raising=False)
    pipeline(transform("HorizontalFlip"))
    assert os.environ["NO_ALBUMENTATIONS_UPDATE"] == "1"


@pytest.mark.parametrize("name", ["ShiftScaleRotate", "PiecewiseAffine", "GridDistortion"])
def test_transforms_that_come_with_advice_are_built(name: str) -> None:
    augmentation = Augmentation([TransformConfig.model_validate({"name": name, "p": 1.0})], (64, 64))
    image, mask = augmentation(np.zeros((64, 64, 3), np.uint8), np.zeros((64, 64), np.bool_), seed=0)
    assert image.shape == (64, 64, 3)
    assert mask.shape == (64, 64)
