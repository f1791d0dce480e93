"""What is doubtful about a mask: empty or not where its class says otherwise, at the border, in pieces."""

import cv2
import numpy as np

from acsnet.curation.findings import Box, Flag
from acsnet.data.images import BoolArray
from acsnet.labels import NORMAL

# A speck has at most this share of the mask's largest component, and at most this share of the image or so many pixels.
# A lesion of 3 mm in an image 40 mm wide takes about 0.5 %; in BUSI, whose smallest second lesions have 569 pixels and
# 4 % of the largest, stray pixels come in groups of 1 to 8.
_OF_LARGEST, _OF_IMAGE, _PIXELS = 0.01, 0.0002, 10


def mask_flags(mask: BoolArray, label: str) -> tuple[Flag, ...]:
    """Find what is doubtful about a mask.

    Several components are no error where an image has several lesions: the flag is for information. Pixels that touch
    by an edge or by a corner are one component.

    Args:
        mask: (H, W) bool, every mask of the image merged.
        label: the class of the image; "normal" should have an empty mask, every other class should not.

    Returns:
        At most one flag of each of the kinds "lesion-mask-empty", "normal-mask-not-empty", "mask-border",
        "mask-components" and "mask-specks", with the boxes of the components in question.
    """
    _, _, statistics, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    # Without the background, the largest first.
    components = statistics[1:][np.argsort(-statistics[1:, cv2.CC_STAT_AREA], kind="stable")]
    boxes = [(left, top, left + width, top + height) for left, top, width, height, _ in components.tolist()]
    areas = components[:, cv2.CC_STAT_AREA].tolist()
    if not areas:
        return () if label == NORMAL else (Flag("lesion-mask-empty", f"no foreground in a {label} image"),)
    flags = [Flag("normal-mask-not-empty", _pixels([sum(areas)]), tuple(boxes))] if label == NORMAL else []
    flags += _border_flags(boxes, mask.shape)
    if len(areas) > 1:
        flags.append(Flag("mask-components", f"{len(areas)} components: {_pixels(areas)}", tuple(boxes)))
    specks = _specks(areas, mask.size)
    if specks:
        where = tuple(boxes[index] for index in specks)
        flags.append(Flag("mask-specks", f"{len(specks)} of {_pixels([areas[index] for index in specks])}", where))
    return tuple(flags)


def _border_flags(boxes: list[Box], shape: tuple[int, ...]) -> list[Flag]:
    height, width = shape
    sides = {
        "left": [box for box in boxes if box[0] == 0],
        "top": [box for box in boxes if box[1] == 0],
        "right": [box for box in boxes if box[2] == width],
        "bottom": [box for box in boxes if box[3] == height],
    }
    touched = [side for side, touching in sides.items() if touching]
    touching = tuple(box for box in boxes if any(box in those for those in sides.values()))
    return [Flag("mask-border", ", ".join(touched), touching)] if touched else []


def _specks(areas: list[int], image_area: int) -> list[int]:
    """The positions of the components that are tiny; of a mask that has no other, all."""
    tiny = max(_PIXELS, int(_OF_IMAGE * image_area))
    below = tiny if areas[0] <= tiny else min(tiny, int(_OF_LARGEST * areas[0]))
    return [index for index, area in enumerate(areas) if area <= below]


def _pixels(areas: list[int]) -> str:
    return ", ".join(map(str, areas)) + (" pixel" if areas == [1] else " pixels")
