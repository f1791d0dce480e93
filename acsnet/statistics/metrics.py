"""The metrics in which networks are compared, with the paired test of those that have one."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from acsnet._utils.typing import BoolArray, Float64Array
from acsnet.labels import NORMAL, POSITIVE_CLASS
from acsnet.metrics.overall import overall_score
from acsnet.statistics.delong import delong_test
from acsnet.statistics.estimators import Estimator, auroc_of, class_f1_of, macro_f1_of, mean_of, weighted_f1_of
from acsnet.statistics.paired import mcnemar_test, wilcoxon_test
from acsnet.statistics.results import PairedTest
from acsnet.statistics.runs import RunResult


@dataclass(frozen=True)
class Metric:
    """A metric of a network on a set of images.

    Attributes:
        title: the name shown in tables.
        json_name: its dotted name in ``metrics.json``.
        needs: the images without which it is undefined, in words.
        why_missing: returns why a result does not have the metric, or "".
        estimator: returns the estimator of the metric, for results that have it.
        test_title: the name of the paired test, or "".
        test: the paired test of two results that have the metric, or None.
        headline: whether tables in the terminal show it.
        lower_is_better: whether lower values are better.
        digits: the number of decimals shown in reports.
    """

    title: str
    json_name: str
    needs: str
    why_missing: Callable[[RunResult], str]
    estimator: Callable[[RunResult], Estimator]
    test_title: str = ""
    test: Callable[[RunResult, RunResult], PairedTest] | None = None
    headline: bool = True
    lower_is_better: bool = False
    digits: int = 3


def _no_masks(run: RunResult) -> str:
    return "" if "dice" in run.per_image else f"{run.name} predicts no masks"


def _no_classes(run: RunResult) -> str:
    return f"{run.name} predicts no classes" if run.predicted is None else ""


def _no_class(name: str) -> Callable[[RunResult], str]:
    def why_missing(run: RunResult) -> str:
        return _no_classes(run) or ("" if name in run.class_names else f"no class is named {name!r}")

    return why_missing


def _no_masks_or_classes(run: RunResult) -> str:
    return _no_masks(run) or _no_classes(run)


def _is_normal(run: RunResult) -> BoolArray:
    return np.array(run.labels) == NORMAL


def _lesion_values(run: RunResult, name: str) -> Float64Array:
    return np.where(_is_normal(run), math.nan, run.per_image[name])


def _class_values(run: RunResult, name: str, label: str) -> Float64Array:
    return np.where(np.array(run.labels) == label, run.per_image[name], math.nan)


def _is_correct(run: RunResult) -> BoolArray:
    return np.array(run.labels) == np.array(run.predicted)


def _is_positive(run: RunResult) -> BoolArray:
    return np.array(run.labels) == POSITIVE_CLASS


def _score(run: RunResult) -> Float64Array:
    assert run.probabilities is not None  # why_missing is "" for such results only
    return run.probabilities[:, run.class_names.index(POSITIVE_CLASS)]


def _wilcoxon(first: RunResult, second: RunResult) -> PairedTest:
    # Normal cases are excluded here: left to the test, it would count them as missing values.
    lesions = ~_is_normal(first)
    groups = np.array(first.groups)[lesions]
    return wilcoxon_test(first.per_image["dice"][lesions], second.per_image["dice"][lesions], groups.tolist())


def _overall_score(run: RunResult) -> Estimator:
    estimators = (
        mean_of(run.per_image["iou"]),
        mean_of(run.per_image["dice"]),
        macro_f1_of(run.labels, run.predicted or ()),
    )

    def estimate(counts: Float64Array) -> Float64Array:
        columns = (estimator(counts) for estimator in estimators)
        # The F1 of the pixels of an image is its Dice.
        return np.array([overall_score(iou, dice, dice, f1) for iou, dice, f1 in zip(*columns, strict=True)])

    return Estimator(estimate)


def _class_dice(label: str) -> Metric:
    return Metric(
        title=f"Dice ({label})",
        json_name=f"segmentation.per_class.{label}.dice",
        needs=f"a {label} case",
        why_missing=_no_masks,
        estimator=lambda run: mean_of(_class_values(run, "dice", label)),
        headline=False,
    )


def _class_f1(label: str) -> Metric:
    return Metric(
        title=f"F1 ({label})",
        json_name=f"classification.per_class.{label}.f1",
        needs=f"a {label} case",
        why_missing=_no_class(label),
        estimator=lambda run: class_f1_of(run.labels, run.predicted or (), label),
        headline=False,
    )


# Few metrics have a test: each test is a family of its own, but a reader sees them all.
METRICS: Mapping[str, Metric] = {
    "dice_lesion": Metric(
        title="Dice (lesions)",
        json_name="segmentation.lesion.dice",
        needs="a lesion",
        why_missing=_no_masks,
        estimator=lambda run: mean_of(_lesion_values(run, "dice")),
        test_title="Wilcoxon",
        test=_wilcoxon,
    ),
    "iou_lesion": Metric(
        title="IoU (lesions)",
        json_name="segmentation.lesion.iou",
        needs="a lesion",
        why_missing=_no_masks,
        estimator=lambda run: mean_of(_lesion_values(run, "iou")),
    ),
    "dice_normal": Metric(
        title="Dice (normal)",
        json_name="segmentation.normal.dice",
        needs="a normal case",
        why_missing=_no_masks,
        estimator=lambda run: mean_of(np.where(_is_normal(run), run.per_image["dice"], math.nan)),
    ),
    "dice": Metric(
        title="Dice (all)",
        json_name="segmentation.dice",
        needs="an image",
        why_missing=_no_masks,
        estimator=lambda run: mean_of(run.per_image["dice"]),
        headline=False,
    ),
    "iou": Metric(
        title="IoU (all)",
        json_name="segmentation.iou",
        needs="an image",
        why_missing=_no_masks,
        estimator=lambda run: mean_of(run.per_image["iou"]),
        headline=False,
    ),
    "hd95_lesion": Metric(
        title="HD95 (lesions)",
        json_name="segmentation.lesion.hd95",
        needs="a lesion with a predicted mask",
        why_missing=_no_masks,
        estimator=lambda run: mean_of(_lesion_values(run, "hd95")),
        headline=False,
        lower_is_better=True,
        digits=1,  # distances are in pixels
    ),
    "dice_benign": _class_dice("benign"),
    "dice_malignant": _class_dice(POSITIVE_CLASS),
    "accuracy": Metric(
        title="accuracy",
        json_name="classification.accuracy",
        needs="an image",
        why_missing=_no_classes,
        estimator=lambda run: mean_of(_is_correct(run)),
        test_title="McNemar",
        test=lambda first, second: mcnemar_test(_is_correct(first), _is_correct(second), first.groups),
    ),
    "f1_macro": Metric(
        title="F1 (macro)",
        json_name="classification.f1_macro",
        needs="an image",
        why_missing=_no_classes,
        estimator=lambda run: macro_f1_of(run.labels, run.predicted or ()),
    ),
    "f1_weighted": Metric(
        title="F1 (weighted)",
        json_name="classification.f1_weighted",
        needs="an image",
        why_missing=_no_classes,
        estimator=lambda run: weighted_f1_of(run.labels, run.predicted or ()),
        headline=False,
    ),
    "f1_benign": _class_f1("benign"),
    "f1_malignant": _class_f1(POSITIVE_CLASS),
    "f1_normal": _class_f1(NORMAL),
    "auroc_malignant": Metric(
        title=f"AUROC ({POSITIVE_CLASS})",
        json_name="classification.auroc_malignant",
        needs=f"a {POSITIVE_CLASS} case and one of another class",
        why_missing=_no_class(POSITIVE_CLASS),
        estimator=lambda run: auroc_of(_is_positive(run), _score(run)),
        test_title="DeLong",
        test=lambda first, second: delong_test(_is_positive(first), _score(first), _score(second), first.groups),
    ),
    "overall_score": Metric(
        title="overall score",
        json_name="overall_score",
        needs="an image",
        why_missing=_no_masks_or_classes,
        estimator=_overall_score,
        headline=False,
    ),
}
