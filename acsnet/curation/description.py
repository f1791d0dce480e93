"""What an image is known by: a small picture of it and its local features."""

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import numpy.typing as npt

from acsnet.data.images import BoolArray, UInt8Array, resize_mask

# Longer side of the small picture, and local features of it: enough that a quarter of an image is still recognized.
PICTURE_SIDE = 256
FEATURES = 250
_WHOLE_SIDE = 128
_THUMBNAIL_SIDE = 16


def _mirrored_bins() -> npt.NDArray[np.intp]:
    """Where each of the 4x4x8 bins of a feature goes when its image is mirrored: rows swap, directions turn round."""
    bins = np.arange(128).reshape(4, 4, 8)
    return bins[::-1][..., -np.arange(8) % 8].ravel()


_MIRRORED_BINS = _mirrored_bins()


@dataclass(frozen=True)
class Description:
    """One image as curation compares it: about 60 kB.

    Attributes:
        size: (height, width) of the image.
        picture: (h, w) uint8, its gray values stretched over the whole range, the longer side at most 256.
        points: (n, 2) float32, where its features are: (x, y) in pixels of the picture.
        features: (n, 128) uint8, SIFT features (Lowe 2004, IJCV 60, 91-110) in the Hellinger form of Arandjelovic and
            Zisserman (CVPR 2012, "RootSIFT"), times 255: of unit length, compared by their inner product.
        mask: (h, w) bool, or None where it cannot be read.
        whole: (128, 128) uint8, the image stretched to a square, its gray values as they are.
    """

    size: tuple[int, int]
    picture: UInt8Array
    points: npt.NDArray[np.float32]
    features: UInt8Array
    mask: BoolArray | None
    whole: UInt8Array

    @cached_property
    def thumbnail(self) -> npt.NDArray[np.float32]:
        """(256,) float32 of mean 0 and unit length: what the whole image looks like from afar."""
        small = cv2.resize(self.picture, (_THUMBNAIL_SIDE, _THUMBNAIL_SIDE), interpolation=cv2.INTER_AREA)
        values = small.ravel().astype(np.float32)
        values -= values.mean()
        return values / max(float(np.linalg.norm(values)), 1e-6)

    def mirrored(self) -> "Description":
        """The description of the mirrored image, as if it had been described anew."""
        points = self.points.copy()
        points[:, 0] = self.picture.shape[1] - 1 - points[:, 0]
        return Description(
            self.size,
            np.ascontiguousarray(self.picture[:, ::-1]),
            points,
            np.ascontiguousarray(self.features[:, _MIRRORED_BINS]),
            None if self.mask is None else self.mask[:, ::-1],
            np.ascontiguousarray(self.whole[:, ::-1]),
        )


def describe(image: UInt8Array, mask: BoolArray | None) -> Description:
    """Describe an RGB image (H, W, 3) and its mask (H, W)."""
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    scale = min(1.0, PICTURE_SIDE / max(gray.shape))
    size = (max(1, round(gray.shape[0] * scale)), max(1, round(gray.shape[1] * scale)))
    picture = _stretch_contrast(cv2.resize(gray, size[::-1], interpolation=cv2.INTER_AREA))
    # A low threshold: the strongest features are taken, however weak they are in a dark or blurred image.
    detector = cv2.SIFT.create(nfeatures=FEATURES, contrastThreshold=0.005)
    keypoints, features = detector.detectAndCompute(picture, None)
    # The detector gives more than it was asked for where several are equally strong.
    strongest = sorted(range(len(keypoints)), key=lambda index: -keypoints[index].response)[:FEATURES]
    points = np.array([keypoints[index].pt for index in strongest], np.float32).reshape(-1, 2)
    found = np.empty((0, 128), np.float32) if features is None else features[strongest]
    roots = np.sqrt(found / np.maximum(found.sum(axis=1, keepdims=True), 1))
    whole = cv2.resize(gray, (_WHOLE_SIDE, _WHOLE_SIDE), interpolation=cv2.INTER_AREA)
    small_mask = None if mask is None else resize_mask(mask, size)
    return Description(gray.shape, picture, points, np.rint(roots * 255).astype(np.uint8), small_mask, whole)


def _stretch_contrast(gray: UInt8Array) -> UInt8Array:
    """Bring the gray values from those that 1 % lie below and 99 % lie below to 0 and 255."""
    low, high = np.percentile(gray, (1, 99))
    return np.clip((gray - low) * (255 / max(high - low, 1)), 0, 255).astype(np.uint8)
