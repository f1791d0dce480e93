import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from acsnet.errors import InputError, RunError, UnknownNameError
from acsnet.statistics import (
    METRICS,
    RunResult,
    bootstrap_mean,
    compare,
    comparison_table,
    delong_test,
    holm,
    mcnemar_test,
    wilcoxon_test,
)
from acsnet.statistics.compare import Comparison, NetworkPair, paired_differences
from acsnet.statistics.pooling import pool_folds

RunMaker = Callable[..., RunResult]
SKILLS = {"unet": 0.5, "acsnet": 2.0, "unetpp": 0.6}


@pytest.fixture(scope="module")
def runs(make_run: RunMaker) -> list[RunResult]:
    """Three networks on two folds, in which pairs of images share a group."""

    def pair_up(rows: list[dict[str, Any]]) -> None:
        for index, row in enumerate(rows):
            row["group"] = f"{row['label']} {index // 6} {row['image'][:6]}"

    return [
        make_run(name, fold=fold, seed=10 * fold + order, skill=skill, change=pair_up)
        for order, (name, skill) in enumerate(SKILLS.items())
        for fold in (0, 1)
    ]


@pytest.fixture(scope="module")
def comparison(runs: list[RunResult]) -> Comparison:
    return compare(runs, resamples=500)


def flat(metrics: Any, name: str) -> Any:
    for key in name.split("."):
        metrics = metrics[key]
    return metrics


def test_estimates_are_the_metrics_of_the_test(make_run: RunMaker) -> None:
    """Of one run, every estimate is the figure that the test itself wrote."""
    run = make_run("unet", skill=1)
    (network,) = compare([run], resamples=50).networks
    for key, metric in METRICS.items():
        assert network.estimates[key].estimate == pytest.approx(flat(run.metrics[0], metric.json_name)), key
        assert network.folds[metric.json_name].mean == pytest.approx(network.estimates[key].estimate)
    assert network.runs == 1


def test_folds_are_pooled(runs: list[RunResult], comparison: Comparison) -> None:
    assert [(network.name, network.runs) for network in comparison.networks] == [(name, 2) for name in SKILLS]
    lesions = [
        (dice, group)
        for run in runs[:2]
        for dice, label, group in zip(run.per_image["dice"], run.labels, run.groups, strict=True)
        if label != "normal"
    ]
    interval = comparison.networks[0].estimates["dice_lesion"]
    assert interval.estimate == pytest.approx(np.mean([dice for dice, _ in lesions]))
    assert interval.low < interval.estimate < interval.high
    # Groups of normal cases are drawn too, which hardly changes the variance of the mean over lesions.
    alone = bootstrap_mean([dice for dice, _ in lesions], [group for _, group in lesions], resamples=500)
    assert interval.high - interval.low == pytest.approx(alone.high - alone.low, rel=0.25)
    folds = comparison.networks[0].folds["classification.accuracy"]
    accuracies = [run.metrics[0]["classification"]["accuracy"] for run in runs[:2]]
    assert (folds.mean, folds.deviation) == pytest.approx((np.mean(accuracies), np.std(accuracies, ddof=1)))
    assert (comparison.images, comparison.groups) == (60, 30)
    assert comparison.classes == {"benign": 20, "malignant": 20, "normal": 20}


def test_every_pair_is_tested_and_corrected_per_metric(comparison: Comparison) -> None:
    pairs = [("unet", "acsnet"), ("unet", "unetpp"), ("acsnet", "unetpp")]
    assert [(pair.first, pair.second) for pair in comparison.pairs] == pairs * 3
    assert [pair.metric for pair in comparison.pairs] == [
        key for key in ("dice_lesion", "accuracy", "auroc_malignant") for _ in range(3)
    ]
    for start in (0, 3, 6):
        family = comparison.pairs[start : start + 3]
        assert [pair.adjusted_p for pair in family] == pytest.approx(holm([pair.test.p_value for pair in family]))
    for pair in comparison.pairs:
        assert pair.difference.estimate == pytest.approx(pair.test.difference)
        assert pair.difference.low <= pair.difference.estimate <= pair.difference.high
    estimates = {network.name: network.estimates["accuracy"].estimate for network in comparison.networks}
    assert comparison.pairs[3].difference.estimate == pytest.approx(estimates["unet"] - estimates["acsnet"])


