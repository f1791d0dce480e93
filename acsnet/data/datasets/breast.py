"""BrEaST (Pawlowska et al. 2024, Scientific Data, s41597-024-02984-z), as published at TCIA under BrEaST-Lesions-USG.

Layout of ``<root>``: the workbook ``BrEaST-Lesions-USG-clinical-data-*.xlsx`` with one row per case (columns
``CaseID``, ``Image_filename``, ``Mask_tumor_filename``, ``Pixel_size``, ``Classification`` and others), and the images
``case001.png`` with ``case001_tumor.png``, in the folder of the unpacked archive or next to the workbook. Several files
in one cell are joined by "&". Classes are benign, malignant and normal; each case is another patient. Reading the
workbook needs the extra ``data`` (openpyxl).

The masks of a record are those of the tumor. Masks of other findings, ``case001_other1.png``, are not read, since
``Classification`` does not describe them.

Spacing: the documentation of the unit of ``Pixel_size`` was not available. The spacing of such scans is 0.02 to 0.2 mm
per pixel (a few centimeters of depth over some hundred rows), so the median of the column shows whether it is in
millimeters or centimeters. If it fits neither, spacings are unknown.

Layout, columns and the SHA-256 of the workbook were verified on the code and records of several public projects that
read the dataset, and the reader on a fixture in this layout. The images themselves were not available.
"""

import logging
import re
import statistics
from collections.abc import Sequence
from pathlib import Path

from acsnet._utils.csv_io import TableRow, read_table
from acsnet._utils.listing import list_images
from acsnet.data.datasets.entry import DatasetEntry, RemoteFile, register_dataset
from acsnet.data.datasets.record_collector import RecordCollector, check_root
from acsnet.data.image_files import natural_order
from acsnet.data.records import Record
from acsnet.data.spacing import Spacing
from acsnet.labels import CLASS_NAMES, NORMAL

logger = logging.getLogger(__name__)

NAME = "breast"
TITLE = "BrEaST"
WORKBOOK = "BrEaST-Lesions-USG-clinical-data*.xlsx"
_COLUMNS = ("CaseID", "Image_filename", "Mask_tumor_filename", "Pixel_size", "Classification")
_IMAGE = re.compile(r"case\d+\.png")
# Plausible spacing in millimeters per pixel; the same range in centimeters (0.002 to 0.02) does not overlap.
_MIN_SPACING_MILLIMETERS = 0.02
_MAX_SPACING_MILLIMETERS = 0.2
_MILLIMETERS_PER_CENTIMETER = 10.0


def scan_breast(root: Path, classes: Sequence[str] = CLASS_NAMES) -> tuple[list[Record], list[str]]:
    """Read the records of some classes, in the order of the workbook, and the problems of the dataset.

    Raises:
        DataError: If the root has another layout or no images of the classes, or openpyxl is not installed.
    """
    check_root(root, NAME, TITLE, (WORKBOOK,))
    workbook = sorted(root.glob(WORKBOOK))[0]
    rows = read_table(workbook, _COLUMNS)
    found = [path for path in list_images(root, recursive=True).images if path.suffix == ".png"]
    files = {path.name: path for path in found}
    spacings = _spacings(rows)
    collector = RecordCollector(root, NAME, classes, CLASS_NAMES)
    collector.problems += [f"{path} has the name of {files[path.name]}" for path in found if files[path.name] != path]
    for row, spacing in zip(rows, spacings, strict=True):
        names = [name.strip() for name in row.cells["Mask_tumor_filename"].split("&") if name.strip()]
        masks = [files.get(name, root / name) for name in names]
        if not masks and row.cells["Classification"].lower() in set(classes) - {NORMAL}:
            collector.problems.append(f"{row.place}: Mask_tumor_filename is empty, but only normal cases have no mask")
        image = row.cells["Image_filename"]
        collector.add_row(row, "Classification", files.get(image, root / image), masks, row.cells["CaseID"], spacing)
    images = [files[name] for name in sorted(files, key=natural_order) if _IMAGE.fullmatch(name)]
    return collector.finish(images, workbook)


def _spacings(rows: Sequence[TableRow]) -> list[Spacing | None]:
    values = [_positive_number(row.cells["Pixel_size"]) for row in rows]
    known = [value for value in values if value is not None]
    factor = _millimeters_per_unit(statistics.median(known)) if known else None
    if known and factor is None:
        logger.warning("spacings of %s are ignored: %g is neither in millimeters nor in centimeters", TITLE, known[0])
    return [None if value is None or factor is None else (value * factor, value * factor) for value in values]


def _positive_number(text: str) -> float | None:
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        return None
    return value if value > 0 else None


def _millimeters_per_unit(median: float) -> float | None:
    for factor in (1.0, _MILLIMETERS_PER_CENTIMETER):
        if _MIN_SPACING_MILLIMETERS <= median * factor <= _MAX_SPACING_MILLIMETERS:
            return factor
    return None


register_dataset(
    DatasetEntry(
        name=NAME,
        title=TITLE,
        publication="Pawlowska et al. 2024, Scientific Data, 10.1038/s41597-024-02984-z; data 10.7937/9WKK-Q141",
        license="CC BY 4.0: name the authors and cite the publication and the data",
        page="https://www.cancerimagingarchive.net/collection/breast-lesions-usg/",
        scan=scan_breast,
        classes=CLASS_NAMES,
        files=(
            RemoteFile(
                "BrEaST-Lesions-USG-clinical-data-Dec-15-2023.xlsx",
                "https://www.cancerimagingarchive.net/wp-content/uploads/BrEaST-Lesions-USG-clinical-data-Dec-15-2023.xlsx",
                sha256="89a8874496a6f1f93960390b963f7369b90f7e72ee08a738f2d17e37f5eff8bf",
                pinned_by="the same value in the public records of two independent projects",
            ),
            RemoteFile(
                "BrEaST-Lesions_USG-images_and_masks-Dec-15-2023.zip",
                "https://www.cancerimagingarchive.net/wp-content/uploads/BrEaST-Lesions_USG-images_and_masks-Dec-15-2023.zip",
            ),
        ),
    )
)
