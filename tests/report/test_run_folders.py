import json
import re
from pathlib import Path
from typing import Any

import pytest

from acsnet.report.run_folders import find_tests


def make_run(folder: Path) -> Path:
    (folder / "test").mkdir(parents=True)
    (folder / "config.yaml").write_text("")
    (folder / "test" / "metrics.json").write_text("{}")
    return folder


def test_a_run_folder_is_its_test(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    ((source,), problems) = find_tests([str(run)])
    assert problems == []
    assert (source.result, source.training, source.name, source.config) == (run / "test", run, None, None)


def test_a_result_folder_inside_a_run_folder_knows_its_training(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "metrics.json").write_text("{}")
    (tmp_path / "fold0" / "test").mkdir(parents=True)
    (beside, elsewhere, bare), problems = find_tests(
        [str(run / "test"), str(tmp_path / "elsewhere"), str(tmp_path / "fold0")]
    )
    assert problems == []
    assert (beside.result, beside.training) == (run / "test", run)
    assert elsewhere.training is None
    # A configuration that shares the trainings of another has results but no training.
    assert (bare.result, bare.training) == (tmp_path / "fold0" / "test", None)


def test_names_and_folders_with_an_equals_sign(tmp_path: Path) -> None:
    run, odd = make_run(tmp_path / "run"), make_run(tmp_path / "lr=0.1")
    (named, unnamed, both), problems = find_tests([f"my net={run}", str(odd), f"odd={odd}"])
    assert problems == []
    assert [(source.name, source.training) for source in (named, unnamed, both)] == [
        ("my net", run),
        (None, odd),
        ("odd", odd),
    ]


def test_a_test_named_twice_is_read_once(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    sources, _ = find_tests([str(run), str(run / "test"), f"a={run}", f"b={run}"])
    assert [source.name for source in sources] == [None, "a", "b"]


def write_description(folder: Path, content: dict[str, Any]) -> Path:
    folder.mkdir()
    (folder / "crossval.json").write_text(json.dumps({"format": 1, "study": "s", **content}))
    return folder


def test_a_cross_validation_is_one_network_per_configuration(tmp_path: Path) -> None:
    about = {"a": {"training": "a", "config": {"x": 1}}, "b": {"training": "a", "config": {"x": 2}}}
    folder = write_description(tmp_path / "cv", {"folds": 2, "configurations": about})
    sources, problems = find_tests([str(folder)])
    assert problems == []
    assert [(source.name, source.result, source.training, source.config) for source in sources] == [
        ("a", folder / "a" / "fold0" / "test", folder / "a" / "fold0", {"x": 1}),
        ("a", folder / "a" / "fold1" / "test", folder / "a" / "fold1", {"x": 1}),
        ("b", folder / "b" / "fold0" / "test", folder / "a" / "fold0", {"x": 2}),
        ("b", folder / "b" / "fold1" / "test", folder / "a" / "fold1", {"x": 2}),
    ]
    sources, problems = find_tests([f"both={folder}"])
    assert sources == []
    assert problems == [
        f"{folder / 'crossval.json'} has the configurations a, b, which cannot all be named both: omit the name, "
        "or pass run folders"
    ]


def test_a_cross_validation_of_one_configuration_can_be_named(tmp_path: Path) -> None:
    about = {"a": {"training": "a", "config": {}}}
    folder = write_description(tmp_path / "cv", {"folds": 2, "configurations": about})
    sources, _ = find_tests([f"mine={folder}"])
    assert [source.name for source in sources] == ["mine", "mine"]


def test_one_configuration_of_a_cross_validation(tmp_path: Path) -> None:
    about = {name: {"training": "a", "config": {"x": name}} for name in ("a", "b")}
    folder = write_description(tmp_path / "cv", {"folds": 2, "configurations": about})
    for name in ("b", "c"):
        (folder / name).mkdir()
    sources, _ = find_tests([f"mine={folder / 'b'}"])
    assert [(source.name, source.result, source.training) for source in sources] == [
        ("mine", folder / "b" / f"fold{fold}" / "test", folder / "a" / f"fold{fold}") for fold in (0, 1)
    ]
    sources, problems = find_tests([str(folder / "c")])
    assert sources == []
    assert problems == [f"{folder / 'crossval.json'} has no configuration c: it has a, b"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "folds: Field required"),
        ({"folds": 2, "configurations": {"a": {"config": {}}}}, "configurations.a.training: Field required"),
        (
            {"folds": 2, "configurations": {}},
            "configurations: Dictionary should have at least 1 item.*",
        ),
        (
            {"folds": 0, "configurations": {"a": {"training": "a", "config": {}}}},
            "folds: Input should be .* 2",
        ),
    ],
)
def test_a_broken_cross_validation_is_reported(tmp_path: Path, content: dict[str, Any], message: str) -> None:
    sources, (problem,) = find_tests([str(write_description(tmp_path / "cv", content))])
    assert sources == []
    assert re.search(rf"crossval.json is broken \({message}\): start a new cross-validation", problem)


def test_invalid_folders_are_reported_and_the_others_found(tmp_path: Path) -> None:
    run, empty = make_run(tmp_path / "run"), tmp_path / "empty"
    empty.mkdir()
    sources, problems = find_tests([str(tmp_path / "nowhere"), str(empty), f"={run}", str(run)])
    assert [source.training for source in sources] == [run]
    assert problems[0].startswith(f"there is no folder {tmp_path / 'nowhere'}: pass a run folder (with test/ in it)")
    assert problems[1].startswith(f"{empty} is not a folder of results: pass a run folder")
    assert problems[2] == f"={run}: expected NAME=FOLDER"
