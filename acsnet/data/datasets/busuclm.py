"""BUS-UCLM (Vallez et al. 2025, Scientific Data, s41597-025-04562-3), as published at Mendeley Data, 7fvgj4jsp7, v3.

``<root>/INFO.csv``, cells parted by ";", with a line an image (columns ``Image``, ``Label`` and others),
``<root>/images/ALWI_000.png`` and ``<root>/masks/ALWI_000.png``. The first part of a name is the patient. Masks are
RGB: green is benign, red malignant, black neither; the class is taken from ``Label``, and any color counts as lesion.
No spacings are published.

Some images are cropped against their masks, in a way that is not published: lesion and mask cannot be brought together.
They are left out, and counted.

Layout and columns were verified on what several public projects that read the set say of it, and the reader on a
fixture in this layout: the images themselves could not be had.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

from acsnet.data.csv_io import read_table
from acsnet.data.datasets.entry import DatasetEntry, RemoteFile, register_dataset
from acsnet.data.datasets.record_collector import Gathering, check_root
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
    """Read the records of some classes, in the table's order, and what is wrong with the set.

    Raises:
        DataError: for a root in another layout, or without images of the classes.
    """
    check_root(root, NAME, TITLE, (TABLE, "images/", "masks/"))
    gathering = Gathering(root, NAME, classes, CLASS_NAMES)
    for line in read_table(root / TABLE, ("Image", "Label"), delimiter=";"):
        name = f"{line.cells['Image'].removesuffix('.png')}.png"
        patient = name.partition("_")[0]
        gathering.add(line, "Label", root / "images" / name, [root / "masks" / name], patient)
    records, problems = gathering.finish(image_files(root / "images"), root / TABLE)
    return _without_cropped(records), problems


def _without_cropped(records: Sequence[Record]) -> list[Record]:
    kept = [record for record in records if _fits(record)]
    cropped = sorted(record.image.name for record in set(records) - set(kept))
    if cropped:
        logger.warning(
            "%d images of %s are left out, cropped against their masks: %s", len(cropped), TITLE, ", ".join(cropped)
        )
    return kept


def _fits(record: Record) -> bool:
    try:
        return all(image_size(mask) == image_size(record.image) for mask in record.masks)
    except DataError:
        # What cannot be read is told by the verification, with all else.
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
