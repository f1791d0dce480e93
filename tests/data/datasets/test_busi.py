import os
import shutil
import unicodedata
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from acsnet.config import DataConfig, FoldsConfig
from acsnet.data import load_cached_records, load_records, read_busi, split_records, verify_records
from acsnet.data.datasets.busi import scan_busi
from acsnet.data.folds import SUBSETS
from acsnet.data.image_files import is_mask, natural_order, problem_list
from acsnet.data.images import read_image, read_mask
from acsnet.errors import DataError

MakeSet = Callable[..., Path]
HOW_TO_GET = (
    r"download BUSI \(acsnet download busi\) and name the folder with benign/, malignant/ and normal/, "
    r"or make phantoms: acsnet phantom --out phantoms"
)


def test_records_of_a_set(make_set: MakeSet) -> None:
    root = make_set(benign=2, malignant=1, normal=1)
    records = read_busi(root)
    assert [record.name for record in records] == [
        "benign/benign (1).png",
        "benign/benign (2).png",
        "malignant/malignant (1).png",
        "normal/normal (1).png",
    ]
    assert [record.label for record in records] == ["benign", "benign", "malignant", "normal"]
    assert records[1].image == root / "benign" / "benign (2).png"
    assert records[1].masks == (root / "benign" / "benign (2)_mask.png",)
    assert {(record.dataset, record.group, record.digest) for record in records} == {("busi", "", "")}


def test_several_masks_belong_to_their_image(make_set: MakeSet) -> None:
    root = make_set(benign=2)
    folder = root / "benign"
    for name in ("benign (1)_mask_10", "benign (1)_mask_2", "benign (1)_mask_1"):
        shutil.copy(folder / "benign (1)_mask.png", folder / f"{name}.png")
    one, two = read_busi(root)
    assert [mask.stem.removeprefix("benign (1)") for mask in one.masks] == ["_mask", "_mask_1", "_mask_2", "_mask_10"]
    assert [mask.name for mask in two.masks] == ["benign (2)_mask.png"]


def test_ids_with_gaps_in_natural_order(make_set: MakeSet) -> None:
    root = make_set(benign=13)
    for gone in (1, 4, 5):
        for file in (root / "benign").glob(f"benign ({gone})*"):
            file.unlink()
    ids = [int(record.image.stem[8:-1]) for record in read_busi(root)]
    assert ids == [2, 3, 6, 7, 8, 9, 10, 11, 12, 13]


def test_the_order_is_the_same_on_every_file_system(make_set: MakeSet, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_set(benign=1)
    for name in ("1", "01", "001", "a2", "²"):
        for ending in ("", "_mask"):
            shutil.copy(root / "benign" / f"benign (1){ending}.png", root / "benign" / f"{name}{ending}.png")
    expected = ["001.png", "01.png", "1.png", "a2.png", "benign (1).png", "².png"]
    listed = sorted((root / "benign").iterdir())
    for order in (listed, listed[::-1]):
        with monkeypatch.context() as patch:
            patch.setattr(Path, "iterdir", lambda _, order=order: iter(order))
            assert [record.image.name for record in read_busi(root, ["benign"])] == expected


def test_natural_order_of_names() -> None:
    names = ["a10b2", "a2b10", "a2b9", "b1", "10", "9"]
    assert sorted(names, key=natural_order) == ["9", "10", "a2b9", "a2b10", "a10b2", "b1"]


def test_only_the_requested_classes_in_their_order(make_set: MakeSet) -> None:
    root = make_set(benign=2, malignant=3, normal=1)
    assert [r.label for r in read_busi(root, ["malignant", "benign"])] == ["malignant"] * 3 + ["benign"] * 2
    assert [r.label for r in read_busi(root, ["normal"])] == ["normal"]


def test_a_class_without_folder_is_skipped(make_set: MakeSet) -> None:
    assert Counter(r.label for r in read_busi(make_set(benign=2, malignant=1))) == {"benign": 2, "malignant": 1}


def test_hidden_and_other_files_are_ignored(make_set: MakeSet) -> None:
    root = make_set(benign=2)
    for name in ("._benign (1).png", ".hidden.png", "Thumbs.db", "notes.txt", "._benign (9)_mask.png"):
        (root / "benign" / name).write_text("not an image")
    (root / "readme.png").write_text("not an image")
    assert len(read_busi(root)) == 2


def test_every_suffix_of_images_is_read(make_set: MakeSet) -> None:
    root = make_set(benign=1)
    for ending in ("", "_mask"):
        source = Image.open(root / "benign" / f"benign (1){ending}.png")
        for number, suffix in enumerate(["PNG", "jpg", "JPEG", "bmp", "tif", "tiff"], start=2):
            source.save(root / "benign" / f"benign ({number}){ending}.{suffix}")
    assert len(read_busi(root)) == 7


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("benign (1)_mask.png", True),
        ("benign (1)_mask_12.png", True),
        ("benign (1).png", False),
        ("a_masked.png", False),
        ("a_mask_b.png", False),
        ("a_mask/b.png", False),
    ],
)
def test_is_mask(name: str, expected: bool) -> None:
    assert is_mask(Path(name)) is expected


