"""Classification metrics of a set of images, with a reason for each undefined value."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from acsnet._utils.extras import explain_missing
from acsnet.errors import InputError
from acsnet.labels import POSITIVE_CLASS
from acsnet.metrics._arrays import to_array
from acsnet.metrics._classes import check_probabilities
from acsnet.metrics.calibration import brier_score, expected_calibration_error

SPECIFICITY = 0.9
# Metrics of the ranking of one class versus the rest by its probability.
_RANKINGS = ("auroc", "average_precision")


def classification_metrics(
    labels: npt.ArrayLike,
    probabilities: npt.ArrayLike,
    class_names: Sequence[str],
    predicted: npt.ArrayLike | None = None,
) -> dict[str, Any]:
    """Compute the classification metrics of a set of images.

    The predicted class is the most probable one unless it is given. All metrics are in 0 to 1, except `brier`. They are
    those of scikit-learn unless another source is named below.

    Args:
        labels: true class indices (N,), an array or a PyTorch tensor.
        probabilities: class probabilities (N, K), likewise.
        class_names: names of the K classes, in the order of the columns.
        predicted: predicted class indices (N,) of another rule, such as an operating point.

    Returns:
        A dictionary that can be written as JSON, with the keys

        - `n`, `accuracy`, `balanced_accuracy`, `precision_macro`, `recall_macro`, `f1_macro`, `f1_weighted`. Means over
          classes skip classes without images. A class with images that is never predicted has a precision and an F1
          of 0.
        - `auroc_macro` (mean over the classes, each versus the rest) and `auroc_malignant`. A class without images or
          with all images has no AUROC: the mean skips it, and is undefined if no class is left.
        - `average_precision_macro` and `average_precision_malignant`, likewise: the sum of precisions, weighted by the
          steps in recall, not the area under a trapezoid.
        - `sensitivity` and `specificity` of "malignant" versus the rest.
        - `sensitivity_at_90_specificity`: :func:`sensitivity_at_specificity` of the probability of "malignant".
        - `brier` (0 to 2) and `ece`: :func:`~acsnet.metrics.brier_score` and
          :func:`~acsnet.metrics.expected_calibration_error`.
        - `per_class`: `{name: {precision, recall, f1, auroc, average_precision, support}}`.
        - `confusion_matrix`: K lists of K counts, one row per true class and one column per predicted class, in the
          order of `class_names`.
        - `notes`: `{key: reason}` for values that are None and for means that skip classes.

    Raises:
        InputError: if the shapes do not match, a name is repeated, a label is out of range, or the probabilities of an
            image are not in 0 to 1 with a sum of 1.

    Example:
        >>> from acsnet.metrics import classification_metrics
        >>> probabilities = [[0.8, 0.2], [0.6, 0.4], [0.7, 0.3], [0.1, 0.9]]
        >>> metrics = classification_metrics([0, 0, 1, 1], probabilities, ["benign", "malignant"])
        >>> metrics["accuracy"], metrics["sensitivity"], metrics["specificity"], metrics["auroc_malignant"]
        (0.75, 0.5, 1.0, 0.75)
        >>> metrics["confusion_matrix"]
        [[2, 0], [1, 1]]
    """
    if len(set(class_names)) != len(class_names):
        raise InputError(f"the class names {list(class_names)} are not unique: expected one name per class")
    truth, scores = check_probabilities(labels, probabilities, len(class_names))
    decided = scores.argmax(axis=1) if predicted is None else to_array(predicted)
    if decided.shape != truth.shape or not np.isin(decided, np.arange(len(class_names))).all():
        raise InputError(
            f"the predicted classes have shape {decided.shape}: expected {truth.size} indices from 0 to "
            f"{len(class_names) - 1}"
        )
    notes: dict[str, str] = {}
    result: dict[str, Any] = {"n": len(truth), "accuracy": float(np.mean(decided == truth))}
    per_class = _per_class(truth, decided, scores, class_names)
    result |= _means(per_class, notes)
    for ranking in _RANKINGS:
        result |= _ranking_means(ranking, per_class, notes)
    result |= _positive_class_metrics(truth, decided, scores, class_names, notes)
    result |= {"brier": brier_score(truth, scores), "ece": expected_calibration_error(truth, scores)}
    result["per_class"] = per_class
    result["confusion_matrix"] = _confusion_matrix(truth, decided, len(class_names))
    result["notes"] = notes
    return result


def sensitivity_at_specificity(
    positive: npt.ArrayLike, scores: npt.ArrayLike, specificity: float = SPECIFICITY
) -> float:
    """Compute the highest sensitivity of all thresholds with at least a given specificity.

    The thresholds are those of scikit-learn's ROC curve, one between two neighboring scores. The curve is not
    interpolated, so that a threshold with this sensitivity exists.

    Args:
        positive: whether each case belongs to the positive class, boolean (N,).
        scores: score of each case for the positive class (N,), for example its probability.
        specificity: minimum specificity, 0 to 1.

    Returns:
        The sensitivity, 0 to 1, or NaN if all cases are positive or none is.

    Raises:
        InputError: if `positive` is not boolean with one dimension, if the scores are not N finite numbers, or if the
            specificity is out of range.

    Example:
        >>> from acsnet.metrics import sensitivity_at_specificity
        >>> sensitivity_at_specificity([False, False, True, True], [0.2, 0.4, 0.3, 0.9])
        0.5
    """
    with explain_missing("counting classes"):
        from sklearn.metrics import roc_curve

    truth, values = to_array(positive), np.asarray(to_array(scores), dtype=np.float64)
    if truth.ndim != 1 or truth.dtype != np.bool_:
        raise InputError(f"`positive` is {truth.dtype} of shape {truth.shape}: expected booleans of shape (N,)")
    if values.shape != truth.shape or not np.isfinite(values).all():
        raise InputError(f"the scores have shape {values.shape}: expected {truth.size} finite numbers, one per case")
    if not 0 <= specificity <= 1:
        raise InputError(f"the specificity is {specificity}: expected a number in 0 to 1")
    if truth.all() or not truth.any():
        return math.nan
    false_positive_rates, sensitivities, _ = roc_curve(truth, values, drop_intermediate=False)
    # Tolerance for rounding errors of thresholds with exactly this specificity.
    reached = 1 - false_positive_rates >= specificity - 1e-9
    return float(sensitivities[reached].max())


def _per_class(
    truth: npt.NDArray[Any], predicted: npt.NDArray[Any], scores: npt.NDArray[np.float64], class_names: Sequence[str]
) -> dict[str, dict[str, Any]]:
    # The import of scikit-learn takes half a second.
    with explain_missing("counting classes"):
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
    means = {f"{key}_macro": float(np.mean([row[key] for row in present])) for key in ("precision", "recall", "f1")}
    supports = [row["support"] for row in present]
    # Balanced accuracy is by definition the mean recall of the classes that have cases.
    means["balanced_accuracy"] = means["recall_macro"]
    means["f1_weighted"] = float(np.average([row["f1"] for row in present], weights=supports))
    if len(present) < len(per_class):
        keys = ("precision_macro", "recall_macro", "f1_macro", "balanced_accuracy")
        notes |= dict.fromkeys(keys, _left_out(per_class))
    return means


def _left_out(per_class: dict[str, dict[str, Any]]) -> str:
    """Return the note of a mean that skips classes without cases."""
    absent = [name for name, row in per_class.items() if not row["support"]]
    return f"no case of {', '.join(absent)}: left out"


def _ranking_means(key: str, per_class: dict[str, dict[str, Any]], notes: dict[str, str]) -> dict[str, float | None]:
    values = {name: row[key] for name, row in per_class.items()}
    defined = [value for value in values.values() if value is not None]
    macro = float(np.mean(defined)) if defined else None
    if not defined:
        notes[f"{key}_macro"] = "undefined: only one class has a case"
    elif len(defined) < len(values):
        # Where two classes have cases, the others are undefined because they have none.
        notes[f"{key}_macro"] = _left_out(per_class)
    if POSITIVE_CLASS not in values:
        notes[f"{key}_malignant"] = f"no class is named {POSITIVE_CLASS!r}"
    elif values[POSITIVE_CLASS] is None:
        notes[f"{key}_malignant"] = f"undefined: {POSITIVE_CLASS} has no case, or no other class has one"
    return {f"{key}_macro": macro, f"{key}_malignant": values.get(POSITIVE_CLASS)}


def _positive_class_metrics(
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
    positive, predicted_positive = truth == index, predicted == index
    sensitivity = specificity = at_specificity = None
    if positive.any():
        sensitivity = float(np.mean(predicted_positive[positive]))
    else:
        notes["sensitivity"] = notes["sensitivity_at_90_specificity"] = f"no case of {POSITIVE_CLASS}"
    if not positive.all():
        specificity = float(np.mean(~predicted_positive[~positive]))
    else:
        notes["specificity"] = notes["sensitivity_at_90_specificity"] = f"every case is {POSITIVE_CLASS}"
    if sensitivity is not None and specificity is not None:
        at_specificity = sensitivity_at_specificity(positive, scores[:, index])
    return dict(zip(keys, (sensitivity, specificity, at_specificity), strict=True))


def _confusion_matrix(truth: npt.NDArray[Any], predicted: npt.NDArray[Any], classes: int) -> list[list[int]]:
    with explain_missing("counting classes"):
        from sklearn.metrics import confusion_matrix

    matrix: list[list[int]] = confusion_matrix(truth, predicted, labels=np.arange(classes)).tolist()
    return matrix
