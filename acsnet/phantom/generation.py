"""Breast-ultrasound phantoms: synthetic images with known lesions, written in the layout of BUSI.

Phantoms serve to try, test and time the whole pipeline without patient data. They do not replace it: a network that is
trained on them alone has learned this simulation, not medicine.

Steps of the simulation:

1. Tissue (:mod:`acsnet.phantom.tissue`): skin, subcutaneous fat with Cooper's ligaments, fibroglandular tissue
   with ducts and lobules, retromammary fat, pectoral muscle with its fascia, chest wall, and occasionally a rib.
2. Lesions after the ACR BI-RADS lexicon (:mod:`acsnet.phantom.lesion`), except in a normal breast.
3. Complex circular Gaussian scatterers of that echogenicity, and smooth reflectors, imaged by a separable
   point-spread function that is narrowest at the focus; envelope, averaged over two to five looks as in a compounding
   scanner (:mod:`acsnet.phantom.speckle`; Wagner et al. 1983).
4. Attenuation summed along the beam, which produces enhancement and shadows; residual depth gain; log compression.
5. Captions and calipers (:mod:`acsnet.phantom.overlay`), which never change a mask.

Sources: R. F. Wagner et al., "Statistics of speckle in ultrasound B-scans", IEEE Trans. Sonics Ultrason. 30(3), 1983,
156-163; E. B. Mendelson et al., "ACR BI-RADS Ultrasound", in: ACR BI-RADS Atlas, 5th edition, 2013; W. Al-Dhabyani et
al., "Dataset of breast ultrasound images", Data in Brief 28, 2020, 104863 (layout, lesion sizes).
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm.auto import tqdm

from acsnet._utils.file_kinds import MAX_PIXELS
from acsnet._utils.files import explain_write_error
from acsnet._utils.folders import remove_stale, whole_files
from acsnet._utils.typing import BoolArray, Float32Array, Uint8Image
from acsnet.errors import DataError, InputError
from acsnet.labels import CLASS_NAMES, MALIGNANT, NORMAL
from acsnet.phantom.lesion import Lesion, add_lesion, draw_lesion
from acsnet.phantom.overlay import draw_calipers, draw_caption
from acsnet.phantom.speckle import PointSpread, log_compress, speckle_envelope
from acsnet.phantom.tissue import Medium, breast_tissue, shadow_db

MIN_SIDE_PIXELS = 64
SECOND_LESION_RATE = 0.04
CAPTION_RATE = 0.25
CALIPER_RATE = 0.15
# Largest deviation of the sides of written images from the requested size, as a fraction.
SIZE_VARIATION = 0.2


@dataclass(frozen=True)
class Phantom:
    """A synthetic image and its ground truth.

    Attributes:
        image: (H, W) uint8, gray, 0 to 255.
        lesion_masks: (N, H, W) bool, one mask per lesion; N is 0 for a normal breast, otherwise 1 or 2.
        label: "benign", "malignant" or "normal".
        has_caption: Whether text is burned into the image.
        has_calipers: Whether caliper marks are burned into the image.
    """

    image: Uint8Image
    lesion_masks: BoolArray
    label: str
    has_caption: bool
    has_calipers: bool

    @property
    def mask(self) -> BoolArray:
        """Union of all lesions, (H, W) bool."""
        return np.asarray(self.lesion_masks.any(axis=0), dtype=np.bool_)


def make_phantom(label: str, seed: int, size: tuple[int, int] = (256, 256)) -> Phantom:
    """Make one image; the same arguments always give the same bytes on the same machine.

    Args:
        label: "benign", "malignant" or "normal".
        seed: Seed of the random numbers, 0 or more.
        size: (height, width) in pixels, each at least 64.

    Raises:
        InputError: If the label is unknown, the seed negative or the size too small.

    Example:
        >>> from acsnet.phantom import make_phantom
        >>> phantom = make_phantom("benign", seed=0, size=(96, 128))
        >>> phantom.image.shape, phantom.mask.shape, bool(phantom.mask.any())
        ((96, 128), (96, 128), True)
    """
    _check_label(label)
    _check_seed(seed)
    _check_size(size)
    height, width = size
    # One random stream per step, so that a change in one step does not affect the others.
    entropy = np.random.SeedSequence((CLASS_NAMES.index(label), seed, height, width))
    for_tissue, for_lesions, for_image, for_overlay = (np.random.default_rng(child) for child in entropy.spawn(4))
    medium = breast_tissue(size, for_tissue, distractors=4.0 if label == NORMAL else 2.0)
    lesions = [] if label == NORMAL else _draw_lesions(size, label == MALIGNANT, for_lesions)
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
        lesions.append(draw_lesion(size, malignant, rng, occupied=first.mask))
    return [lesion for lesion in lesions if lesion is not None]


def _scan(medium: Medium, rng: np.random.Generator) -> Uint8Image:
    """Return the gray image (H, W) of the tissue by a scanner with random settings."""
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


def _depth_gain(height: int, rng: np.random.Generator) -> Float32Array:
    """Return the overall gain plus the uncompensated residual of the depth gain, (H, 1) in decibels."""
    depth = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    fall = rng.uniform(10, 28) * depth ** rng.uniform(1.2, 2.2)
    ripple = rng.uniform(0, 1.5) * np.sin(2 * np.pi * (rng.uniform(1, 2.5) * depth + rng.random()))
    return np.asarray(rng.uniform(-26, -18) - fall + ripple, dtype=np.float32)


def write_phantoms(
    root: str | Path,
    counts: Mapping[str, int],
    seed: int = 0,
    size: tuple[int, int] = (256, 256),
    progress: bool = True,
    vary_size: bool = True,
) -> None:
    """Write a dataset in the layout of BUSI: ``<class>/<class> (<id>).png`` and ``<class> (<id>)_mask.png``.

    A second lesion has its own file, ``<class> (<id>)_mask_1.png``; normal images have a black mask. Image ``<id>`` of
    a class depends on ``seed``, ``size`` and ``vary_size`` only, not on the number of images.

    Args:
        root: Folder to write to, new or empty.
        counts: Number of images by label.
        seed: Seed of the random numbers, 0 or more.
        size: (height, width) in pixels, each at least 64.
        progress: Whether to show a progress bar.
        vary_size: Whether height and width are drawn within 20 % of ``size`` (but not below 64), since the sizes of
            real images differ.

    Raises:
        InputError: If a label is unknown, a count or the seed negative, or the size too small.
        DataError: If ``root`` is not empty or is not a folder.
        WriteError: If an image cannot be written; no other is left then.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from acsnet.phantom import write_phantoms
        >>> root = Path(tempfile.mkdtemp())
        >>> write_phantoms(root, {"malignant": 1, "normal": 1}, seed=2, size=(64, 64), progress=False)
        >>> sorted(path.name for path in root.glob("normal/*"))
        ['normal (1).png', 'normal (1)_mask.png']
    """
    root = Path(root)
    for label, count in counts.items():
        _check_label(label)
        if count < 0:
            raise InputError(f"counts[{label!r}] is {count}: expected 0 or more images")
    _check_seed(seed)
    _check_size(size)
    images = [(label, number) for label in CLASS_NAMES for number in range(1, counts.get(label, 0) + 1)]
    try:
        _check_root(root)
        remove_stale(root)
        # Half of a dataset would be taken for a whole one, and the same command would refuse the folder.
        with whole_files(root) as temporary:
            for label in CLASS_NAMES:
                (temporary / label).mkdir()
            for label, number in tqdm(images, desc="phantoms", unit="image", disable=None if progress else True):
                image_seed, image_size = _seed_and_size(label, number, seed, size, vary_size)
                _write(temporary / label / f"{label} ({number})", make_phantom(label, image_seed, image_size))
    except OSError as error:
        raise explain_write_error(error, root) from error


def _seed_and_size(
    label: str, number: int, seed: int, size: tuple[int, int], vary_size: bool
) -> tuple[int, tuple[int, int]]:
    """Return the seed and the (height, width) of one image of a dataset."""
    rng = np.random.default_rng(np.random.SeedSequence((seed, CLASS_NAMES.index(label), number)))
    image_seed = int(rng.integers(2**62))
    if not vary_size:
        return image_seed, size
    factors = rng.uniform(1 - SIZE_VARIATION, 1 + SIZE_VARIATION, 2)
    height, width = (max(MIN_SIDE_PIXELS, round(side * factor)) for side, factor in zip(size, factors, strict=True))
    return image_seed, (height, width)


def _write(stem: Path, phantom: Phantom) -> None:
    masks = phantom.lesion_masks if len(phantom.lesion_masks) else phantom.mask[None]
    for index, mask in enumerate(masks):
        suffix = "_mask.png" if index == 0 else f"_mask_{index}.png"
        _write_png(stem.with_name(stem.name + suffix), mask.astype(np.uint8) * np.uint8(255))
    _write_png(stem.with_name(stem.name + ".png"), phantom.image)


def _write_png(path: Path, image: Uint8Image) -> None:
    # Not synced to the disk like the files of acsnet._utils.files: phantoms are many, and quickly made again.
    _, data = cv2.imencode(".png", image)
    temporary = path.with_name(f".{path.name}.part")
    try:
        temporary.write_bytes(data.tobytes())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _check_label(label: str) -> None:
    if label not in CLASS_NAMES:
        raise InputError(f"unknown label {label!r}: use one of {', '.join(CLASS_NAMES)}")


def _check_seed(seed: int) -> None:
    if seed < 0:
        raise InputError(f"seed is {seed}: expected 0 or more")


def _check_size(size: tuple[int, int]) -> None:
    if size[0] * size[1] > MAX_PIXELS:
        raise InputError(f"size {size[0]}x{size[1]} is too large: the limit is {MAX_PIXELS} pixels")
    if min(size) < MIN_SIDE_PIXELS:
        raise InputError(f"size {size[0]}x{size[1]} is too small: height and width must be {MIN_SIDE_PIXELS} or more")


def _check_root(root: Path) -> None:
    if root.exists() and not root.is_dir():
        raise DataError(f"{root} is a file, not a folder: choose a new or empty folder")
    # A process that was killed leaves a hidden folder.
    if root.exists() and any(not path.name.startswith(".") for path in root.iterdir()):
        raise DataError(
            f"{root} is not empty, and phantoms are never mixed with other files: choose a new or empty folder"
        )
