"""BUS-BRA (Gomez-Flores et al. 2024, Medical Physics 51, 3110), as published at Zenodo, record 8231412.

Layout: ``<root>/bus_data.csv`` with one row per image (columns ``ID``, ``Case``, ``Pathology`` and others),
``<root>/Images/bus_0001-l.png`` and ``<root>/Masks/mask_0001-l.png``. ``Case`` is the patient; most patients have
several images. Classes are benign and malignant; spacings are not published.

Layout, columns and the SHA-256 of the archive were verified on the code and records of several public projects that
read the dataset, and the reader on a fixture in this layout. The images themselves were not available.
"""

from collections.abc import Sequence
from pathlib import Path

from acsnet._utils.csv_io import read_table
from acsnet.data.datasets.entry import DatasetEntry, RemoteFile, register_dataset
from acsnet.data.datasets.record_collector import RecordCollector, check_root
from acsnet.data.image_files import image_files
from acsnet.data.records import Record
from acsnet.labels import BENIGN, MALIGNANT

NAME = "busbra"
TITLE = "BUS-BRA"
CLASSES = (BENIGN, MALIGNANT)
TABLE = "bus_data.csv"


def scan_busbra(root: Path, classes: Sequence[str] = CLASSES) -> tuple[list[Record], list[str]]:
    """Read the records of some classes, in the order of the table, and the problems of the dataset.

    Raises:
        DataError: If the root has another layout or no images of the classes.
    """
    check_root(root, NAME, TITLE, (TABLE, "Images/", "Masks/"))
    collector = RecordCollector(root, NAME, classes, CLASSES)
    for row in read_table(root / TABLE, ("ID", "Case", "Pathology")):
        name = row.cells["ID"]
        masks = [root / "Masks" / f"mask_{name.removeprefix('bus_')}.png"]
        collector.add_row(row, "Pathology", root / "Images" / f"{name}.png", masks, row.cells["Case"])
    return collector.finish(image_files(root / "Images"), root / TABLE)


register_dataset(
    DatasetEntry(
        name=NAME,
        title=TITLE,
        publication="Gomez-Flores, Gregorio-Calas, Coelho de Albuquerque Pereira 2024, Medical Physics 51, 3110-3123",
        license="CC BY 4.0: name the authors and cite the publication",
        page="https://zenodo.org/records/8231412",
        scan=scan_busbra,
        classes=CLASSES,
        files=(
            RemoteFile(
                "BUSBRA.zip",
                "https://zenodo.org/records/8231412/files/BUSBRA.zip",
                sha256="ba3e6ed19cc37c682d8d39e25435bbf8a555a12cb7e641b5f2117685c95580ff",
                pinned_by="the same value in the public records of several independent projects",
            ),
        ),
    )
)
