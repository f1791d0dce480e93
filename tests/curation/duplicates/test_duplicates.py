from pathlib import Path

import cv2
import numpy as np
import pytest

from acsnet.curation.duplicates.description import describe
from acsnet.curation.duplicates.search import find_duplicates
from acsnet.curation.findings import ImagePair
from acsnet.data import Record
from acsnet.data.images import BoolArray, UInt8Array, pixel_digest
from acsnet.phantom import make_phantom

# Image, mask, class.
Sample = tuple[UInt8Array, BoolArray | None, str]


def phantom(seed: int, size: tuple[int, int] = (200, 260)) -> tuple[UInt8Array, BoolArray]:
    made = make_phantom("malignant", seed, size)
    return cv2.cvtColor(made.image, cv2.COLOR_GRAY2RGB), made.mask > 0


def search(*samples: Sample) -> tuple[ImagePair, ...]:
    """Search for duplicates among images with masks and classes."""
    records = [
        Record(Path(), (), label, str(number), digest=pixel_digest(image))
        for number, (image, _, label) in enumerate(samples)
    ]
    return find_duplicates(records, [describe(image, mask) for image, mask, _ in samples], progress=False)


def test_different_scans_are_not_pairs() -> None:
    assert search(*[(*phantom(seed), "malignant") for seed in range(6)]) == ()


def test_identical_images_are_paired_with_the_first() -> None:
    image, mask = phantom(1)
    found = search((image, mask, "benign"), (*phantom(2), "benign"), (image, mask, "benign"), (image, mask, "benign"))
    assert [(pair.first, pair.second, pair.relation) for pair in found] == [(0, 2, "identical"), (0, 3, "identical")]
    for pair in found:
        assert pair.ssim == pytest.approx(1, abs=1e-6)
        assert (pair.aligned_ssim, pair.overlap, pair.mirrored) == (1, (1, 1), False)
        assert np.allclose(pair.transform, np.eye(2, 3), atol=1e-3)
        assert pair.conflicts == ()


def test_identical_images_without_structure_are_found() -> None:
    flat = np.full((40, 40, 3), 30, np.uint8)
    found = search((flat, None, "normal"), (flat + 1, None, "normal"), (flat, None, "normal"))
    assert [(pair.first, pair.second, pair.relation) for pair in found] == [(0, 2, "identical")]
    assert found[0].mask_dice is None


def test_coordinates_of_a_mirrored_smaller_crop() -> None:
    image, mask = phantom(3, (300, 400))
    left, top, scale = 60, 30, 0.5
    crop = np.ascontiguousarray(image[top : top + 240, left : left + 320][:, ::-1])
    small = cv2.resize(crop, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    (pair,) = search((image, mask, "malignant"), (small, None, "malignant"))
    assert pair.relation == "copy"
    assert pair.mirrored
    assert pair.overlap[0] == pytest.approx(0.8 * 0.8, abs=0.03)
    for x, y in ((100, 50), (350, 250), (200, 150)):
        # By hand, with coordinates of pixel centers: cut out, mirrored, scaled.
        expected = ((320 - 1 - (x - left)) + 0.5) * scale - 0.5, (y - top + 0.5) * scale - 0.5
        assert pair.transform @ (x, y, 1) == pytest.approx(expected, abs=0.7)


def test_windows_of_one_scan_overlap() -> None:
    image, mask = phantom(4)
    left, right = np.ascontiguousarray(image[:, :170]), np.ascontiguousarray(image[:, 90:])
    (pair,) = search((left, mask[:, :170], "malignant"), (right, mask[:, 90:], "malignant"))
    assert pair.overlap == pytest.approx((80 / 170, 80 / 170), abs=0.03)
    assert pair.transform[:, 2] == pytest.approx((-90, 0), abs=1)
    assert pair.mask_dice == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("scan", [5, 6, 7, 8])
def test_a_neighboring_frame_is_an_overlap_and_its_mask_is_not_a_conflict(scan: int) -> None:
    image, mask = phantom(scan)
    # A moment later: the tissue has moved under the probe, and part of the speckle has changed.
    y, x = np.mgrid[: image.shape[0], : image.shape[1]].astype(np.float32)
    moved = cv2.remap(image, x + 1.5 * np.sin(y / 20), y + 1.5 * np.cos(x / 25), cv2.INTER_LINEAR)
    noise = cv2.GaussianBlur(np.random.default_rng(0).normal(0, 50, image.shape[:2]).astype(np.float32), (0, 0), 1.2)
    later = np.clip(moved + noise[..., None], 0, 255).astype(np.uint8)
    (pair,) = search((image, mask, "malignant"), (later, np.zeros_like(mask), "benign"))
    assert pair.relation == "overlap"
    assert pair.mask_dice == 0
    assert pair.conflicts == ("class",)


@pytest.mark.parametrize(
    ("shift", "label", "conflicts"),
    [(0, "malignant", ()), (0, "benign", ("class",)), (60, "malignant", ("mask",)), (60, "benign", ("class", "mask"))],
)
def test_copies_that_disagree(shift: int, label: str, conflicts: tuple[str, ...]) -> None:
    image, _ = phantom(6)
    mask = np.zeros(image.shape[:2], np.bool_)
    mask[60:120, 60:140] = True
    brighter = np.clip(image.astype(int) + 12, 0, 255).astype(np.uint8)
    (pair,) = search((image, mask, "malignant"), (brighter, np.roll(mask, shift, axis=1), label))
    assert pair.relation == "copy"
    assert pair.conflicts == conflicts
    assert pair.mask_dice == pytest.approx((80 - shift) / 80, abs=0.02)
