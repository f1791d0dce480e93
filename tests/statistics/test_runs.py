import csv
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from acsnet._utils.files import write_csv, write_json
from acsnet.checkpoints import open_checkpoint
from acsnet.data import load_records
from acsnet.errors import AcsnetError, RunError
from acsnet.evaluation import resolve_test_config, run_test
from acsnet.statistics import read_run, read_runs

FolderMaker = Callable[..., Path]


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_fields_of_a_run(write_run: FolderMaker) -> None:
    folder = write_run("unet", ["malignant", "benign", "normal"])
    run = read_run(folder)
    assert (run.name, run.folders, run.subset) == ("unet", (folder,), "test")
    assert run.class_names == ("benign", "malignant", "normal")
    assert (run.split_hashes, run.dataset_hashes) == (("split0",), ("data0",))
    assert run.images == tuple(("busi", f"fold 0 ({index}).png") for index in range(3))
    assert run.labels == ("malignant", "benign", "normal")
    assert run.probabilities is not None
    assert run.probabilities.sum(axis=1) == pytest.approx(1)
    assert run.predicted == tuple(run.class_names[index] for index in run.probabilities.argmax(axis=1))
    assert list(run.per_image)[:7] == ["dice", "iou", "hd95", "assd", "precision", "recall", "boundary_f1"]
    assert np.isnan(run.per_image["hd95"]).tolist() == [False, False, True]
    assert list(run.metrics[0]) == ["segmentation", "classification", "overall_score", "n"]
    assert run.metrics[0]["segmentation"]["dice"] == pytest.approx(run.per_image["dice"].mean())


def test_images_are_sorted_and_those_without_a_group_are_alone(write_run: FolderMaker) -> None:
    def change(rows: list) -> None:
        rows[0]["group"] = rows[2]["group"] = "busi/first.png"
        rows.reverse()

    run = read_run(write_run(labels=["malignant", "benign", "normal"], change=change))
    assert run.labels == ("malignant", "benign", "normal")
    assert run.groups == ("busi/first.png", "busi/fold 0 (1).png", "busi/first.png")


def test_a_name_of_ones_own(write_run: FolderMaker) -> None:
    assert read_run(write_run(), "U-Net, pretrained").name == "U-Net, pretrained"


def test_a_network_without_masks_or_classes(write_run: FolderMaker) -> None:
    def no_masks(rows: list) -> None:
        for row in rows:
            for key in ("dice", "iou", "hd95", "assd", "precision", "recall"):
                del row[key]

    def no_classes(rows: list) -> None:
        for row in rows:
            row["predicted"] = None
            for key in [key for key in row if key.startswith("probability_")]:
                del row[key]

    folder = write_run("unet")
    for change, lacking in ((no_masks, "segmentation"), (no_classes, "classification")):
        rows = [dict(row) for row in _rows(folder / "cases.csv")]
        change(rows)
        _write(folder / "thin", rows, {**json.loads((folder / "metrics.json").read_text()), lacking: None})
        run = read_run(folder / "thin")
        assert ("dice" in run.per_image) == (lacking != "segmentation")
        assert (run.predicted is None) == (run.probabilities is None) == (lacking == "classification")


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _write(folder: Path, rows: list, facts: dict) -> None:
    write_json(folder / "metrics.json", facts)
    write_csv(folder / "cases.csv", rows)


def test_results_of_an_evaluation_are_read(trained_run: Path, phantom_root: Path, tmp_path: Path) -> None:
    checkpoint = open_checkpoint(trained_run / "best.safetensors")
    config = resolve_test_config(checkpoint, None, [])
    result, provenance = run_test(checkpoint, config, progress=False)
    result.write(tmp_path, provenance)
    run = read_run(tmp_path)
    assert run.metrics[0]["segmentation"] == result.metrics["segmentation"]
    assert run.split_hashes == (provenance["split_hash"],)
    assert set(run.groups) <= {record.group for record in load_records(config.data, progress=False)}
    assert run.per_image["dice"].mean() == pytest.approx(result.metrics["segmentation"]["dice"])


@pytest.mark.parametrize("file", ["metrics.json", "cases.csv"])
def test_a_missing_file(write_run: FolderMaker, file: str) -> None:
    folder = write_run()
    (folder / file).unlink()
    with pytest.raises(AcsnetError, match=rf"there is no .*{file}: test the checkpoint again with acsnet test"):
        read_run(folder)


