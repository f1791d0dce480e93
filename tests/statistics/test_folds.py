import math

import numpy as np
import pytest

from acsnet.errors import InputError
from acsnet.statistics import summarize_folds, summarize_published
from acsnet.statistics.folds import FoldSummary


def test_mean_and_deviation_of_every_number() -> None:
    values = [0.7, 0.8, 0.75, 0.62, 0.9]
    folds = [{"segmentation": {"dice": v, "lesion": {"dice": v / 2, "n": 10 + i}}} for i, v in enumerate(values)]
    summary = summarize_folds(folds)
    assert list(summary) == ["segmentation.dice", "segmentation.lesion.dice", "segmentation.lesion.n"]
    dice = summary["segmentation.dice"]
    assert (dice.mean, dice.deviation) == pytest.approx((np.mean(values), np.std(values, ddof=1)))
    assert (dice.folds, dice.undefined, dice.reason) == (5, 0, "")
    assert summary["segmentation.lesion.n"].mean == 12


@pytest.mark.parametrize("lacking", [{"auroc": None}, {"auroc": math.nan}, {}], ids=["None", "NaN", "absent"])
def test_undefined_folds_are_counted(lacking: dict) -> None:
    summary = summarize_folds([{"auroc": 0.8}, lacking, {"auroc": 0.9}])["auroc"]
    assert (summary.mean, summary.deviation) == pytest.approx((0.85, math.sqrt(0.005)))
    assert (summary.folds, summary.undefined, summary.reason) == (2, 1, "undefined in fold 2 of 3")


def test_one_fold_has_no_deviation() -> None:
    assert summarize_folds([{"dice": 0.8}])["dice"] == FoldSummary(
        0.8, None, 1, 0, "one fold has no standard deviation"
    )
    summary = summarize_folds([{"dice": 0.8}, {"dice": None}])["dice"]
    assert summary.deviation is None
    assert summary.reason == "undefined in fold 2 of 2; one fold has no standard deviation"


def test_undefined_in_every_fold() -> None:
    summary = summarize_folds([{"auroc": None}, {"auroc": None}])["auroc"]
    assert summary == FoldSummary(None, None, 0, 2, "undefined in fold 1, 2 of 2")


def test_only_numbers_are_averaged() -> None:
    fold = {"matrix": [[1, 2]], "notes": {"auroc": "no case"}, "refined": True, "n": 3}
    assert list(summarize_folds([fold, fold])) == ["n"]


def test_no_folds_are_an_error() -> None:
    with pytest.raises(InputError, match="there are no folds to average"):
        summarize_folds([])
    with pytest.raises(InputError, match="there are no folds to average"):
        summarize_published([])


def test_publications_divide_by_the_number_of_folds() -> None:
    values = [0.7, 0.8, 0.75, 0.62]
    folds = [{"published": {"he2024": {"dice": value}, "chung2024": {"dice": None, "f1": 1.0}}} for value in values]
    summary = summarize_published(folds)
    assert (summary["he2024"]["dice"].mean, summary["he2024"]["dice"].deviation) == pytest.approx(
        (np.mean(values), np.std(values))
    )
    # pandas' deviation (n - 1) of the folds together with their mean, as one publication computes it.
    assert summary["he2024"]["dice"].deviation == pytest.approx(np.std([*values, np.mean(values)], ddof=1))
    assert summary["chung2024"]["dice"] == FoldSummary(None, None, 0, 4, "undefined in fold 1, 2, 3, 4 of 4")


def test_publications_that_a_fold_lacks_are_left_out() -> None:
    both, one = (
        {"published": {"he2024": {"dice": 1.0}, "eee402": {"dice": 1.0}}},
        {"published": {"eee402": {"dice": 0}}},
    )
    assert [*summarize_published([both, one])] == ["eee402"]
    assert summarize_published([both, {"segmentation": None}]) == {}
