"""Reading of DICOM files as 8-bit RGB images.

Gray values go through the rescaling of the file (slope and intercept, or modality table), then through its first window
or VOI table, as PS3.3 C.11 specifies. Their declared range is then mapped to 0..255: the range of the table, or the one
of ``BitsStored`` and ``PixelRepresentation``. The range of the actual pixels is never used, so that equal gray values
stay equal across the images of a scanner. MONOCHROME1 is inverted; palettes and YBR become RGB.

Scanners write names, dates and scale bars around the scan. If the file declares the position of the scan (Sequence of
Ultrasound Regions, regions of two-dimensional images), everything outside is set to black. The size is unchanged, so
that masks still fit.

pydicom decodes the files (extra ``data``). The module was tested on files written by pydicom; no files from scanners
were available.
"""

import math
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from acsnet._utils.dicom_checks import check_compression, check_declared_size, check_deflated
from acsnet._utils.extras import explain_missing
from acsnet._utils.file_kinds import check_file, is_dicom_file
from acsnet.data.frame_paths import choose_frame, file_of
from acsnet.errors import DataError

_GRAYSCALE = ("MONOCHROME1", "MONOCHROME2")
# Codes of PS3.3 C.8.5.5.
_FORMAT_TWO_DIMENSIONAL = 1
_UNIT_CENTIMETERS = 3
_MILLIMETERS_PER_CENTIMETER = 10
# Of integer pixels; floating-point ones have more.
_MOST_BITS = 16


class DicomFacts(NamedTuple):
    """Facts from the header of a DICOM file.

    Attributes:
        frames: Number of images in the file.
        spacing: Millimeters per pixel, (vertical, horizontal), or None if the header does not declare it.
        burned_in: Whether the header says that text is burned into the pixels, and does not declare the position of
            the scan.
        rate: Frames per second, or None if the header does not declare it.
    """

    frames: int
    spacing: tuple[float, float] | None
    burned_in: bool
    rate: float | None = None


class NoImageError(DataError):
    """A DICOM file holds no image, such as a report or the index of a disk."""


def is_dicom(path: Path) -> bool:
    """Return whether a file is DICOM: by its first bytes, or by its suffix if they are of no other image format."""
    return is_dicom_file(file_of(path))


def read_dicom_facts(path: Path) -> DicomFacts:
    """Read the header of a DICOM file, without its pixels.

    Raises:
        DataError: If the file is missing or is not a DICOM image, declares more pixels than are read or than it can
            hold, or pydicom is not installed.
    """
    with _errors_as_data_error(path):
        header = _read(path, pixels=False)
        check_declared_size(file_of(path), header, _frame_count(header))
        burned_in = str(header.get("BurnedInAnnotation", "")).upper() == "YES" and not _scan_regions(header)
        return DicomFacts(_frame_count(header), _spacing(header), burned_in, _frame_rate(header))


def read_dicom_header(path: Path) -> Any:
    """Return the header of a DICOM image as a dataset of pydicom, without its pixels.

    Raises:
        DataError: as :func:`read_dicom_facts`.
    """
    with _errors_as_data_error(path):
        return _read(path, pixels=False)


def read_dicom(path: Path) -> npt.NDArray[np.uint8]:
    """Read one image of a DICOM file as RGB; the module describes the conversion.

    Args:
        path: DICOM file; a path that ends in "#3" is frame 3 of the file, counted from 0.

    Returns:
        (H, W, 3) uint8.

    Raises:
        DataError: If the file is missing, truncated, too large or not a DICOM image, if no installed decoder reads its
            compression, or if it has several frames and the path names none.
    """
    with _errors_as_data_error(path):
        header = _read(path, pixels=False)
        check_declared_size(file_of(path), header, _frame_count(header))
        frame = choose_frame(path, _frame_count(header))
        check_compression(file_of(path), header)
        image = _decode(_read_values(path, header, frame), header)
        _blacken_outside(image, header)
        return image


@contextmanager
def _errors_as_data_error(path: Path) -> Iterator[None]:
    try:
        yield
    except DataError:
        raise
    # pydicom and its decoders raise a dozen types of errors, depending on what is damaged or not installed.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path} cannot be read as a DICOM image ({reason}): {_remedy(error)}") from error


def _remedy(error: Exception) -> str:
    """Return the advice for a file that pydicom refuses."""
    from pydicom.errors import InvalidDicomError

    if isinstance(error, InvalidDicomError):
        return "rename it if it is not DICOM, or copy it again from its source if it is damaged"
    if isinstance(error, RuntimeError):
        return "save it without compression, or copy it again from its source if it is damaged"
    return "copy it again from its source"


