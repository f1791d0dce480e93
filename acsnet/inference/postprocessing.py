"""What is done to a mask once it is cut: specks removed, one piece kept, holes filled.

A piece is connected as in :func:`acsnet.metrics.count_lesions`: pixels that touch at a corner belong together. What is
no part of a piece is then connected along edges alone, so that a ring of pixels that touch at corners has a hole.
"""

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from acsnet.config import PostprocessingConfig

Mask = npt.NDArray[np.bool_]

_CORNERS_TOUCH = np.ones((3, 3), np.bool_)


def postprocess(mask: Mask, settings: PostprocessingConfig) -> Mask:
    """Apply what is configured to a mask (H, W) at the image's own size: small pieces, the largest piece, holes."""
    if settings.minimum_area > 0:
        mask = remove_small_pieces(mask, settings.minimum_area)
    if settings.largest_component:
        mask = keep_largest_piece(mask)
    return fill_holes(mask) if settings.fill_holes else mask


def remove_small_pieces(mask: Mask, minimum_area: float) -> Mask:
    """Remove the pieces of a mask (H, W) whose area is less than a share of the image's, 0 to 1."""
    pieces, areas = _pieces(mask)
    return (areas >= minimum_area * mask.size)[pieces] & mask


def keep_largest_piece(mask: Mask) -> Mask:
    """Keep the piece of a mask (H, W) with the most pixels, of equals that which begins first row by row."""
    pieces, areas = _pieces(mask)
    # The background is not among the candidates; without one there is nothing to keep.
    return pieces == 1 + areas[1:].argmax() if len(areas) > 1 else mask


def fill_holes(mask: Mask) -> Mask:
    """Fill what a mask (H, W) encloses: background with no way to the border of the image along edges of pixels."""
    return ndimage.binary_fill_holes(mask)


def _pieces(mask: Mask) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """Give of each pixel (H, W) the piece it is in, 0 being the background, and the area of each."""
    pieces, _ = ndimage.label(mask, structure=_CORNERS_TOUCH)
    return pieces, np.bincount(pieces.ravel())
