"""Each transform against a result computed by hand, or a property for all random numbers."""

from pathlib import Path
from typing import Any

import albumentations
import numpy as np
import numpy.typing as npt
import pytest
import yaml

from acsnet.config import TransformConfig
from acsnet.data import Augmentation
from acsnet.data.screen_transforms import TRANSFORMS, Haze, Margins, Tint
from acsnet.errors import ConfigError, InputError
from acsnet.phantom import make_phantom

Image = npt.NDArray[np.uint8]
#: Arguments at which a transform changes nothing.
NO_STRENGTH: dict[str, dict[str, Any]] = {
    "Margins": {"width": (0, 0), "frame": 1.0, "ruler": 1.0},
    "Tint": {"strength": (0, 0)},
    "Haze": {"strength": (0, 0)},
}


def noise(*shape: int) -> Image:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def ellipse(height: int = 96, width: int = 128) -> npt.NDArray[np.bool_]:
    rows, columns = np.mgrid[:height, :width]
    return ((rows / height - 0.4) / 0.2) ** 2 + ((columns / width - 0.6) / 0.3) ** 2 < 1


def apply(transform: albumentations.BasicTransform, image: Image, seed: int = 0) -> Image:
    transform.set_random_seed(seed)
    return transform(image=image)["image"]


def margins(seed: int, image: Image, mask: Image, **arguments: Any) -> tuple[Image, Image, dict[str, Any]]:
    """Return the image, the mask and the parameters that were drawn."""
    transform = Margins(p=1, **arguments)
    transform.set_random_seed(seed)
    result = transform(image=image, mask=mask)
    return result["image"], result["mask"], transform.params


def augmentation(name: str, size: tuple[int, int] = (40, 60), channels: int = 1, **arguments: Any) -> Augmentation:
    return Augmentation([TransformConfig.model_validate({"name": name, **arguments})], size, channels)


# --- margins ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("channels", [1, 3])
def test_the_mask_moves_with_the_scan(seed: int, channels: int) -> None:
    lesion = ellipse()
    image = np.repeat(np.where(lesion, 255, 90).astype(np.uint8)[..., None], channels, axis=2)
    changed, moved, drawn = margins(seed, image, lesion.astype(np.uint8), width=(0.05, 0.3), black=1)
    box = drawn["box"]
    scan, scan_mask = (x[box.top : box.bottom, box.left : box.right] for x in (changed, moved))
    # Only pixels on the outline are between both gray values.
    bright = (scan[..., 0] > 172).astype(np.uint8)
    assert (bright != scan_mask).sum() <= 0.02 * scan_mask.size
    assert moved.sum() == scan_mask.sum(), "the margins are background"
    share = scan_mask.size / moved.size
    assert moved.mean() == pytest.approx(lesion.mean() * share, rel=0.04), "the area shrinks as the scan does"
    # The outline touches no edge of the scan, as before.
    rows, columns = np.nonzero(scan_mask)
    assert rows.min() / scan_mask.shape[0] == pytest.approx(0.2, abs=0.03)
    assert columns.min() / scan_mask.shape[1] == pytest.approx(0.3, abs=0.03)


@pytest.mark.parametrize("width", [(0.1, 0.3), (0.45, 0.45)])
def test_margins_are_as_wide_as_stated(width: tuple[float, float]) -> None:
    image, mask = np.full((200, 300, 1), 200, np.uint8), np.ones((200, 300), np.uint8)
    kinds = set()
    for seed in range(60):
        changed, moved, drawn = margins(seed, image, mask, width=width, black=1, frame=0, ruler=0)
        np.testing.assert_array_equal(changed[..., 0], 200 * moved)
        box = drawn["box"]
        pairs = ((box.top / 200, 1 - box.bottom / 200), (box.left / 300, 1 - box.right / 300))
        for pair in pairs:
            assert all(one == 0 or width[0] - 0.01 <= one <= width[1] + 1e-9 for one in pair)
        assert any(map(sum, pairs))
        kinds.add(tuple(tuple(bool(one) for one in pair) for pair in pairs))
    # Either axis alone, or both; one side, the other one, or both sides: 3 + 3 + 9.
    assert len(kinds) >= 12


def test_colors_of_margins() -> None:
    image, mask = noise(60, 60, 3), np.ones((60, 60), np.uint8)

    def color(seed: int, **arguments: Any) -> list[int]:
        changed, moved, _ = margins(seed, image, mask, width=(0.2, 0.2), frame=0, ruler=0, **arguments)
        (found,) = np.unique(changed[moved == 0], axis=0).tolist()
        return found

    assert [color(seed, black=1) for seed in range(5)] == [[0, 0, 0]] * 5
    assert [color(seed, black=0, white=1) for seed in range(5)] == [[255, 255, 255]] * 5
    grays = [color(seed, black=0, white=0, tint=(0, 0)) for seed in range(30)]
    assert all(len(set(one)) == 1 for one in grays)
    assert len({one[0] for one in grays}) > 20
    tinted = [color(seed, black=0, white=0, tint=(20, 20)) for seed in range(30)]
    for one, gray in zip(tinted, grays, strict=True):
        assert 10 < max(abs(value - gray[0]) for value in one) <= 21 or min(gray[0], 255 - gray[0]) < 21
    assert sum(len(set(one)) > 1 for one in tinted) > 25


