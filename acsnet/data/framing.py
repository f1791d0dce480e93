"""Framing: the mapping between an image and the input of a network, the same for training, testing and predicting."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from acsnet.data.image_files import problem_list
from acsnet.data.images import BoolArray, UInt8Array, resize_image, resize_mask, resize_values, to_channels
from acsnet.data.scan_region import Box, find_scan_region
from acsnet.errors import InputError

logger = logging.getLogger(__name__)


class FramingSettings(Protocol):
    """Settings of a framing, as in the data section of a configuration and in the metadata of a checkpoint."""

    @property
    def crop_margins(self) -> bool:
        """Whether images are cropped to the scanned region."""

    @property
    def keep_aspect(self) -> bool:
        """Whether images are padded instead of stretched."""

    @property
    def mean(self) -> tuple[float, ...] | None:
        """Mean of the normalization, or None if it follows from the weights of the encoder."""


@dataclass(frozen=True)
class Frame:
    """The mapping between one image and the input of a network, in both directions.

    A region of the image is resized to a place in the input; the rest of the input is padding.

    Attributes:
        image_size: (height, width) of the image.
        region: the part of the image that is resized.
        input_size: (height, width) of the input.
        place: the part of the input to which the region is resized.
        padding: gray value of the rest of the input, one or one per channel.
        is_all_margin: whether all of the image is margin, so that it was left whole.

    Example:
        >>> import numpy as np
        >>> from acsnet.data import Framing
        >>> frame = Framing(keep_aspect=True, padding=(84,)).frame(np.zeros((50, 100, 3), np.uint8), (64, 64))
        >>> frame.place
        Box(top=16, left=0, height=32, width=64)
        >>> frame.image_to_input(np.zeros((50, 100, 3), np.uint8))[:, 0, 0].tolist()[14:18]
        [84, 84, 0, 0]
        >>> frame.to_image(np.ones((64, 64), np.float32)).shape
        (50, 100)
    """

    image_size: tuple[int, int]
    region: Box
    input_size: tuple[int, int]
    place: Box
    padding: tuple[int, ...] = (0,)
    is_all_margin: bool = False

    @property
    def is_cropped(self) -> bool:
        """Whether a part of the image is left out."""
        return self.region != _whole(self.image_size)

    @property
    def is_padded(self) -> bool:
        """Whether a part of the input is padding."""
        return self.place != _whole(self.input_size)

    def cuts(self, mask: BoolArray) -> bool:
        """Return whether foreground of a mask (H, W) of the image is outside of the region."""
        return bool(np.count_nonzero(mask) > np.count_nonzero(mask[self.region.slices]))

    def at_size(self, size: tuple[int, int]) -> "Frame":
        """Return the frame of the same region for another (height, width) of the input."""
        place = _fit(self.region, size) if self.is_padded else _whole(size)
        return Frame(self.image_size, self.region, size, place, self.padding, self.is_all_margin)

    def image_to_input(self, image: UInt8Array, channels: int = 3) -> UInt8Array:
        """Crop, resize and pad an image.

        Args:
            image: (H, W, 3) uint8, RGB, of the size of the frame.
            channels: 3 for RGB, 1 for luminance.

        Returns:
            (h, w, channels) uint8.

        Raises:
            InputError: if the number of padding values is neither one nor the number of channels.
        """
        resized = to_channels(resize_image(image[self.region.slices], self.place[2:]), channels)
        if not self.is_padded:
            return resized
        if len(self.padding) not in (1, channels):
            raise InputError(
                f"mean has {len(self.padding)} values, images have {channels} channels: expected one value, or one per "
                "channel"
            )
        padded = np.empty((*self.input_size, channels), np.uint8)
        padded[:] = self.padding
        padded[self.place.slices] = resized
        return padded

    def mask_to_input(self, mask: BoolArray) -> BoolArray:
        """Crop, resize and pad a mask (H, W), to (h, w); padding is background."""
        resized = resize_mask(mask[self.region.slices], self.place[2:])
        return _embed(resized, self.place, self.input_size) if self.is_padded else resized

    def to_image(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Map values (h, w) of the input, such as probabilities, back to the image (H, W); 0 outside of the region."""
        inside = np.ascontiguousarray(values[self.place.slices]) if self.is_padded else values
        # Resizing probabilities before the threshold gives smoother outlines than resizing the binary mask.
        resized = cv2.resize(inside, (self.region.width, self.region.height), interpolation=cv2.INTER_LINEAR)
        return _embed(resized, self.region, self.image_size) if self.is_cropped else resized

    def stretch(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return values (h, w) of the input as if the whole image were stretched to the size of the input.

        They are unchanged if it is, and otherwise mapped to the image and resized.
        """
        if not self.is_cropped and not self.is_padded:
            return values
        return resize_values(self.to_image(values), self.input_size)


@dataclass(frozen=True)
class Framing:
    """The rule that brings images of any size to the input of a network.

    By default the whole image is stretched to the input.

    Padding has the gray value of the normalization's mean. It is zero after normalization, which is the value with
    which convolutions pad their input, so that a network sees no edge that it does not see at every border of an image.
    Black would be the gray value of cysts and shadows.

    Args:
        crop_margins: crop to the scanned region (:func:`~acsnet.data.scan_region.find_scan_region`).
        keep_aspect: keep the ratio of height and width, and pad the shorter side on both ends.
        padding: gray value of the padding, one or one per channel.

    Example:
        >>> import numpy as np
        >>> from acsnet.data import Framing
        >>> image = np.random.default_rng(0).integers(40, 200, (100, 100, 3), dtype=np.uint8)
        >>> image[:20] = 0
        >>> Framing(crop_margins=True).frame(image, (64, 64)).region
        Box(top=20, left=0, height=80, width=100)
    """

    crop_margins: bool = False
    keep_aspect: bool = False
    padding: tuple[int, ...] = (0,)

    @classmethod
    def of(cls, settings: FramingSettings) -> "Framing":
        """Return the framing of a configuration or a checkpoint.

        Raises:
            InputError: if images are padded and the mean is not known.
        """
        if not settings.keep_aspect:
            return cls(settings.crop_margins)
        if settings.mean is None:
            raise InputError(
                "data.keep_aspect pads with the gray value of data.mean, which is null: set it to a number"
            )
        padding = tuple(min(255, max(0, round(255 * value))) for value in settings.mean)
        return cls(settings.crop_margins, True, padding)

    def frame(self, image: UInt8Array, size: tuple[int, int]) -> Frame:
        """Return the frame of an image (H, W, 3) for an input of ``size`` (height, width)."""
        height, width = image.shape[:2]
        whole = _whole((height, width))
        region = find_scan_region(image) if self.crop_margins else whole
        inside = region or whole
        place = _fit(inside, size) if self.keep_aspect else _whole(size)
        return Frame((height, width), inside, size, place, self.padding, region is None)


def log_crops(frames: Mapping[str, Frame]) -> None:
    """Log how many images were cropped, and which are all margin.

    Args:
        frames: frame of each image, by its path, of a framing that crops.
    """
    logger.info(
        "cropped %d of %d images to the scanned region", sum(frame.is_cropped for frame in frames.values()), len(frames)
    )
    empty = [path for path, frame in frames.items() if frame.is_all_margin]
    if empty:
        logger.warning("%s", problem_list("images that are all margin were left whole", empty))


def _whole(size: tuple[int, int]) -> Box:
    return Box(0, 0, *size)


def _fit(region: Box, size: tuple[int, int]) -> Box:
    """Return the largest centered place of the shape of a region in an input of ``size`` (height, width)."""
    scale = min(size[0] / region.height, size[1] / region.width)
    height = min(size[0], max(1, round(scale * region.height)))
    width = min(size[1], max(1, round(scale * region.width)))
    return Box((size[0] - height) // 2, (size[1] - width) // 2, height, width)


def _embed(values: npt.NDArray[Any], box: Box, size: tuple[int, int]) -> npt.NDArray[Any]:
    """Return zeros of ``size`` (height, width) with values in a box."""
    embedded = np.zeros(size, values.dtype)
    embedded[box.slices] = values
    return embedded
