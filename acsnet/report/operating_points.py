"""Operating points of the tested checkpoints: sensitivity and specificity where chosen, and on the tested images."""

from collections.abc import Mapping, Sequence
from typing import Any

from acsnet._utils.tables import Table
from acsnet.evaluation.metric_table import format_rate
from acsnet.report.tested_networks import Network


def operating_point_tables(networks: Sequence[Network]) -> list[Table]:
    """Return a table with one row per operating point and test, or no table if no checkpoint has operating points."""
    rows, sources = [], []
    for network in networks:
        for fold, run in enumerate(network.runs):
            points = run.metrics[0].get("operating_points")
            if points is None:
                continue
            name = network.name if len(network.runs) == 1 else f"{network.name}, test {fold + 1}"
            sources.append(f"{name}: {_describe(points)}.")
            for point, values in points["points"].items():
                rates = [values[place][key] for place in ("chosen", "tested") for key in ("sensitivity", "specificity")]
                rows.append((name, point, f"{values['threshold']:.3f}", *map(format_rate, rates)))
    if not rows:
        return []
    header = (
        "network",
        "operating point",
        "P(malignant) from",
        "sensitivity, chosen on",
        "specificity, chosen on",
        "sensitivity, tested",
        "specificity, tested",
    )
    note = "Intervals are Wilson's at 95 %: they treat images as independent."
    caption = "Operating points: sensitivity and specificity of malignant"
    return [
        Table.from_rows(
            [header, *rows], left=["operating point"], key="operating_points", caption=caption, notes=[*sources, note]
        )
    ]


def _describe(points: Mapping[str, Any]) -> str:
    counts = ", ".join(f"{count} {label}" for label, count in points["classes"].items())
    return f"chosen on the {points['source']} ({counts}), temperature {points['temperature']:g}"
