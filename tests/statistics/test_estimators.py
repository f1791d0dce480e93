import math

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.metrics import f1_score, roc_auc_score

from acsnet.statistics.estimators import (
    Estimator,
    auroc_of,
    class_f1_of,
    estimator_of,
    macro_f1_of,
    mean_of,
    weighted_f1_of,
)

LABELS = np.arange(24) % 3


def random_counts(images: int = 24) -> npt.NDArray:
    return np.random.default_rng(0).multinomial(images, np.full(images, 1 / images), size=8).astype(float)


def repeated(row: npt.NDArray, values: npt.NDArray) -> npt.NDArray:
    return np.repeat(values, row.astype(int))


def check(statistic: Estimator, figure) -> None:
    """The figures of all resamples are what ``figure`` gives for the positions in each."""
    counts = random_counts()
    expected = [figure(repeated(row, np.arange(24))) for row in counts]
    assert statistic(counts) == pytest.approx(expected, nan_ok=True)
    assert len(set(expected)) > 1


def test_mean() -> None:
    values = np.random.default_rng(1).random(24)
    values[::5] = math.nan
    check(mean_of(values), lambda positions: np.nanmean(values[positions]))
    assert np.isnan(mean_of([math.nan, 1])(np.array([[2.0, 0.0], [0.0, 2.0]]))).tolist() == [True, False]


def test_macro_f1() -> None:
    predicted = (LABELS + (np.random.default_rng(1).random(24) < 0.4)) % 3
    check(macro_f1_of(LABELS, predicted), lambda p: f1_score(LABELS[p], predicted[p], average="macro"))
    names = np.array(["a", "b", "c"])
    counts = random_counts()
    assert (macro_f1_of(names[LABELS], names[predicted])(counts) == macro_f1_of(LABELS, predicted)(counts)).all()


def test_macro_f1_leaves_out_a_class_without_a_case() -> None:
    """Of two benign and one malignant one each is taken for normal, which has no case, or for the other."""
    statistic = macro_f1_of(["benign", "benign", "malignant"], ["benign", "normal", "benign"])
    assert statistic(np.ones((1, 3))) == pytest.approx((2 / 4 + 0) / 2)
    assert statistic(np.array([[1.0, 1.0, 0.0]])) == pytest.approx(2 / 3)


@pytest.mark.parametrize("decimals", [1, 8], ids=["with ties", "without"])
def test_auroc(decimals: int) -> None:
    positive = LABELS == 1
    scores = (np.random.default_rng(1).normal(size=24) + positive).round(decimals)
    check(auroc_of(positive, scores), lambda p: roc_auc_score(positive[p], scores[p]))


def test_auroc_is_undefined_without_one_of_the_classes() -> None:
    statistic = auroc_of([True, False, False], [0.9, 0.1, 0.95])
    assert statistic(np.array([[0.0, 2, 1], [3, 0, 0], [1, 1, 1], [1, 2, 0]])) == pytest.approx(
        [math.nan, math.nan, 0.5, 1], nan_ok=True
    )


def test_any_metric() -> None:
    values = np.random.default_rng(1).random(24)
    check(estimator_of(lambda positions: float(np.median(values[positions]))), lambda p: np.median(values[p]))


def test_f1_weighted_and_of_a_class_are_those_of_scikit_learn() -> None:
    predicted = np.random.default_rng(3).integers(3, size=len(LABELS))
    check(weighted_f1_of(LABELS, predicted), lambda p: f1_score(LABELS[p], predicted[p], average="weighted"))
    check(class_f1_of(LABELS, predicted, 1), lambda p: f1_score(LABELS[p] == 1, predicted[p] == 1))


def test_f1_of_a_class_without_a_case_is_undefined() -> None:
    statistic = class_f1_of(["benign", "normal"], ["normal", "normal"], "normal")
    f1 = statistic(np.array([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0]]))
    assert f1 == pytest.approx([2 / 3, math.nan, 1], nan_ok=True)
