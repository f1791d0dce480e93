"""The figures in which networks are compared, each with the test of two networks where there is one."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from acsnet.labels import NORMAL, POSITIVE_CLASS
from acsnet.metrics.overall import overall_score
from acsnet.statistics.delong import delong_test
from acsnet.statistics.paired import mcnemar_test, wilcoxon_test
from acsnet.statistics.results import BoolArray, FloatArray, PairedTest
from acsnet.statistics.runs import RunResult
from acsnet.statistics.statistic import Statistic, auroc_of, class_f1_of, macro_f1_of, mean_of, weighted_f1_of


@dataclass(frozen=True)
class Measure:
    """One figure of a network's images.

    Attributes:
        title: for people.
        metric: its dotted name in ``metrics.json``.
        needs: of which images there must be some.
        missing: why a result cannot have the figure, or "".
        statistic: the figure, of a result that can.
        test_title: the test of two networks, for people; "" where there is none.
        test: the test, of two results that can.
        headline: whether tables for the terminal show it.
        lower_is_better: whether less of it is better.
    """

    title: str
    metric: str
    needs: str
    missing: Callable[[RunResult], str]
    statistic: Callable[[RunResult], Statistic]
    test_title: str = ""
    test: Callable[[RunResult, RunResult], PairedTest] | None = None
    headline: bool = True
    lower_is_better: bool = False


def _no_masks(run: RunResult) -> str:
    return "" if "dice" in run.measures else f"{run.name} gives no masks"


def _no_classes(run: RunResult) -> str:
    return f"{run.name} gives no classes" if run.predicted is None else ""


def _no_class(name: str) -> Callable[[RunResult], str]:
    def missing(run: RunResult) -> str:
        return _no_classes(run) or ("" if name in run.class_names else f"no class is named {name!r}")

    return missing


def _neither(run: RunResult) -> str:
    return _no_masks(run) or _no_classes(run)


def _is_normal(run: RunResult) -> BoolArray:
    return np.array(run.labels) == NORMAL


def _of_lesions(run: RunResult, name: str) -> FloatArray:
    return np.where(_is_normal(run), math.nan, run.measures[name])


def _of_class(run: RunResult, name: str, label: str) -> FloatArray:
    return np.where(np.array(run.labels) == label, run.measures[name], math.nan)


def _right(run: RunResult) -> BoolArray:
    return np.array(run.labels) == np.array(run.predicted)


def _positive(run: RunResult) -> BoolArray:
    return np.array(run.labels) == POSITIVE_CLASS


def _score(run: RunResult) -> FloatArray:
    assert run.probabilities is not None  # the figures that need it are of results that have it
    return run.probabilities[:, run.class_names.index(POSITIVE_CLASS)]


def _wilcoxon(first: RunResult, second: RunResult) -> PairedTest:
    # Of a set with few lesions and many normal cases, the images left out are no missing values.
    lesions = ~_is_normal(first)
    groups = np.array(first.groups)[lesions]
    return wilcoxon_test(first.measures["dice"][lesions], second.measures["dice"][lesions], groups.tolist())


def _overall(run: RunResult) -> Statistic:
    figures = (
        mean_of(run.measures["iou"]),
        mean_of(run.measures["dice"]),
        macro_f1_of(run.labels, run.predicted or ()),
    )

    def statistic(counts: FloatArray) -> FloatArray:
        columns = (figure(counts) for figure in figures)
        # The F1 of an image's pixels is its Dice.
        return np.array([overall_score(iou, dice, dice, f1) for iou, dice, f1 in zip(*columns, strict=True)])

    return statistic


def _dice_of_class(label: str) -> Measure:
    return Measure(
        title=f"Dice ({label})",
        metric=f"segmentation.per_class.{label}.dice",
        needs=f"a {label} case",
        missing=_no_masks,
        statistic=lambda run: mean_of(_of_class(run, "dice", label)),
        headline=False,
    )


def _f1_of_class(label: str) -> Measure:
    return Measure(
        title=f"F1 ({label})",
        metric=f"classification.per_class.{label}.f1",
        needs=f"a {label} case",
        missing=_no_class(label),
        statistic=lambda run: class_f1_of(run.labels, run.predicted or (), label),
        headline=False,
    )


# Few have a test: each is a family of its own, but a reader sees them all.
MEASURES: Mapping[str, Measure] = {
    "dice_lesion": Measure(
        title="Dice (lesions)",
        metric="segmentation.lesion.dice",
        needs="a lesion",
        missing=_no_masks,
        statistic=lambda run: mean_of(_of_lesions(run, "dice")),
        test_title="Wilcoxon",
        test=_wilcoxon,
    ),
    "iou_lesion": Measure(
        title="IoU (lesions)",
        metric="segmentation.lesion.iou",
        needs="a lesion",
        missing=_no_masks,
        statistic=lambda run: mean_of(_of_lesions(run, "iou")),
    ),
    "dice_normal": Measure(
        title="Dice (normal)",
        metric="segmentation.normal.dice",
        needs="a normal case",
        missing=_no_masks,
        statistic=lambda run: mean_of(np.where(_is_normal(run), run.measures["dice"], math.nan)),
    ),
    "dice": Measure(
        title="Dice (all)",
        metric="segmentation.dice",
        needs="an image",
        missing=_no_masks,
        statistic=lambda run: mean_of(run.measures["dice"]),
        headline=False,
    ),
    "iou": Measure(
        title="IoU (all)",
        metric="segmentation.iou",
        needs="an image",
        missing=_no_masks,
        statistic=lambda run: mean_of(run.measures["iou"]),
        headline=False,
    ),
    "hd95_lesion": Measure(
        title="HD95 (lesions)",
        metric="segmentation.lesion.hd95",
        needs="a lesion of which a mask is predicted",
        missing=_no_masks,
        statistic=lambda run: mean_of(_of_lesions(run, "hd95")),
        headline=False,
        lower_is_better=True,
    ),
    "dice_benign": _dice_of_class("benign"),
    "dice_malignant": _dice_of_class(POSITIVE_CLASS),
    "accuracy": Measure(
        title="accuracy",
        metric="classification.accuracy",
        needs="an image",
        missing=_no_classes,
        statistic=lambda run: mean_of(_right(run)),
        test_title="McNemar",
        test=lambda first, second: mcnemar_test(_right(first), _right(second), first.groups),
    ),
    "f1_macro": Measure(
        title="F1 (macro)",
        metric="classification.f1_macro",
        needs="an image",
        missing=_no_classes,
        statistic=lambda run: macro_f1_of(run.labels, run.predicted or ()),
    ),
    "f1_weighted": Measure(
        title="F1 (weighted)",
        metric="classification.f1_weighted",
        needs="an image",
        missing=_no_classes,
        statistic=lambda run: weighted_f1_of(run.labels, run.predicted or ()),
        headline=False,
    ),
    "f1_benign": _f1_of_class("benign"),
    "f1_malignant": _f1_of_class(POSITIVE_CLASS),
    "f1_normal": _f1_of_class(NORMAL),
    "auroc_malignant": Measure(
        title=f"AUROC ({POSITIVE_CLASS})",
        metric="classification.auroc_malignant",
        needs=f"a {POSITIVE_CLASS} case and one of another class",
        missing=_no_class(POSITIVE_CLASS),
        statistic=lambda run: auroc_of(_positive(run), _score(run)),
        test_title="DeLong",
        test=lambda first, second: delong_test(_positive(first), _score(first), _score(second), first.groups),
    ),
    "overall_score": Measure(
        title="overall score",
        metric="overall_score",
        needs="an image",
        missing=_neither,
        statistic=_overall,
        headline=False,
    ),
}
