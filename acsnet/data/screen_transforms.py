"""Augmentation for images of screens: margins, a color cast and haze.

Other hospitals export or photograph the screen of a scanner, not the scan alone: with margins of any color around it,
frames and rulers next to it, the tint of a monitor and a veil of stray light. These transforms add them; they come
after the effects of the scanner and after flips and warps. Lengths are fractions of the width or height of the image,
so that they apply to any size.

A configuration lists them among the transforms of albumentations, for example ``{name: Haze, strength: [0.05, 0.3],
p: 0.2}``. That library has the others: ``RandomToneCurve`` for smooth monotone gray-level curves, ``RandomGamma``,
``Downscale`` inside ``OneOf`` for lower resolution with several interpolations, ``ImageCompression`` for the blocks of
JPEG, ``GaussianBlur`` for defocus. See ``configs/bases/other_scanners.yaml``.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

# Imported by acsnet.data.transforms, which first stops albumentations from asking the network for updates.
import albumentations
import cv2
import numpy as np
from albumentations.core.pydantic import check_range_bounds, nondecreasing
from albumentations.core.type_definitions import Targets
from pydantic import AfterValidator, Field

from acsnet._utils.typing import Float32Array
from acsnet.data._ultrasound_fields import check_uint8
from acsnet.data.images import UInt8Array

# At least a tenth of each axis remains for the scan.
MAX_MARGIN_FRACTION = 0.45
# Probabilities that an axis has margins, that it has one on one side only, and that its two margins are equal.
_P_ROWS, _P_COLUMNS, _P_ONE_SIDED, _P_EQUAL = 0.7, 0.5, 0.3, 0.5
# Gray levels between a margin and the lines in it.
_MIN_CONTRAST_GRAY_LEVELS, _MAX_CONTRAST_GRAY_LEVELS = 50, 200
# Thickness of a line, and distance of two ticks of a ruler, as fractions of the image.
_LINE_THICKNESS = (0.002, 0.008)
_TICK_DISTANCE = (0.02, 0.1)
# Every fifth tick is twice as long.
_TICKS_PER_LONG_TICK = 5
# The veil is interpolated between this number of values per axis.
_HAZE_GRID = 3

_MarginWidths = Annotated[
    tuple[float, float], AfterValidator(check_range_bounds(0, MAX_MARGIN_FRACTION)), AfterValidator(nondecreasing)
]
_Strength = Annotated[tuple[float, float], AfterValidator(check_range_bounds(0, 1)), AfterValidator(nondecreasing)]
_GrayLevels = Annotated[tuple[float, float], AfterValidator(check_range_bounds(0, 255)), AfterValidator(nondecreasing)]
_Probability = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True)
class ScanBox:
    """The rectangle of the scan within an image, in pixels; ``bottom`` and ``right`` are exclusive."""

    top: int
    bottom: int
    left: int
    right: int

    def fit(self, image: UInt8Array, interpolation: int) -> UInt8Array:
        """Resize an image (H, W) or (H, W, C) to the rectangle."""
        height, width = self.bottom - self.top, self.right - self.left
        resized = cv2.resize(image, (width, height), interpolation=interpolation)
        return resized.reshape(height, width, *image.shape[2:])


@dataclass(frozen=True)
class Ruler:
    """Ticks next to the scan, in the left or the right margin.

    Attributes:
        is_left: whether it is in the left margin.
        distance: distance of two ticks as a fraction of the height of the image.
        length: length of a short tick as a fraction of the width of the margin, up to 0.5.
    """

    is_left: bool
    distance: float
    length: float


class Margins(albumentations.DualTransform):
    """Margins around the scan, which shrinks so that all of it remains; the mask moves with it.

    Rows, columns or both have margins: on one side, on both sides with equal widths, as of a letterbox, or on both
    sides with widths of their own. The scan is stretched to the remaining rectangle, so that its aspect ratio changes.

    Args:
        width: Range of the width of a margin, as a fraction of the height or width of the image; at most 0.45.
        black: Probability that the margins are black; otherwise their gray level is any of 0 to 255.
        white: Probability that they are white, at most 1 - ``black``.
        tint: Range of the largest difference of a color channel from that gray level, in gray levels, if the margins
            are neither black nor white; without effect on images of one channel.
        frame: Probability of a thin frame around the scan, within the margins.
        ruler: Probability of the ticks of a ruler in the left or right margin, if there is one.
        p: Probability of the transform.

    Example:
        >>> import numpy as np
        >>> from acsnet.config import TransformConfig
        >>> from acsnet.data import Augmentation
        >>> step = TransformConfig.model_validate({"name": "Margins", "width": [0.2, 0.2], "black": 1.0, "p": 1.0})
        >>> image, mask = np.full((10, 10, 1), 200, np.uint8), np.ones((10, 10), np.bool_)
        >>> smaller, moved = Augmentation([step], size=(10, 10), channels=1)(image, mask, seed=0)
        >>> bool(((smaller[..., 0] == 200) == moved).all()), round(float(moved.mean()), 2)
        (True, 0.6)
    """

    _targets = (Targets.IMAGE, Targets.MASK)

    class InitSchema(albumentations.BasicTransform.InitSchema):
        """Valid values of the arguments."""

        width: _MarginWidths
        black: _Probability
        white: _Probability
        tint: _GrayLevels
        frame: _Probability
        ruler: _Probability

    def __init__(
        self,
        width: tuple[float, float] = (0.02, 0.25),
        black: float = 0.5,
        white: float = 0.1,
        tint: tuple[float, float] = (0, 30),
        frame: float = 0.2,
        ruler: float = 0.2,
        p: float = 0.5,
    ) -> None:
        super().__init__(p=p)
        self.width = width
        self.black = black
        self.white = white
        self.tint = tint
        self.frame = frame
        self.ruler = ruler

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """Draw the rectangle of the scan, the color of the margins and the lines in them."""
        draw = self.py_random.uniform
        height, width = params["shape"][:2]
        box = self._draw_box(height, width)
        level, color = self._draw_color()
        contrast = draw(_MIN_CONTRAST_GRAY_LEVELS, _MAX_CONTRAST_GRAY_LEVELS)
        line = min(level + contrast, 255) if level < 128 else max(level - contrast, 0)
        frame = draw(0, 1) if self.py_random.random() < self.frame else None
        ruler = None
        if self.py_random.random() < self.ruler and (box.left > 0 or box.right < width):
            is_left = box.left >= width - box.right
            ruler = Ruler(is_left, draw(*_TICK_DISTANCE), draw(0.1, 0.5))
        thickness = max(1, round(draw(*_LINE_THICKNESS) * min(height, width)))
        return {
            "box": box,
            "color": color,
            "line": round(line),
            "thickness": thickness,
            "frame": frame,
            "ruler": ruler,
        }

    def apply(
        self,
        img: UInt8Array,
        box: ScanBox,
        color: tuple[int, ...],
        line: int,
        thickness: int,
        frame: float | None,
        ruler: Ruler | None,
        **_: Any,
    ) -> UInt8Array:
        """Draw the margins, the lines in them, and the smaller scan over both; (H, W) or (H, W, C)."""
        check_uint8(img, "Margins")
        channels = img.shape[2] if img.ndim == 3 else 1
        # The mean of the three channels is the gray level.
        fill = color if channels == 3 else (round(sum(color) / 3),) * channels
        canvas = np.full((*img.shape[:2], channels), fill, np.uint8)
        if frame is not None:
            _draw_frame(canvas, box, frame, thickness, line, fill)
        if ruler is not None:
            _draw_ruler(canvas, box, ruler, thickness, line)
        canvas = canvas.reshape(img.shape)
        canvas[box.top : box.bottom, box.left : box.right] = box.fit(img, cv2.INTER_AREA)
        return canvas

    def apply_to_mask(self, mask: UInt8Array, box: ScanBox, **_: Any) -> UInt8Array:
        """Move the mask with the scan; the margins are background."""
        moved = np.zeros_like(mask)
        moved[box.top : box.bottom, box.left : box.right] = box.fit(mask, cv2.INTER_NEAREST_EXACT)
        return moved

    def _draw_box(self, height: int, width: int) -> ScanBox:
        has_rows = self.py_random.random() < _P_ROWS
        has_columns = self.py_random.random() < _P_COLUMNS or not has_rows
        top, bottom = self._draw_axis(height) if has_rows else (0, height)
        left, right = self._draw_axis(width) if has_columns else (0, width)
        return ScanBox(top, bottom, left, right)

    def _draw_axis(self, length: int) -> tuple[int, int]:
        """Return where the scan begins and ends along an axis."""
        first, last = (self.py_random.uniform(*self.width) for _ in range(2))
        is_one_sided, is_first = self.py_random.random() < _P_ONE_SIDED, self.py_random.random() < 0.5
        if is_one_sided:
            first, last = (first, 0.0) if is_first else (0.0, last)
        elif self.py_random.random() < _P_EQUAL:
            last = first
        start = math.floor(first * length)
        return start, max(length - math.floor(last * length), start + 1)

    def _draw_color(self) -> tuple[float, tuple[int, ...]]:
        """Return the gray level of the margins, and their color."""
        kind = self.py_random.random()
        if kind < self.black:
            return 0, (0, 0, 0)
        if kind < self.black + self.white:
            return 255, (255, 255, 255)
        level = self.py_random.uniform(0, 255)
        tint, hue = self.py_random.uniform(*self.tint), self.py_random.uniform(0, 2 * math.pi)
        return level, tuple(round(min(max(level + tint * offset, 0), 255)) for offset in _hue_offsets(hue))


def _hue_offsets(hue: float) -> tuple[float, float, float]:
    """Return the differences of red, green and blue from gray for a hue in radians: in -1..1, their sum is 0."""
    return tuple(math.cos(hue - 2 * math.pi * channel / 3) for channel in range(3))  # type: ignore[return-value]


def _draw_frame(
    canvas: UInt8Array, box: ScanBox, position: float, thickness: int, level: int, fill: Sequence[int]
) -> None:
    """Draw a frame on an empty canvas; its position is 0 at the scan and 1 at the edge of the image."""
    height, width = canvas.shape[:2]
    away = 1 - position
    top, left = (max(round((edge - thickness) * away), 0) for edge in (box.top, box.left))
    bottom = height - max(round((height - box.bottom - thickness) * away), 0)
    right = width - max(round((width - box.right - thickness) * away), 0)
    canvas[top:bottom, left:right] = level
    canvas[top + thickness : bottom - thickness, left + thickness : right - thickness] = fill


def _draw_ruler(canvas: UInt8Array, box: ScanBox, ruler: Ruler, thickness: int, level: int) -> None:
    """Draw ticks that touch the scan."""
    height, width = canvas.shape[:2]
    margin = box.left if ruler.is_left else width - box.right
    distance = max(ruler.distance * height, 2 * thickness)
    for index in range(int((box.bottom - box.top) / distance)):
        row = box.top + round(index * distance)
        length = max(1, round(ruler.length * margin * (1 if index % _TICKS_PER_LONG_TICK else 2)))
        columns = slice(box.left - length, box.left) if ruler.is_left else slice(box.right, box.right + length)
        canvas[row : row + thickness, columns] = level


class Tint(albumentations.ImageOnlyTransform):
    """Color cast of a monitor: red, green and blue are multiplied by factors with mean 1, so that black stays black.

    albumentations' ``PlanckianJitter`` does the same for the colors of a black body only, and refuses images of one
    channel. This transform has any hue, and returns images of one channel unchanged.

    Args:
        strength: Range of the largest difference of a factor from 1, 0 to 1.
        p: Probability of the transform.
    """

    class InitSchema(albumentations.BasicTransform.InitSchema):
        """Valid values of the arguments."""

        strength: _Strength

    def __init__(self, strength: tuple[float, float] = (0.02, 0.25), p: float = 0.5) -> None:
        super().__init__(p=p)
        self.strength = strength

    def get_params(self) -> dict[str, Any]:
        """Draw the factors of the three channels."""
        strength, hue = self.py_random.uniform(*self.strength), self.py_random.uniform(0, 2 * math.pi)
        return {"factors": [1 + strength * offset for offset in _hue_offsets(hue)]}

    def apply(self, img: UInt8Array, factors: list[float], **_: Any) -> UInt8Array:
        """Multiply the channels of an image (H, W, 3)."""
        check_uint8(img, "Tint")
        if img.ndim != 3 or img.shape[2] != 3:
            return img
        levels = np.arange(256)[:, None] * np.array(factors)
        return cv2.LUT(img, np.rint(levels).clip(0, 255).astype(np.uint8)[None])


class Haze(albumentations.ImageOnlyTransform):
    """A smooth veil of stray light, as on the photograph of a screen: ``gray + veil * (level - gray)``.

    The veil lifts black and lowers the contrast. It varies smoothly over the image and is ``strength`` where it is
    thickest. albumentations' ``Illumination`` multiplies the gray values, so that black stays black.

    Args:
        strength: Range of the thickest part of the veil, 0 (none) to 1 (opaque).
        level: Range of the gray level of the veil, 0 to 255.
        p: Probability of the transform.
    """

    class InitSchema(albumentations.BasicTransform.InitSchema):
        """Valid values of the arguments."""

        strength: _Strength
        level: _GrayLevels

    def __init__(
        self, strength: tuple[float, float] = (0.05, 0.35), level: tuple[float, float] = (140, 255), p: float = 0.5
    ) -> None:
        super().__init__(p=p)
        self.strength = strength
        self.level = level

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """Draw the veil, (H, W), and its gray level."""
        height, width = params["shape"][:2]
        values = self.random_generator.random((_HAZE_GRID, _HAZE_GRID), dtype=np.float32)
        # Cubic interpolation may exceed the range of its values.
        veil = cv2.resize(values, (width, height), interpolation=cv2.INTER_CUBIC).clip(0, 1)
        veil *= np.float32(self.py_random.uniform(*self.strength) / max(float(veil.max()), 1e-6))
        return {"veil": veil, "level": self.py_random.uniform(*self.level)}

    def apply(self, img: UInt8Array, veil: Float32Array, level: float, **_: Any) -> UInt8Array:
        """Blend an image (H, W) or (H, W, C) with the gray level."""
        check_uint8(img, "Haze")
        share = veil.reshape(*veil.shape, *[1] * (img.ndim - 2))
        return np.rint(img + share * (np.float32(level) - img)).astype(np.uint8)


TRANSFORMS = {kind.__name__: kind for kind in (Margins, Tint, Haze)}