@pytest.mark.parametrize("grouped", [False, True])
def test_each_test_uses_its_metric(runs: list[RunResult], grouped: bool) -> None:
    tested = runs[:4] if grouped else [replace(run, groups=tuple(map("/".join, run.images))) for run in runs[:4]]
    wilcoxon, mcnemar, delong = (pair.test for pair in compare(tested, resamples=50).pairs)
    unet, acsnet = tested[:2], tested[2:]

    def joined(folds: list[RunResult], column: Callable[[RunResult], Any]) -> Any:
        return np.concatenate([np.asarray(column(run)) for run in folds])

    labels, groups = joined(unet, lambda run: run.labels), joined(unet, lambda run: run.groups)
    lesion = labels != "normal"
    dice = [joined(folds, lambda run: run.per_image["dice"])[lesion] for folds in (unet, acsnet)]
    right = [joined(folds, lambda run: run.predicted) == labels for folds in (unet, acsnet)]
    scores = [joined(folds, lambda run: run.probabilities[:, 1]) for folds in (unet, acsnet)]
    assert {wilcoxon.by_group, mcnemar.by_group, delong.by_group} == {grouped}
    assert delong.p_value == pytest.approx(delong_test(labels == "malignant", *scores, groups.tolist()).p_value)
    assert (wilcoxon.n, wilcoxon.left_out) == (40, 0)
    if grouped:
        assert wilcoxon.p_value == pytest.approx(wilcoxon_test(*dice, groups[lesion].tolist()).p_value)
        assert mcnemar.p_value == pytest.approx(mcnemar_test(*right, groups.tolist()).p_value)
    else:
        only = [int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())]
        assert wilcoxon.p_value == pytest.approx(stats.wilcoxon(*dice, zero_method="pratt").pvalue)
        assert mcnemar.p_value == pytest.approx(stats.binomtest(only[0], sum(only)).pvalue)
        # The test finds the better network.
        assert mcnemar.p_value < 0.01
    assert mcnemar.difference < 0


def test_against_a_reference(runs: list[RunResult]) -> None:
    comparison = compare(runs, reference="acsnet", resamples=50)
    assert [(pair.first, pair.second) for pair in comparison.pairs] == [("unet", "acsnet"), ("unetpp", "acsnet")] * 3
    assert comparison.reference == "acsnet"
    with pytest.raises(UnknownNameError, match="unknown network 'acsnett': did you mean 'acsnet'"):
        compare(runs, reference="acsnett")


def test_a_class_without_a_case(make_run: RunMaker) -> None:
    comparison = compare(
        [make_run(name, ["benign", "normal"] * 10, seed=seed) for seed, name in enumerate("ab")], resamples=100
    )
    auroc = comparison.networks[0].estimates["auroc_malignant"]
    assert math.isnan(auroc.estimate)
    assert auroc.reason == "needs a malignant case and one of another class"
    test = comparison.pairs[-1]
    assert test.metric == "auroc_malignant"
    assert math.isnan(test.test.p_value)
    assert math.isnan(test.adjusted_p)
    needs = "needs images of the class and of other classes from at least two groups each"
    assert test.test.reason == f"{needs}, received 0 and 20"
    assert test.difference.reason == auroc.reason
    assert not math.isnan(comparison.pairs[0].adjusted_p)
    assert "no image is malignant: metrics of the class are undefined, averages leave it out" in comparison.notes
    lines = comparison_table(comparison).splitlines()
    assert "AUROC (malignant), a, b: needs a malignant case and one of another class" in lines
    assert f"DeLong (AUROC (malignant)), a - b: {test.test.reason}" in lines


def test_only_normal_cases(make_run: RunMaker) -> None:
    comparison = compare([make_run(name, ["normal"] * 9, seed=seed) for seed, name in enumerate("ab")], resamples=100)
    assert comparison.networks[0].estimates["dice_lesion"].reason == "needs a lesion"
    assert comparison.pairs[0].test.reason == "no image has values of both networks"
    assert not math.isnan(comparison.networks[0].estimates["dice_normal"].estimate)


def test_networks_of_other_tasks(make_run: RunMaker) -> None:
    whole = make_run("whole")
    only_masks = replace(make_run("masks", seed=1), predicted=None, probabilities=None)
    only_classes = replace(make_run("classes", seed=2), per_image={})
    comparison = compare([whole, only_masks, only_classes], resamples=50)
    masks, classes = comparison.networks[1:]
    assert masks.estimates["accuracy"].reason == "masks predicts no classes"
    assert masks.estimates["auroc_malignant"].reason == "masks predicts no classes"
    assert classes.estimates["dice_lesion"].reason == "classes predicts no masks"
    reasons = {(pair.metric, pair.first, pair.second): pair.test.reason for pair in comparison.pairs}
    assert reasons["accuracy", "whole", "masks"] == "masks predicts no classes"
    assert reasons["dice_lesion", "whole", "classes"] == "classes predicts no masks"
    assert reasons["dice_lesion", "whole", "masks"] == ""


