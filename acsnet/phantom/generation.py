"""Breast-ultrasound phantoms: synthetic pictures with known lesions, written in the layout of BUSI.

They let the whole pipeline be tried, tested and timed without patients' data. They are no substitute for it: a network
trained on them alone has learned this file, not medicine.

How a picture comes about:

1. Tissue (:mod:`acsnet.phantom.tissue`): skin, subcutaneous fat with Cooper's ligaments, fibroglandular tissue
   with ducts and lobules, retromammary fat, pectoral muscle with its fascia, chest wall, a rib now and then.
2. Lesions after the ACR BI-RADS lexicon (:mod:`acsnet.phantom.lesion`); none in a normal breast.
3. Complex circular Gaussian scatterers of that echogenicity, and smooth reflectors, seen through a separable
   point-spread function that is narrowest at the focus; envelope, averaged over two to five looks as a compounding
   scanner does (:mod:`acsnet.phantom.speckle`; Wagner et al. 1983).
4. Attenuation summed along the beam, from which enhancement and shadow arise; residual of the depth gain; log
   compression.
5. Captions and calipers (:mod:`acsnet.phantom.overlay`), which never change a mask.

Sources: R. F. Wagner et al., "Statistics of speckle in ultrasound B-scans", IEEE Trans. Sonics Ultrason. 30(3), 1983,
156-163; E. B. Mendelson et al., "ACR BI-RADS Ultrasound", in: ACR BI-RADS Atlas, 5th edition, 2013; W. Al-Dhabyani et
al., "Dataset of breast ultrasound images", Data in Brief 28, 2020, 104863 (layout, sizes of lesions).
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from acsnet.errors import DataError, InputError
from acsnet.phantom.lesion import Lesion, add_lesion, draw_lesion
from acsnet.phantom.overlay import draw_calipers, draw_caption
from acsnet.phantom.speckle import FloatImage, PointSpread, log_compress, speckle_envelope
from acsnet.phantom.tissue import Medium, breast_tissue, shadow_db

LABELS = ("benign", "malignant", "normal")
SMALLEST_SIDE = 64
SECOND_LESION_RATE = 0.04
CAPTION_RATE = 0.25
CALIPER_RATE = 0.15
# How far the sides of written images vary about the size asked for, as a fraction.
SIZE_VARIATION = 0.2


@dataclass(frozen=True)
class Phantom:
    """A synthetic picture and what is known about it.

    Attributes:
        image: (H, W) uint8, gray, 0 to 255.
        lesion_masks: (N, H, W) bool, a mask for each lesion; N is 0 for a normal breast, else 1 or 2.
        label: "benign", "malignant" or "normal".
        has_caption: whether text is burned into the image.
        has_calipers: whether caliper marks are.
    """

    image: NDArray[np.uint8]
    lesion_masks: NDArray[np.bool_]
    label: str
    has_caption: bool
    has_calipers: bool

    @property
    def mask(self) -> NDArray[np.bool_]:
        """All lesions together, (H, W) bool."""
        return np.asarray(self.lesion_masks.any(axis=0), dtype=np.bool_)


def make_phantom(label: str, seed: int, size: tuple[int, int] = (256, 256)) -> Phantom:
    """Make one picture; the same arguments always give the same bytes on the same machine.

    Args:
        label: "benign", "malignant" or "normal".
        seed: 0 or more.
        size: (height, width) in pixels, each at least 64.

    Raises:
        InputError: for any other label, seed or size.
    """
    _check_label(label)
    _check_seed(seed)
    _check_size(size)
    height, width = size
    # One stream a step, so that a change in one step leaves the others as they were.
    entropy = np.random.SeedSequence((LABELS.index(label), seed, height, width))
    for_tissue, for_lesions, for_image, for_overlay = (np.random.default_rng(child) for child in entropy.spawn(4))
    medium = breast_tissue(size, for_tissue, distractors=4.0 if label == "normal" else 2.0)
    lesions = [] if label == "normal" else _draw_lesions(size, label == "malignant", for_lesions)
    for lesion in lesions:
        add_lesion(medium, lesion, for_lesions)
    image = _scan(medium, for_image)
    masks = np.array([lesion.mask for lesion in lesions], dtype=np.bool_).reshape(len(lesions), height, width)
    has_calipers = bool(lesions) and for_overlay.random() < CALIPER_RATE
    if has_calipers:
        draw_calipers(image, masks[0], for_overlay)
    every_lesion = np.asarray(masks.any(axis=0), dtype=np.bool_)
    has_caption = for_overlay.random() < CAPTION_RATE and draw_caption(image, every_lesion, for_overlay)
    return Phantom(image, masks, label, has_caption, has_calipers)


def _draw_lesions(size: tuple[int, int], malignant: bool, rng: np.random.Generator) -> list[Lesion]:
    first = draw_lesion(size, malignant, rng)
    lesions = [first]
    if first is not None and rng.random() < SECOND_LESION_RATE:
        lesions.append(draw_lesion(size, malignant, rng, taken=first.mask))
    return [lesion for lesion in lesions if lesion is not None]


def _scan(medium: Medium, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Give the gray image (H, W) that a scanner with settings drawn at random makes of the tissue."""
    height = medium.echo_db.shape[0]
    spread = PointSpread(
        axial=max(0.7, rng.uniform(0.0025, 0.0038) * height),
        lateral=max(0.9, rng.uniform(0.0038, 0.006) * height),
        focus=rng.uniform(0.25, 0.6),
        widening=rng.uniform(1.4, 2.2),
    )
    amplitude = np.asarray(cv2.exp(medium.echo_db * np.float32(np.log(10) / 20)), dtype=np.float32)
    envelope = speckle_envelope(amplitude, medium.specular, spread, rng, looks=int(rng.integers(2, 6)))
    gain_db = _depth_gain(height, rng) - shadow_db(medium.loss_db, 0.012 * height)
    return log_compress(envelope, gain_db, dynamic_range_db=rng.uniform(50, 60))


