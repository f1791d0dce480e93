"""BrEaST (Pawlowska et al. 2024, Scientific Data, s41597-024-02984-z), as published at TCIA under BrEaST-Lesions-USG.

Below ``<root>``: the workbook ``BrEaST-Lesions-USG-clinical-data-*.xlsx`` with a line a case (columns ``CaseID``,
``Image_filename``, ``Mask_tumor_filename``, ``Pixel_size``, ``Classification`` and others) and the images
``case001.png`` with ``case001_tumor.png``, in the folder of the unpacked archive or beside the workbook. Several files
in one cell are joined by "&". Classes are benign, malignant and normal; each case is another patient. Reading the
workbook needs the extra ``data`` (openpyxl).

The masks of a record are those of the tumour. ``case001_other1.png`` marks other findings, which ``Classification``
does not speak of: they are not read.

Pixel sizes: the unit of ``Pixel_size`` could not be looked up. A pixel of such scans measures 0.02 to 0.2 mm (a few
centimeters of depth over some hundred rows), so that the column's median tells millimeters from centimeters; where it
is neither, spacings are left unknown.

Layout, columns and the workbook's SHA-256 were verified on what several public projects that read the set say of it,
and the reader on a fixture in this layout: the images themselves could not be had.
"""

import logging
import re
import statistics
from collections.abc import Sequence
from pathlib import Path

from acsnet.data.csv_io import Line, read_table
from acsnet.data.datasets.entry import DatasetEntry, RemoteFile, register_dataset
from acsnet.data.datasets.record_collector import Gathering, check_root
from acsnet.data.image_files import natural_order
from acsnet.data.records import Record, Spacing
from acsnet.labels import CLASS_NAMES

logger = logging.getLogger(__name__)

NAME = "breast"
TITLE = "BrEaST"
WORKBOOK = "BrEaST-Lesions-USG-clinical-data*.xlsx"
_COLUMNS = ("CaseID", "Image_filename", "Mask_tumor_filename", "Pixel_size", "Classification")
_IMAGE = re.compile(r"case\d+\.png")
# Millimeters a pixel; the same in centimeters (0.002 to 0.02) does not overlap.
_PLAUSIBLE = (0.02, 0.2)
_MILLIMETER, _CENTIMETER = 1.0, 10.0


def scan_breast(root: Path, classes: Sequence[str] = CLASS_NAMES) -> tuple[list[Record], list[str]]:
    """Read the records of some classes, in the workbook's order, and what is wrong with the set.

    Raises:
        DataError: for a root in another layout, or without images of the classes, and where openpyxl is missing.
    """
    check_root(root, NAME, TITLE, (WORKBOOK,))
    workbook = sorted(root.glob(WORKBOOK))[0]
    lines = read_table(workbook, _COLUMNS)
    files = {path.name: path for path in root.rglob("*.png") if path.name[0] != "."}
    sizes = _pixel_sizes(lines)
    gathering = Gathering(root, NAME, classes, CLASS_NAMES)
    for line, size in zip(lines, sizes, strict=True):
        names = [name.strip() for name in line.cells["Mask_tumor_filename"].split("&") if name.strip()]
        masks = [files.get(name, root / name) for name in names]
        if not masks and line.cells["Classification"].lower() in set(classes) - {"normal"}:
            gathering.problems.append(f"{line.where}: Mask_tumor_filename is empty, which only a normal case may have")
        image = line.cells["Image_filename"]
        gathering.add(line, "Classification", files.get(image, root / image), masks, line.cells["CaseID"], size)
    images = [files[name] for name in sorted(files, key=natural_order) if _IMAGE.fullmatch(name)]
    return gathering.finish(images, workbook)


def _pixel_sizes(lines: Sequence[Line]) -> list[Spacing | None]:
    values = [_number(line.cells["Pixel_size"]) for line in lines]
    known = [value for value in values if value is not None]
    factor = _millimeters(statistics.median(known)) if known else None
    if known and factor is None:
        logger.warning("spacings of %s are left out: %g is neither millimeters nor centimeters", TITLE, known[0])
    return [None if value is None or factor is None else (value * factor, value * factor) for value in values]


def _number(text: str) -> float | None:
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        return None
    return value if value > 0 else None


def _millimeters(median: float) -> float | None:
    low, high = _PLAUSIBLE
    return next((unit for unit in (_MILLIMETER, _CENTIMETER) if low <= median * unit <= high), None)


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
