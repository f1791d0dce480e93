"""Checks of what the header of a DICOM file declares, before its pixels are decoded."""

import zlib
from pathlib import Path
from typing import Any

from acsnet._utils.file_kinds import MAX_PIXELS, check_pixels
from acsnet.errors import DataError

# A frame of a compressed file has at least the header of its item.
_ITEM_BYTES = 8
# Three channels of 16 bits.
_MAX_INFLATED_BYTES = 6 * MAX_PIXELS
_CHUNK_BYTES = 1 << 20
# Packages that decode a compression, by a part of its name in PS3.6.
_PACKAGES = (
    ("JPEG 2000", "pylibjpeg pylibjpeg-openjpeg"),
    ("RLE", "pylibjpeg pylibjpeg-rle"),
    ("JPEG", "pylibjpeg pylibjpeg-libjpeg"),
)


def check_declared_size(file: Path, header: Any, frames: int) -> None:
    """Check the number of pixels against the limit and against the size of the file.

    Args:
        file: the file.
        header: its dataset, without pixels.
        frames: number of images that the header declares.

    Raises:
        DataError: if the header declares more pixels than are read, or more than the file can hold.
    """
    rows, columns = int(header.Rows), int(header.Columns)
    check_pixels(file, columns, rows, frames)
    size, syntax = file.stat().st_size, header.file_meta.get("TransferSyntaxUID")
    if syntax is None or syntax.is_deflated:
        return
    bits = rows * columns * int(header.get("SamplesPerPixel", 1)) * int(header.get("BitsAllocated", 8))
    # YBR_FULL_422 stores two of three values.
    if header.PhotometricInterpretation == "YBR_FULL_422":
        bits = bits * 2 // 3
    needed = frames * (_ITEM_BYTES if syntax.is_compressed else bits // 8)
    if needed > size and _has_pixels(file):
        shape = f"{columns}x{rows} pixels" if frames == 1 else f"{frames} frames of {columns}x{rows} pixels"
        raise DataError(
            f"{file} cannot be read as a DICOM image (it declares {shape}, which take {needed} bytes or more, but has "
            f"{size}): copy it again from its source"
        )


def _has_pixels(file: Path) -> bool:
    import pydicom

    return "PixelData" in pydicom.dcmread(file)


def check_deflated(file: Path) -> None:
    """Check how large a deflated file gets, since pydicom inflates it as a whole.

    Raises:
        DataError: if it gets larger than the largest image.
    """
    from pydicom.filereader import read_file_meta_info

    meta = read_file_meta_info(file)
    syntax = meta.get("TransferSyntaxUID")
    if syntax is None or not syntax.is_deflated:
        return
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    inflated = 0
    with file.open("rb") as stream:
        # Preamble and magic, then the group length element of 12 bytes, which counts the rest of the file's meta data.
        stream.seek(144 + int(meta.FileMetaInformationGroupLength))
        while chunk := inflater.unconsumed_tail or stream.read(_CHUNK_BYTES):
            inflated += len(inflater.decompress(chunk, _CHUNK_BYTES))
            if inflated > _MAX_INFLATED_BYTES:
                raise DataError(
                    f"{file} inflates to more than {_MAX_INFLATED_BYTES} bytes, the size of {MAX_PIXELS} pixels, which "
                    "is the limit: save it without compression"
                )
            if inflater.eof:
                return


def check_compression(file: Path, header: Any) -> None:
    """Check that an installed package decodes the compression of a file.

    Raises:
        DataError: if none does; the message names the packages to install.
    """
    from pydicom.pixels import get_decoder

    syntax = header.file_meta.get("TransferSyntaxUID")
    if syntax is None or not syntax.is_compressed or syntax.is_deflated:
        return
    try:
        is_available = get_decoder(syntax).is_available
    except NotImplementedError:
        raise DataError(
            f"{file} cannot be read as a DICOM image (it is compressed as {syntax.name}): save it without compression"
        ) from None
    if is_available:
        return
    packages = next((packages for part, packages in _PACKAGES if part in syntax.name), "pylibjpeg")
    raise DataError(
        f"{file} cannot be read as a DICOM image (it is compressed as {syntax.name}): pip install {packages}, or save "
        "it without compression"
    )
