"""Which values of a mask are foreground."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from acsnet.errors import DataError

_SHOWN_VALUES = 8
# Lossy compression changes the channels of one color less than this.
_SAME_COLOR = 64
# Masks with smooth or lossy edges have many values in a small share of their pixels, scans in most of them.
_MOST_VALUES = 16
# Fewer pixels do not tell a scan from edges.
_FEWEST_PIXELS = 1024
_LARGEST_EDGES = 0.5
# Edges are narrower than this, in pixels.
_EDGE = 4


def find_foreground(path: Path, image: Image.Image, values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Return where a mask is foreground; :func:`acsnet.data.images.read_mask` describes the rule.

    Args:
        path: the file, for the message.
        image: the mask.
        values: (H, W), the brightest channel of each pixel.

    Raises:
        DataError: if the foreground is not known; the message has the values.
    """
    if not np.isfinite(values).all() or values.min() < 0:
        raise DataError(f"{path} has values below 0, or values that are not numbers: {_advice(255)}")
    highest = int(values.max())
    half = 127 if highest <= 255 else 32767
    levels = _levels(values)
    fault = _fault(image, levels, half) or (_fault_of_grays(values, levels, half) if highest > half else None)
    if fault is not None:
        raise DataError(f"{path} has {fault}: {_advice(2 * half + 1)}")
    return np.asarray(values > (half if highest > half else 0))


def is_inverted(mask: npt.NDArray[np.bool_]) -> bool:
    """Return whether a mask (H, W) is foreground along its whole border and background somewhere inside."""
    border = (mask[0], mask[-1], mask[:, 0], mask[:, -1])
    return all(bool(side.all()) for side in border) and not mask.all()


def _advice(white: int) -> str:
    return f"save the mask with 0 for background and {white} for foreground"


def _levels(values: npt.NDArray[Any]) -> list[float]:
    """Return the values of a mask in order, each once."""
    # Counting is several times faster than sorting.
    different = np.flatnonzero(np.bincount(values.ravel())) if values.dtype == np.uint8 else np.unique(values)
    return [float(value) for value in different]


def _fault(image: Image.Image, levels: Sequence[float], half: int) -> str | None:
    """Return why the foreground is not known, or None if it is."""
    shown = ", ".join(f"{level:g}" for level in levels[:_SHOWN_VALUES]) + ", ..." * (len(levels) > _SHOWN_VALUES)
    highest, labels = levels[-1], [float(label) for label in range(len(levels))]
    if len(levels) == 1 and is_shape_in_alpha(image):
        return f"one color ({shown}), and a shape in its transparency, which is not read"
    if len(levels) == 1 and image.mode == "P" and len(image.getcolors() or ()) > 1 and not _has_colors(image):
        return f"one color ({shown}), and a shape in the numbers of its palette, which are not read"
    if highest <= half:
        if len(levels) > 2 and levels != labels:
            return f"{len(levels)} values up to {highest:g}, which may be dark foreground or noise ({shown})"
        return f"no background, only {shown}" if levels[0] > 0 and levels != [1] else None
    if highest == 255 and len(levels) > 2 and levels[:-1] == labels[:-1]:
        return f"the values {shown}, of which 255 may be foreground or pixels to ignore"
    if levels[0] > half and _has_colors(image):
        return f"several colors and no background (values {shown})"
    return None


def _fault_of_grays(values: npt.NDArray[Any], levels: Sequence[float], half: int) -> str | None:
    """Return why a bright mask is not one of background and foreground with smooth edges, or None if it is."""
    margin = (2 * half + 2) / 8
    if len(levels) > _MOST_VALUES:
        share = float(np.mean((values >= margin) & (values < 2 * half + 2 - margin)))
        is_scan = share > _LARGEST_EDGES and values.size >= _FEWEST_PIXELS
        return f"gray values in {share:.0%} of its pixels, as a scan has" if is_scan else None
    regions = [level for level in levels[1:-1] if _has_interior(values == level)]
    if not regions:
        return None
    shown = ", ".join(f"{level:g}" for level in (levels[0], *regions, levels[-1]))
    return f"regions of the values {shown}, which may be labels"


def _has_interior(region: npt.NDArray[np.bool_]) -> bool:
    """Return whether a region is wider than edges are: it contains a square of ``_EDGE`` pixels."""
    return bool(cv2.erode(region.astype(np.uint8), np.ones((_EDGE, _EDGE), np.uint8), borderValue=0).any())


def is_shape_in_alpha(image: Image.Image) -> bool:
    """Return whether an image has one color, and differs between pixels in its transparency only."""
    if not image.has_transparency_data:
        return False
    pixels = np.asarray(image.convert("RGBA"))
    differs = (pixels != pixels[0, 0]).any(axis=(0, 1))
    return bool(differs[3]) and not differs[:3].any()


def _has_colors(image: Image.Image) -> bool:
    """Return whether any channel of a mask differs between pixels by more than lossy compression does."""
    extremes = image.getextrema() if image.mode[0] in "IF" else image.convert("RGB").getextrema()
    channels = extremes if isinstance(extremes[0], tuple) else (extremes,)
    return any(highest - lowest > _SAME_COLOR for lowest, highest in channels)
