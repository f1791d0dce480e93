import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from acsnet.data import Record, read_dataset, verify_records
from acsnet.data.datasets.busbra import scan_busbra
from acsnet.errors import DataError

WriteImage = Callable[..., Path]
HEADER = "ID,Case,Histology,Pathology,BIRADS,Device,Width,Height,Side,BBOX"
# Two views of one patient, and one of another.
LINES = [
    'bus_0001-l,1,Fibroadenoma,benign,3,"GE Logiq 5",24,20,left,"[1,2,3,4]"',
    "bus_0001-r,1,Cyst,benign,2,GE Logiq 5,24,20,right,x",
    "bus_0002-s,2,IDC,malignant,5,GE Logiq 5,24,20,right,x",
]


def write_table(root: Path, *lines: str) -> None:
    (root / "bus_data.csv").write_text("".join(f"{line}\n" for line in (HEADER, *lines)), encoding="utf-8")


@pytest.fixture
def root(tmp_path: Path, write_image: WriteImage) -> Path:
    root = tmp_path / "BUSBRA"
    for name in ("0001-l", "0001-r", "0002-s"):
        write_image(root / "Images" / f"bus_{name}.png")
        write_image(root / "Masks" / f"mask_{name}.png", color=(255, 255, 255))
    write_table(root, *LINES)
    return root


def test_records(root: Path) -> None:
    records = read_dataset("busbra", root)
    assert records[0] == Record(
        root / "Images" / "bus_0001-l.png",
        (root / "Masks" / "mask_0001-l.png",),
        "benign",
        name="Images/bus_0001-l.png",
        dataset="busbra",
        patient="1",
    )
    assert [(r.image.name, r.label, r.patient) for r in records[1:]] == [
        ("bus_0001-r.png", "benign", "1"),
        ("bus_0002-s.png", "malignant", "2"),
    ]


def test_images_of_one_patient_are_one_group(root: Path) -> None:
    groups = [record.group for record in verify_records(read_dataset("busbra", root), progress=False)]
    assert groups[0] == groups[1] != groups[2]


def test_other_classes_are_skipped_and_logged(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    (root / "Masks" / "mask_0001-l.png").unlink()
    with caplog.at_level(logging.INFO, "acsnet"):
        assert [record.label for record in read_dataset("busbra", root, ["malignant", "normal"])] == ["malignant"]
    assert caplog.messages == [f"skipped in {root}, not among the requested classes: {{'benign': 2}}"]


def test_no_image_of_the_classes(root: Path) -> None:
    with pytest.raises(DataError, match=r"BUSBRA has no images of the classes normal: it has 2 benign, 1 malignant$"):
        read_dataset("busbra", root, ["normal"])
    write_table(root)
    for path in (root / "Images").iterdir():
        path.unlink()
    with pytest.raises(DataError, match=r"BUSBRA has no images of the classes benign, malignant: it has nothing$"):
        read_dataset("busbra", root)


def test_all_problems_are_listed_at_once(root: Path, write_image: WriteImage) -> None:
    (root / "Images" / "bus_0001-r.png").unlink()
    (root / "Masks" / "mask_0001-r.png").unlink()
    write_image(root / "Images" / "bus_0009-l.png")
    write_image(root / "Images" / "bus_0010-l.png")
    write_table(root, *LINES, LINES[2], "bus_0010-l,4,,Uncertain,,,,,,")
    with pytest.raises(DataError, match="BUSBRA cannot be used, 5 problems:") as error:
        read_dataset("busbra", root)
    assert [line.strip() for line in str(error.value).splitlines()[1:]] == [
        f"bus_data.csv line 3: there is no image {root}/Images/bus_0001-r.png",
        f"bus_data.csv line 3: there is no mask {root}/Masks/mask_0001-r.png",
        "bus_data.csv line 5: bus_0002-s.png already has a line (bus_data.csv line 4)",
        "bus_data.csv line 6: Pathology is 'Uncertain': expected benign or malignant",
        f"{root}/Images/bus_0009-l.png has no line in bus_data.csv",
    ]
    records, problems = scan_busbra(root)
    assert [record.image.name for record in records] == ["bus_0001-l.png", "bus_0002-s.png"]
    assert len(problems) == 5


def test_a_table_without_the_columns(root: Path) -> None:
    (root / "bus_data.csv").write_text("ID,Class\n")
    with pytest.raises(DataError, match=r"bus_data\.csv has no column Case, Pathology: it has ID, Class"):
        read_dataset("busbra", root)


def test_another_layout(root: Path) -> None:
    message = (
        r"is not in the layout of BUS-BRA: it has no bus_data\.csv, Images/, Masks/, but .*BUSBRA has \(did you mean"
    )
    with pytest.raises(DataError, match=message):
        read_dataset("busbra", root.parent)
    (root.parent / "deeper").mkdir()
    root.rename(root.parent / "deeper" / "BUSBRA")
    with pytest.raises(DataError, match=r"but .*deeper/BUSBRA has \(did you mean that one\?\)"):
        read_dataset("busbra", root.parent)
    (root.parent / "deeper" / "BUSBRA" / "bus_data.csv").unlink()
    message = r"it has no bus_data\.csv: acsnet download busbra downloads BUS-BRA, or explains how to request it"
    with pytest.raises(DataError, match=message):
        read_dataset("busbra", root.parent / "deeper" / "BUSBRA")
