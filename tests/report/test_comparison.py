from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acsnet._utils.tables import Cell, Table
from acsnet.errors import RunError
from acsnet.report import Network, Published, read_networks
from acsnet.report.comparison import comparison_tables
from acsnet.report.context import ReportContext, build_context
from acsnet.report.pairwise_tests import paired_test_tables
from acsnet.report.provenance import list_settings
from acsnet.report.published import read_published
from acsnet.report.published_comparison import explain_missing_metrics, published_tables
from acsnet.statistics import compare
from acsnet.statistics.compare import Comparison
from acsnet.statistics.runs import SELECTED_ON_TEST, SELECTED_ON_VALIDATION

NetworkMaker = Callable[[dict[str, dict[str, Any]]], list[Network]]
BY_METHOD = {own.method: own for own in read_published().values()}
CHUNG, *_ = dict.fromkeys(own.publication for own in BY_METHOD.values())


def of(networks: Sequence[Network], reference: str | None = None) -> Comparison:
    return compare([run for network in networks for run in network.runs], reference, resamples=200)


def context_of(
    networks: Sequence[Network], comparison: Comparison, published: dict[str, Published] | None = None
) -> ReportContext:
    return ReportContext(networks, comparison, published or {}, {}, [])


def tables_of(
    networks: Sequence[Network], comparison: Comparison | None = None, published: dict[str, Published] | None = None
) -> dict[str, Table]:
    tables = comparison_tables(context_of(networks, comparison or of(networks), published))
    return {table.key: table for table in tables}


def cell(table: Table, row: str, column: str) -> Cell:
    (found,) = [
        row_.cells[place]
        for row_ in table.rows
        for place, column_ in enumerate(table.columns)
        if (row_.name, column_.title, column_.source) == (row, column, "")
    ]
    return found


def test_values_intervals_and_folds(networks: list[Network], comparison: Comparison) -> None:
    table = tables_of(networks, comparison)["segmentation"]
    found = cell(table, "unet", "Dice (lesions)")
    folds = [run.metrics[0]["segmentation"]["lesion"]["dice"] for run in networks[0].runs]
    lesions = np.array(networks[0].result.labels) != "normal"
    assert found.text == f"{networks[0].result.per_image['dice'][lesions].mean():.3f}"
    assert found.spread == f"{np.mean(folds):.3f} ± {np.std(folds, ddof=1):.3f}"
    assert float(found.low) < float(found.text) < float(found.high)
    assert cell(table, "unet", "HD95 (lesions)").text.count(".") == 1
    assert len(cell(table, "unet", "HD95 (lesions)").text.partition(".")[2]) == 1


def test_the_best_is_marked_and_less_may_be_better(networks: list[Network], comparison: Comparison) -> None:
    for table in tables_of(networks, comparison).values():
        for place, column in enumerate(table.columns):
            values = [float(row.cells[place].text) for row in table.rows]
            best = min(values) if "HD95" in column.title else max(values)
            marked = [value for value, row in zip(values, table.rows, strict=True) if row.cells[place].best]
            assert marked == [best], column.title


def test_letters_name_the_networks_that_one_is_better_than(networks: list[Network], comparison: Comparison) -> None:
    table = tables_of(networks, comparison)["classification"]
    assert [(row.name, row.letter) for row in table.rows] == [("unet", "a"), ("acsnet", "b"), ("unetpp", "c")]
    # The tests find that the skilled network is better than both others, which do not differ.
    pairs = {(pair.first, pair.second): pair for pair in comparison.pairs if pair.metric == "accuracy"}
    assert pairs["unet", "acsnet"].adjusted_p < 0.05
    assert pairs["acsnet", "unetpp"].adjusted_p < 0.05
    assert pairs["unet", "unetpp"].adjusted_p > 0.05
    assert [cell(table, name, "accuracy").marks for name in ("unet", "acsnet", "unetpp")] == ["", "a c", ""]
    assert cell(table, "acsnet", "F1 (macro)").marks == ""
    assert "Superscript letters: the networks that it is significantly better than, p below 0.05" in " ".join(
        table.legend
    )


