"""Each transform against a result computed by hand, or its documented statistics."""

from typing import Any

import albumentations
import numpy as np
import numpy.typing as npt
import pytest

from acsnet.config import TransformConfig
from acsnet.data import Augmentation
from acsnet.data.ultrasound_transforms import (
    DYNAMIC_RANGE,
    RAYLEIGH_CONTRAST,
    TRANSFORMS,
    AcousticShadow,
    Attenuation,
    DepthGain,
    ProbeBlur,
    Speckle,
    amplify,
    gain_curve,
    shadow_profile,
    speckle,
)
from acsnet.errors import ConfigError, InputError

Image = npt.NDArray[np.uint8]


def noise(*shape: int) -> Image:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def apply(transform: albumentations.ImageOnlyTransform, image: Image, seed: int = 0) -> Image:
    transform.set_random_seed(seed)
    return transform(image=image)["image"]


def augmentation(name: str, size: tuple[int, int] = (40, 60), channels: int = 1, **arguments: Any) -> Augmentation:
    return Augmentation([TransformConfig.model_validate({"name": name, **arguments})], size, channels)


# --- decibels --------------------------------------------------------------------------------------------------------


def test_decibels_are_gray_values_of_the_dynamic_range() -> None:
    # 255 / 60 = 4.25 gray values per decibel; 4 dB are 17.
    image = np.array([[0, 1, 100, 250], [0, 8, 20, 255]], np.uint8)
    raised = amplify(image, np.array([[4.0], [-4.0]], np.float32))
    np.testing.assert_array_equal(raised, [[0, 18, 117, 255], [0, 0, 3, 238]])


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1), (5, 7, 3)])
def test_every_channel_is_raised_alike(shape: tuple[int, ...]) -> None:
    image = noise(*shape)
    decibels = np.random.default_rng(1).uniform(-9, 9, (5, 7)).astype(np.float32)
    raised = amplify(image, decibels)
    levels = (decibels * np.float32(4.25)).reshape(5, 7, *[1] * (len(shape) - 2))
    expected = np.where(image > 0, np.clip(np.rint(image + levels), 0, 255), 0)
    assert raised.shape == shape
    np.testing.assert_array_equal(raised, expected)


# --- speckle ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("axial", "lateral"), [(0.4, 0.8), (1.0, 2.0), (2.0, 4.0)])
def test_speckle_is_rayleigh(axial: float, lateral: float) -> None:
    drawn = np.concatenate(
        [speckle((400, 400), axial, lateral, np.random.default_rng(seed)).ravel() for seed in range(6)]
    )
    assert drawn.mean() == pytest.approx(1, abs=0.015)
    assert drawn.std() == pytest.approx(RAYLEIGH_CONTRAST, abs=0.015)
    # A Rayleigh variable of mean 1 exceeds x with the probability exp(-pi x^2 / 4).
    for x in (0.25, 0.5, 1, 2):
        assert (drawn > x).mean() == pytest.approx(np.exp(-np.pi * x * x / 4), abs=0.01)


def test_speckle_is_correlated_as_stated() -> None:
    axial, lateral = 2.0, 4.0
    intensity = [
        speckle((400, 400), axial, lateral, np.random.default_rng(seed)).astype(float) ** 2 for seed in range(6)
    ]

    def correlation(rows: int, columns: int) -> float:
        pairs = [(part[rows:, columns:], part[: 400 - rows, : 400 - columns]) for part in intensity]
        one, other = (np.concatenate([pair[side].ravel() for pair in pairs]) for side in (0, 1))
        return float(np.corrcoef(one, other)[0, 1])

    for lag in (2, 4, 8):
        assert correlation(0, lag) == pytest.approx(np.exp(-((lag / lateral) ** 2) / 2), abs=0.03)
        assert correlation(lag, 0) == pytest.approx(np.exp(-((lag / axial) ** 2) / 2), abs=0.03)


def test_speckle_is_the_same_at_the_edges() -> None:
    drawn = np.stack([speckle((30, 30), 1.5, 3.0, np.random.default_rng(seed)) for seed in range(2000)])
    assert drawn[:, 0, 0].std() == pytest.approx(drawn[:, 15, 15].std(), rel=0.1)


@pytest.mark.parametrize("strength", [0.1, 0.3, 0.5])
def test_speckle_multiplies_the_amplitude_by_noise_of_mean_one(strength: float) -> None:
    image = np.full((256, 256, 1), 128, np.uint8)
    changed = np.concatenate([apply(Speckle((strength, strength), p=1), image, seed) for seed in range(5)])
    factor = 10 ** ((changed.astype(float) - 128) / 255 * DYNAMIC_RANGE / 20)
    assert factor.mean() == pytest.approx(1, abs=0.02)
    assert factor.std() == pytest.approx(strength, rel=0.05)


