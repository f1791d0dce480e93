"""The spacing of images that are predicted: given, from a table, or from the header of a DICOM file."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from acsnet._utils.csv_io import read_table
from acsnet.data.file_names import find_file
from acsnet.data.frame_paths import file_of
from acsnet.data.image_files import file_identity, problem_list
from acsnet.data.records import NAME_COLUMNS
from acsnet.data.spacing import Spacing, declared_spacing, parse_spacing
from acsnet.errors import DataError, InputError

logger = logging.getLogger(__name__)

#: Spacing by the identity of a file, or of one of its frames; None where a table leaves it empty.
SpacingTable = Mapping[tuple[object, ...], Spacing | None]


def read_spacing_table(path: Path) -> SpacingTable:
    r"""Read the spacing of images from a CSV file with the columns ``image`` and ``spacing``.

    Paths are relative to the folder of the table, and may end in a frame ("cine.dcm#3"). The spacing is in millimeters
    per pixel, one number or "vertical;horizontal", or empty if it is unknown. Further columns are ignored, so that
    record tables are such tables.

    Raises:
        DataError: if the table is missing or has other columns, an image has no name or two spacings, or a spacing is
            not one or two numbers above 0; all such lines are listed.

    Example:
        >>> from acsnet.inference.image_spacing import read_spacing_table
        >>> table = Path("spacing.csv")
        >>> _ = table.write_text("image,spacing\na.png,0.08\nb.png,0.08;0.07\n")
        >>> list(read_spacing_table(table).values())
        [(0.08, 0.08), (0.08, 0.07)]
    """
    found: dict[tuple[object, ...], Spacing | None] = {}
    problems = []
    for place, cells in read_table(path, ("image", "spacing"), names=NAME_COLUMNS):
        try:
            spacing = parse_spacing(cells["spacing"]) if cells["spacing"] else None
        except InputError as error:
            problems.append(f"{place}: {error}")
            continue
        if not cells["image"]:
            problems.append(f"{place}: it names no image")
            continue
        image = find_file(path.parent / cells["image"])
        if found.setdefault(file_identity(image), spacing) != spacing:
            problems.append(f"{place}: {cells['image']} has another spacing on an earlier line")
    if problems:
        raise DataError(problem_list(f"{path} cannot be used", problems))
    return found


def find_spacings(
    images: Sequence[Path], spacing: Spacing | None = None, table: SpacingTable | None = None
) -> list[Spacing | None]:
    """Return the spacing of each image: that of the table, or the given one, or that of the header.

    A header that declares another spacing than the one that is used is logged, and so is how many images the table does
    not have.

    Args:
        images: images; "cine.dcm#3" is a frame, whose spacing in a table is that of the frame or of the file.
        spacing: millimeters per pixel, (vertical, horizontal), for images that the table does not have.
        table: the result of :func:`read_spacing_table`.

    Raises:
        DataError: if the table has none of the images.
    """
    rows = table or {}
    listed = [rows.get(file_identity(image)) or rows.get(file_identity(file_of(image))) for image in images]
    missing = sum(found is None for found in listed)
    if table is not None and missing:
        _report_missing(images, missing, [image for image, found in zip(images, listed, strict=True) if found is None])
    headers: dict[Path, Spacing | None] = {}
    result = []
    for image, found in zip(images, listed, strict=True):
        file = file_of(image)
        if file not in headers:
            headers[file] = declared_spacing(file)
            _log_difference(file, headers[file], found or spacing)
        result.append(found or spacing or headers[file])
    return result


def _report_missing(images: Sequence[Path], missing: int, without: Sequence[Path]) -> None:
    if missing == len(images):
        raise DataError(
            f"the table of spacings has none of the {missing} images, such as {images[0]}: its paths are relative to "
            "its folder"
        )
    logger.warning("the table of spacings does not have %d of %d images, such as %s", missing, len(images), without[0])


def _log_difference(file: Path, declared: Spacing | None, used: Spacing | None) -> None:
    if declared is not None and used is not None and declared != used:
        logger.warning(
            "%s declares %g x %g mm per pixel (vertical x horizontal); the given %g x %g is used",
            file,
            *declared,
            *used,
        )
