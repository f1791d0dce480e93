"""The pictures of a result: outline, heat map and uncertainty over the image."""

import numpy as np

from acsnet._utils.overlay import PREDICTION_COLOR, add_caption, draw_contours, draw_heat
from acsnet._utils.typing import Uint8Image
from acsnet.app.analysis import Finding
from acsnet.app.texts import NOTICE
from acsnet.data.images import resize_image, resize_mask

# The longer side of the pictures on the page, in pixels; downloads have the size of the image.
MAX_SIDE = 1200
# Outlines on smaller images would be too thin.
SHORTEST_SIDE = 900


def draw_outline(image: Uint8Image, finding: Finding, side: int = 0) -> Uint8Image:
    """Return a copy of an image (H, W, 3) with the outline of the mask.

    Args:
        image: the image.
        finding: its result.
        side: pixels of the longer side to which a smaller image is enlarged.
    """
    mask = finding.prediction.mask
    size = _scaled_size(image, side / max(image.shape[:2]))
    if side > max(image.shape[:2]):
        image, mask = resize_image(image, size), None if mask is None else resize_mask(mask, size)
    return image if mask is None else draw_contours(image, mask, PREDICTION_COLOR)


def draw_explanation(image: Uint8Image, finding: Finding) -> Uint8Image | None:
    """Return an image (H, W, 3) with the heat map of the evidence for its most probable class, or None."""
    heat_map, frame = finding.analysis.heat_map, finding.prediction.frame
    if heat_map is None or frame is None:
        return None
    # An interpolation may overshoot by rounding.
    return draw_heat(image, np.clip(frame.to_image(heat_map), 0, 1))


def draw_uncertainty(image: Uint8Image, finding: Finding) -> Uint8Image | None:
    """Return an image (H, W, 3) with the uncertainty of its mask as a heat map, or None for a network without masks."""
    uncertainty = finding.prediction.mask_uncertainty
    return None if uncertainty is None else draw_heat(image, np.clip(uncertainty, 0, 1))


def draw_overlay(image: Uint8Image, finding: Finding) -> Uint8Image:
    """Return the overlay to download: the outline, and below it the class and what the picture is not for."""
    prediction = finding.prediction
    picture = draw_outline(image, finding)
    if prediction.label is not None and prediction.probabilities is not None:
        picture = add_caption(picture, f"{prediction.label} {prediction.probabilities[prediction.label]:.2f}")
    return add_caption(picture, NOTICE)


def shrink(picture: Uint8Image, side: int = MAX_SIDE) -> Uint8Image:
    """Return a picture (H, W, 3) whose longer side is at most ``side`` pixels."""
    scale = side / max(picture.shape[:2])
    return picture if scale >= 1 else resize_image(picture, _scaled_size(picture, scale))


def _scaled_size(picture: Uint8Image, scale: float) -> tuple[int, int]:
    height, width = picture.shape[:2]
    return max(1, round(scale * height)), max(1, round(scale * width))