def test_against_a_reference_a_star_marks_what_differs(networks: list[Network]) -> None:
    table = tables_of(networks, of(networks, "unet"))["classification"]
    assert [row.letter for row in table.rows] == ["", "", ""]
    assert [cell(table, name, "accuracy").marks for name in ("unet", "acsnet", "unetpp")] == ["", "*", ""]
    assert "Star: it differs from unet, p below 0.05 after Holm's correction." in " ".join(table.legend)


OF_CHUNG = {"accuracy": 0.8, "f1": 0.6, "iou": 0.7, "dice": 0.8, "segmentation_f1": 0.81, "overall": 0.685}


@pytest.fixture(scope="module")
def counted(write_run: Callable[..., Path]) -> list[Network]:
    """Two networks on two folds; one has the metrics of a publication in both, the other in one of them."""
    folders = [
        write_run("unet", fold=0, published={"chung2024": OF_CHUNG}),
        write_run("unet", fold=1, published={"chung2024": {**OF_CHUNG, "dice": 0.9, "f1": None}}),
        write_run("fpn", fold=0, seed=1, published={"chung2024": OF_CHUNG}),
        write_run("fpn", fold=1, seed=1),
    ]
    return read_networks([*map(str, folders)])[0]


def test_published_values_are_not_next_to_metrics_of_another_definition(
    networks: list[Network], comparison: Comparison
) -> None:
    published = {"unet": BY_METHOD["fpn_resnet50"], "unetpp": BY_METHOD["MT + DO"]}
    context = context_of(networks, comparison, published)
    assert published_tables(context) == []
    with_them, without = tables_of(networks, comparison, published), tables_of(networks, comparison)
    assert {key: (table.columns, table.rows) for key, table in with_them.items()} == {
        key: (table.columns, table.rows) for key, table in without.items()
    }
    lines = explain_missing_metrics(context)
    assert [line.partition(":")[0] for line in lines] == ["unet", "unetpp"]
    assert "test again with --set evaluation.published_metrics=[chung2024]." in lines[0]
    assert "test again with --set evaluation.published_metrics=[aumente2025]." in lines[1]
    assert {*lines} <= {*with_them["segmentation"].legend}
    assert explain_missing_metrics(context_of(networks, comparison)) == []


def test_measured_and_published_values_in_the_layout_of_the_publication(counted: list[Network]) -> None:
    published = {"unet": BY_METHOD["fpn_resnet50"], "fpn": BY_METHOD["fpn_resnet50"]}
    context = context_of(counted, of(counted), published)
    (chung,) = published_tables(context)
    assert [column.title for column in chung.columns] == [*CHUNG.columns.values()]
    measured, there = chung.rows
    assert (measured.name, measured.remark, measured.source) == ("unet", "measured", "")
    assert (there.name, there.remark, there.source) == ("unet", "published (fpn_resnet50)", "published")
    assert [own.text for own in there.cells] == ["0.688", "0.627", "0.606", "0.601", "0.668", "0.626"]
    assert [own.text for own in measured.cells] == ["0.800", "0.600", "0.700", "0.850", "0.810", "0.685"]
    # The publications divide by the number of folds.
    assert [own.spread for own in measured.cells][3:] == ["0.850 ± 0.050", "0.810 ± 0.000", "0.685 ± 0.000"]
    assert measured.cells[1].spread == ""
    assert chung.key == "published_chung2024"
    assert "pooled per batch of 8 in class order" in " ".join(chung.notes)
    assert explain_missing_metrics(context)[0].startswith(
        "fpn: published results exist, but are counted in another way"
    )


def test_published_values_have_the_digits_and_deviations_of_the_publication(make_networks: NetworkMaker) -> None:
    values = {"aumente2025": {"dice": 0.7}, "eee402": {"accuracy": 0.7}}
    networks = make_networks({"unet": {"published": values}, "unetpp": {"published": values}})
    published = {"unet": BY_METHOD["MT + PR + DO"], "unetpp": BY_METHOD["gated U-Net"]}
    aumente, study = published_tables(context_of(networks, of(networks), published))
    assert [own.text for own in aumente.rows[0].cells] == ["-", "-", "-", "0.700", *["-"] * 5]
    assert [own.spread for own in aumente.rows[1].cells if own.spread] == ["0.751 ± 0.018", "0.802 ± 0.018"]
    assert [own.text for own in study.rows[1].cells] == ["0.7125", "0.610", "0.440"]