def test_a_broken_metrics_file(write_run: FolderMaker) -> None:
    folder = write_run()
    path = folder / "metrics.json"
    whole = path.read_text()
    path.write_text(whole[: len(whole) // 2])
    with pytest.raises(RunError, match=r"metrics.json is broken \(.*line .*\): test the checkpoint again"):
        read_run(folder)
    path.write_text("[1]")
    with pytest.raises(RunError, match=r"metrics\.json holds a list, expected an object"):
        read_run(folder)
    facts = json.loads(whole)
    del facts["split_hash"]
    path.write_text(json.dumps({**facts, "n": "30"}))
    with pytest.raises(RunError, match=r"metrics\.json has no n, split_hash, or a value of the wrong type"):
        read_run(folder)


@pytest.mark.parametrize("names", [[], ["benign", "benign", "normal"], ["benign", 1, 2]], ids=str)
def test_broken_class_names(write_run: FolderMaker, names: list) -> None:
    folder = write_run(class_names=names)
    with pytest.raises(RunError, match=r"has the class_names \[.*\], expected one name per class: test the checkpoint"):
        read_run(folder)


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        (",group\n", ",family\n", "has no column group: test the checkpoint again"),
        ("probability_normal", "probability_cyst", "the classes benign, malignant, normal: the files are of different"),
        (",busi,\n", ",busi,,,\n", "has lines with too few or too many cells: 2; test"),
        ("fold 0 (1).png", "fold 0 (0).png", r"more than one line for busi/fold 0 \(0\).png: test"),
        (
            ",benign,",
            ",cyst,",
            "the classes 'cyst', but metrics.json in the same folder has benign, malignant, normal",
        ),
        ("fold 0 (0).png,benign,", "fold 0 (0).png,benign,x", "has the classes 'x"),
    ],
)
def test_a_broken_table(write_run: FolderMaker, old: str, new: str, match: str) -> None:
    folder = write_run()
    edit(folder / "cases.csv", old, new)
    with pytest.raises(RunError, match=match):
        read_run(folder)


@pytest.mark.parametrize(
    ("column", "cell"), [("dice", "high"), ("hd95", "inf"), ("probability_benign", ""), ("probability_benign", "nan")]
)
def test_a_cell_that_is_not_a_number(write_run: FolderMaker, column: str, cell: str) -> None:
    folder = write_run()
    rows = _rows(folder / "cases.csv")
    rows[1][column] = cell
    _write(folder, rows, json.loads((folder / "metrics.json").read_text()))
    with pytest.raises(RunError, match=rf"cases.csv line 3 has {column} '{cell}', expected a number: test"):
        read_run(folder)


@pytest.mark.parametrize("kept", [0, 1, 20])
def test_a_truncated_table(write_run: FolderMaker, kept: int) -> None:
    folder = write_run()
    lines = (folder / "cases.csv").read_text().splitlines(keepends=True)
    (folder / "cases.csv").write_text("".join(lines[: kept + 1]))
    with pytest.raises(RunError, match=rf"cases.csv has {kept} images, but metrics.json .* says 30: test"):
        read_run(folder)


def test_many_lines_are_not_all_named(write_run: FolderMaker) -> None:
    folder = write_run()
    path = folder / "cases.csv"
    path.write_text(path.read_text().replace(",busi,\n", ",busi,,\n"))
    with pytest.raises(RunError, match="cells: 2, 3, 4, 5, 6 and 25 more; test"):
        read_run(folder)


def test_broken_runs_are_skipped(write_run: FolderMaker, tmp_path: Path) -> None:
    good, broken = write_run("unet"), write_run("acsnet")
    (broken / "metrics.json").write_text("{")
    runs, problems = read_runs([tmp_path / "nowhere", good, broken])
    assert [run.name for run in runs] == ["unet"]
    assert len(problems) == 2
    assert "there is no" in problems[0]
    assert "nowhere" in problems[0]
    assert "is broken" in problems[1]
    assert "acsnet_0" in problems[1]


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("pipe", "it is a named pipe"), ("device", "it is a device"), ("huge", "it has more than 268435456 bytes")],
)
def test_metrics_that_cannot_be_read_whole_are_not_read(write_run: FolderMaker, kind: str, reason: str) -> None:
    folder = write_run()
    path = folder / "metrics.json"
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        with path.open("wb") as file:
            file.truncate(1 << 40)
    with pytest.raises(RunError, match=rf"metrics\.json cannot be read \({reason}\): test the checkpoint again"):
        read_run(folder)
