import csv
import hashlib
import json
import os
import random
import shutil
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from acsnet.config import FoldsConfig
from acsnet.data import (
    Record,
    dataset_hash,
    read_busi,
    read_record_table,
    split_records,
    verify_records,
    write_record_table,
)
from acsnet.data.records import COLUMNS, stable_hash
from acsnet.errors import DataError

MakeSet = Callable[..., Path]
Invoke = Callable[..., tuple[int, str, str]]


def write(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def test_round_trip_of_every_field(tmp_path: Path) -> None:
    folder = tmp_path / 'a set, "größer" [1]'
    records = [
        Record(
            folder / "benign (1).png",
            (folder / "benign (1)_mask.png", folder / "benign (1)_mask_1.png"),
            "benign",
            name="benign/benign (1).png",
            group="busi/benign/benign (1).png",
            dataset="busi",
            patient="p, 7",
            spacing=(0.0712345678901234, 0.1),
        ),
        Record(folder / "normal;1.png", (), "normal", name="normal;1.png", dataset="other"),
        Record(folder / "cine.dcm#12", (folder / "masks.tif#1",), "normal", name="cine.dcm#12", spacing=(1e-5, 1e-5)),
    ]
    write_record_table(tmp_path / "tables" / "records.csv", records)
    assert read_record_table(tmp_path / "tables" / "records.csv") == records


def test_the_digest_is_not_written_since_files_may_change(tmp_path: Path) -> None:
    record = Record(tmp_path / "a.png", (), "benign", name="a.png", digest="0123")
    write_record_table(tmp_path / "a.csv", [record])
    assert read_record_table(tmp_path / "a.csv") == [replace(record, digest="")]
    with (tmp_path / "a.csv").open() as file:
        assert next(csv.reader(file)) == list(COLUMNS)


def test_written_paths_are_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    record = Record(Path("set/a.png"), (Path("set/a_mask.png"),), "benign", name="a.png")
    write_record_table(Path("elsewhere/a.csv"), [record])
    monkeypatch.chdir("/")
    [read] = read_record_table(tmp_path / "elsewhere" / "a.csv")
    assert read.image == tmp_path / "set" / "a.png"
    assert read.masks == (tmp_path / "set" / "a_mask.png",)


@pytest.mark.parametrize(
    ("cell", "expected"), [("", None), ("0.07", (0.07, 0.07)), ("0.07;0.08", (0.07, 0.08)), (" 7e-2 ", (0.07, 0.07))]
)
def test_spacings(cell: str, expected: tuple[float, float] | None, tmp_path: Path) -> None:
    table = write(tmp_path / "t.csv", "image,masks,label,spacing", f"a.png,,normal,{cell}")
    assert read_record_table(table)[0].spacing == expected


def test_a_table_without_spacings(tmp_path: Path) -> None:
    table = write(tmp_path / "t.csv", "image,masks,label,group,dataset,patient,name", "a.png,,normal,g,d,p,n")
    assert read_record_table(table) == [
        Record(tmp_path / "a.png", (), "normal", name="n", group="g", dataset="d", patient="p")
    ]


def test_cells_that_are_not_a_spacing(tmp_path: Path) -> None:
    cells = ["0", "-0.1", "0.1 mm", "0.1;", "0.1;0.1;0.1", "nan", "inf", "0.1", ""]
    lines = [f"{number}.png,,normal,{cell}" for number, cell in enumerate(cells)]
    table = write(tmp_path / "t.csv", "image,masks,label,spacing", *lines)
    message = (
        r"t\.csv has lines whose spacing is neither one number above 0, in millimeters per pixel, nor "
        r'"vertical;horizontal": 2, 3, 4, 5, 6, 7, 8$'
    )
    with pytest.raises(DataError, match=message):
        read_record_table(table)


def test_relative_paths_are_taken_from_the_folder_of_the_table(tmp_path: Path) -> None:
    table = write(tmp_path / "sets.csv", "image,masks,label", "in/a (1).png,in/a (1)_m.png;../b.png,benign")
    assert read_record_table(table) == [
        Record(
            tmp_path / "in" / "a (1).png",
            (tmp_path / "in" / "a (1)_m.png", tmp_path / "../b.png"),
            "benign",
            name="in/a (1).png",
            dataset="sets",
        )
    ]


def test_optional_columns_may_be_missing_or_empty(tmp_path: Path) -> None:
    table = write(tmp_path / "t.csv", "label,device,masks,image,group,name", "benign,GE,,a.png,,", "normal,,,b.png,g,n")
    first, second = read_record_table(table)
    assert (first.name, first.group, first.dataset, first.patient, first.masks) == ("a.png", "", "t", "", ())
    assert (second.name, second.group, second.dataset, second.patient) == ("n", "g", "t", "")


def test_a_table_as_a_spreadsheet_saves_it(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"\xef\xbb\xbfimage,masks,label\r\na.png,,benign\r\n")
    assert [record.name for record in read_record_table(tmp_path / "t.csv")] == ["a.png"]


@pytest.mark.parametrize("where", ["none.csv", "folder", "file.txt/records.csv"])
def test_a_missing_table(where: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file.txt").touch()
    message = rf"there is no record table .*{where}: make one with acsnet curate ROOT --out DIR"
    with pytest.raises(DataError, match=message):
        read_record_table(tmp_path / where)


@pytest.mark.parametrize(
    ("header", "text"),
    [
        ("image,label", "has no column masks: it has image, label, and needs image, masks, label$"),
        ("Image,mask,class", "has no column image, masks, label: it has Image, mask, class, and needs image, masks, l"),
        ("image;masks;label", r"is not a CSV table \(its cells are separated by semicolons\): save it as UTF-8 text"),
        ("image\tmasks\tlabel", r"is not a CSV table \(its cells are separated by tabs\): save it as UTF-8 text with"),
        ("image,masks,label,image", r"is not a CSV table \(it has the column image more than once\): save it as"),
        ("image,masks,la\udce9bel", r"is not a CSV table \(line 1 is not UTF-8\): save it as UTF-8 text with cells s"),
    ],
)
def test_broken_headers(header: str, text: str, tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text(f"{header}\na.png,b.png,benign\n", errors="surrogateescape")
    with pytest.raises(DataError, match=rf"t\.csv {text}"):
        read_record_table(table)


def test_blanks_around_the_names_of_columns(tmp_path: Path) -> None:
    [record] = read_record_table(write(tmp_path / "t.csv", "image, masks ,label", "a.png,,normal"))
    assert record.label == "normal"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "latin-1"])
def test_encodings(encoding: str, tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("image,masks,label\na.png,,t\u00e9st\n", encoding=encoding)
    if encoding.startswith("utf-8"):
        assert read_record_table(table)[0].label == "t\u00e9st"
        return
    fault = {"utf-16": "its encoding is UTF-16", "utf-16-le": "it has NUL bytes"}.get(encoding, "line 2 is not UTF-8")
    with pytest.raises(DataError, match=rf"t\.csv is not a CSV table \({fault}\): save it as UTF-8 text with cells"):
        read_record_table(table)


@pytest.mark.parametrize("cell", ["a\0.png", '"a.png', '"a"b.png'])
def test_cells_that_are_no_text(cell: str, tmp_path: Path) -> None:
    table = write(tmp_path / "t.csv", "image,masks,label", f"{cell},,normal")
    with pytest.raises(DataError, match=r"t\.csv is not a CSV table \(.+\): save it as UTF-8 text"):
        read_record_table(table)


@pytest.mark.parametrize("kind", ["pipe", "loop", "gone"])
def test_a_table_that_is_no_file(kind: str, tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    if kind == "pipe":
        os.mkfifo(table)
    else:
        table.symlink_to(table if kind == "loop" else "nowhere.csv")
    message = (
        "there is no record table" if kind != "pipe" else r"t\.csv cannot be read \(it is a named pipe\): check that"
    )
    with pytest.raises(DataError, match=message):
        read_record_table(table)


@pytest.mark.parametrize("name", ["a\udcff.png", "caf\u00e9 (1).png", "cafe\u0301 (1).png", 'a"b,c;\nd.png'])
def test_names_of_every_kind_go_through_a_table(name: str, tmp_path: Path) -> None:
    image = tmp_path / name
    image.touch()
    write_record_table(tmp_path / "t.csv", [Record(image, (), "normal", name=name, group=name)])
    [record] = read_record_table(tmp_path / "t.csv")
    assert record.image == image
    assert record.name == unicodedata.normalize("NFC", name)


@pytest.mark.parametrize(("on_disk", "in_table"), [("NFC", "NFD"), ("NFD", "NFC")])
@pytest.mark.parametrize("name", ["caf\u00e9.png", "M\u00fcller \u00c5/\u00e9\u00e8.png", "cin\u00e9.tif#2"])
def test_accents_that_another_system_wrote(on_disk: str, in_table: str, name: str, tmp_path: Path) -> None:
    image, listed = tmp_path / unicodedata.normalize(on_disk, name), unicodedata.normalize(in_table, name)
    image.parent.mkdir(exist_ok=True)
    image.with_name(image.name.partition("#")[0]).touch()
    [record] = read_record_table(write(tmp_path / "t.csv", "image,masks,label", f"{listed},{listed},benign"))
    assert record.image == image
    assert record.masks == (image,)
    assert record.name == unicodedata.normalize("NFC", name)


def test_two_files_that_differ_in_accents_only_are_not_guessed(tmp_path: Path) -> None:
    for form in ("NFC", "NFD"):
        (tmp_path / unicodedata.normalize(form, "\u00e5\u0323.png")).touch()
    [record] = read_record_table(write(tmp_path / "t.csv", "image,masks,label", "a\u030a\u0323.png,,normal"))
    assert not record.image.exists()


@pytest.mark.parametrize("content", ["", "image,masks,label\n", "image,masks,label\n\n\n"])
def test_an_empty_table(content: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(content)
    message = (
        r"t\.csv has no records: add one line per image" if content else r"t\.csv has no column image, masks, label"
    )
    with pytest.raises(DataError, match=message):
        read_record_table(tmp_path / "t.csv")


def test_every_broken_line_is_named(tmp_path: Path) -> None:
    table = write(
        tmp_path / "t.csv",
        "image,masks,label",
        "a.png,a_mask.png,benign",
        ",b_mask.png,benign",
        "",
        "c.png,c_mask.png,",
        "d.png",
        "e.png,e_mask.png",
        "f, left.png,f_mask.png,benign",
        "g.png,,normal",
    )
    lines = r"lines without image or label, or with too few or too many cells: 3, 5, 6, 7, 8$"
    with pytest.raises(DataError, match=rf"t\.csv has {lines}"):
        read_record_table(table)


def test_an_image_with_two_lines(tmp_path: Path) -> None:
    table = write(
        tmp_path / "t.csv", "image,masks,label", "a.png,a_1.png,benign", "b.png,,normal", "a.png,a_2.png,benign"
    )
    message = r"t\.csv has more than one line for a\.png: write one line per image, with all its masks"
    with pytest.raises(DataError, match=message):
        read_record_table(table)


def test_two_datasets_may_use_the_same_name(tmp_path: Path) -> None:
    table = write(tmp_path / "t.csv", "image,masks,label,dataset,name", "a/1.png,,normal,a,1", "b/1.png,,normal,b,1")
    assert [(record.dataset, record.name) for record in read_record_table(table)] == [("a", "1"), ("b", "1")]


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n\xff\xfe", b'image,masks,label\na.png,"b.png,benign\n'])
def test_a_table_that_is_not_csv(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    message = r"t\.csv is not a CSV table \(.+\): save it as UTF-8 text with cells separated by commas"
    with pytest.raises(DataError, match=message):
        read_record_table(tmp_path / "t.csv")


def test_a_mask_whose_path_a_table_cannot_hold(tmp_path: Path) -> None:
    record = Record(tmp_path / "a.png", (tmp_path / "x;y" / "a_mask.png",), "benign", name="a.png")
    with pytest.raises(
        DataError, match=r"x;y/a_mask\.png: a record table separates masks by ';': rename the file or folder"
    ):
        write_record_table(tmp_path / "t.csv", [record])
    assert not (tmp_path / "t.csv").exists()


def test_dataset_hash_by_hand() -> None:
    records = [
        Record(Path("/x/b.png"), (), "normal", name="b", digest="2"),
        Record(Path("/x/a.png"), (), "benign", name="a", digest="1"),
    ]
    text = '[["a", "benign", "1"], ["b", "normal", "2"]]'
    assert dataset_hash(records) == hashlib.sha256(text.encode()).hexdigest()[:16]


def test_dataset_hash_depends_on_names_labels_and_pixels_only() -> None:
    records = [Record(Path(f"/x/{i}.png"), (), "benign", name=str(i), digest=f"d{i}") for i in range(5)]
    expected = dataset_hash(records)
    shuffled = random.Random(0).sample(records, 5)
    assert dataset_hash(replace(r, image=Path("/y") / r.image.name, group="g") for r in shuffled) == expected
    changes = [{"name": "9"}, {"label": "malignant"}, {"digest": "other"}]
    assert len({dataset_hash([replace(records[0], **change), *records[1:]]) for change in changes} | {expected}) == 4
    assert dataset_hash(records[1:]) != expected


def test_stable_hash() -> None:
    assert stable_hash([1, "ä"]) == hashlib.sha256(json.dumps([1, "ä"]).encode()).hexdigest()[:16]
    assert stable_hash([1, "a"]) != stable_hash(["1", "a"])


def test_the_split_is_the_same_from_a_table_and_on_another_machine(make_set: MakeSet, tmp_path: Path) -> None:
    folds = FoldsConfig(count=3, validation=0.34)
    root = make_set(benign=9, malignant=9)
    expected = split_records(verify_records(read_busi(root), progress=False), folds).hash

    moved = tmp_path / "other machine" / "BUSI (copy)"
    shutil.copytree(root, moved)
    records = verify_records(read_busi(moved), progress=False)
    write_record_table(tmp_path / "other machine" / "my table.csv", records)
    read = read_record_table(tmp_path / "other machine" / "my table.csv")
    assert [record.name for record in read] == [record.name for record in records]
    assert split_records(records, folds).hash == expected
    assert split_records(verify_records(read, progress=False), folds).hash == expected
