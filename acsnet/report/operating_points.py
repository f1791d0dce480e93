"""Operating points of the tested checkpoints: sensitivity and specificity where chosen, and on the tested images."""

from collections.abc import Mapping, Sequence
from typing import Any

from acsnet._utils.tables import Cell, Column, Row, Table
from acsnet.report.tested_networks import Network
from acsnet.statistics.formatting import format_value


def operating_point_tables(networks: Sequence[Network]) -> list[Table]:
    """Return a table with one row per operating point and test, or no table if no checkpoint has operating points."""
    rows: list[Row] = []
    sources: list[str] = []
    for network in networks:
        for fold, run in enumerate(network.runs):
            points = run.metrics[0].get("operating_points")
            if points is None:
                continue
            name = network.name if len(network.runs) == 1 else f"{network.name}, test {fold + 1}"
            sources.append(f"{name}: {_describe(points)}.")
            for point, values in points["points"].items():
                rates = [values[place][key] for place in ("chosen", "tested") for key in ("sensitivity", "specificity")]
                cells = [Cell(point), Cell(format_value(values["threshold"])), *map(_rate_cell, rates)]
                rows.append(Row(name, cells))
    if not rows:
        return []
    note = "Intervals are Wilson's at 95 %: they treat images as independent."
    caption = "Operating points: sensitivity and specificity of malignant"
    columns = [Column(title, align="left" if title == _COLUMNS[0] else "right") for title in _COLUMNS]
    return [Table("network", columns, rows, "operating_points", caption, [*sources, note])]


_COLUMNS = (
    "operating point",
    "P(malignant) from",
    "sensitivity, chosen on",
    "specificity, chosen on",
    "sensitivity, tested",
    "specificity, tested",
)


def _rate_cell(rate: Mapping[str, float | None]) -> Cell:
    value = format_value(rate["value"])
    return Cell(value) if rate["value"] is None else Cell(value, format_value(rate["low"]), format_value(rate["high"]))


def _describe(points: Mapping[str, Any]) -> str:
    counts = ", ".join(f"{count} {label}" for label, count in points["classes"].items())
    return f"chosen on the {points['source']} ({counts}), temperature {points['temperature']:g}"
