from pathlib import Path
from typing import Any

import pytest

from acsnet.config import Config, build_config
from acsnet.errors import ConfigError, RunError
from acsnet.experiments import read_plan
from acsnet.experiments.crossval_plan import extend_plan, write_plan


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
    with pytest.raises(RunError, match=r"there is no .*crossval.json: start a cross-validation with tools/crossval.py"):
        read_plan(tmp_path)