def _read(path: Path, pixels: bool) -> Any:
    file = file_of(path)
    check_file(file, "a DICOM image")
    with explain_missing(f"{file} is a DICOM file, which", DataError):
        import pydicom
    check_deflated(file)
    dataset = pydicom.dcmread(file, stop_before_pixels=not pixels)
    if not all(key in dataset for key in ("Rows", "Columns", "PhotometricInterpretation")):
        raise NoImageError(f"{file} is a DICOM file without an image: leave it out")
    return dataset


def _frame_count(dataset: Any) -> int:
    return max(1, int(dataset.get("NumberOfFrames") or 1))


def _frame_rate(dataset: Any) -> float | None:
    milliseconds = [float(time) for time in dataset.get("FrameTimeVector") or [] if float(time) > 0]
    periods = [statistics.mean(milliseconds)] if milliseconds else []
    periods += [float(dataset.get("FrameTime") or 0)]
    rates = [float(dataset.get(name) or 0) for name in ("CineRate", "RecommendedDisplayFrameRate")]
    rates = [1000 / period for period in periods if period > 0] + rates
    return next((rate for rate in rates if 0 < rate < math.inf), None)


def _read_values(path: Path, header: Any, frame: int) -> npt.NDArray[Any]:
    from pydicom.pixels import pixel_array

    is_deflated = header.file_meta.TransferSyntaxUID.is_deflated
    if _frame_count(header) > 1 and int(header.BitsAllocated) <= _MOST_BITS and not is_deflated:
        # Only the bytes of the frame are read: all frames of a cine loop may not fit into memory.
        return pixel_array(file_of(path), index=frame)
    dataset = _read(path, pixels=True)
    if "PixelData" not in dataset:
        raise NoImageError(f"{file_of(path)} is a DICOM file without integer pixels: leave it out")
    return pixel_array(dataset, index=frame)


def _decode(values: npt.NDArray[Any], dataset: Any) -> npt.NDArray[np.uint8]:
    from pydicom.pixels import apply_color_lut

    photometric = dataset.PhotometricInterpretation
    if photometric in _GRAYSCALE:
        gray = _apply_window(values, dataset)
        return np.repeat((255 - gray if photometric == "MONOCHROME1" else gray)[:, :, None], 3, axis=2)
    if photometric == "PALETTE COLOR":
        values = apply_color_lut(values, dataset)
        # For palettes of 16 bits, the high byte, as for every 16-bit image.
        return np.array(values >> 8 if values.dtype == np.uint16 else values, dtype=np.uint8)
    return np.array(values >> (int(dataset.BitsStored) - 8) if values.dtype != np.uint8 else values, dtype=np.uint8)


def _apply_window(values: npt.NDArray[Any], dataset: Any) -> npt.NDArray[np.uint8]:
    from pydicom.pixels import apply_modality_lut, apply_voi_lut

    windowed = np.asarray(apply_voi_lut(apply_modality_lut(values, dataset), dataset, index=0), dtype=np.float64)
    low, high = _declared_range(dataset)
    return np.rint((windowed - low).clip(0, high - low) * (255 / (high - low))).astype(np.uint8)


def _declared_range(dataset: Any) -> tuple[float, float]:
    """Return the lowest and highest value that the window or table can produce."""
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
    return [region for region in regions if region.get("RegionSpatialFormat") == _FORMAT_TWO_DIMENSIONAL]


def _blacken_outside(image: npt.NDArray[np.uint8], dataset: Any) -> None:
    regions = _scan_regions(dataset)
    if not regions:
        return
    outside = np.ones(image.shape[:2], dtype=np.bool_)
    for region in regions:
        rows = slice(region.RegionLocationMinY0, region.RegionLocationMaxY1 + 1)
        outside[rows, region.RegionLocationMinX0 : region.RegionLocationMaxX1 + 1] = False
    image[outside] = 0


def _spacing(dataset: Any) -> tuple[float, float] | None:
    spacings = {spacing for region in _scan_regions(dataset) if (spacing := _region_spacing(region)) is not None}
    if spacings:
        # Two scans side by side at different scales do not have one spacing.
        return spacings.pop() if len(spacings) == 1 else None
    declared = dataset.get("PixelSpacing")
    return (float(declared[0]), float(declared[1])) if declared and min(declared) > 0 else None


def _region_spacing(region: Any) -> tuple[float, float] | None:
    units = region.get("PhysicalUnitsYDirection"), region.get("PhysicalUnitsXDirection")
    if units != (_UNIT_CENTIMETERS, _UNIT_CENTIMETERS):
        return None
    vertical = _MILLIMETERS_PER_CENTIMETER * abs(float(region.get("PhysicalDeltaY", 0)))
    horizontal = _MILLIMETERS_PER_CENTIMETER * abs(float(region.get("PhysicalDeltaX", 0)))
    return (vertical, horizontal) if min(vertical, horizontal) > 0 else None
