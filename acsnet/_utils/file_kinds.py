"""Kinds of files by their first bytes, and the largest images that are read."""

import errno
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from acsnet.errors import DataError

# Pillow's names of the formats that it may read here.
PILLOW_FORMATS = ("PNG", "JPEG", "BMP", "TIFF")
DICOM = "DICOM"
DICOM_SUFFIXES = frozenset({".dcm", ".dicom"})
IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"}) | DICOM_SUFFIXES
VIDEO_SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".avi"})
SUPPORTED_FORMATS = "PNG, JPEG, BMP, TIFF (color with 8 bits per channel, gray with up to 16) and DICOM"
# Larger than any scan: a decoded image takes several times three bytes per pixel, on several threads at once.
MAX_PIXELS = 50_000_000
# Of all frames of a file together, some 5000 frames of 1024x768. Frames are decoded one at a time.
MAX_PIXELS_OF_ALL_FRAMES = 80 * MAX_PIXELS

# The letters DICM follow a preamble of this length.
_PREAMBLE_BYTES = 128
_DICOM_MAGIC = b"DICM"
_START_BYTES = _PREAMBLE_BYTES + len(_DICOM_MAGIC)
_SIGNATURES = {
    "PNG": (b"\x89PNG\r\n\x1a\n",),
    "JPEG": (b"\xff\xd8\xff",),
    "TIFF": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
}
# Texts may start with the two letters of BMP, too: the length of its second header has one of these values.
_BMP_HEADER_BYTES = frozenset({12, 40, 52, 56, 64, 108, 124})
# Healthy files that often lie among images. Signatures with an offset follow.
_OTHER_SIGNATURES = {
    "GIF": (b"GIF87a", b"GIF89a"),
    "PDF": (b"%PDF",),
    "PostScript": (b"%!PS", b"\xc5\xd0\xd3\xc6"),
    "JPEG 2000": (b"\x00\x00\x00\x0cjP  ", b"\xff\x4f\xff\x51"),
    "Photoshop": (b"8BPS",),
    "PPM": (b"P1\n", b"P2\n", b"P3\n", b"P4\n", b"P5\n", b"P6\n"),
    "icon": (b"\x00\x00\x01\x00",),
    "ZIP": (b"PK\x03\x04",),
    "gzip": (b"\x1f\x8b",),
    "NumPy": (b"\x93NUMPY",),
    "HDF5": (b"\x89HDF\r\n",),
    "MATLAB": (b"MATLAB 5.0",),
    "NRRD": (b"NRRD0",),
    "MetaImage": (b"ObjectType",),
}
_SIGNATURES_AT = {
    "WebP": (8, b"WEBP"),
    "HEIC": (4, b"ftyphei"),
    "HEIF": (4, b"ftypmif1"),
    "AVIF": (4, b"ftypavif"),
}
# Images, sound and raw photographs in the container of MP4, by the name after "ftyp".
_NO_VIDEOS = (b"hei", b"hev", b"mif", b"msf", b"avif", b"avis", b"crx", b"M4A", b"M4B", b"M4P")
_VIDEO_SIGNATURES_AT = {"AVI": (8, b"AVI "), "MP4": (4, b"ftyp")}
_KINDS = (
    (stat.S_ISDIR, "it is a directory"),
    (stat.S_ISFIFO, "it is a named pipe"),
    (stat.S_ISSOCK, "it is a socket"),
    (stat.S_ISCHR, "it is a device"),
    (stat.S_ISBLK, "it is a device"),
)


def file_fault(file: Path) -> str | None:
    """Return why a path cannot be opened as a file, in a few words, or None if it can.

    Nothing is opened: a named pipe would wait for its writer forever.
    """
    try:
        mode = os.stat(file).st_mode
    except OSError as error:
        if error.errno == errno.ELOOP:
            return "it is a link that leads to itself"
        if os.path.islink(file) and error.errno in (errno.ENOENT, errno.ENOTDIR):
            return f"it is a link to {os.readlink(file)}, which does not exist"
        return "it does not exist" if error.errno == errno.ENOENT else str(error.strerror)
    except ValueError:
        return "its name has a NUL"
    return next((fault for is_kind, fault in _KINDS if is_kind(mode)), None)


