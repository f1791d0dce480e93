"""Classification metrics of a set of images, by scikit-learn, with what is undefined said aloud."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from acsnet.errors import InputError

POSITIVE_CLASS = "malignant"
# Probabilities read back from a table with four decimals, or computed in half precision, do not sum to 1 exactly.
SUM_TOLERANCE = 1e-2


def classification_metrics(
    labels: npt.ArrayLike, probabilities: npt.ArrayLike, class_names: Sequence[str]
) -> dict[str, Any]:
    """Compare predicted class probabilities (N, K) with true class indices (N,); `class_names` has K names.

    The predicted class is the most probable one. The result, fit for JSON, has

    - `n`, `accuracy`, `balanced_accuracy`, `precision_macro`, `recall_macro`, `f1_macro`, `f1_weighted`. Means over
      classes leave out a class without a case; a class with cases that is never predicted has precision and F1 0.
    - `auroc_macro` (mean of one class versus the rest) and `auroc_malignant`.
    - `sensitivity` and `specificity` of "malignant" versus the rest.
    - `per_class`: `{name: {precision, recall, f1, auroc, support}}`.
    - `confusion_matrix`: K lists of K counts, a row a true class, a column a predicted class, in order of
      `class_names`.
    - `notes`: why an entry is None, or what a mean leaves out: `{entry: reason}`.

    Raises:
        InputError: shapes or names do not fit, a label is out of range, or the probabilities of an image are not in 0
            to 1 with sum 1.
    """
    truth = np.asarray(labels)
    scores = np.asarray(probabilities, dtype=np.float64)
    _check(truth, scores, class_names)
    predicted = scores.argmax(axis=1)
    notes: dict[str, str] = {}
    result: dict[str, Any] = {"n": len(truth), "accuracy": float(np.mean(predicted == truth))}
    per_class = _per_class(truth, predicted, scores, class_names)
    result |= _means(per_class, notes)
    result |= _auroc(per_class, notes)
    result |= _sensitivity_and_specificity(truth, predicted, class_names, notes)
    result["per_class"] = per_class
    result["confusion_matrix"] = _confusion_matrix(truth, predicted, len(class_names))
    result["notes"] = notes
    return result


def _check(truth: npt.NDArray[Any], scores: npt.NDArray[np.float64], class_names: Sequence[str]) -> None:
    classes = len(class_names)
    if len(set(class_names)) != classes:
        raise InputError(f"the class names {list(class_names)} repeat: expected one name a class")
    if truth.ndim != 1 or truth.size == 0 or not np.issubdtype(truth.dtype, np.integer):
        raise InputError(
            f"the labels are {truth.dtype} of shape {truth.shape}: expected integers of shape (N,), N at least 1"
        )
    if scores.shape != (truth.size, classes):
        raise InputError(
            f"the probabilities' shape is {scores.shape}: expected {(truth.size, classes)}, "
            "a row for each label and a column for each class name"
        )
    if truth.min() < 0 or truth.max() >= classes:
        raise InputError(f"the labels range from {truth.min()} to {truth.max()}: expected 0 to {classes - 1}")
    in_range = ((scores >= 0) & (scores <= 1)).all(axis=1)
    wrong = np.flatnonzero(~(in_range & (np.abs(scores.sum(axis=1) - 1) <= SUM_TOLERANCE)))
    if wrong.size:
        raise InputError(
            f"the probabilities of image {wrong[0]} are {scores[wrong[0]].tolist()} ({wrong.size} such images): "
            "expected values in 0 to 1 with sum 1; apply a softmax to logits first"
        )


def _per_class(
    truth: npt.NDArray[Any], predicted: npt.NDArray[Any], scores: npt.NDArray[np.float64], class_names: Sequence[str]
) -> dict[str, dict[str, Any]]:
    # scikit-learn takes half a second to import: only who asks for metrics pays for it.
    from sklearn.metrics import precision_recall_fscore_support, roc_auc_score

    indices = np.arange(len(class_names))
    columns = precision_recall_fscore_support(truth, predicted, labels=indices, average=None, zero_division=0)
    table: dict[str, dict[str, Any]] = {}
    for index, (name, precision, recall, f1, support) in enumerate(zip(class_names, *columns, strict=True)):
        values = {"precision": precision, "recall": recall, "f1": f1}
        positive = truth == index
        table[name] = {key: float(value) if support else None for key, value in values.items()}
        defined = positive.any() and not positive.all()
        table[name]["auroc"] = float(roc_auc_score(positive, scores[:, index])) if defined else None
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


def _auroc(per_class: dict[str, dict[str, Any]], notes: dict[str, str]) -> dict[str, float | None]:
    values = {name: row["auroc"] for name, row in per_class.items()}
    undefined = [name for name, value in values.items() if value is None]
    macro = None if undefined else float(np.mean(list(values.values())))
    if undefined:
        notes["auroc_macro"] = f"undefined: {', '.join(undefined)} has no case, or no other class has one"
    if POSITIVE_CLASS not in values:
        notes["auroc_malignant"] = f"no class is named {POSITIVE_CLASS!r}"
    elif values[POSITIVE_CLASS] is None:
        notes["auroc_malignant"] = f"undefined: {POSITIVE_CLASS} has no case, or no other class has one"
    return {"auroc_macro": macro, "auroc_malignant": values.get(POSITIVE_CLASS)}


def _sensitivity_and_specificity(
    truth: npt.NDArray[Any], predicted: npt.NDArray[Any], class_names: Sequence[str], notes: dict[str, str]
) -> dict[str, float | None]:
    if POSITIVE_CLASS not in class_names:
        notes |= dict.fromkeys(["sensitivity", "specificity"], f"no class is named {POSITIVE_CLASS!r}")
        return {"sensitivity": None, "specificity": None}
    index = list(class_names).index(POSITIVE_CLASS)
    positive, called_positive = truth == index, predicted == index
    if not positive.any():
        notes["sensitivity"] = f"no case of {POSITIVE_CLASS}"
    if positive.all():
        notes["specificity"] = f"every case is {POSITIVE_CLASS}"
    return {
        "sensitivity": float(np.mean(called_positive[positive])) if positive.any() else None,
        "specificity": None if positive.all() else float(np.mean(~called_positive[~positive])),
    }


def _confusion_matrix(truth: npt.NDArray[Any], predicted: npt.NDArray[Any], classes: int) -> list[list[int]]:
    from sklearn.metrics import confusion_matrix

    matrix: list[list[int]] = confusion_matrix(truth, predicted, labels=np.arange(classes)).tolist()
    return matrix
