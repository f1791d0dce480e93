"""Flags of a mask: contradiction to the class, contact with the border, several components, specks."""

import cv2
import numpy as np

from acsnet.curation.findings import Box, CurationFlag
from acsnet.data.images import BoolArray
from acsnet.labels import NORMAL

# A component is a speck if its area is at most _MAX_SPECK_SHARE_OF_LARGEST of the area of the largest component, and at
# most _MAX_SPECK_SHARE_OF_IMAGE of the image or _MAX_SPECK_PIXELS, whichever is more. A lesion of 3 mm takes about
# 0.5 % of an image 40 mm wide. In BUSI, the smallest second lesions have 569 pixels and 4 % of the largest component;
# stray pixels form groups of 1 to 8.
_MAX_SPECK_SHARE_OF_LARGEST = 0.01
_MAX_SPECK_SHARE_OF_IMAGE = 0.0002
_MAX_SPECK_PIXELS = 10


def mask_flags(mask: BoolArray, label: str) -> tuple[CurationFlag, ...]:
    """Find the doubtful properties of a mask.

    Several components are not an error if the image has several lesions; that flag is for information. Pixels that
    touch at an edge or a corner belong to one component.

    Args:
        mask: (H, W) bool, the union of all masks of the image.
        label: class of the image; the mask of "normal" should be empty, that of every other class should not.

    Returns:
        At most one flag of each of the kinds "lesion-mask-empty", "normal-mask-not-empty", "mask-border",
        "mask-components" and "mask-specks", with the boxes of the components concerned.

    Example:
        >>> mask_flags(np.zeros((64, 64), dtype=np.bool_), "benign")
        (CurationFlag(kind='lesion-mask-empty', detail='no foreground in a benign image', boxes=()),)
    """
    _, _, components, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    # Without the background, the largest component first.
    components = components[1:][np.argsort(-components[1:, cv2.CC_STAT_AREA], kind="stable")]
    boxes = [(left, top, left + width, top + height) for left, top, width, height, _ in components.tolist()]
    areas = components[:, cv2.CC_STAT_AREA].tolist()
    if not areas:
        return () if label == NORMAL else (CurationFlag("lesion-mask-empty", f"no foreground in a {label} image"),)
    flags = []
    if label == NORMAL:
        flags.append(CurationFlag("normal-mask-not-empty", _format_areas([sum(areas)]), tuple(boxes)))
    flags += _border_flags(boxes, mask.shape)
    if len(areas) > 1:
        flags.append(CurationFlag("mask-components", f"{len(areas)} components: {_format_areas(areas)}", tuple(boxes)))
    specks = _find_specks(areas, mask.size)
    if specks:
        detail = f"{len(specks)} of {_format_areas([areas[index] for index in specks])}"
        flags.append(CurationFlag("mask-specks", detail, tuple(boxes[index] for index in specks)))
    return tuple(flags)


def _border_flags(boxes: list[Box], shape: tuple[int, ...]) -> list[CurationFlag]:
    height, width = shape
    boxes_at_side = {
        "left": [box for box in boxes if box[0] == 0],
        "top": [box for box in boxes if box[1] == 0],
        "right": [box for box in boxes if box[2] == width],
        "bottom": [box for box in boxes if box[3] == height],
    }
    touched_sides = [side for side, at_side in boxes_at_side.items() if at_side]
    touching = tuple(box for box in boxes if any(box in at_side for at_side in boxes_at_side.values()))
    return [CurationFlag("mask-border", ", ".join(touched_sides), touching)] if touched_sides else []


def _find_specks(areas: list[int], image_area: int) -> list[int]:
    """Return the positions of the tiny components; if the largest one is tiny as well, all are specks."""
    tiny = max(_MAX_SPECK_PIXELS, int(_MAX_SPECK_SHARE_OF_IMAGE * image_area))
    max_area = tiny if areas[0] <= tiny else min(tiny, int(_MAX_SPECK_SHARE_OF_LARGEST * areas[0]))
    return [index for index, area in enumerate(areas) if area <= max_area]


def _format_areas(areas: list[int]) -> str:
    return ", ".join(map(str, areas)) + (" pixel" if areas == [1] else " pixels")
