from collections.abc import Sequence
from dataclasses import replace

from acsnet.report import Network
from acsnet.report.pairwise_tests import paired_test_tables
from acsnet.statistics import RunResult, compare
from acsnet.statistics.compare import Comparison
from acsnet.statistics.formatting import format_p_value


def of(runs: Sequence[RunResult], reference: str | None = None) -> Comparison:
    return compare(runs, reference, resamples=50)


def test_one_table_per_metric_with_every_pair(comparison: Comparison) -> None:
    tables = paired_test_tables(comparison)
    assert [table.caption for table in tables] == [
        "Dice (lesions): Wilcoxon's test, 40 images, every pair of networks",
        "accuracy: McNemar's test, 60 images, every pair of networks",
        "AUROC (malignant): DeLong's test, 60 images, every pair of networks",
    ]
    rows = [row for table in tables for row in table.rows]
    assert len(rows) == len(comparison.pairs) == 9
    for row, pair in zip(rows, comparison.pairs, strict=True):
        difference, interval, p_value, adjusted = row.cells
        assert row.name == f"{pair.first} - {pair.second}"
        assert difference.text == f"{pair.difference.estimate:.3f}"
        assert interval.text == f"{pair.difference.low:.3f}, {pair.difference.high:.3f}"
        assert (p_value.text, adjusted.text) == (format_p_value(pair.test.p_value), format_p_value(pair.adjusted_p))
        assert adjusted.best == (pair.adjusted_p < 0.05)


def test_against_a_reference(networks: list[Network]) -> None:
    tables = paired_test_tables(of([run for network in networks for run in network.runs], "acsnet"))
    assert [[row.name for row in table.rows] for table in tables] == [["unet - acsnet", "unetpp - acsnet"]] * 3
    assert tables[1].caption == "accuracy: McNemar's test, 60 images, against acsnet"


def test_untested_pairs_are_reported_once(networks: list[Network]) -> None:
    first, second, third = (network.runs[0] for network in networks)
    masks_only = replace(third, predicted=None, probabilities=None)
    tables = paired_test_tables(of([first, second, masks_only]))
    assert [len(table.rows) for table in tables] == [3, 1, 1]
    assert tables[1].notes == ["Not tested: unetpp predicts no classes."]
    # Two networks without classes have no tables of classes.
    other = replace(second, predicted=None, probabilities=None)
    assert [table.key for table in paired_test_tables(of([other, masks_only]))] == ["tests_dice_lesion"]


def test_tests_by_group_and_of_equals_say_so(networks: list[Network]) -> None:
    run = networks[0].runs[0]
    grouped = replace(run, groups=("one", "one", *run.groups[2:]))
    tables = paired_test_tables(of([grouped, replace(grouped, name="copy")]))
    assert tables[0].caption.startswith("Dice (lesions): Wilcoxon's test, ")
    assert "unet - copy: the values are equal on every image." in tables[0].notes


def test_one_network_has_no_tests(networks: list[Network]) -> None:
    assert paired_test_tables(of(networks[0].runs)) == []
