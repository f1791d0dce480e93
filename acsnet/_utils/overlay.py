"""Pictures of an image with the contours of masks, boxes, heat maps and captions."""

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from acsnet.errors import InputError

TRUTH_COLOR = (0, 220, 0)
PREDICTION_COLOR = (255, 60, 60)
# Beside that of the truth, for eyes that do not tell red from green.
SECOND_COLOR = (90, 170, 255)
BOX_COLOR = (255, 190, 0)
# Of a pixel of the greatest heat: the image is seen through it.
HEAT_OPACITY = 0.8


def draw_contours(
    image: npt.NDArray[np.uint8], mask: npt.NDArray[np.bool_], color: tuple[int, int, int]
) -> npt.NDArray[np.uint8]:
    """Return a copy of an RGB image (H, W, 3) with the outline of a mask (H, W), wider on larger images."""
    picture = np.ascontiguousarray(image).copy()
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(picture, contours, -1, color, thickness=max(1, round(max(mask.shape) / 300)))
    return picture


def draw_boxes(
    image: npt.NDArray[np.uint8], boxes: Sequence[tuple[float, float, float, float]], color: tuple[int, int, int]
) -> npt.NDArray[np.uint8]:
    """Return a copy of an RGB image (H, W, 3) with the outlines of boxes (left, top, right, bottom; exclusive).

    A box runs along the pixels around what it marks, so that it covers none of it, but never leaves the image.
    """
    picture = np.ascontiguousarray(image).copy()
    height, width = picture.shape[:2]
    thickness = max(1, round(max(height, width) / 300))
    for left, top, right, bottom in boxes:
        corner = (max(0, int(left) - 1), max(0, int(top) - 1))
        opposite = (min(width - 1, round(right)), min(height - 1, round(bottom)))
        cv2.rectangle(picture, corner, opposite, color, thickness)
    return picture


def draw_heat(image: npt.NDArray[np.uint8], heat: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
    """Return a copy of an RGB image (H, W, 3) under a heat map (H, W), brighter and less transparent where hotter.

    Colors are those of the perceptually uniform map "inferno"; where the heat is 0 the image is as it was.

    Raises:
        InputError: for a heat map of another size, or with values that are not in 0..1.
    """
    if heat.shape != image.shape[:2]:
        raise InputError(f"the heat map's shape is {heat.shape} and the image's {image.shape[:2]}: expected the same")
    if not ((heat >= 0) & (heat <= 1)).all():
        raise InputError(f"the heat map has values from {heat.min()} to {heat.max()}: expected 0 to 1")
    levels = np.rint(heat * 255).astype(np.uint8)
    colors = cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
    opacity = HEAT_OPACITY * heat.astype(np.float32)[:, :, None]
    return np.rint(image * (1 - opacity) + colors * opacity).astype(np.uint8)


def add_caption(image: npt.NDArray[np.uint8], text: str) -> npt.NDArray[np.uint8]:
    """Return an RGB image (H, W, 3) with a strip of text below it; text too long for the width is made smaller."""
    width = image.shape[1]
    font = cv2.FONT_HERSHEY_SIMPLEX
    scale = min(0.5, 0.5 * (width - 8) / max(1, cv2.getTextSize(text, font, 0.5, 1)[0][0]))
    strip = np.zeros((20, width, 3), np.uint8)
    cv2.putText(strip, text, (4, 14), font, scale, (255, 255, 255), 1, cv2.LINE_AA)
    return np.concatenate((image, strip))
