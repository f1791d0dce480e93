from dataclasses import replace
from pathlib import Path

import pytest

from acsnet.config import build_config
from acsnet.report import Network, read_networks
from acsnet.report.provenance import cost_table, list_environments, list_settings, protocol_rows, split_shared


@pytest.fixture
def trained(cross_validation: Path) -> list[Network]:
    return read_networks([str(cross_validation)])[0]


def test_time_and_parameters(trained: list[Network], networks: list[Network]) -> None:
    row, _ = cost_table(trained).rows
    parameters, milliseconds, epochs, *_ = (cell.text for cell in row.cells)
    assert (row.name, parameters, milliseconds, epochs) == ("plain", "1.23", "12.5", "2")
    assert all(cell.text == "–" for cell in cost_table(networks).rows[0].cells)  # noqa: RUF001


def test_settings_that_differ_are_separated_from_shared_ones(trained: list[Network]) -> None:
    shared, table = split_shared("settings", "Settings", trained, list_settings(trained))
    assert ("threshold", "0.5") in shared
    assert table is not None
    assert [column.title for column in table.columns] == [
        "refining: empty mask for normal",
        "refining: normal for empty mask",
    ]
    assert [[cell.text for cell in row.cells] for row in table.rows] == [["no", "no"], ["yes", "yes"]]
    shared, table = split_shared("environment", "Environment", trained, list_environments(trained))
    assert table is None
    assert {"torch", "device", "python"} <= {name for name, _ in shared}


def test_the_protocol_in_words(trained: list[Network]) -> None:
    rows = dict(protocol_rows(trained))
    assert rows["tested subset"] == "test"
    assert rows["images"].startswith("36 in ")
    assert rows["split"] == "2 folds; groups kept together; seed 0"
    assert rows["input size"] == "64x64"
    assert all(value[:12] in rows["split hashes"] for value in trained[0].result.split_hashes if value)
    assert rows["model selection"].startswith("best epoch by ")


def test_a_listed_split_and_the_last_epoch_in_words(trained: list[Network]) -> None:
    assert trained[0].config is not None
    config = build_config(
        trained[0].config.to_dict(), ["data.split_file=listed.csv", "training.selection={epoch: 1}"], "test"
    )
    network = replace(trained[0], trainings=(replace(trained[0].trainings[0], config=config),))
    rows = dict(protocol_rows([network]))
    assert rows["split"] == "single split, read from listed.csv"
    assert rows["model selection"] == "the last epoch"
