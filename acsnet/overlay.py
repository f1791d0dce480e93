"""Pictures of an image with the contours of masks."""

import cv2
import numpy as np
import numpy.typing as npt

TRUTH_COLOUR = (0, 220, 0)
PREDICTION_COLOUR = (255, 60, 60)


def draw_contours(
    image: npt.NDArray[np.uint8], mask: npt.NDArray[np.bool_], colour: tuple[int, int, int]
) -> npt.NDArray[np.uint8]:
    """Return a copy of an RGB image (H, W, 3) with the outline of a mask (H, W), wider on larger images."""
    picture = np.ascontiguousarray(image).copy()
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(picture, contours, -1, colour, thickness=max(1, round(max(mask.shape) / 300)))
    return picture


def add_caption(image: npt.NDArray[np.uint8], text: str) -> npt.NDArray[np.uint8]:
    """Return an RGB image (H, W, 3) with a strip of text below it; text too long for the width is made smaller."""
    width = image.shape[1]
    font = cv2.FONT_HERSHEY_SIMPLEX
    scale = min(0.5, 0.5 * (width - 8) / max(1, cv2.getTextSize(text, font, 0.5, 1)[0][0]))
    strip = np.zeros((20, width, 3), np.uint8)
    cv2.putText(strip, text, (4, 14), font, scale, (255, 255, 255), 1, cv2.LINE_AA)
    return np.concatenate((image, strip))
