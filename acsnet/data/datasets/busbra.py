"""BUS-BRA (Gomez-Flores et al. 2024, Medical Physics 51, 3110), as published at Zenodo, record 8231412.

``<root>/bus_data.csv`` with a line an image (columns ``ID``, ``Case``, ``Pathology`` and others), ``<root>/Images/
bus_0001-l.png`` and ``<root>/Masks/mask_0001-l.png``. ``Case`` is the patient: several images of one patient are the
rule. Classes are benign and malignant; no spacings are published.

Layout, columns and the archive's SHA-256 were verified on what several public projects that read the set say of it, and
the reader on a fixture in this layout: the images themselves could not be had.
"""

from collections.abc import Sequence
from pathlib import Path

from acsnet.data.csv_io import read_table
from acsnet.data.datasets.entry import DatasetEntry, RemoteFile, register_dataset
from acsnet.data.datasets.record_collector import Gathering, check_root
from acsnet.data.image_files import image_files
from acsnet.data.records import Record

NAME = "busbra"
TITLE = "BUS-BRA"
CLASSES = ("benign", "malignant")
TABLE = "bus_data.csv"


def scan_busbra(root: Path, classes: Sequence[str] = CLASSES) -> tuple[list[Record], list[str]]:
    """Read the records of some classes, in the table's order, and what is wrong with the set.

    Raises:
        DataError: for a root in another layout, or without images of the classes.
    """
    check_root(root, NAME, TITLE, (TABLE, "Images/", "Masks/"))
    gathering = Gathering(root, NAME, classes, CLASSES)
    for line in read_table(root / TABLE, ("ID", "Case", "Pathology")):
        name = line.cells["ID"]
        masks = [root / "Masks" / f"mask_{name.removeprefix('bus_')}.png"]
        gathering.add(line, "Pathology", root / "Images" / f"{name}.png", masks, line.cells["Case"])
    return gathering.finish(image_files(root / "Images"), root / TABLE)


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