def check_file(file: Path, kind: str = "an image") -> None:
    """Check that a path is a file that can be opened without waiting.

    Args:
        file: the path, without the number of a frame.
        kind: what it is read as, for the message.

    Raises:
        DataError: if it is missing, a link that leads nowhere, a folder, a named pipe, a socket or a device.
    """
    fault = file_fault(file)
    if fault == "it does not exist":
        raise DataError(f"there is no image {file}")
    if fault is not None:
        raise DataError(f"{file} cannot be read as {kind} ({fault}): check that it is a file that you may read")


def file_format(file: Path) -> str | None:
    """Return PNG, JPEG, BMP, TIFF or DICOM by the first bytes of a file; None for others and files that do not open."""
    start = _first_bytes(file)
    if start[_PREAMBLE_BYTES:] == _DICOM_MAGIC:
        return DICOM
    if start[:2] == b"BM" and int.from_bytes(start[14:18], "little") in _BMP_HEADER_BYTES:
        return "BMP"
    return next((name for name, signatures in _SIGNATURES.items() if start.startswith(signatures)), None)


def is_dicom_file(file: Path) -> bool:
    """Return whether a file is DICOM: by its first bytes, or by its suffix if they are of no other image format."""
    found = file_format(file)
    return found == DICOM or (found is None and file.suffix.lower() in DICOM_SUFFIXES)


def is_video_file(file: Path) -> bool:
    """Return whether a file is a video: MP4 or AVI by its first bytes, or by its suffix if these are of no format."""
    if video_format(file) is not None:
        return True
    return file.suffix.lower() in VIDEO_SUFFIXES and file_format(file) is None and unsupported_format(file) is None


def video_format(file: Path) -> str | None:
    """Return MP4 or AVI by the first bytes of a file, or None."""
    start = _first_bytes(file)
    found = _at(start, _VIDEO_SIGNATURES_AT)
    return None if found == "MP4" and start[8:].startswith(_NO_VIDEOS) else found


def unsupported_format(file: Path) -> str | None:
    """Return the format of a file that is not a supported image, by its first bytes, or None if unknown."""
    start = _first_bytes(file)
    for name, signatures in _OTHER_SIGNATURES.items():
        if start.startswith(signatures):
            return name
    return _at(start, _SIGNATURES_AT | _VIDEO_SIGNATURES_AT)


def _at(start: bytes, signatures: Mapping[str, tuple[int, bytes]]) -> str | None:
    placed = ((name, start[at : at + len(magic)] == magic) for name, (at, magic) in signatures.items())
    return next((name for name, is_there in placed if is_there), None)


def check_pixels(path: Path | str, width: int, height: int, frames: int = 1) -> None:
    """Check the size that a header declares, before anything is decoded.

    Args:
        path: the image, for the message.
        width: pixels per row of one frame.
        height: rows of one frame.
        frames: number of frames in the file.

    Raises:
        DataError: if one frame has more than ``MAX_PIXELS``, or all together have more than
            ``MAX_PIXELS_OF_ALL_FRAMES``.
    """
    if width * height > MAX_PIXELS:
        raise DataError(
            f"{path} declares {width}x{height} = {width * height} pixels; the limit is {MAX_PIXELS}: downscale it"
        )
    if frames * width * height > MAX_PIXELS_OF_ALL_FRAMES:
        raise DataError(
            f"{path} declares {frames} frames of {width}x{height} = {frames * width * height} pixels; the limit is "
            f"{MAX_PIXELS_OF_ALL_FRAMES} for all frames: divide it into shorter files"
        )


def _first_bytes(file: Path) -> bytes:
    if file_fault(file) is not None:
        return b""
    try:
        with file.open("rb") as stream:
            return stream.read(_START_BYTES)
    except OSError:
        return b""
