"""What a way of evaluating does: networks of the same weights that are evaluated in different ways."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from acsnet.config import EvaluationConfig, changed_keys
from acsnet.statistics.formatting import interval_cell
from acsnet.report.networks import Network
from acsnet.report.tables import Cell, Column, Row, Table
from acsnet.statistics import METRICS
from acsnet.statistics.bootstrap import BootstrapInterval
from acsnet.statistics.compare import paired_differences

EFFECT_METRICS = ("dice", "dice_lesion", "dice_normal", "accuracy")
# It says how fast a test goes, not what comes out.
_OF_SPEED = "batch_size "


@dataclass(frozen=True)
class Effect:
    """What a way of evaluating changes.

    Attributes:
        network: the one evaluated so.
        base: the one of the same weights that it is set against.
        settings: those that differ, each with the value of the base and its own.
        differences: network less base, with intervals, by the names of :data:`EFFECT_METRICS`.
    """

    network: str
    base: str
    settings: tuple[str, ...]
    differences: dict[str, BootstrapInterval]


def find_effects(networks: Sequence[Network]) -> list[Effect]:
    """Set networks of the same weights against the one among them that is evaluated most plainly.

    Weights are the same where the hashes of the checkpoints of all folds are; networks whose tests wrote none are left
    out. The base is the network whose settings differ least from the defaults, the first of several.
    """
    effects = []
    for shared in _share_weights(networks):
        base = min(shared, key=lambda network: len(_changed(EvaluationConfig().model_dump(mode="json"), network)))
        for network in shared:
            settings = tuple(_changed(base.evaluation, network))
            if network is not base and settings:
                differences = paired_differences(network.result, base.result, EFFECT_METRICS)
                effects.append(Effect(network.name, base.name, settings, differences))
    return effects


def _share_weights(networks: Sequence[Network]) -> Iterator[list[Network]]:
    by_weights: dict[tuple[str, ...], list[Network]] = {}
    for network in networks:
        hashes = tuple(sorted(str(facts.get("checkpoint_sha256") or "") for facts in network.result.provenance))
        if all(hashes):
            by_weights.setdefault(hashes, []).append(network)
    yield from (shared for shared in by_weights.values() if len(shared) > 1)


def _changed(old: Mapping[str, Any], network: Network) -> list[str]:
    return [key for key in changed_keys(old, network.evaluation) if not key.startswith(_OF_SPEED)]


def effect_table(effects: Sequence[Effect]) -> Table | None:
    """A row an effect; None where no two networks share their weights."""
    if not effects:
        return None
    titles = [METRICS[measure].title for measure in EFFECT_METRICS]
    columns = [Column("settings that differ", words=True), *(Column(title) for title in titles)]
    rows = [
        Row(
            f"{effect.network} - {effect.base}",
            [
                Cell("; ".join(effect.settings)),
                *(interval_cell(effect.differences[measure]) for measure in EFFECT_METRICS),
            ],
        )
        for effect in effects
    ]
    return Table(
        "effects",
        "The same weights, evaluated in different ways",
        "pair",
        columns,
        rows,
        ("Differences are first less second on the same images, with 95 % intervals; no tests are made of them.",),
    )
