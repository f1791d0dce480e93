"""Reading DICOM files as the 8-bit RGB images that everything else works on.

Gray values go through the file's rescaling (slope and intercept, or modality table), then through its first window or
VOI table, as PS3.3 C.11 lays down. Their declared range, and never that of the pixels found, is then mapped to 0..255:
that of the table, or what ``BitsStored`` and ``PixelRepresentation`` allow. The same gray is the same gray in every
image of a scanner. MONOCHROME1 is turned round, palettes and YBR become RGB.

Scanners write names, dates and scale bars around the scan. Where the file declares where the scan is (Sequence of
Ultrasound Regions, those of two-dimensional images), everything outside is made black; the size stays, for the masks.

pydicom does the decoding (extra ``data``). Verified on files written by pydicom; scanners' own could not be had.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from acsnet.data.frame_paths import choose_frame, file_of
from acsnet.errors import DataError

DICOM_SUFFIXES = frozenset({".dcm", ".dicom"})

_GRAY = ("MONOCHROME1", "MONOCHROME2")
# PS3.3 C.8.5.5: region spatial format 1 is a two-dimensional image, physical unit 3 centimeters.
_TWO_DIMENSIONAL = 1
_CENTIMETERS = 3
# The four letters that every DICOM file has behind a preamble of this length.
_MAGIC_AT = 128


class DicomFacts(NamedTuple):
    """What a file's header says.

    Attributes:
        frames: how many images the file holds.
        spacing: millimeters a pixel, (vertical, horizontal), or None where it does not say.
        burned_in: it says that text is burned into the pixels, and not where the scan is.
    """

    frames: int
    spacing: tuple[float, float] | None
    burned_in: bool


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM, by its suffix, or, without any suffix, by its first bytes."""
    file = file_of(path)
    if file.suffix:
        return file.suffix.lower() in DICOM_SUFFIXES
    try:
        with file.open("rb") as stream:
            return stream.read(_MAGIC_AT + 4)[_MAGIC_AT:] == b"DICM"
    except OSError:
        return False


def read_dicom_facts(path: Path) -> DicomFacts:
    """Read a file's header, without its pixels.

    Raises:
        DataError: for a file that is missing or no DICOM image, and where pydicom is not installed.
    """
    with _told_in_one_line(path):
        header = _read(path, pixels=False)
        burned_in = str(header.get("BurnedInAnnotation", "")).upper() == "YES" and not _scan_regions(header)
        return DicomFacts(_frame_count(header), _pixel_size(header), burned_in)


def read_dicom(path: Path) -> npt.NDArray[np.uint8]:
    """Read one image of a DICOM file as RGB; see the module for what is done to it.

    Returns:
        (H, W, 3) uint8.

    Raises:
        DataError: for a file that is missing, truncated, no DICOM image, compressed in a way that nothing installed
            reads, or of several frames where the path names none.
    """
    with _told_in_one_line(path):
        dataset = _read(path, pixels=True)
        frame = choose_frame(path, _frame_count(dataset))
        _check_size(path, dataset)
        image = _decode(dataset, frame)
        _blacken_outside(image, dataset)
        return image


@contextmanager
def _told_in_one_line(path: Path) -> Iterator[None]:
    try:
        yield
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(f"there is no image {file_of(path)}") from None
    # pydicom and its decoders raise a dozen kinds, at any time, depending on what is broken or not installed.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path} cannot be read as a DICOM image ({reason}): copy it again from its source") from error


def _read(path: Path, pixels: bool) -> Any:
    file = file_of(path)
    try:
        import pydicom
    except ImportError:
        raise DataError(f"{file} is a DICOM file, which needs pydicom: pip install 'acsnet[data]'") from None
    dataset = pydicom.dcmread(file, stop_before_pixels=not pixels)
    if not all(key in dataset for key in ("Rows", "Columns", "PhotometricInterpretation")):
        raise DataError(f"{file} is a DICOM file without an image: leave it out")
    return dataset