def test_no_strength_changes_nothing() -> None:
    image = noise(40, 60, 3)
    np.testing.assert_array_equal(apply(Speckle((0, 0), p=1), image), image)
    assert (apply(Speckle((0.2, 0.2), p=1), image) != image).mean() > 0.5


def test_grains_scale_with_the_image() -> None:
    def neighbors(width: int) -> float:
        changed = apply(Speckle((0.4, 0.4), (0.02, 0.02), p=1), np.full((width, width), 128, np.uint8)).astype(float)
        step = width // 64
        return float(np.corrcoef(changed[:, step:].ravel(), changed[:, :-step].ravel())[0, 1])

    assert neighbors(256) == pytest.approx(neighbors(512), abs=0.05)


# --- depth -----------------------------------------------------------------------------------------------------------


def test_gain_changes_along_depth_alone() -> None:
    image = np.full((50, 40, 3), 128, np.uint8)
    changed = apply(DepthGain((-6, 6), p=1), image)
    assert (changed == changed[:, :1, :1]).all()
    rows = changed[:, 0, 0].astype(int)
    assert len(set(rows)) > 5
    # 12 dB are 51 gray values, and five intervals of ten rows each lie between six sliders.
    assert np.abs(rows - 128).max() <= 26
    assert np.abs(np.diff(rows)).max() <= 7


def test_gain_curve_lies_between_its_sliders() -> None:
    curve = gain_curve([0, 4, -2], 101)[:, 0]
    assert curve.shape == (101,)
    assert curve.min() >= -2
    assert curve.max() <= 4
    # Half-way between two sliders the line is straight, and smoothing does not change it.
    assert curve[25] == pytest.approx(2, abs=0.15)
    assert curve[75] == pytest.approx(1, abs=0.15)
    np.testing.assert_allclose(gain_curve([3, 3], 20), 3, rtol=1e-6)


def test_attenuation_is_linear_in_decibels() -> None:
    image = np.full((54, 4), 200, np.uint8)
    changed = apply(Attenuation((12, 12), p=1), image)
    # 12 dB are 51 gray values over 53 steps.
    expected = np.rint(200 - np.arange(54) * 51 / 53)
    np.testing.assert_array_equal(changed, np.repeat(expected[:, None], 4, axis=1))


# --- shadow ----------------------------------------------------------------------------------------------------------


def test_shadow_of_parallel_beams_by_hand() -> None:
    profile = shadow_profile((40, 100), position=0.5, width=0.2, start=0.25, divergence=0)
    assert not profile[:11].any(), "above its start, and in its first row"
    assert not profile[:, :40].any()
    assert not profile[:, 60:].any()
    # Column 54 has its center 0.045 from the middle: 0.55 of the half width is left.
    assert profile[39, 54] == pytest.approx(0.55**2 * (3 - 2 * 0.55), abs=1e-4)
    np.testing.assert_allclose(profile, profile[:, ::-1], atol=1e-5)
    # Row 13 lies 3/40 below the start, half of the 0.15 over which the shadow sets in.
    np.testing.assert_allclose(profile[13], profile[39] / 2, atol=1e-5)
    np.testing.assert_allclose(profile[16:], np.broadcast_to(profile[39], (24, 100)), atol=1e-5)


def test_shadow_of_spreading_beams_widens_and_leans_outwards() -> None:
    profile = shadow_profile((400, 1000), position=0.7, width=0.1, start=0, divergence=0.5)
    for row in (200, 399):
        spread = 1 + 0.5 * row / 400
        shaded = np.flatnonzero(profile[row]) / 1000
        assert shaded[0] == pytest.approx(0.5 + 0.15 * spread, abs=0.003)
        assert shaded[-1] == pytest.approx(0.5 + 0.25 * spread, abs=0.003)


@pytest.mark.parametrize("seed", range(5))
def test_pixels_outside_the_shadow_are_untouched(seed: int) -> None:
    image = np.maximum(noise(64, 64, 3), 60)
    transform = AcousticShadow(decibels=(12, 12), p=1)
    changed = apply(transform, image, seed)
    inside = transform.params["decibels"] < 0
    assert 0.01 < inside.mean() < 0.5
    np.testing.assert_array_equal(changed[~inside], image[~inside])
    deep = transform.params["decibels"] < -1
    assert (changed[deep] < image[deep]).all()
    # In the middle of the band all of the 12 dB, 51 gray values, are lost.
    assert (image.astype(int) - changed).max() in (50, 51)