def test_runs_selected_on_the_test_subset_are_marked_and_not_compared_with_others(make_networks: NetworkMaker) -> None:
    stamped = {"selection": SELECTED_ON_TEST, "published": {"chung2024": OF_CHUNG}}
    networks = make_networks({"theirs": stamped, "ours": {"seed": 1}})
    with pytest.raises(RunError, match=r"^theirs: selected on the test subset, .* with those of ours: compare them"):
        build_context(networks)
    context = build_context(networks, allow_selected_on_test=True)
    for table in comparison_tables(context):
        assert [(row.name, row.remark) for row in table.rows] == [("theirs", SELECTED_ON_TEST), ("ours", "")]
    assert context.comparison.notes[0] == f"theirs: {SELECTED_ON_TEST}, which makes the metrics too good"
    assert [own["epoch"] for own in list_settings(networks)] == [SELECTED_ON_TEST, SELECTED_ON_VALIDATION]
    alone = replace(build_context(networks[:1]), published={"theirs": BY_METHOD["fpn_resnet50"]})
    assert published_tables(alone)[0].rows[0].remark == f"measured, {SELECTED_ON_TEST}"


def test_a_network_without_classes_has_dashes_and_a_reason(networks: list[Network]) -> None:
    masks_only = replace(networks[1].runs[0], predicted=None, probabilities=None, name="masks only")
    pair = [
        Network(name, run, (run,), networks[0].trainings[:1])
        for name, run in (("unet", networks[0].runs[0]), ("masks only", masks_only))
    ]
    table = tables_of(pair)["classification"]
    assert [own.text for own in table.rows[1].cells] == ["-"] * 5
    titles = "accuracy, F1 (macro), F1 (weighted), AUROC (malignant), overall score"
    assert f"masks only, {titles}: masks only predicts no classes." in table.notes
    assert table.rows[0].cells[0].best is False


def test_a_class_without_a_case_is_a_dash_with_its_reason(make_networks: NetworkMaker) -> None:
    networks = make_networks({"unet": {"labels": ["benign", "malignant"] * 10}})
    tables = tables_of(networks)
    assert cell(tables["segmentation"], "unet", "Dice (lesions)").text != "-"
    normal = [column.title for column in tables["segmentation_classes"].columns]
    assert normal == ["Dice (benign)", "Dice (malignant)"]
    assert [column.title for column in tables["classification_classes"].columns] == ["F1 (benign)", "F1 (malignant)"]


def test_intervals_of_few_groups_have_one_note_per_table(make_networks: NetworkMaker) -> None:
    def few(rows: list[dict[str, Any]]) -> None:
        for index, row in enumerate(rows):
            row["group"] = str(index // 3 % 3)

    context = build_context(make_networks({"unet": {"change": few}, "acsnet": {"change": few, "seed": 1}}))
    caveat = "the images are of only 3 groups: the interval is unreliable, probably too narrow."
    tables = [*comparison_tables(context), *paired_test_tables(context.comparison)]
    assert {table.key for table in tables} >= {"segmentation", "classification", "tests_accuracy"}
    for table in tables:
        names = "unet - acsnet" if table.key.startswith("tests_") else "unet, acsnet, "
        assert [note.startswith(names) for note in table.notes if note.endswith(caveat)] == [True], table.key


def test_a_class_missing_in_one_fold_is_reported(write_run: Callable[..., Any]) -> None:
    runs = [write_run(fold=0), write_run(fold=1, labels=["benign", "malignant"] * 10)]
    networks, _ = read_networks([*map(str, runs)])
    tables = tables_of(networks)
    found = cell(tables["segmentation_classes"], "unet", "Dice (normal)")
    assert found.text != "-"
    assert found.spread == ""
    assert "unet, Dice (normal): undefined in fold 2 of 2; one fold has no standard deviation." in (
        tables["segmentation_classes"].notes
    )


def test_lesions_without_a_distance_are_counted(make_networks: NetworkMaker) -> None:
    def missed(rows: list[dict[str, Any]]) -> None:
        for row in [row for row in rows if row["label"] == "benign"][:3]:
            row["hd95"] = None

    tables = tables_of(make_networks({"unet": {"change": missed}}))
    assert "Lesions left out, of 20: unet 3." in " ".join(tables["segmentation"].notes)
    assert "of 60" not in " ".join(tables["segmentation"].notes)