def _frame_count(dataset: Any) -> int:
    return int(dataset.get("NumberOfFrames") or 1)


def _check_size(path: Path, dataset: Any) -> None:
    pixels, limit = int(dataset.Rows) * int(dataset.Columns), Image.MAX_IMAGE_PIXELS
    if limit is not None and pixels > limit:
        raise DataError(f"{path} says to have {pixels} pixels, more than the {limit} that are taken for true")


def _decode(dataset: Any, frame: int) -> npt.NDArray[np.uint8]:
    from pydicom.pixels import apply_color_lut, pixel_array

    values = pixel_array(dataset, index=frame)
    photometric = dataset.PhotometricInterpretation
    if photometric in _GRAY:
        gray = _to_8_bits(values, dataset)
        return np.repeat((255 - gray if photometric == "MONOCHROME1" else gray)[:, :, None], 3, axis=2)
    if photometric == "PALETTE COLOR":
        values = apply_color_lut(values, dataset)
        # Palettes of 16 bits: the high byte, as for every 16-bit image.
        return np.array(values >> 8 if values.dtype == np.uint16 else values, dtype=np.uint8)
    return np.array(values >> (int(dataset.BitsStored) - 8) if values.dtype != np.uint8 else values, dtype=np.uint8)


def _to_8_bits(values: npt.NDArray[Any], dataset: Any) -> npt.NDArray[np.uint8]:
    from pydicom.pixels import apply_modality_lut, apply_voi_lut

    shown = np.asarray(apply_voi_lut(apply_modality_lut(values, dataset), dataset, index=0), dtype=np.float64)
    low, high = _declared_range(dataset)
    return np.rint((shown - low).clip(0, high - low) * (255 / (high - low))).astype(np.uint8)


def _declared_range(dataset: Any) -> tuple[float, float]:
    """The lowest and highest value that the last step of :func:`_to_8_bits` can give."""
    for table in ("VOILUTSequence", "ModalityLUTSequence"):
        if dataset.get(table):
            return 0, 2 ** int(dataset[table].value[0].LUTDescriptor[2]) - 1
    bits = int(dataset.BitsStored)
    signed = int(dataset.PixelRepresentation) == 1
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    slope, intercept = float(dataset.get("RescaleSlope", 1)), float(dataset.get("RescaleIntercept", 0))
    ends = low * slope + intercept, high * slope + intercept
    return min(ends), max(ends)


def _scan_regions(dataset: Any) -> list[Any]:
    regions = dataset.get("SequenceOfUltrasoundRegions") or []
    return [region for region in regions if region.get("RegionSpatialFormat") == _TWO_DIMENSIONAL]


def _blacken_outside(image: npt.NDArray[np.uint8], dataset: Any) -> None:
    regions = _scan_regions(dataset)
    if not regions:
        return
    outside = np.ones(image.shape[:2], dtype=np.bool_)
    for region in regions:
        rows = slice(region.RegionLocationMinY0, region.RegionLocationMaxY1 + 1)
        outside[rows, region.RegionLocationMinX0 : region.RegionLocationMaxX1 + 1] = False
    image[outside] = 0


def _pixel_size(dataset: Any) -> tuple[float, float] | None:
    sizes = {size for region in _scan_regions(dataset) if (size := _region_pixel_size(region)) is not None}
    if sizes:
        # Two scans side by side at two scales have no one spacing.
        return sizes.pop() if len(sizes) == 1 else None
    spacing = dataset.get("PixelSpacing")
    return (float(spacing[0]), float(spacing[1])) if spacing and min(spacing) > 0 else None


def _region_pixel_size(region: Any) -> tuple[float, float] | None:
    units = region.get("PhysicalUnitsYDirection"), region.get("PhysicalUnitsXDirection")
    if units != (_CENTIMETERS, _CENTIMETERS):
        return None
    size = 10 * abs(float(region.get("PhysicalDeltaY", 0))), 10 * abs(float(region.get("PhysicalDeltaX", 0)))
    return size if min(size) > 0 else None