def test_all_missing_masks_and_images_at_once(make_set: MakeSet) -> None:
    root = make_set(benign=3, malignant=2)
    (root / "benign" / "benign (1)_mask.png").unlink()
    (root / "benign" / "benign (3)_mask.png").unlink()
    (root / "malignant" / "malignant (2).png").unlink()
    shutil.copy(root / "malignant" / "malignant (2)_mask.png", root / "malignant" / "malignant (2)_mask_1.png")
    with pytest.raises(DataError, match=r"set cannot be used, 4 problems:\n") as error:
        read_busi(root)
    lines = str(error.value).splitlines()[1:]
    assert lines == [
        f"  {root}/benign/benign (1).png has no mask benign (1)_mask.png",
        f"  {root}/benign/benign (3).png has no mask benign (3)_mask.png",
        f"  {root}/malignant/malignant (2)_mask.png has no image",
        f"  {root}/malignant/malignant (2)_mask_1.png has no image",
    ]
    records, problems = scan_busi(root)
    assert problems == [line.strip() for line in lines]
    assert len(records) == 4


def test_a_class_without_masks_is_one_line(make_set: MakeSet) -> None:
    root = make_set(benign=3, malignant=2)
    for path in (root / "benign").glob("*_mask*.png"):
        path.unlink()
    message = (
        r"set cannot be used: .*set/benign has images, and no mask NAME_mask\.png: add them, or, to use the classes "
        r"alone, list the images in a record table with empty cells of masks \(--set data\.records=TABLE\.csv\)$"
    )
    with pytest.raises(DataError, match=message):
        read_busi(root)


def test_one_problem_is_one_line(make_set: MakeSet) -> None:
    root = make_set(benign=2)
    (root / "benign" / "benign (2)_mask.png").unlink()
    message = r"set cannot be used: .*benign \(2\)\.png has no mask benign \(2\)_mask\.png$"
    with pytest.raises(DataError, match=message) as error:
        read_busi(root)
    assert "\n" not in str(error.value)


def test_problem_list() -> None:
    assert problem_list("It is broken", ["a is gone"]) == "It is broken: a is gone"
    assert problem_list("It is broken", ["a", "b"]) == "It is broken, 2 problems:\n  a\n  b"


def test_a_missing_root(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"^there is no data root .*nowhere: {HOW_TO_GET}$"):
        read_busi(tmp_path / "nowhere")


def test_a_root_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "busi.zip").write_text("")
    with pytest.raises(
        DataError, match=rf"busi\.zip has none of the folders benign/, malignant/, normal/: {HOW_TO_GET}"
    ):
        read_busi(tmp_path / "busi.zip")


def test_a_root_that_holds_the_folder(make_set: MakeSet) -> None:
    root = make_set(benign=1)
    message = rf"has no class folders, but {root} has \(did you mean that one\?\): {HOW_TO_GET}"
    with pytest.raises(DataError, match=message):
        read_busi(root.parent)


