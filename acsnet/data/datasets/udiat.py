"""UDIAT, also called Dataset B (Yap et al. 2018, IEEE Journal of Biomedical and Health Informatics 22, 1218).

Layout: ``<root>/DatasetB.xlsx`` with one row per image (columns ``Image``, its number, and ``Type``, Benign or
Malignant), ``<root>/original/000001.png`` and ``<root>/GT/000001.png``. Patients and spacings are not published.
Reading the workbook needs the extra ``data`` (openpyxl).

Layout and columns were verified on the code of several public projects that read the dataset, and the reader on a
fixture in this layout. The images, which are provided on request only, were not available.
"""

from collections.abc import Sequence
from pathlib import Path

from acsnet._utils.csv_io import read_table
from acsnet.data.datasets.entry import DatasetEntry, register_dataset
from acsnet.data.datasets.record_collector import RecordCollector, check_root
from acsnet.data.image_files import image_files
from acsnet.data.records import Record
from acsnet.labels import BENIGN, MALIGNANT

NAME = "udiat"
TITLE = "UDIAT (Dataset B)"
CLASSES = (BENIGN, MALIGNANT)
TABLE = "DatasetB.xlsx"
_DIGITS_OF_NAME = 6


def scan_udiat(root: Path, classes: Sequence[str] = CLASSES) -> tuple[list[Record], list[str]]:
    """Read the records of some classes, in the order of the workbook, and the problems of the dataset.

    Raises:
        DataError: If the root has another layout or no images of the classes, or openpyxl is not installed.
    """
    check_root(root, NAME, TITLE, (TABLE, "original/", "GT/"))
    collector = RecordCollector(root, NAME, classes, CLASSES)
    for row in read_table(root / TABLE, ("Image", "Type")):
        # A workbook may store 000001 as the number 1.
        name = f"{row.cells['Image'].removesuffix('.png').zfill(_DIGITS_OF_NAME)}.png"
        collector.add_row(row, "Type", root / "original" / name, [root / "GT" / name])
    return collector.finish(image_files(root / "original"), root / TABLE)


register_dataset(
    DatasetEntry(
        name=NAME,
        title=TITLE,
        publication="Yap et al. 2018, IEEE Journal of Biomedical and Health Informatics 22, 1218-1226",
        license="for research, by agreement with the authors; redistribution is not allowed",
        page="http://www2.docm.mmu.ac.uk/STAFF/M.Yap/dataset.php",
        scan=scan_udiat,
        classes=CLASSES,
        how_to_ask=(
            "it has no public address. Ask Moi Hoon Yap (Manchester Metropolitan University) with the form on its "
            "page, then unpack it so that DatasetB.xlsx, original/ and GT/ are in one folder"
        ),
    )
)