def test_one_channel_has_the_gray_level_of_the_margins() -> None:
    mask = np.ones((60, 60), np.uint8)
    for seed in range(10):
        options: dict[str, Any] = {"black": 0, "white": 0, "tint": (15, 15), "frame": 1, "ruler": 1}
        gray, moved, _ = margins(seed, noise(60, 60, 1), mask, **options)
        color, same, _ = margins(seed, noise(60, 60, 3), mask, **options)
        flat, _, _ = margins(seed, noise(60, 60, 1)[..., 0], mask, **options)
        np.testing.assert_array_equal(flat, gray[..., 0])
        np.testing.assert_array_equal(moved, same)
        outside = moved == 0
        np.testing.assert_allclose(color[outside].mean(axis=1), gray[outside, 0], atol=3)


@pytest.mark.parametrize("seed", range(12))
def test_frames_and_rulers_are_drawn_in_the_margins_only(seed: int) -> None:
    image, mask = noise(120, 160, 1), np.ones((120, 160), np.uint8)
    width: dict[str, Any] = {"width": (0.1, 0.3), "black": 1}
    lined, moved, drawn = margins(seed, image, mask, frame=1, ruler=1, **width)
    if drawn["frame"] is not None:
        assert set(np.unique(lined[moved == 0])) == {0, drawn["line"]}
        assert drawn["line"] >= 50
    box = drawn["box"]
    scan = lined[box.top : box.bottom, box.left : box.right]
    np.testing.assert_array_equal(scan, box.fit(image, 3), err_msg="lines never cover the scan")
    share = (lined[moved == 0] > 0).mean()
    assert 0 < share < 0.35, "lines are thin"


def test_a_ruler_by_hand() -> None:
    image, mask = np.full((100, 100, 1), 200, np.uint8), np.ones((100, 100), np.uint8)
    found = 0
    for seed in range(40):
        changed, _, drawn = margins(seed, image, mask, width=(0.2, 0.2), black=1, frame=0, ruler=1)
        box, ruler = drawn["box"], drawn["ruler"]
        if ruler is None:
            assert (box.left, box.right) == (0, 100), "a ruler needs a margin on the left or on the right"
            continue
        found += 1
        column = box.left - 1 if ruler.is_left else box.right
        ticks = np.flatnonzero(np.diff(changed[:, column, 0].astype(int), prepend=0) > 0)
        assert ticks[0] == box.top
        expected = [box.top + round(index * max(ruler.distance * 100, 2)) for index in range(len(ticks))]
        assert ticks.tolist() == expected
        lengths = (changed[ticks, :, 0] == drawn["line"]).sum(axis=1)
        short = max(1, round(ruler.length * 20))
        assert lengths.tolist() == [round(ruler.length * 40) if i % 5 == 0 else short for i in range(len(ticks))]
    assert found > 15


# --- tint ------------------------------------------------------------------------------------------------------------


def test_tint_multiplies_the_channels() -> None:
    image = np.repeat(np.arange(200, dtype=np.uint8)[:, None, None], 3, axis=2)
    for seed in range(10):
        transform = Tint((0.2, 0.2), p=1)
        changed = apply(transform, image, seed).astype(float)
        factors = transform.params["factors"]
        assert np.mean(factors) == pytest.approx(1)
        assert 0.1 < np.abs(np.array(factors) - 1).max() <= 0.2
        np.testing.assert_array_equal(changed, np.rint(image * np.array(factors)).clip(0, 255))
        assert not changed[0].any(), "black stays black"
        # The mean of the channels is the gray value.
        np.testing.assert_allclose(changed.mean(axis=2), image[..., 0], atol=0.7)


@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 1)])
def test_one_channel_has_no_tint(shape: tuple[int, ...]) -> None:
    np.testing.assert_array_equal(apply(Tint((1, 1), p=1), noise(*shape)), noise(*shape))


# --- haze ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(48, 64), (48, 64, 1), (48, 64, 3)])
def test_haze_moves_every_pixel_towards_its_level(shape: tuple[int, ...]) -> None:
    image = noise(*shape)
    for seed in range(5):
        transform = Haze((0.3, 0.3), (200, 200), p=1)
        changed = apply(transform, image, seed)
        veil = transform.params["veil"]
        assert veil.min() >= 0
        assert veil.max() == pytest.approx(0.3)
        # Neighboring values differ by little: the veil is smooth.
        assert max(np.abs(np.diff(veil, axis=axis)).max() for axis in (0, 1)) < 0.04
        share = veil.reshape(48, 64, *[1] * (len(shape) - 2)).astype(float)
        np.testing.assert_allclose(changed, image + share * (200 - image.astype(float)), atol=0.51)


