"""Drawing of contours, boxes, heat maps and captions on images."""

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from acsnet._utils.typing import BoolArray, Uint8Image
from acsnet.errors import InputError

TRUTH_COLOR = (0, 220, 0)
PREDICTION_COLOR = (255, 60, 60)
# A second color next to that of the truth, distinct for color-blind readers.
SECOND_COLOR = (90, 170, 255)
BOX_COLOR = (255, 190, 0)
# The opacity of the hottest pixels; the image stays visible below them.
MAX_HEAT_OPACITY = 0.8


def draw_contours(image: Uint8Image, mask: BoolArray, color: tuple[int, int, int]) -> Uint8Image:
    """Return a copy of an RGB image (H, W, 3) with the contour of a mask (H, W), thicker on larger images."""
    picture = np.ascontiguousarray(image).copy()
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(picture, contours, -1, color, thickness=max(1, round(max(mask.shape) / 300)))
    return picture


def draw_boxes(
    image: Uint8Image, boxes: Sequence[tuple[float, float, float, float]], color: tuple[int, int, int]
) -> Uint8Image:
    """Return a copy of an RGB image (H, W, 3) with boxes (left, top, right, bottom; right and bottom exclusive).

    A box is drawn on the pixels around its content, so that it covers none of it, and is clipped to the image.
    """
    picture = np.ascontiguousarray(image).copy()
    height, width = picture.shape[:2]
    thickness = max(1, round(max(height, width) / 300))
    for left, top, right, bottom in boxes:
        corner = (max(0, int(left) - 1), max(0, int(top) - 1))
        opposite = (min(width - 1, round(right)), min(height - 1, round(bottom)))
        cv2.rectangle(picture, corner, opposite, color, thickness)
    return picture


def draw_heat(image: Uint8Image, heat: npt.NDArray[np.floating]) -> Uint8Image:
    """Return a copy of an RGB image (H, W, 3) overlaid with a heat map (H, W), more opaque for higher values.

    The colors are those of the perceptually uniform map "inferno"; pixels with a heat of 0 are unchanged.

    Raises:
        InputError: if the heat map differs in size, or has values outside 0-1.
    """
    if heat.shape != image.shape[:2]:
        raise InputError(f"the heat map's shape is {heat.shape} and the image's {image.shape[:2]}: expected the same")
    if not ((heat >= 0) & (heat <= 1)).all():
        raise InputError(f"the heat map has values from {heat.min()} to {heat.max()}: expected 0 to 1")
    levels = np.rint(heat * 255).astype(np.uint8)
    colors = cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
    opacity = MAX_HEAT_OPACITY * heat.astype(np.float32)[:, :, None]
    return np.rint(image * (1 - opacity) + colors * opacity).astype(np.uint8)


def add_caption(image: Uint8Image, text: str) -> Uint8Image:
    """Return an RGB image (H, W, 3) with a strip of text below it; long text is shrunk to the width."""
    width = image.shape[1]
    font = cv2.FONT_HERSHEY_SIMPLEX
    scale = min(0.5, 0.5 * (width - 8) / max(1, cv2.getTextSize(text, font, 0.5, 1)[0][0]))
    strip = np.zeros((20, width, 3), np.uint8)
    cv2.putText(strip, text, (4, 14), font, scale, (255, 255, 255), 1, cv2.LINE_AA)
    return np.concatenate((image, strip))