# --- blur ------------------------------------------------------------------------------------------------------------


def test_blur_is_lateral_and_grows_with_depth() -> None:
    image = np.zeros((5, 101), np.uint8)
    image[:, 50] = 200
    changed = apply(ProbeBlur((0.03, 0.03), p=1), image).astype(float)
    np.testing.assert_array_equal(changed[0], image[0])
    kernel = np.exp(-(np.arange(-9, 10) ** 2) / (2 * 3.03**2))
    np.testing.assert_allclose(changed[4, 41:60], 200 * kernel / kernel.sum(), atol=1)
    half = (image[0].astype(float) + changed[4]) / 2
    np.testing.assert_allclose(changed[2], half, atol=1)
    # Nothing moves along depth: rows that are alike across the beam stay as they are.
    stripes = np.repeat(noise(30, 1), 40, axis=1)
    np.testing.assert_array_equal(apply(ProbeBlur((0.03, 0.03), p=1), stripes), stripes)


# --- in a pipeline ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize("channels", [1, 3])
def test_the_seed_determines_the_image_and_the_mask_is_unchanged(name: str, channels: int) -> None:
    image, mask = noise(40, 60, channels), noise(40, 60) > 128
    one, other = (augmentation(name, channels=channels, p=0.8) for _ in range(2))
    results = [one(image, mask, seed) for seed in range(10)]
    for seed in (7, 2, 2, 9, 0):
        np.testing.assert_array_equal(other(image, mask, seed)[0], results[seed][0])
    for changed, same in results:
        assert (changed.shape, changed.dtype) == (image.shape, np.uint8)
        np.testing.assert_array_equal(same, mask)
    unlike = [not np.array_equal(changed, image) for changed, _ in results]
    assert any(unlike)
    assert len({changed.tobytes() for changed, _ in results}) >= sum(unlike)


def test_transforms_inside_one_of() -> None:
    choice = augmentation("OneOf", p=1.0, transforms=[{"name": name, "p": 1.0} for name in TRANSFORMS])
    image, mask = noise(40, 60, 1), np.zeros((40, 60), bool)
    assert len({choice(image, mask, seed)[0].tobytes() for seed in range(8)}) == 8


@pytest.mark.parametrize("name", TRANSFORMS)
def test_small_images(name: str) -> None:
    augmentation(name, size=(1, 1), p=1.0)
    augmentation(name, size=(3, 2), channels=3, p=1.0)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"name": "Speckel"}, r"augmentation\.0\.name: unknown transform 'Speckel'.*acsnet\.data\.ultrasound"),
        ({"name": "Speckle", "strenght": 0.1}, r"augmentation\.0 \(Speckle\): Argument\(s\) 'strenght' are not valid"),
        ({"name": "Speckle", "strength": [0, 0.6]}, r"augmentation\.0 \(Speckle\): .*strength .* <= 0\.522"),
        (
            {"name": "Speckle", "grain": [0.2, 0.1]},
            r"augmentation\.0 \(Speckle\): .*grain .*First value should be less",
        ),
        ({"name": "Speckle", "grain": 0.1}, r"augmentation\.0 \(Speckle\): .*grain .*valid tuple"),
        ({"name": "DepthGain", "decibels": [-61, 0]}, r"augmentation\.0 \(DepthGain\): .*decibels .* >= -60"),
        ({"name": "DepthGain", "sliders": 1}, r"augmentation\.0 \(DepthGain\): .*sliders .*greater than or equal to 2"),
        ({"name": "Attenuation", "decibels": [-1, 3]}, r"augmentation\.0 \(Attenuation\): .*decibels .* >= 0"),
        ({"name": "AcousticShadow", "width": [0.1, 1.1]}, r"augmentation\.0 \(AcousticShadow\): .*width .* <= 1"),
        ({"name": "ProbeBlur", "p": 2}, r"augmentation\.0\.p is 2: expected a probability between 0 and 1"),
    ],
)
def test_an_error_is_one_line(step: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        Augmentation([TransformConfig.model_validate(step)], (40, 40), 1)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_another_type_than_uint8(name: str) -> None:
    image = np.full((20, 20, 1), 0.5, np.float32)
    with pytest.raises(
        InputError, match="takes uint8 images, received float32: place it before transforms that change the type"
    ):
        TRANSFORMS[name](p=1)(image=image)
