"""UDIAT, also called Dataset B (Yap et al. 2018, IEEE Journal of Biomedical and Health Informatics 22, 1218).

``<root>/DatasetB.xlsx`` with a line an image (columns ``Image``, its number, and ``Type``, Benign or Malignant),
``<root>/original/000001.png`` and ``<root>/GT/000001.png``. No patients and no spacings are published. Reading the
workbook needs the extra ``data`` (openpyxl).

Layout and columns were verified on what several public projects that read the set say of it, and the reader on a
fixture in this layout: the images, given on request only, could not be had.
"""

from collections.abc import Sequence
from pathlib import Path

from acsnet.data.csv_io import read_table
from acsnet.data.datasets.entry import DatasetEntry, register_dataset
from acsnet.data.datasets.record_collector import Gathering, check_root
from acsnet.data.image_files import image_files
from acsnet.data.records import Record

NAME = "udiat"
TITLE = "UDIAT (Dataset B)"
CLASSES = ("benign", "malignant")
TABLE = "DatasetB.xlsx"
_DIGITS = 6


def scan_udiat(root: Path, classes: Sequence[str] = CLASSES) -> tuple[list[Record], list[str]]:
    """Read the records of some classes, in the workbook's order, and what is wrong with the set.

    Raises:
        DataError: for a root in another layout, or without images of the classes, and where openpyxl is missing.
    """
    check_root(root, NAME, TITLE, (TABLE, "original/", "GT/"))
    gathering = Gathering(root, NAME, classes, CLASSES)
    for line in read_table(root / TABLE, ("Image", "Type")):
        # A workbook may keep 000001 as the number 1.
        name = f"{line.cells['Image'].removesuffix('.png').zfill(_DIGITS)}.png"
        gathering.add(line, "Type", root / "original" / name, [root / "GT" / name])
    return gathering.finish(image_files(root / "original"), root / TABLE)


register_dataset(
    DatasetEntry(
        name=NAME,
        title=TITLE,
        publication="Yap et al. 2018, IEEE Journal of Biomedical and Health Informatics 22, 1218-1226",
        license="for research, by an agreement with the authors; it must not be passed on",
        page="http://www2.docm.mmu.ac.uk/STAFF/M.Yap/dataset.php",
        scan=scan_udiat,
        classes=CLASSES,
        how_to_ask=(
            "it has no public address: ask Moi Hoon Yap (Manchester Metropolitan University) by the form on that page, "
            "then unpack it so that DatasetB.xlsx, original/ and GT/ lie in one folder"
        ),
    )
)
