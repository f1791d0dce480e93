"""Results of curation: flags per image, pairs of related images, and the images to keep."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from acsnet.data.records import Record

# "identical": equal pixels. "copy": a copy of the whole image (rescaled, re-encoded, cropped, marked, mirrored, ...).
# "overlap": the same scan framed differently, so that each image shows something that the other does not.
Relation = Literal["identical", "copy", "overlap"]
# The annotation in which two related images disagree.
Conflict = Literal["class", "mask"]
# Pixel coordinates (left, top, right, bottom); right and bottom are exclusive.
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class CurationFlag:
    """One remark about one image.

    Attributes:
        kind: a key of :data:`FLAG_DESCRIPTIONS`.
        detail: readable details ("3 components: 2100, 40, 12 pixels"), or "".
        boxes: boxes around the flagged regions; empty if the flag concerns the whole image.

    Example:
        >>> CurationFlag("mask-specks", "1 of 4 pixels", ((10, 10, 12, 12),)).kind
        'mask-specks'
    """

    kind: str
    detail: str = ""
    boxes: tuple[Box, ...] = ()


FLAG_DESCRIPTIONS: dict[str, str] = {
    "unreadable": "image or mask that cannot be read",
    "mask-size": "mask of another size than its image",
    "lesion-mask-empty": "lesion image with an empty mask",
    "normal-mask-not-empty": "normal image with a lesion in the mask",
    "mask-border": "mask that touches the border of the image",
    "mask-components": "mask of several components",
    "mask-specks": "mask with tiny specks",
    "text": "burned-in text",
    "calipers": "caliper marks",
    "color": "color Doppler or another color overlay",
    "split-screen": "two scans side by side",
}


@dataclass(frozen=True)
class ImagePair:
    """Two images that show the same scan, completely or in part.

    Attributes:
        first, second: positions of the images among the records, first < second.
        relation: "identical", "copy" or "overlap".
        ssim: structural similarity of the two complete images resized to one size, as in the literature, at most 1.
        aligned_ssim: structural similarity of the shared area after the second image is aligned to the first, 0-1.
        overlap: shares of the first and of the second image that are visible in the other, 0-1.
        mirrored: whether the second image shows the scan mirrored.
        transform: (2, 3) affine map from pixel coordinates (x, y) of the first image to those of the second.
        mask_dice: Dice of the two masks in the shared area; None if one of the masks cannot be read.
        conflicts: annotations in which the two images disagree.
    """

    first: int
    second: int
    relation: Relation
    ssim: float
    aligned_ssim: float
    overlap: tuple[float, float]
    mirrored: bool
    transform: npt.NDArray[np.float64]
    mask_dice: float | None
    conflicts: tuple[Conflict, ...] = ()


@dataclass(frozen=True)
class Findings:
    """The complete result of curation; sequences have one entry per image, in the order of the records.

    Attributes:
        records: all images, with ``group`` filled in: images of one group (copies, overlaps, one patient) must stay on
            the same side of a split.
        sizes: (height, width) per image, or None if the image cannot be read.
        copy_sets: number of the set of copies per image; an image without a copy is the only member of its set.
        flags: flags per image.
        histograms: (N, 256) float, share of the pixels per gray value; zeros if the image cannot be read.
        pairs: all pairs of related images, sorted by the first, then by the second image.
        policy: name of the policy that selected the curated images.
        kept: whether the image is in the curated table.
        leak: expected share of test images with a copy in training under a plain random split, by the share of test
            images.
    """

    records: tuple[Record, ...]
    sizes: tuple[tuple[int, int] | None, ...]
    copy_sets: tuple[int, ...]
    flags: tuple[tuple[CurationFlag, ...], ...]
    histograms: npt.NDArray[np.float64]
    pairs: tuple[ImagePair, ...]
    policy: str
    kept: tuple[bool, ...]
    leak: dict[float, float]
