"""Description of an image for comparison: reduced versions of it, and local features."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from acsnet.data.images import BoolArray, UInt8Array, resize_mask

Float32Array = npt.NDArray[np.float32]

# Longer side of the reduced image, and number of local features: enough to recognize a quarter of an image.
REDUCED_SIDE_PIXELS = 256
MAX_FEATURES = 250
_SQUARE_SIDE_PIXELS = 128
_THUMBNAIL_SIDE_PIXELS = 16
# A low contrast threshold, so that dark and blurred images also reach MAX_FEATURES; OpenCV's default is 0.04.
_SIFT_CONTRAST_THRESHOLD = 0.005


def _mirrored_bin_order() -> npt.NDArray[np.intp]:
    """Return the permutation of the 4x4x8 bins of a SIFT feature under mirroring: rows swap, directions reverse."""
    bins = np.arange(128).reshape(4, 4, 8)
    return bins[::-1][..., -np.arange(8) % 8].ravel()


_MIRRORED_BIN_ORDER = _mirrored_bin_order()


@dataclass(frozen=True)
class Description:
    """One image as it is compared with others; about 60 kB.

    Attributes:
        size: (height, width) of the original image in pixels.
        reduced: (h, w) uint8, the gray image with its longer side at most 256 pixels and its contrast stretched.
        points: (n, 2) float32, coordinates (x, y) of the features in pixels of ``reduced``.
        features: (n, 128) uint8, SIFT features (Lowe 2004, IJCV 60, 91-110) in the Hellinger form of Arandjelovic and
            Zisserman (CVPR 2012, "RootSIFT"), times 255: of unit length, compared by their inner product.
        mask: (h, w) bool, the mask at the size of ``reduced``; None if it cannot be read.
        square: (128, 128) uint8, the gray image resized to a square, with unchanged contrast.
        thumbnail: (256,) float32, a thumbnail of ``reduced`` as a vector of mean 0 and unit length.
    """

    size: tuple[int, int]
    reduced: UInt8Array
    points: Float32Array
    features: UInt8Array
    mask: BoolArray | None
    square: UInt8Array
    thumbnail: Float32Array

    def mirrored(self) -> "Description":
        """Return the description of the mirrored image without computing its features again."""
        points = self.points.copy()
        points[:, 0] = self.reduced.shape[1] - 1 - points[:, 0]
        reduced = np.ascontiguousarray(self.reduced[:, ::-1])
        return Description(
            self.size,
            reduced,
            points,
            np.ascontiguousarray(self.features[:, _MIRRORED_BIN_ORDER]),
            None if self.mask is None else self.mask[:, ::-1],
            np.ascontiguousarray(self.square[:, ::-1]),
            _thumbnail(reduced),
        )


def describe(image: UInt8Array, mask: BoolArray | None) -> Description:
    """Describe an RGB image (H, W, 3) and its mask (H, W)."""
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    scale = min(1.0, REDUCED_SIDE_PIXELS / max(gray.shape))
    size = (max(1, round(gray.shape[0] * scale)), max(1, round(gray.shape[1] * scale)))
    reduced = _stretch_contrast(cv2.resize(gray, size[::-1], interpolation=cv2.INTER_AREA))
    detector = cv2.SIFT.create(nfeatures=MAX_FEATURES, contrastThreshold=_SIFT_CONTRAST_THRESHOLD)
    keypoints, sift_features = detector.detectAndCompute(reduced, None)
    # The detector returns more than MAX_FEATURES if several are equally strong.
    strongest = sorted(range(len(keypoints)), key=lambda index: -keypoints[index].response)[:MAX_FEATURES]
    points = np.array([keypoints[index].pt for index in strongest], np.float32).reshape(-1, 2)
    features = np.empty((0, 128), np.float32) if sift_features is None else sift_features[strongest]
    roots = np.sqrt(features / np.maximum(features.sum(axis=1, keepdims=True), 1))
    square = cv2.resize(gray, (_SQUARE_SIDE_PIXELS, _SQUARE_SIDE_PIXELS), interpolation=cv2.INTER_AREA)
    reduced_mask = None if mask is None else resize_mask(mask, size)
    codes = np.rint(roots * 255).astype(np.uint8)
    return Description(gray.shape, reduced, points, codes, reduced_mask, square, _thumbnail(reduced))


def _thumbnail(reduced: UInt8Array) -> Float32Array:
    side = _THUMBNAIL_SIDE_PIXELS
    values = cv2.resize(reduced, (side, side), interpolation=cv2.INTER_AREA).ravel().astype(np.float32)
    values -= values.mean()
    return values / max(float(np.linalg.norm(values)), 1e-6)


def _stretch_contrast(gray: UInt8Array) -> UInt8Array:
    """Map the 1st and the 99th percentile of the gray values to 0 and 255."""
    low, high = np.percentile(gray, (1, 99))
    return np.clip((gray - low) * (255 / max(high - low, 1)), 0, 255).astype(np.uint8)