def test_haze_lifts_black_and_keeps_its_own_level() -> None:
    black, veil = np.zeros((40, 40, 3), np.uint8), np.full((40, 40, 3), 180, np.uint8)
    lifted = apply(Haze((0.4, 0.4), (180, 180), p=1), black)
    assert lifted.max() == 72
    np.testing.assert_array_equal(apply(Haze((0.4, 0.4), (180, 180), p=1), veil), veil)


# --- in a pipeline ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize("channels", [1, 3])
def test_no_strength_changes_nothing(name: str, channels: int) -> None:
    image, mask = noise(40, 60, channels), noise(40, 60) > 128
    pipeline = augmentation(name, channels=channels, p=1.0, **NO_STRENGTH[name])
    for seed in range(8):
        same, same_mask = pipeline(image, mask, seed)
        np.testing.assert_array_equal(same, image)
        np.testing.assert_array_equal(same_mask, mask)


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize("channels", [1, 3])
def test_the_seed_determines_the_image(name: str, channels: int) -> None:
    image, mask = noise(40, 60, channels), noise(40, 60) > 128
    one, other = (augmentation(name, channels=channels, p=0.8) for _ in range(2))
    results = [one(image, mask, seed) for seed in range(10)]
    for seed in (7, 2, 2, 9, 0):
        for again, before in zip(other(image, mask, seed), results[seed], strict=True):
            np.testing.assert_array_equal(again, before)
    for changed, moved in results:
        assert (changed.shape, changed.dtype) == (image.shape, np.uint8)
        assert (moved.shape, moved.dtype) == (mask.shape, np.bool_)
        assert name == "Margins" or np.array_equal(moved, mask)
    changes = sum(not np.array_equal(changed, image) for changed, _ in results)
    assert changes == 0 if (name, channels) == ("Tint", 1) else changes > 4


@pytest.mark.parametrize("name", TRANSFORMS)
def test_small_images(name: str) -> None:
    augmentation(name, size=(1, 1), p=1.0)
    augmentation(name, size=(3, 2), channels=3, p=1.0)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"name": "Margin"}, r"augmentation\.0\.name: unknown transform 'Margin': did you mean 'Margins'"),
        ({"name": "Hase", "p": 1.0}, r"unknown transform 'Hase'.*acsnet\.data\.ultrasound_transforms and screen_"),
        ({"name": "Margins", "width": [0, 0.5]}, r"augmentation\.0 \(Margins\): .*width .* <= 0\.45"),
        ({"name": "Margins", "width": 0.1}, r"augmentation\.0 \(Margins\): .*width .*valid tuple"),
        ({"name": "Margins", "frame": 1.5}, r"augmentation\.0 \(Margins\): .*frame .*less than or equal to 1"),
        ({"name": "Margins", "tint": [-1, 5]}, r"augmentation\.0 \(Margins\): .*tint .* >= 0"),
        (
            {"name": "Tint", "strength": [0.3, 0.1]},
            r"augmentation\.0 \(Tint\): .*strength .*First value should be less",
        ),
        ({"name": "Haze", "level": [0, 256]}, r"augmentation\.0 \(Haze\): .*level .* <= 255"),
        ({"name": "Haze", "strenght": 0.1}, r"augmentation\.0 \(Haze\): Argument\(s\) 'strenght' are not valid"),
    ],
)
def test_an_error_is_one_line(step: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        Augmentation([TransformConfig.model_validate(step)], (40, 40), 1)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_another_type_than_uint8(name: str) -> None:
    image = np.full((20, 20, 3), 0.5, np.float32)
    with pytest.raises(
        InputError, match=f"{name} takes uint8 images, received float32: place it before transforms that change the"
    ):
        TRANSFORMS[name](p=1)(image=image)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_base_of_other_scanners(channels: int) -> None:
    """All of its transforms apply, also to images of one channel, and most lesions stay in the image."""
    path = Path(__file__).resolve().parents[2] / "configs" / "bases" / "other_scanners.yaml"
    steps = yaml.safe_load(path.read_text(encoding="utf-8"))["augmentation"]
    assert set(TRANSFORMS) < {step["name"] for step in steps}
    pipeline = Augmentation([TransformConfig.model_validate(step) for step in steps], (128, 128), channels)
    phantom = make_phantom("malignant", seed=0, size=(128, 128))
    image = np.repeat(phantom.image[..., None], channels, axis=2)
    results = [pipeline(image, phantom.mask, seed) for seed in range(60)]
    assert len({changed.tobytes() for changed, _ in results}) > 55
    areas = np.array([moved.mean() for _, moved in results]) / phantom.mask.mean()
    assert (areas > 0).mean() > 0.95
    assert 0.4 < np.median(areas) < 2