def test_without_a_class_malignant(make_run: RunMaker) -> None:
    run = make_run("a")
    names = ("benign", "lesion", "normal")
    renamed = replace(run, class_names=names, labels=tuple("lesion" if x == "malignant" else x for x in run.labels))
    (network,) = compare([renamed], resamples=50).networks
    assert network.estimates["auroc_malignant"].reason == "no class is named 'malignant'"


def test_notes(comparison: Comparison) -> None:
    assert comparison.notes == (
        "60 of 60 images share a group with another: intervals and tests account for it",
        "folds are pooled (unet, acsnet, unetpp): AUROC also ranks images of different folds",
    )


def test_the_table(comparison: Comparison) -> None:
    table = comparison_table(comparison)
    estimates, folds, tests, notes = table.split("\n\n")
    accuracy = comparison.networks[1].estimates["accuracy"]
    assert f"{accuracy.estimate:.3f} [{accuracy.low:.3f}, {accuracy.high:.3f}]" in estimates.splitlines()[3]
    assert estimates.splitlines()[0].split("  ")[0] == "95% intervals"
    assert folds.splitlines()[2].split()[:2] == ["unet", "2"]
    summary = comparison.networks[0].folds["segmentation.lesion.dice"]
    assert f"{summary.mean:.3f} ± {summary.deviation:.3f}" in folds.splitlines()[2]
    assert len(tests.splitlines()) == 2 + 9
    pair: NetworkPair = comparison.pairs[3]
    line = tests.splitlines()[5]
    assert line.startswith("unet - acsnet")
    assert "McNemar by group" in line
    assert line.endswith("  < 0.001" if pair.adjusted_p < 0.001 else f"  {pair.adjusted_p:.3f}")
    assert notes.splitlines() == list(comparison.notes)


@pytest.mark.parametrize("groups", [2, 3, 4])
def test_few_groups_are_one_line(make_run: RunMaker, groups: int) -> None:
    """All metrics of all networks and pairs share the caveat."""

    def few(rows: list[dict[str, Any]]) -> None:
        for index, row in enumerate(rows):
            row["group"] = str(index // 3 % groups)

    comparison = compare([make_run(name, seed=seed, change=few) for seed, name in enumerate("ab")], resamples=200)
    assert {pair.difference.groups for pair in comparison.pairs} == {groups}
    reason = f"the images are of only {groups} groups: the interval is unreliable, probably too narrow"
    lines = [line for line in comparison_table(comparison).splitlines() if reason in line]
    assert len(lines) == 1
    assert lines[0].startswith("Dice (lesions), IoU (lesions), ")
    assert lines[0].endswith(f", a, b: {reason}")


def test_one_network_has_no_tests(make_run: RunMaker) -> None:
    comparison = compare([make_run("unet")], resamples=50)
    assert comparison.pairs == ()
    assert len(comparison_table(comparison).split("\n\n")) == 1


def test_invalid_arguments(make_run: RunMaker) -> None:
    with pytest.raises(InputError, match="there are no runs to compare"):
        compare([])
    with pytest.raises(
        RunError, match=r"unet \(.*\) and acsnet \(.*\) cannot be compared: split hashes are split0 and x"
    ):
        compare([make_run("unet"), make_run("acsnet", split_hash="x")])
    with pytest.raises(InputError, match="the confidence level is 95"):
        compare([make_run("unet")], level=95)


def test_paired_differences_are_those_of_a_comparison(runs: list[RunResult], comparison: Comparison) -> None:
    first, second = pool_folds(runs[:2]), pool_folds(runs[2:4])
    differences = paired_differences(first, second, ["accuracy", "dice"], resamples=500)
    (pair,) = [pair for pair in comparison.pairs[3:4] if pair.metric == "accuracy"]
    assert differences["accuracy"] == pair.difference
    assert differences["dice"].estimate == pytest.approx(
        first.per_image["dice"].mean() - second.per_image["dice"].mean()
    )
    with pytest.raises(RunError, match="cannot be compared"):
        paired_differences(first, runs[2], ["dice"])
