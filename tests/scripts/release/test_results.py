import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acsnet._utils.files import write_csv, write_json
from acsnet.checkpoints import open_checkpoint, read_index, read_metadata
from acsnet.errors import CheckpointError, InputError, RunError, UnknownNameError
from acsnet.evaluation import resolve_test_config, run_test
from acsnet.statistics import METRICS, compare, read_run
from scripts.release import add_test


def change_facts(results: Path, **changes: Any) -> None:
    facts = json.loads((results / "metrics.json").read_text())
    write_json(results / "metrics.json", {**facts, **changes})


def test_metrics_are_those_of_the_test(tested: Path) -> None:
    results = tested.parent / "results"
    facts = json.loads((results / "metrics.json").read_text())
    (test,) = read_index().checkpoints["tiny"].tests
    assert (test.n, test.subset, test.datasets) == (facts["n"], "test", {"busi": facts["n"]})
    assert (test.dataset_hash, test.split_hash) == (facts["dataset_hash"], facts["split_hash"])
    assert test.metrics["dice_lesion"].estimate == pytest.approx(facts["segmentation"]["lesion"]["dice"])
    assert test.metrics["accuracy"].estimate == pytest.approx(facts["classification"]["accuracy"])
    assert test.metrics["auroc_malignant"].estimate == pytest.approx(facts["classification"]["auroc_malignant"])
    estimates = compare([read_run(results)]).networks[0].estimates
    assert test.metrics.keys() == METRICS.keys()
    for key, figure in test.metrics.items():
        np.testing.assert_equal(figure.low, None if np.isnan(estimates[key].low) else estimates[key].low)
        np.testing.assert_equal(figure.high, None if np.isnan(estimates[key].high) else estimates[key].high)
    assert test.overrides == ()


def test_worst_cases(tested: Path) -> None:
    with (tested.parent / "results" / "cases.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    worst = {row["image"] for row in sorted(rows, key=lambda row: float(row["dice"]))[:5]}
    mistakes = [row for row in rows if row["label"] != row["predicted"]]
    mistakes.sort(key=lambda row: float(row[f"probability_{row['label']}"]))
    (test,) = read_index().checkpoints["tiny"].tests
    dice = [case.dice for case in test.worst_cases[:5]]
    assert dice == sorted(float(row["dice"]) for row in rows)[:5]
    assert {case.image for case in test.worst_cases} >= {row["image"] for row in mistakes[:5]}
    assert len(test.worst_cases) == len({case.image for case in test.worst_cases}) <= 10
    assert len(worst) == 5
    by_name = {row["image"]: row for row in rows}
    for case in test.worst_cases:
        row = by_name[case.image]
        assert (case.label, case.predicted) == (row["label"], row["predicted"])
        assert case.probability == float(row[f"probability_{case.label}"])


def test_a_test_of_another_file_is_refused(folder: Path, trained_run: Path, phantom_root: Path) -> None:
    """Above all of the original, whose figures are not quite those of the released file."""
    original = open_checkpoint(trained_run / "best.safetensors")
    result, provenance = run_test(original, resolve_test_config(original, None, []), progress=False)
    results = folder.parent / "original"
    result.write(results, provenance)
    message = r"original is a test of another file \(best\.safetensors, SHA-256 \w{64}\): test the released file"
    with pytest.raises(RunError, match=message):
        add_test("tiny", results, [], folder)
    assert not read_index().checkpoints["tiny"].tests


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"subset": "train"}, r"is a test of the subset train, which was used in training: test another one$"),
        ({"subset": "val"}, r"is a test of the subset val, which was used in training"),
        (
            {"split_hash": "other"},
            r"is a test on the split other, but the checkpoint was trained on the split \w+: tested images may",
        ),
    ],
)
def test_images_that_may_have_been_trained_on(tested: Path, results: Path, changes: Any, message: str) -> None:
    change_facts(results, **changes)
    with pytest.raises(RunError, match=message):
        add_test("tiny", results, [], tested)


def test_all_images_of_the_training(tested: Path, results: Path) -> None:
    metadata = read_metadata(tested / "tiny.safetensors")
    change_facts(results, subset="all", split_hash=None, folds=None, dataset_hash=metadata.dataset["hash"])
    with pytest.raises(RunError, match=r"is a test of all images of the training data: test its test subset, or other"):
        add_test("tiny", results, [], tested)