def test_a_root_without_class_folders(tmp_path: Path) -> None:
    (tmp_path / "cats").mkdir()
    with pytest.raises(DataError, match=rf"has none of the folders benign/, normal/: {HOW_TO_GET}"):
        read_busi(tmp_path, ["benign", "normal"])


def test_empty_class_folders(tmp_path: Path) -> None:
    for label in ("benign", "normal"):
        (tmp_path / label).mkdir()
    (tmp_path / "benign" / "readme.txt").write_text("nothing here")
    with pytest.raises(DataError, match=rf"has no images in benign/, normal/: {HOW_TO_GET}"):
        read_busi(tmp_path)


def test_the_real_images_are_those_of_their_readme(busi_root: Path) -> None:
    records = read_busi(busi_root)
    if len(records) != 720:
        pytest.skip(f"{busi_root} has {len(records)} images: the counts here are those of ../shared/data")
    assert Counter(r.label for r in records) == {"benign": 407, "malignant": 190, "normal": 123}
    masks = Counter(r.label for r in records for _ in r.masks)
    assert masks == {"benign": 422, "malignant": 191, "normal": 123}
    color = []
    for record in records:
        with Image.open(record.image) as image:
            color += [record] if image.mode != "L" else []
    assert len(color) == 16
    for record in color:
        pixels = read_image(record.image)
        assert (pixels != pixels[..., :1]).any(), record.name


def test_the_real_masks_of_every_mode_hold_a_lesion(busi_root: Path) -> None:
    masks: dict[str, Path] = {}
    for record in read_busi(busi_root, ["benign", "malignant"]):
        for path in record.masks:
            with Image.open(path) as image:
                masks.setdefault(image.mode, path)
    for mode, path in masks.items():
        with Image.open(path) as image:
            bright = np.asarray(image.convert("L")) > 127
        mask = read_mask(path)
        np.testing.assert_array_equal(mask, bright, err_msg=f"{mode}: {path}")
        assert 0.001 < mask.mean() < 0.9


def test_the_real_images_are_split_without_leakage(busi_root: Path) -> None:
    records = verify_records(read_busi(busi_root), progress=False)
    split = split_records(records, FoldsConfig())
    assert len(split.train) + len(split.val) + len(split.test) == len(records)
    train, val, test = ({value for r in split.subset(name) for value in (r.digest, r.group)} for name in SUBSETS)
    assert train.isdisjoint(val)
    assert train.isdisjoint(test)
    assert val.isdisjoint(test)
    for subset in (split.train, split.val, split.test):
        for label in ("benign", "malignant", "normal"):
            share = sum(r.label == label for r in subset) / len(subset)
            assert share == pytest.approx(sum(r.label == label for r in records) / len(records), abs=0.02)


@pytest.mark.parametrize("name", ["Malignant", "MALIGNANT", "mAlignant"])
def test_a_class_folder_in_another_case_is_not_left_out(name: str, make_set: MakeSet) -> None:
    root = make_set(benign=2, malignant=2)
    (root / "malignant").rename(root / name)
    message = rf"set has a folder {name}/, but the class is malignant: rename the folder to malignant/$"
    with pytest.raises(DataError, match=message):
        read_busi(root)


@pytest.mark.parametrize("suffix", [".jpg", ".bmp", ".tif", ".PNG"])
def test_images_that_differ_in_their_suffix_only_do_not_share_masks(suffix: str, make_set: MakeSet) -> None:
    folder = make_set(benign=2) / "benign"
    Image.open(folder / "benign (1).png").save(folder / f"benign (1){suffix}")
    _, problems = scan_busi(folder.parent)
    assert problems == [
        f"{folder / name} has the name of another image" for name in sorted(("benign (1).png", f"benign (1){suffix}"))
    ]


