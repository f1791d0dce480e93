"""What curation finds out about a dataset."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from acsnet.data.records import Record

# Identical pixels; a copy of the whole image (rescaled, re-encoded, cropped, marked, mirrored, ...); the same scan
# framed differently, so that each image also shows what the other does not.
Relation = Literal["identical", "copy", "overlap"]
# What may be wrong between two images that show the same.
Conflict = Literal["class", "mask"]
# Pixel coordinates (left, top, right, bottom), the last two exclusive.
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Flag:
    """Something about one image that a user should know.

    Attributes:
        kind: one of the names of :data:`FLAGS`.
        detail: what was found, for people ("3 components: 2100, 40, 12 pixels"), or "".
        boxes: where in the image, as far as it has a place.
    """

    kind: str
    detail: str = ""
    boxes: tuple[Box, ...] = ()


FLAGS: dict[str, str] = {
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
class Pair:
    """Two images that show the same scan, wholly or in part.

    Attributes:
        first, second: their positions among the records, first < second.
        relation: how they are related.
        ssim: structural similarity of the two whole images stretched to one size, as the publications measure it, 0-1.
        aligned_ssim: structural similarity of what they share, once the second is laid over the first, 0-1.
        overlap: the share of the first and of the second image that is seen in the other, 0-1.
        mirrored: whether the second shows the scan mirrored.
        transform: (2, 3) affine map of pixel coordinates (x, y) of the first image to those of the second.
        mask_dice: Dice of the two masks where the images overlap; None where one of them cannot be read.
        conflicts: what the two disagree on.
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
    """All that curation found out about a dataset; the sequences are one entry an image, in the records' order.

    Attributes:
        records: every image, with ``group`` filled in: what must not be parted by a split (copies, overlaps, patients).
        sizes: (height, width) of each image, or None for what cannot be read.
        copies: the number of each image's set of copies of one another; an image without a copy is alone in its set.
        flags: what is odd about each image.
        histograms: (N, 256) float, each image's share of pixels of each gray value; zeros for what cannot be read.
        pairs: the images that show the same, first by first image, then by second.
        policy: how the curated table was chosen.
        kept: whether each image is in the curated table.
        leak: the share of test images with a copy in training under a plain random split, by the share of test images.
    """

    records: tuple[Record, ...]
    sizes: tuple[tuple[int, int] | None, ...]
    copies: tuple[int, ...]
    flags: tuple[tuple[Flag, ...], ...]
    histograms: npt.NDArray[np.float64]
    pairs: tuple[Pair, ...]
    policy: str
    kept: tuple[bool, ...]
    leak: dict[float, float]
