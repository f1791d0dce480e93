"""Captions and calipers, which scanners burn into the image."""

import cv2
import numpy as np
from numpy.typing import NDArray

from acsnet._utils.typing import BoolArray, Uint8Image

SIDES = ("RT", "LT", "RIGHT", "LEFT")
PLACES = ("", " BREAST", " AXILLA", " UOQ", " LOQ", " UIQ", " LIQ", " 10:00", " 2 O'CLOCK", " 6H RAD", " SUBAREOLAR")


def draw_caption(image: Uint8Image, mask: BoolArray, rng: np.random.Generator) -> bool:
    """Draw a caption in place into a corner of the image, clear of every lesion.

    Args:
        image: (H, W) uint8, modified in place.
        mask: (H, W) bool, True on lesions, which the box of the caption does not touch.
        rng: Source of text, corner and brightness.

    Returns:
        Whether a corner was free; otherwise nothing is drawn.
    """
    height, width = image.shape
    text = str(rng.choice(SIDES)) + str(rng.choice(PLACES))
    scale = rng.uniform(0.30, 0.42) * height / 256
    (across, up), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    margin = 4
    lefts, baselines = (margin, width - across - margin), (up + margin, height - below - margin)
    corners = [(left, baseline) for left in lefts for baseline in baselines]
    brightness = int(rng.integers(180, 256))
    for index in rng.permutation(len(corners)):
        left, baseline = corners[index]
        box = mask[max(baseline - up - 2, 0) : baseline + below + 2, max(left - 2, 0) : left + across + 2]
        if not box.any():
            cv2.putText(image, text, (left, baseline), cv2.FONT_HERSHEY_SIMPLEX, scale, brightness, 1, cv2.LINE_AA)
            return True
    return False


def draw_calipers(image: Uint8Image, mask: BoolArray, rng: np.random.Generator) -> None:
    """Mark the ends of one lesion in place with crosses and a dotted line, along one axis or two.

    Args:
        image: (H, W) uint8, modified in place.
        mask: (H, W) bool, one lesion, not empty.
        rng: Source of marker, axes and brightness.
    """
    rows, columns = np.nonzero(mask)
    pixels = np.stack([columns, rows], axis=1)
    axes = (0, 1) if rng.random() < 0.6 else (int(rng.integers(2)),)
    kind = cv2.MARKER_CROSS if rng.random() < 0.6 else cv2.MARKER_TILTED_CROSS
    brightness = int(rng.integers(190, 256))
    size = max(5, round(0.03 * image.shape[0]))
    for axis in axes:
        ends = pixels[pixels[:, axis].argmin()], pixels[pixels[:, axis].argmax()]
        for end in ends:
            cv2.drawMarker(image, (int(end[0]), int(end[1])), brightness, kind, size, 1)
        _dotted_line(image, ends[0], ends[1], brightness)


def _dotted_line(image: Uint8Image, start: NDArray[np.int64], end: NDArray[np.int64], brightness: int) -> None:
    count = max(2, int(np.hypot(*(end - start)) / 4))
    points = np.rint(np.linspace(start, end, count)).astype(np.int64)
    image[points[:, 1], points[:, 0]] = brightness