def test_incomplete_results(tested: Path, results: Path) -> None:
    facts = json.loads((results / "metrics.json").read_text())
    del facts["checkpoint_sha256"], facts["folds"]
    write_json(results / "metrics.json", facts)
    with pytest.raises(RunError, match=r"metrics\.json has no checkpoint_sha256, folds: test the released file with"):
        add_test("tiny", results, [], tested)
    with pytest.raises(UnknownNameError, match=r"unknown released checkpoint 'tinny': did you mean 'tiny'\?"):
        add_test("tinny", results, [], tested)


def test_a_file_that_was_changed(tested: Path, results: Path) -> None:
    path = tested / "tiny.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=r"tiny\.safetensors is truncated or not the released file"):
        add_test("tiny", results, [], tested)


def test_only_the_data_is_passed_by_hand(tested: Path, results: Path) -> None:
    with pytest.raises(
        RunError, match=r"^--set data\.split=all: expected only data\.root, data\.records, data\.dataset; every"
    ):
        add_test("tiny", results, ["data.split=all"], tested)
    with pytest.raises(
        InputError, match=r"contains local paths, which must not be released: overrides\.0 \(data\.root"
    ):
        add_test("tiny", results, ["data.root=/data/BUSI"], tested)
    assert add_test("tiny", results, ["data.root=data/mine"], tested).overrides == ("data.root=data/mine",)
    assert len(read_index().checkpoints["tiny"].tests) == 1, "the same images again"
    flipped = {"test_time_augmentation": {"horizontal_flip": True, "vertical_flip": False, "scales": [1.0]}}
    evaluation = json.loads((results / "metrics.json").read_text())["evaluation"]
    change_facts(results, evaluation={**evaluation, **flipped})
    test = add_test("tiny", results, [], tested)
    assert test.settings == ("evaluation.test_time_augmentation=" + json.dumps(flipped["test_time_augmentation"]),)
    assert len(read_index().checkpoints["tiny"].tests) == 2, "the same images with other settings"
    shown = f"n = {test.n}), test_time_augmentation: horizontal_flip, scales [1.0] |"
    assert shown in (tested / "README.md").read_text()


def test_image_names_that_are_paths(tested: Path, results: Path) -> None:
    with (results / "cases.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    write_csv(results / "cases.csv", [{**row, "image": f"/home/me/{row['image']}"} for row in rows])
    with pytest.raises(InputError, match=r"contains local paths, .*worst_cases\.0\.image \(/home/me/"):
        add_test("tiny", results, [], tested)


def test_another_protocol_has_overrides(tested: Path) -> None:
    """What they make of the card's configuration is what was tested."""
    given = ["evaluation.threshold=0.3", "evaluation.test_time_augmentation={horizontal_flip: true}"]
    config = resolve_test_config(open_checkpoint("tiny"), None, given)
    result, provenance = run_test(open_checkpoint("tiny"), config, progress=False)
    result.write(tested.parent / "augmented", provenance)
    test = add_test("tiny", tested.parent / "augmented", [], tested)
    assert test.threshold == 0.3
    again = resolve_test_config(open_checkpoint("tiny"), None, test.overrides)
    assert again == config
    assert len(test.overrides) == 2


def test_a_second_data_set(tested: Path) -> None:
    """All images of a set with other classes: another test, and its own overrides."""
    from acsnet.phantom import write_phantoms

    root = tested.parent / "data" / "other"
    write_phantoms(root, {"benign": 4, "malignant": 4}, seed=5, size=(64, 64), vary_size=False, progress=False)
    given = ["data.root=data/other", "data.split=all"]
    result, provenance = run_test(
        open_checkpoint("tiny"), resolve_test_config(open_checkpoint("tiny"), None, given), progress=False
    )
    result.write(tested.parent / "other", provenance)
    test = add_test("tiny", tested.parent / "other", ["data.root=data/other"], tested)
    assert test.overrides == ("data.root=data/other", 'data.split="all"')
    assert test.metrics["dice_normal"].estimate is None
    assert test.metrics["dice_normal"].reason
    assert [other.n for other in read_index().checkpoints["tiny"].tests] == [
        read_index().checkpoints["tiny"].tests[0].n,
        8,
    ]
