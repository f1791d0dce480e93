"""The mapping between images and inputs: to the input and back."""

import logging
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from acsnet.checkpoints import CheckpointMetadata
from acsnet.config import DataConfig
from acsnet.data import Box, Frame, Framing
from acsnet.data.framing import log_crops
from acsnet.data.images import UInt8Array, resize_image, resize_mask, to_channels
from acsnet.errors import InputError

EVERY_FRAMING = [Framing(crop, aspect, (84,)) for crop in (False, True) for aspect in (False, True)]


def make_image(height: int = 100, width: int = 160, margin: tuple[int, int, int, int] = (20, 10, 30, 0)) -> UInt8Array:
    """Return a smooth pattern with speckle in a black margin (top, bottom, left, right)."""
    generator = np.random.default_rng(0)
    image = generator.integers(60, 200, (height, width, 3), dtype=np.uint8)
    top, bottom, left, right = margin
    image[:top] = image[height - bottom :] = 0
    image[:, :left] = image[:, width - right :] = 0
    return image


def make_mask(height: int = 100, width: int = 160) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    return ((rows - 55) / 20) ** 2 + ((columns - 90) / 30) ** 2 < 1


@pytest.mark.parametrize("size", [(32, 48), (100, 160), (256, 200)])
@pytest.mark.parametrize("channels", [1, 3])
def test_without_options_the_whole_image_is_stretched_bit_for_bit(size: tuple[int, int], channels: int) -> None:
    image, mask = make_image(), make_mask()
    frame = Framing().frame(image, size)
    expected = to_channels(resize_image(image, size), channels)
    np.testing.assert_array_equal(frame.image_to_input(image, channels), expected)
    np.testing.assert_array_equal(frame.mask_to_input(mask), resize_mask(mask, size))
    values = np.random.default_rng(1).random(size, np.float32)
    back = cv2.resize(values, (160, 100), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(frame.to_image(values), back)
    assert frame.stretch(values) is values
    assert (frame.is_cropped, frame.is_padded, frame.is_all_margin, frame.cuts(mask)) == (False,) * 4


def test_a_crop_is_the_input_of_the_cropped_image() -> None:
    image, mask = make_image(), make_mask()
    frame = Framing(crop_margins=True).frame(image, (64, 64))
    assert frame.region == Box(20, 30, 70, 130)
    assert frame.is_cropped
    assert not frame.is_padded
    np.testing.assert_array_equal(frame.image_to_input(image), resize_image(image[20:90, 30:], (64, 64)))
    np.testing.assert_array_equal(frame.mask_to_input(mask), resize_mask(mask[20:90, 30:], (64, 64)))
    back = frame.to_image(np.ones((64, 64), np.float32))
    expected = np.zeros((100, 160), np.float32)
    expected[20:90, 30:] = 1
    np.testing.assert_array_equal(back, expected)


@pytest.mark.parametrize(
    ("image_size", "size", "place"),
    [
        ((50, 100), (64, 64), Box(16, 0, 32, 64)),
        ((100, 50), (64, 64), Box(0, 16, 64, 32)),
        ((64, 64), (64, 64), Box(0, 0, 64, 64)),
        ((100, 100), (32, 48), Box(0, 8, 32, 32)),
        ((30, 41), (64, 64), Box(8, 0, 47, 64)),
        # A side is never shorter than a pixel.
        ((1, 1000), (64, 64), Box(31, 0, 1, 64)),
    ],
)
def test_the_aspect_ratio_is_kept_by_padding(image_size: tuple[int, int], size: tuple[int, int], place: Box) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*image_size, 3), dtype=np.uint8)
    frame = Framing(keep_aspect=True, padding=(84,)).frame(image, size)
    assert frame.place == place
    prepared = frame.image_to_input(image)
    assert prepared.shape == (*size, 3)
    np.testing.assert_array_equal(prepared[place.slices], resize_image(image, (place.height, place.width)))
    outside = np.ones(size, bool)
    outside[place.slices] = False
    assert (prepared[outside] == 84).all()
    assert not frame.mask_to_input(np.ones(image_size, bool))[outside].any()
    assert frame.mask_to_input(np.ones(image_size, bool))[place.slices].all()


def test_padding_per_channel() -> None:
    image = np.zeros((50, 100, 3), np.uint8)
    frame = Framing(keep_aspect=True, padding=(10, 20, 30)).frame(image, (64, 64))
    assert frame.image_to_input(image)[0, 0].tolist() == [10, 20, 30]
    with pytest.raises(InputError, match="mean has 3 values, images have 1 channels: expected one value, or one per"):
        frame.image_to_input(image, 1)


