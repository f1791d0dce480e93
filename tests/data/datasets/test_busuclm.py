import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from acsnet.data import Record, read_dataset, verify_records
from acsnet.data.images import read_mask
from acsnet.errors import DataError

WriteImage = Callable[..., Path]
HEADER = "Image;Resolution;Label;Doppler;Marks;Combined"
COLORS = {"Benign": (0, 255, 0), "Malignant": (255, 0, 0), "Normal": (0, 0, 0)}
IMAGES = {"ALWI_000": "Benign", "ALWI_001": "Normal", "ANAT_000": "Malignant"}


def write_table(root: Path, **labels: str) -> None:
    lines = [HEADER, *(f"{name}.png;24x20;{label};No;Yes;No" for name, label in labels.items())]
    (root / "INFO.csv").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8-sig")


@pytest.fixture
def root(tmp_path: Path, write_image: WriteImage) -> Path:
    root = tmp_path / "BUS-UCLM"
    for name, label in IMAGES.items():
        write_image(root / "images" / f"{name}.png")
        write_image(root / "masks" / f"{name}.png", color=COLORS[label])
    write_table(root, **IMAGES)
    return root


def test_records(root: Path) -> None:
    records = read_dataset("busuclm", root)
    assert records[0] == Record(
        root / "images" / "ALWI_000.png",
        (root / "masks" / "ALWI_000.png",),
        "benign",
        name="images/ALWI_000.png",
        dataset="busuclm",
        patient="ALWI",
    )
    assert [(r.label, r.patient) for r in records] == [("benign", "ALWI"), ("normal", "ALWI"), ("malignant", "ANAT")]
    groups = [record.group for record in verify_records(records, progress=False)]
    assert groups[0] == groups[1] != groups[2]


def test_any_color_is_foreground(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    records = read_dataset("busuclm", root)
    assert [int(read_mask(record.masks[0]).sum()) for record in records] == [72, 0, 72]
    with caplog.at_level(logging.WARNING, "acsnet"):
        verify_records(records, progress=False)
    assert caplog.messages == []


def test_names_without_suffix(root: Path) -> None:
    table = (root / "INFO.csv").read_text(encoding="utf-8-sig").replace(".png", "")
    (root / "INFO.csv").write_text(table, encoding="utf-8")
    assert [record.image.name for record in read_dataset("busuclm", root)] == [f"{name}.png" for name in IMAGES]


def test_images_cropped_relative_to_their_masks_are_skipped(
    root: Path, write_image: WriteImage, caplog: pytest.LogCaptureFixture
) -> None:
    write_image(root / "images" / "ALWI_000.png", size=(18, 20))
    write_image(root / "images" / "ANAT_000.png", size=(24, 18))
    with caplog.at_level(logging.WARNING, "acsnet"):
        records = read_dataset("busuclm", root)
    assert [record.image.name for record in records] == ["ALWI_001.png"]
    assert caplog.messages == [
        "skipped 2 images of BUS-UCLM that differ in size from their masks: ALWI_000.png, ANAT_000.png"
    ]


def test_broken_images_are_left_to_the_verification(root: Path) -> None:
    (root / "images" / "ALWI_000.png").write_text("not an image")
    records = read_dataset("busuclm", root)
    assert len(records) == 3
    with pytest.raises(DataError, match=r"ALWI_000\.png cannot be read as an image"):
        verify_records(records, progress=False)


def test_all_problems_are_listed_at_once(root: Path) -> None:
    (root / "masks" / "ANAT_000.png").unlink()
    write_table(root, ALWI_000="Begnin", ANAT_000="Malignant")
    with pytest.raises(DataError, match="BUS-UCLM cannot be used, 3 problems:") as error:
        read_dataset("busuclm", root)
    assert [line.strip() for line in str(error.value).splitlines()[1:]] == [
        "INFO.csv line 2: Label is 'Begnin': expected benign or malignant or normal",
        f"INFO.csv line 3: there is no mask {root}/masks/ANAT_000.png",
        f"{root}/images/ALWI_001.png has no line in INFO.csv",
    ]


def test_a_table_separated_by_commas(root: Path) -> None:
    (root / "INFO.csv").write_text("Image,Label\nALWI_000.png,Benign\n")
    with pytest.raises(DataError, match=r"INFO\.csv is not a CSV table \(its cells are separated by commas\)"):
        read_dataset("busuclm", root)
