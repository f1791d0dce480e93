from collections.abc import Callable
from pathlib import Path

import pytest

from acsnet.data import Record, read_dataset, verify_records
from acsnet.data.datasets.folders import scan_folders
from acsnet.data.records import HOW_WITHOUT_MASKS
from acsnet.errors import DataError

WriteImage = Callable[..., Path]
LAYOUT = r"expected images/<class>/<name>\.png with masks/<class>/<name>\.png"


@pytest.fixture
def root(tmp_path: Path, write_image: WriteImage) -> Path:
    root = tmp_path / "mine"
    write_image(root / "images" / "benign" / "a10.jpg")
    write_image(root / "images" / "benign" / "a9.bmp")
    write_image(root / "images" / "normal" / "n.png")
    write_image(root / "masks" / "benign" / "a9.png", color=(255, 255, 255))
    for suffix in ("_mask.png", "_mask_1.tif"):
        write_image(root / "masks" / "benign" / f"a10{suffix}", color=(255, 255, 255))
    return root


def test_records(root: Path) -> None:
    records = read_dataset("folders", root)
    assert records[0] == Record(
        root / "images" / "benign" / "a9.bmp",
        (root / "masks" / "benign" / "a9.png",),
        "benign",
        name="images/benign/a9.bmp",
        dataset="folders",
    )
    assert [(r.name, r.label, [mask.name for mask in r.masks]) for r in records[1:]] == [
        ("images/benign/a10.jpg", "benign", ["a10_mask.png", "a10_mask_1.tif"]),
        ("images/normal/n.png", "normal", []),
    ]
    assert len(verify_records(records, progress=False)) == 3


def test_classes_of_any_name(root: Path) -> None:
    for kind in ("images", "masks"):
        (root / kind / "benign").rename(root / kind / "cyst")
    assert [record.label for record in read_dataset("folders", root, ["cyst", "tumor"])] == ["cyst", "cyst"]


def test_all_problems_are_listed_at_once(root: Path, write_image: WriteImage) -> None:
    (root / "masks" / "benign" / "a9.png").unlink()
    write_image(root / "masks" / "benign" / "b.png", color=(255, 255, 255))
    write_image(root / "images" / "benign" / "a10.png")
    write_image(root / "images" / "malignant" / "m.png")
    with pytest.raises(DataError, match="mine cannot be used, 5 problems:") as error:
        read_dataset("folders", root)
    assert [line.strip() for line in str(error.value).splitlines()[1:]] == [
        f"{root}/images/benign/a10.jpg has the name of another image",
        f"{root}/images/benign/a10.png has the name of another image",
        f"{root}/masks/benign/b.png has no image",
        f"{root}/images/benign/a9.bmp has no mask masks/benign/a9.png",
        f"{root}/images/malignant has images, and there is no mask in masks/malignant: {HOW_WITHOUT_MASKS}",
    ]


def test_another_layout(root: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"there is no data root .*none: {LAYOUT}"):
        read_dataset("folders", tmp_path / "none")
    with pytest.raises(DataError, match=rf"mine has none of the folders images/malignant/: {LAYOUT}"):
        read_dataset("folders", root, ["malignant"])
    (root / "images" / "malignant").mkdir()
    with pytest.raises(DataError, match=rf"mine has no images in images/malignant/: {LAYOUT}"):
        read_dataset("folders", root, ["malignant"])


@pytest.mark.parametrize("parent", ["images", "masks"])
def test_a_class_folder_in_another_case_is_not_left_out(parent: str, tmp_path: Path) -> None:
    for folder in ("images", "masks"):
        for name in ("benign", "malignant"):
            (tmp_path / folder / name).mkdir(parents=True)
    (tmp_path / parent / "malignant").rename(tmp_path / parent / "Malignant")
    message = rf"{parent} has a folder Malignant/, but the class is malignant: rename the folder to malignant/$"
    with pytest.raises(DataError, match=message):
        scan_folders(tmp_path, ("benign", "malignant"))


def test_masks_that_differ_in_their_suffix_only_are_not_merged(root: Path, write_image: WriteImage) -> None:
    write_image(root / "masks" / "benign" / "a9.bmp", color=(255, 255, 255))
    with pytest.raises(DataError, match=r"2 problems:\n.*a9\.bmp has the name of another mask\n.*a9\.png has the name"):
        read_dataset("folders", root)