@pytest.mark.parametrize("framing", EVERY_FRAMING, ids=str)
@pytest.mark.parametrize("size", [(96, 96), (64, 128), (200, 120)])
def test_a_mask_comes_back_in_the_frame_of_the_image(framing: Framing, size: tuple[int, int]) -> None:
    image, mask = make_image(), make_mask()
    frame = framing.frame(image, size)
    back = frame.to_image(frame.mask_to_input(mask).astype(np.float32))
    assert back.shape == mask.shape
    assert back.dtype == np.float32
    found = back >= 0.5
    assert 2 * (found & mask).sum() / (found.sum() + mask.sum()) > 0.975
    # The centers agree to a fifth of a pixel: nothing is shifted.
    for own, true in zip(np.nonzero(found), np.nonzero(mask), strict=True):
        assert own.mean() == pytest.approx(true.mean(), abs=0.2)


@pytest.mark.parametrize("framing", EVERY_FRAMING, ids=str)
def test_a_shape_as_large_as_the_input_comes_back_exactly(framing: Framing) -> None:
    """Without a change of scale, the mapping back undoes the mapping exactly."""
    image, mask = make_image(), make_mask()
    region = framing.frame(image, (1, 1)).region
    frame = framing.frame(image, (region.height, region.width + (40 if framing.keep_aspect else 0)))
    np.testing.assert_array_equal(frame.to_image(frame.mask_to_input(mask).astype(np.float32)) >= 0.5, mask)


def test_values_in_the_padding_are_dropped() -> None:
    frame = Framing(keep_aspect=True).frame(np.zeros((50, 100, 3), np.uint8), (64, 64))
    values = np.ones((64, 64), np.float32)
    values[frame.place.slices] = 0
    assert not frame.to_image(values).any()


def test_an_image_that_is_all_margin_is_left_whole() -> None:
    image = np.full((80, 120, 3), 40, np.uint8)
    frame = Framing(crop_margins=True).frame(image, (64, 64))
    assert frame.is_all_margin
    assert frame.region == Box(0, 0, 80, 120)
    assert not frame.is_cropped
    np.testing.assert_array_equal(frame.image_to_input(image), np.full((64, 64, 3), 40))


def test_another_size_has_the_same_region() -> None:
    image = make_image()
    for framing in EVERY_FRAMING:
        other = framing.frame(image, (64, 64)).at_size((80, 96))
        assert other == framing.frame(image, (80, 96))


def test_stretched_values_are_those_of_the_whole_image() -> None:
    image = make_image()
    frame = Framing(crop_margins=True, keep_aspect=True).frame(image, (100, 160))
    stretched = frame.stretch(np.ones((100, 160), np.float32))
    # The input has the size of the image, so that stretching changes nothing.
    np.testing.assert_array_equal(stretched[20:90, 30:], 1)
    assert stretched.sum() == 70 * 130


def test_a_mask_that_reaches_out_of_the_crop_is_cut() -> None:
    frame = Framing(crop_margins=True).frame(make_image(), (64, 64))
    mask = make_mask()
    assert not frame.cuts(mask)
    mask[19, 50] = True
    assert frame.cuts(mask)


def test_the_framing_of_settings() -> None:
    assert Framing.of(DataConfig()) == Framing()
    settings = DataConfig(crop_margins=True, keep_aspect=True, mean=(0.5, 0.25, 1.0), std=(1.0,))
    assert Framing.of(settings) == Framing(True, True, (128, 64, 255))
    metadata = CheckpointMetadata(
        model="unet", arguments={}, class_names=("benign",), input_size=(8, 8), mean=(0.33,), std=(0.2,)
    )
    assert Framing.of(metadata) == Framing()
    assert Framing.of(metadata.model_copy(update={"keep_aspect": True})) == Framing(False, True, (84,))
    unusual = SimpleNamespace(crop_margins=False, keep_aspect=True, mean=(-1.0,))
    assert Framing.of(unusual).padding == (0,)


def test_padding_needs_a_mean() -> None:
    settings = SimpleNamespace(crop_margins=True, keep_aspect=False, mean=None)
    assert Framing.of(settings) == Framing(True)
    settings.keep_aspect = True
    with pytest.raises(InputError, match=r"data\.keep_aspect pads with the gray value of data\.mean, which is null"):
        Framing.of(settings)


def test_padding_is_zero_for_the_network() -> None:
    """The gray value of the mean is within half a gray level of zero after normalization."""
    for mean in (0.33, 0.485, 0.5):
        padding = Framing.of(SimpleNamespace(crop_margins=False, keep_aspect=True, mean=(mean,))).padding[0]
        assert abs(padding / 255 - mean) <= 0.5 / 255


def test_crops_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    framing = Framing(crop_margins=True)
    frames: dict[str, Frame] = {
        "a.png": framing.frame(make_image(), (64, 64)),
        "b.png": framing.frame(make_image(margin=(0, 0, 0, 0)), (64, 64)),
        "c.png": framing.frame(np.zeros((64, 64, 3), np.uint8), (64, 64)),
    }
    with caplog.at_level(logging.INFO, logger="acsnet"):
        log_crops(frames)
    assert caplog.messages == [
        "cropped 1 of 3 images to the scanned region",
        "images that are all margin were left whole: c.png",
    ]
