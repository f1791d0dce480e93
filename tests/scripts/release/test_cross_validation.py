"""The cross-validation of a recipe in the index: its metrics, its command, and what is refused."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from acsnet.checkpoints import read_index, read_metadata
from acsnet.config import build_config
from acsnet.errors import RunError, UnknownNameError
from acsnet.statistics import compare, read_run
from acsnet.statistics.pooling import pool_folds
from scripts.release import add_crossval

FOLDS = 4
CrossvalMaker = Callable[..., Path]


@pytest.fixture
def make_crossval(folder: Path, write_run: Callable[..., Path], tmp_path: Path) -> CrossvalMaker:
    """Write a cross-validation of the released recipe with simulated tests."""

    def make(*overrides: str, folds: int = FOLDS) -> Path:
        recipe = read_metadata(folder / "tiny.safetensors").config
        results = tmp_path / "crossval" / "tiny"
        for fold in range(folds):
            run = results / f"fold{fold}"
            run.mkdir(parents=True)
            config = build_config(recipe, [f"data.folds.index={fold}", *overrides], "test")
            (run / "config.yaml").write_text(config.to_yaml(), encoding="utf-8")
            shutil.copytree(write_run("acsnet", fold=fold, seed=fold), run / "test")
        return results

    return make


def test_its_metrics_are_those_of_all_images(folder: Path, make_crossval: CrossvalMaker) -> None:
    results = make_crossval("data.folds.seed=3", "data.image_list=busi_curated")
    crossval = add_crossval("tiny", results, folder)
    assert read_index(folder).checkpoints["tiny"].crossval == crossval
    assert (crossval.folds, crossval.n, sum(crossval.classes.values())) == (FOLDS, 120, 120)
    assert crossval.overrides == ("data.folds.seed=3", 'data.image_list="busi_curated"')
    pooled = pool_folds([read_run(results / f"fold{fold}" / "test") for fold in range(FOLDS)])
    expected = compare([pooled]).networks[0].estimates["dice_lesion"]
    found = crossval.metrics["dice_lesion"]
    assert (found.estimate, found.low, found.high) == (expected.estimate, expected.low, expected.high)


def test_the_readme_shows_it(folder: Path, make_crossval: CrossvalMaker) -> None:
    add_crossval("tiny", make_crossval("data.folds.seed=3"), folder)
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert "| 4-fold cross-validation, n = 120 |" in text
    assert "### tiny: 4-fold cross-validation of its recipe" in text
    assert "acsnet crossval configs/tiny.yaml --work-dir runs/tiny_crossval --set data.folds.seed=3\n" in text


def test_the_folds_of_another_recipe_are_refused(folder: Path, make_crossval: CrossvalMaker) -> None:
    results = make_crossval("training.epochs=7", "loss.segmentation_weight=0.3")
    with pytest.raises(
        RunError, match=r"fold0 was trained by another recipe than the released file: .*epochs \(2 -> 7\)"
    ):
        add_crossval("tiny", results, folder)


def test_a_missing_fold_is_refused(folder: Path, make_crossval: CrossvalMaker) -> None:
    results = make_crossval(folds=3)
    with pytest.raises(RunError, match=r"fold3 is not a fold of acsnet crossval: run it until all 4 folds are done"):
        add_crossval("tiny", results, folder)
    shutil.rmtree(results / "fold0")
    with pytest.raises(RunError, match=r"fold0 is not a fold of acsnet crossval"):
        add_crossval("tiny", results, folder)


def test_a_fold_that_was_copied_is_refused(folder: Path, make_crossval: CrossvalMaker) -> None:
    results = make_crossval()
    shutil.rmtree(results / "fold1" / "test")
    shutil.copytree(results / "fold0" / "test", results / "fold1" / "test")
    with pytest.raises(RunError, match=r"was tested more than once on"):
        add_crossval("tiny", results, folder)


def test_an_unknown_name(folder: Path, make_crossval: CrossvalMaker) -> None:
    with pytest.raises(UnknownNameError, match=r"unknown released checkpoint 'tini': did you mean 'tiny'"):
        add_crossval("tini", make_crossval(folds=0), folder)