def _depth_gain(height: int, rng: np.random.Generator) -> FloatImage:
    """Give the overall gain and what the depth gain leaves uncompensated, (H, 1) in decibels."""
    depth = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    fall = rng.uniform(10, 28) * depth ** rng.uniform(1.2, 2.2)
    ripple = rng.uniform(0, 1.5) * np.sin(2 * np.pi * (rng.uniform(1, 2.5) * depth + rng.random()))
    return np.asarray(rng.uniform(-26, -18) - fall + ripple, dtype=np.float32)


def write_phantoms(
    root: Path,
    counts: Mapping[str, int],
    seed: int = 0,
    size: tuple[int, int] = (256, 256),
    progress: bool = True,
    vary_size: bool = True,
) -> None:
    """Write a dataset in BUSI's layout: ``<class>/<class> (<id>).png`` and ``<class> (<id>)_mask.png``.

    A second lesion has its own file, ``<class> (<id>)_mask_1.png``; a normal image has a black mask. Image ``<id>`` of
    a class depends on ``seed``, ``size`` and ``vary_size`` only, not on how many others are written.

    Args:
        root: folder to write to; new or empty.
        counts: images of each class, by label.
        seed: 0 or more.
        size: (height, width) in pixels, each at least 64.
        progress: whether to show a progress bar.
        vary_size: whether height and width are drawn within 20 % of ``size`` (but not below 64), as real ones differ.

    Raises:
        InputError: for an unknown label, a negative count or seed, a size that is too small.
        DataError: where ``root`` holds something already, is no folder, or cannot be written to.
    """
    for label, count in counts.items():
        _check_label(label)
        if count < 0:
            raise InputError(f"counts[{label!r}] is {count}: give 0 or more images")
    _check_seed(seed)
    _check_size(size)
    jobs = [(label, number) for label in LABELS for number in range(1, counts.get(label, 0) + 1)]
    try:
        _check_root(root)
        for label in LABELS:
            (root / label).mkdir(parents=True, exist_ok=True)
        for label, number in tqdm(jobs, desc="phantoms", unit="image", disable=None if progress else True):
            image_seed, image_size = _plan(label, number, seed, size, vary_size)
            _write(root / label / f"{label} ({number})", make_phantom(label, image_seed, image_size))
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(
            f"{root}: cannot be written to ({reason}): choose another folder, or free some space"
        ) from error


def _plan(label: str, number: int, seed: int, size: tuple[int, int], vary_size: bool) -> tuple[int, tuple[int, int]]:
    """Give the seed and the (height, width) of one image of a set."""
    rng = np.random.default_rng(np.random.SeedSequence((seed, LABELS.index(label), number)))
    image_seed = int(rng.integers(2**62))
    if not vary_size:
        return image_seed, size
    factors = rng.uniform(1 - SIZE_VARIATION, 1 + SIZE_VARIATION, 2)
    height, width = (max(SMALLEST_SIDE, round(side * factor)) for side, factor in zip(size, factors, strict=True))
    return image_seed, (height, width)


def _write(stem: Path, phantom: Phantom) -> None:
    masks = phantom.lesion_masks if len(phantom.lesion_masks) else phantom.mask[None]
    for index, mask in enumerate(masks):
        suffix = "_mask.png" if index == 0 else f"_mask_{index}.png"
        _write_png(stem.with_name(stem.name + suffix), mask.astype(np.uint8) * np.uint8(255))
    _write_png(stem.with_name(stem.name + ".png"), phantom.image)


def _write_png(path: Path, picture: NDArray[np.uint8]) -> None:
    """Write a PNG whole or not at all."""
    _, data = cv2.imencode(".png", picture)
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(data.tobytes())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _check_label(label: str) -> None:
    if label not in LABELS:
        raise InputError(f"label {label!r} is not known: use one of {', '.join(LABELS)}")


def _check_seed(seed: int) -> None:
    if seed < 0:
        raise InputError(f"seed is {seed}: give 0 or more")


def _check_size(size: tuple[int, int]) -> None:
    if min(size) < SMALLEST_SIDE:
        raise InputError(f"size {size[0]}x{size[1]} is too small: height and width must be {SMALLEST_SIDE} or more")


def _check_root(root: Path) -> None:
    if root.exists() and not root.is_dir():
        raise DataError(f"{root}: is a file, not a folder: choose a new or empty folder")
    if root.exists() and any(root.iterdir()):
        raise DataError(
            f"{root}: is not empty, and phantoms are never mixed with other files: choose a new or empty folder"
        )
