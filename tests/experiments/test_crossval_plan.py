import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from acsnet.config import Config, build_config
from acsnet.errors import ConfigError, RunError
from acsnet.experiments import read_plan
from acsnet.experiments.crossval_plan import PLAN_FILE, extend_plan, write_plan
from acsnet.experiments.job_folder import job_folder


def test_configurations_that_differ_in_evaluation_share_trainings(tmp_path: Path, configs: dict[str, Config]) -> None:
    plan, added = extend_plan(tmp_path, configs)
    assert added == ["plain", "refined", "alone"]
    assert {name: planned.training for name, planned in plan.configurations.items()} == {
        "plain": "plain",
        "refined": "plain",
        "alone": "alone",
    }
    assert plan.folds == 2


def test_a_plan_comes_back(tmp_path: Path, configs: dict[str, Config]) -> None:
    plan, _ = extend_plan(tmp_path, configs)
    write_plan(tmp_path, plan)
    assert read_plan(tmp_path) == plan
    assert plan.config("refined", 1).data.folds.index == 1
    assert plan.config("refined", 1).evaluation == configs["refined"].evaluation


def test_what_is_planned_stays_and_more_can_be_added(tmp_path: Path, configs: dict[str, Config]) -> None:
    first, _ = extend_plan(tmp_path, {"plain": configs["plain"]})
    write_plan(tmp_path, first)
    plan, added = extend_plan(tmp_path, {"alone": configs["alone"], "refined": configs["refined"]})
    assert added == ["alone", "refined"]
    assert plan.study == first.study
    assert list(plan.configurations) == ["plain", "alone", "refined"]
    assert plan.configurations["refined"].training == "plain"


def test_another_fold_of_the_same_configuration_is_no_change(
    tmp_path: Path, configs: dict[str, Config], small: dict[str, Any]
) -> None:
    write_plan(tmp_path, extend_plan(tmp_path, {"plain": configs["plain"]})[0])
    again = build_config(small, ["data.folds.index=1", "data.workers=2"], "plain")
    assert extend_plan(tmp_path, {"plain": again})[1] == []


def test_other_values_under_a_planned_name_are_refused(
    tmp_path: Path, configs: dict[str, Config], small: dict[str, Any]
) -> None:
    write_plan(tmp_path, extend_plan(tmp_path, {"plain": configs["plain"]})[0])
    other = build_config(small, ["training.epochs=3"], "plain")
    with pytest.raises(
        RunError, match=r"has the configuration plain with other values: training.epochs \(2 -> 3\); resume"
    ):
        extend_plan(tmp_path, {"plain": other})


def test_a_single_split_is_refused(tmp_path: Path, small: dict[str, Any]) -> None:
    single = build_config(small, ["data.folds={test: 0.2, count: null, index: null}"], "single")
    with pytest.raises(ConfigError, match=r"single: data.folds.test is a single split: set data.folds.count for a c"):
        extend_plan(tmp_path, {"single": single})
    listed = build_config(small, ["data.split_file=split.csv"], "listed")
    with pytest.raises(
        ConfigError, match=r"listed: data.split_file is a single split: set it to null for a cross-valid"
    ):
        extend_plan(tmp_path, {"listed": listed})


def test_other_numbers_of_folds_are_refused(tmp_path: Path, configs: dict[str, Config], small: dict[str, Any]) -> None:
    three = build_config(small, ["data.folds.count=3"], "three")
    with pytest.raises(ConfigError, match=r"three: data.folds.count is 3, but 2 in the other configurations"):
        extend_plan(tmp_path, {"plain": configs["plain"], "three": three})


def test_a_folder_with_something_else_is_refused(tmp_path: Path, configs: dict[str, Config]) -> None:
    (tmp_path / "thesis.docx").write_text("")
    with pytest.raises(
        RunError, match=r"exists already and does not contain a cross-validation: choose another folder by --work"
    ):
        extend_plan(tmp_path, configs)


@pytest.mark.parametrize("content", ["", "{}", "not json", '{"format": 2, "study": "x", "folds": 2}'])
def test_a_broken_plan_is_one_clear_line(tmp_path: Path, configs: dict[str, Config], content: str) -> None:
    (tmp_path / "crossval.json").write_text(content)
    with pytest.raises(
        RunError, match=r"crossval.json is broken \(.*\): start a new cross-validation in another folder"
    ):
        extend_plan(tmp_path, configs)


def test_no_plan_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"there is no .*crossval.json: start a cross-validation with acsnet crossval"):
        read_plan(tmp_path)


@pytest.mark.parametrize("name", ["../out", "/tmp/out", "..", ".", "", "a/b", "a\\b", "a\0b"])
def test_a_plan_that_leads_out_of_its_folder(tmp_path: Path, configs: dict[str, Config], name: str) -> None:
    plan, _ = extend_plan(tmp_path, configs)
    content = plan.model_dump(mode="json")
    first = next(iter(content["configurations"]))
    named = {**content, "configurations": {name: {**content["configurations"][first], "training": name}}}
    lent = {**content, "configurations": {first: {**content["configurations"][first], "training": name}}}
    for crafted, message in ((named, "is not the name of a folder"), (lent, "has the trainings of .* is not planned")):
        (tmp_path / PLAN_FILE).write_text(json.dumps(crafted))
        with pytest.raises(RunError, match=rf"crossval\.json is broken \(configurations: .*{message}\): start a new"):
            read_plan(tmp_path)
    (tmp_path / PLAN_FILE).unlink()
    with pytest.raises(ConfigError, match=r"the configuration .* is not the name of a folder: rename it"):
        extend_plan(tmp_path, {name: next(iter(configs.values()))})


@pytest.mark.parametrize("names", [("a",), ("a", "fold0"), ("a", "fold0", "test")])
def test_a_link_in_the_place_of_a_folder(tmp_path: Path, names: tuple[str, ...]) -> None:
    (tmp_path / "elsewhere").mkdir()
    path = (tmp_path / "runs").joinpath(*names)
    path.parent.mkdir(parents=True)
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunError, match=r"runs names the job 'a/fold0/test', which is not a folder in it"):
        job_folder(tmp_path / "runs", "a", "fold0", "test")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[" * 100_000, "Invalid JSON: recursion limit exceeded"),
        ('{"a": ' * 100_000, "Invalid JSON: recursion limit exceeded"),
        ("{\0}", "Invalid JSON: key must be a string"),
        ("null", "Input should be an object"),
        ('{"format": 1, "study": 3, "folds": 4, "configurations": {}}', "study: Input should be a valid string"),
        ('{"format": 2}', "format: Input should be 1"),
        ('{"format": 1, "study": "a", "folds": 1e400}', "folds: "),
        ("9" * 10_000, "Invalid JSON: number out of range"),
        ("9", "Input should be an object"),
        ("\ud800".encode("utf-8", "surrogatepass"), "can't decode byte"),
    ],
)
def test_a_crafted_plan_is_one_clear_line(tmp_path: Path, content: str | bytes, message: str) -> None:
    (tmp_path / PLAN_FILE).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(RunError, match=rf"crossval\.json is broken \(.*{message}") as caught:
        read_plan(tmp_path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


def test_a_plan_that_is_not_a_file_is_named(tmp_path: Path, make_special: Callable[[Path], str]) -> None:
    path = tmp_path / "crossval.json"
    reason = make_special(path)
    with pytest.raises(RunError, match=rf"crossval\.json cannot be read \({reason}\): start a new cross-validation"):
        read_plan(tmp_path)