def test_masks_that_differ_in_their_suffix_only_are_not_merged(make_set: MakeSet) -> None:
    folder = make_set(benign=2) / "benign"
    Image.open(folder / "benign (1)_mask.png").save(folder / "benign (1)_mask.bmp")
    with pytest.raises(
        DataError, match=r"2 problems:\n.*_mask\.bmp has the name of another mask\n.*_mask\.png has the"
    ):
        read_busi(folder.parent)


@pytest.mark.parametrize(("image", "mask"), [("NFC", "NFD"), ("NFD", "NFC"), ("NFD", "NFD")])
def test_accents_of_image_and_mask_may_be_written_in_two_ways(image: str, mask: str, make_set: MakeSet) -> None:
    folder = make_set(benign=1) / "benign"
    for ending, form in (("", image), ("_mask", mask)):
        name = unicodedata.normalize(form, f"caf\u00e9{ending}.png")
        (folder / f"benign (1){ending}.png").rename(folder / name)
    [record] = read_busi(folder.parent)
    assert record.name == "benign/caf\u00e9.png"
    assert len(record.masks) == 1
    assert verify_records([record], progress=False)[0].lesion_share > 0


@pytest.mark.parametrize("name", ["IM0001", "1.2.840.113619", "US.0001.IMA"])
def test_dicom_files_of_any_name(name: str, make_set: MakeSet) -> None:
    pydicom = pytest.importorskip("pydicom", reason="the extra `data` is not installed")
    folder = make_set(benign=1) / "benign"
    pixels = np.array(Image.open(folder / "benign (1).png"))
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.6.1"
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = "1.2.3"
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = *pixels.shape, 1
    dataset.PhotometricInterpretation, dataset.PixelRepresentation = "MONOCHROME2", 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    dataset.PixelData = pixels.tobytes()
    dataset.save_as(folder / name, enforce_file_format=True)
    (folder / "benign (1).png").unlink()
    (folder / "benign (1)_mask.png").rename(folder / f"{name}_mask.png")
    [record] = verify_records(read_busi(folder.parent), progress=False)
    assert record.name == f"benign/{name}"
    assert record.masks == (folder / f"{name}_mask.png",)
    np.testing.assert_array_equal(read_image(record.image)[..., 0], pixels)


def test_what_is_left_out_is_counted_and_named(make_set: MakeSet, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    root = make_set(benign=2, malignant=1)
    folder = root / "benign"
    (folder / "notes.txt").touch()
    (folder / "old").mkdir()
    (folder / "gone").symlink_to("nowhere")
    for name in ("Thumbs.db", ".hidden.png"):
        (folder / name).touch()
    (root / "__MACOSX").mkdir()
    (root / "read me.txt").touch()
    assert len(read_busi(root, ["benign"])) == 2
    assert sorted(caplog.messages) == [
        f"left out of {root}, not the folder of a class that is read: malignant, read me.txt",
        f"left out of {folder}, entries that cannot be read (it is a link to nowhere, which does not exist) (1): gone",
        f"left out of {folder}, files that are no images (1): notes.txt",
        f"left out of {folder}, folders (1): old",
    ]


@pytest.mark.parametrize("kind", ["pipe", "gone", "loop"])
def test_an_image_that_is_no_file_is_a_problem(kind: str, make_set: MakeSet) -> None:
    root = make_set(benign=2)
    path = root / "benign" / "benign (1).png"
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(path if kind == "loop" else "gone.png")
    for load in (load_records, lambda data, progress: load_cached_records(data, 3, progress)):
        with pytest.raises(
            DataError, match=r"used: .*benign \(1\)\.png cannot be read as an image \(it is a .*\): check"
        ):
            load(DataConfig(root=root, classes=("benign",)), progress=False)


@pytest.mark.parametrize("other", ["Malignant", "MALIGNANT"])
def test_a_class_in_two_cases_is_an_error(other: str, make_set: MakeSet) -> None:
    root = make_set(benign=1, malignant=1)
    (root / other).mkdir()
    message = rf"has a folder {other}/, but the class is malignant: move its files to malignant/$"
    with pytest.raises(DataError, match=message):
        read_busi(root)
