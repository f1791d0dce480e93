"""BUS-UCLM (Vallez et al. 2025, Scientific Data, s41597-025-04562-3), as published at Mendeley Data, 7fvgj4jsp7, v3.

Layout: ``<root>/INFO.csv``, separated by ";", with one row per image (columns ``Image``, ``Label`` and others),
``<root>/images/ALWI_000.png`` and ``<root>/masks/ALWI_000.png``. The first part of a name is the patient. Masks are
RGB: green is benign, red malignant, black background. The class is taken from ``Label``, and any color is foreground.
Spacings are not published.

Some images are cropped relative to their masks by an unpublished offset, so that they cannot be aligned. These images
are skipped and logged.

Layout and columns were verified on the code of several public projects that read the dataset, and the reader on a
fixture in this layout. The images themselves were not available.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

from acsnet._utils.csv_io import read_table
from acsnet.data.datasets.entry import DatasetEntry, RemoteFile, register_dataset
from acsnet.data.datasets.record_collector import RecordCollector, check_root
from acsnet.data.image_files import image_files
from acsnet.data.images import image_size
from acsnet.data.records import Record
from acsnet.errors import DataError
from acsnet.labels import CLASS_NAMES

logger = logging.getLogger(__name__)

NAME = "busuclm"
TITLE = "BUS-UCLM"
TABLE = "INFO.csv"


def scan_busuclm(root: Path, classes: Sequence[str] = CLASS_NAMES) -> tuple[list[Record], list[str]]:
    """Read the records of some classes, in the order of the table, and the problems of the dataset.

    Raises:
        DataError: If the root has another layout or no images of the classes.
    """
    check_root(root, NAME, TITLE, (TABLE, "images/", "masks/"))
    collector = RecordCollector(root, NAME, classes, CLASS_NAMES)
    for row in read_table(root / TABLE, ("Image", "Label"), delimiter=";"):
        name = f"{row.cells['Image'].removesuffix('.png')}.png"
        patient = name.partition("_")[0]
        collector.add_row(row, "Label", root / "images" / name, [root / "masks" / name], patient)
    records, problems = collector.finish(image_files(root / "images"), root / TABLE)
    return _skip_cropped(records), problems


def _skip_cropped(records: Sequence[Record]) -> list[Record]:
    matching = [record for record in records if _sizes_match(record)]
    cropped = sorted(record.image.name for record in set(records) - set(matching))
    if cropped:
        logger.warning(
            "skipped %d images of %s that differ in size from their masks: %s", len(cropped), TITLE, ", ".join(cropped)
        )
    return matching


def _sizes_match(record: Record) -> bool:
    try:
        return all(image_size(mask) == image_size(record.image) for mask in record.masks)
    except DataError:
        # Unreadable files are reported by the verification, together with all other problems.
        return True


register_dataset(
    DatasetEntry(
        name=NAME,
        title=TITLE,
        publication="Vallez et al. 2025, Scientific Data, 10.1038/s41597-025-04562-3; data 10.17632/7fvgj4jsp7.3",
        license="CC BY 4.0 (version 3): name the authors and cite the publication",
        page="https://data.mendeley.com/datasets/7fvgj4jsp7/3",
        scan=scan_busuclm,
        classes=CLASS_NAMES,
        files=(RemoteFile("BUS-UCLM.zip", "https://data.mendeley.com/public-api/zip/7fvgj4jsp7/download/3"),),
    )
)
