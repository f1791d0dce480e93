import json
from collections.abc import Callable
from pathlib import Path

from acsnet._utils.files import write_json
from acsnet.evaluation import choose_operating_points
from acsnet.evaluation.operating_points import rate_operating_points
from acsnet.report import read_networks
from acsnet.report.operating_points import operating_point_tables


def test_the_table(write_run: Callable[..., Path]) -> None:
    """One row per network and point; networks without operating points have none."""
    with_points, without = write_run("unet"), write_run("acsnet")
    malignant = [0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.6]
    malignant += [0.3, 0.5, 0.55, 0.65, 0.7, 0.75, 0.8, 0.9, 0.95, 1]
    labels, names = [0] * 10 + [1] * 10, ["benign", "malignant"]
    wanted = ["specificity_90", "sensitivity_80"]
    chosen = choose_operating_points(labels, [[1 - p, p] for p in malignant], names, wanted, "made-up images")
    points = rate_operating_points(chosen, [0, 1, 1, 1], [[0.9, 0.1], [0, 1], [0, 1], [1, 0]], names)
    facts = json.loads((with_points / "metrics.json").read_text())
    write_json(with_points / "metrics.json", {**facts, "operating_points": points})
    networks, _ = read_networks([f"a={with_points}", f"b={without}"])
    (table,) = operating_point_tables(networks)
    cells = [[cell.text for cell in row.cells] for row in table.rows]
    assert [row.name for row in table.rows] == ["a", "a"]
    assert [row[0] for row in cells] == ["specificity_90", "sensitivity_80"]
    assert [cells[0][column] for column in (2, 4, 5)] == ["0.900", "0.667", "1.000"]
    # Wilson's interval of 2 of 3.
    assert table.rows[0].cells[4].bounds == "0.208, 0.939"
    assert table.notes[0].startswith("a: chosen on the made-up images (10 benign, 10 malignant), temperature ")
    assert operating_point_tables(networks[1:]) == []
