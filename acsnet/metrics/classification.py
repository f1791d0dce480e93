"""Classification metrics of a set of images, by scikit-learn, with what is undefined said aloud."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from acsnet.errors import InputError
from acsnet.labels import POSITIVE_CLASS
from acsnet.metrics._classes import check_probabilities
from acsnet.metrics.calibration import brier_score, expected_calibration_error

SPECIFICITY = 0.9
# Of a class against the rest, by its probability.
_RANKINGS = ("auroc", "average_precision")


def classification_metrics(
    labels: npt.ArrayLike, probabilities: npt.ArrayLike, class_names: Sequence[str]
) -> dict[str, Any]:
    """Compare predicted class probabilities (N, K) with true class indices (N,); `class_names` has K names.

    The predicted class is the most probable one. All figures are in 0 to 1, but `brier`. What is not said to come from
    elsewhere is as scikit-learn has it. The result, fit for JSON, has

    - `n`, `accuracy`, `balanced_accuracy`, `precision_macro`, `recall_macro`, `f1_macro`, `f1_weighted`. Means over
      classes leave out a class without a case; a class with cases that is never predicted has precision and F1 0.
    - `auroc_macro` (mean of one class versus the rest) and `auroc_malignant`; `average_precision_macro` and
      `average_precision_malignant` likewise (the sum of precisions weighted by the steps in recall, not the area under
      a trapezoid). They are undefined for a class that has no case, or all.
    - `sensitivity` and `specificity` of "malignant" versus the rest.
    - `sensitivity_at_90_specificity`: :func:`sensitivity_at_specificity` of the probability of "malignant".
    - `brier` (0 to 2) and `ece`: :func:`~acsnet.metrics.brier_score` and
      :func:`~acsnet.metrics.expected_calibration_error`.
    - `per_class`: `{name: {precision, recall, f1, auroc, average_precision, support}}`.
    - `confusion_matrix`: K lists of K counts, a row a true class, a column a predicted class, in order of
      `class_names`.
    - `notes`: why an entry is None, or what a mean leaves out: `{entry: reason}`.

    Raises:
        InputError: shapes or names do not fit, a label is out of range, or the probabilities of an image are not in 0
            to 1 with sum 1.
    """
    if len(set(class_names)) != len(class_names):
        raise InputError(f"the class names {list(class_names)} repeat: expected one name a class")
    truth, scores = check_probabilities(labels, probabilities, len(class_names))
    predicted = scores.argmax(axis=1)
    notes: dict[str, str] = {}
    result: dict[str, Any] = {"n": len(truth), "accuracy": float(np.mean(predicted == truth))}
    per_class = _per_class(truth, predicted, scores, class_names)
    result |= _means(per_class, notes)
    for ranking in _RANKINGS:
        result |= _mean_and_malignant(ranking, per_class, notes)
    result |= _of_malignant(truth, predicted, scores, class_names, notes)
    result |= {"brier": brier_score(truth, scores), "ece": expected_calibration_error(truth, scores)}
    result["per_class"] = per_class
    result["confusion_matrix"] = _confusion_matrix(truth, predicted, len(class_names))
    result["notes"] = notes
    return result


def sensitivity_at_specificity(
    positive: npt.ArrayLike, scores: npt.ArrayLike, specificity: float = SPECIFICITY
) -> float:
    """Give the best sensitivity, 0 to 1, of the thresholds on `scores` (N,) that have at least a specificity.

    Thresholds are those of scikit-learn's ROC curve, one between any two scores; nothing is interpolated between them,
    so that the figure is one that a reader with that threshold would have had. NaN where `positive` (N,), boolean,
    has no case or no other.

    Raises:
        InputError: `positive` is not boolean of rank 1, the scores are not as many finite numbers, or the specificity
            is not in 0 to 1.
    """
    from sklearn.metrics import roc_curve

    truth, values = np.asarray(positive), np.asarray(scores, dtype=np.float64)
    if truth.ndim != 1 or truth.dtype != np.bool_:
        raise InputError(f"`positive` is {truth.dtype} of shape {truth.shape}: expected booleans of shape (N,)")
    if values.shape != truth.shape or not np.isfinite(values).all():
        raise InputError(f"the scores are of shape {values.shape}: expected {truth.size} finite numbers, one a case")
    if not 0 <= specificity <= 1:
        raise InputError(f"the specificity is {specificity}: expected a number in 0 to 1")
    if truth.all() or not truth.any():
        return math.nan
    false_positive_rates, sensitivities, _ = roc_curve(truth, values, drop_intermediate=False)
    # A threshold that has exactly the specificity must not be lost to rounding.
    reached = 1 - false_positive_rates >= specificity - 1e-9
    return float(sensitivities[reached].max())


def _per_class(
    truth: npt.NDArray[Any], predicted: npt.NDArray[Any], scores: npt.NDArray[np.float64], class_names: Sequence[str]
) -> dict[str, dict[str, Any]]:
    # scikit-learn takes half a second to import: only who asks for metrics pays for it.
    from sklearn.metrics import average_precision_score, precision_recall_fscore_support, roc_auc_score

    indices = np.arange(len(class_names))
    columns = precision_recall_fscore_support(truth, predicted, labels=indices, average=None, zero_division=0)
    table: dict[str, dict[str, Any]] = {}
    for index, (name, precision, recall, f1, support) in enumerate(zip(class_names, *columns, strict=True)):
        values = {"precision": precision, "recall": recall, "f1": f1}
        positive = truth == index
        table[name] = {key: float(value) if support else None for key, value in values.items()}
        defined = positive.any() and not positive.all()
        for key, ranking in zip(_RANKINGS, (roc_auc_score, average_precision_score), strict=True):
            table[name][key] = float(ranking(positive, scores[:, index])) if defined else None
        table[name]["support"] = int(support)
    return table


def _means(per_class: dict[str, dict[str, Any]], notes: dict[str, str]) -> dict[str, float]:
    present = [row for row in per_class.values() if row["support"]]
    absent = [name for name, row in per_class.items() if not row["support"]]
    means = {f"{key}_macro": float(np.mean([row[key] for row in present])) for key in ("precision", "recall", "f1")}
    supports = [row["support"] for row in present]
    # Balanced accuracy is by definition the mean recall of the classes that have cases.
    means["balanced_accuracy"] = means["recall_macro"]
    means["f1_weighted"] = float(np.average([row["f1"] for row in present], weights=supports))
    if absent:
        reason = f"no case of {', '.join(absent)}: left out"
        notes |= dict.fromkeys(["precision_macro", "recall_macro", "f1_macro", "balanced_accuracy"], reason)
    return means


def _mean_and_malignant(
    key: str, per_class: dict[str, dict[str, Any]], notes: dict[str, str]
) -> dict[str, float | None]:
    values = {name: row[key] for name, row in per_class.items()}
    undefined = [name for name, value in values.items() if value is None]
    macro = None if undefined else float(np.mean(list(values.values())))
    if undefined:
        notes[f"{key}_macro"] = f"undefined: {', '.join(undefined)} has no case, or no other class has one"
    if POSITIVE_CLASS not in values:
        notes[f"{key}_malignant"] = f"no class is named {POSITIVE_CLASS!r}"
    elif values[POSITIVE_CLASS] is None:
        notes[f"{key}_malignant"] = f"undefined: {POSITIVE_CLASS} has no case, or no other class has one"
    return {f"{key}_macro": macro, f"{key}_malignant": values.get(POSITIVE_CLASS)}


def _of_malignant(
    truth: npt.NDArray[Any],
    predicted: npt.NDArray[Any],
    scores: npt.NDArray[np.float64],
    class_names: Sequence[str],
    notes: dict[str, str],
) -> dict[str, float | None]:
    keys = ("sensitivity", "specificity", "sensitivity_at_90_specificity")
    if POSITIVE_CLASS not in class_names:
        notes |= dict.fromkeys(keys, f"no class is named {POSITIVE_CLASS!r}")
        return dict.fromkeys(keys)
    index = list(class_names).index(POSITIVE_CLASS)
    positive, called_positive = truth == index, predicted == index
    sensitivity = specificity = at_specificity = None
    if positive.any():
        sensitivity = float(np.mean(called_positive[positive]))
    else:
        notes["sensitivity"] = notes["sensitivity_at_90_specificity"] = f"no case of {POSITIVE_CLASS}"
    if not positive.all():
        specificity = float(np.mean(~called_positive[~positive]))
    else:
        notes["specificity"] = notes["sensitivity_at_90_specificity"] = f"every case is {POSITIVE_CLASS}"
    if sensitivity is not None and specificity is not None:
        at_specificity = sensitivity_at_specificity(positive, scores[:, index])
    return dict(zip(keys, (sensitivity, specificity, at_specificity), strict=True))


def _confusion_matrix(truth: npt.NDArray[Any], predicted: npt.NDArray[Any], classes: int) -> list[list[int]]:
    from sklearn.metrics import confusion_matrix

    matrix: list[list[int]] = confusion_matrix(truth, predicted, labels=np.arange(classes)).tolist()
    return matrix
