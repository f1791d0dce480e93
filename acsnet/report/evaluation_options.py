"""Effects of evaluation options: the same weights evaluated with different settings."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from acsnet._utils.tables import Cell, Column, Row, Table
from acsnet.config import EvaluationConfig, changed_keys
from acsnet.report.tested_networks import Network
from acsnet.statistics import METRICS
from acsnet.statistics.bootstrap import BootstrapInterval
from acsnet.statistics.compare import paired_differences
from acsnet.statistics.formatting import interval_cell, merge_reasons

EFFECT_METRICS = ("dice", "dice_lesion", "dice_normal", "accuracy")
# These change the speed of a test and the number of metrics, not its predictions.
_IGNORED = ("batch_size ", "published_metrics ")


@dataclass(frozen=True)
class OptionEffect:
    """The effect of evaluation options on the metrics.

    Attributes:
        network: the network with the options.
        base: the network of the same weights that it is compared with.
        settings: the settings that differ, each with both values.
        differences: network minus base, with intervals, by the names of :data:`EFFECT_METRICS`.
    """

    network: str
    base: str
    settings: tuple[str, ...]
    differences: dict[str, BootstrapInterval]


def find_option_effects(networks: Sequence[Network]) -> list[OptionEffect]:
    """Compare networks of the same weights with the one whose evaluation settings are closest to the defaults.

    Weights are the same if the checkpoint hashes of all folds are the same; networks without hashes are left out. If
    several networks are equally close to the defaults, the first one is the base.
    """
    effects = []
    for shared in _share_weights(networks):
        base = min(shared, key=lambda network: len(_changed(EvaluationConfig().model_dump(mode="json"), network)))
        for network in shared:
            settings = tuple(_changed(base.evaluation, network))
            if network is not base and settings:
                differences = paired_differences(network.result, base.result, EFFECT_METRICS)
                effects.append(OptionEffect(network.name, base.name, settings, differences))
    return effects


def _share_weights(networks: Sequence[Network]) -> Iterator[list[Network]]:
    by_weights: dict[tuple[str, ...], list[Network]] = {}
    for network in networks:
        hashes = tuple(sorted(str(facts.get("checkpoint_sha256") or "") for facts in network.result.provenance))
        if all(hashes):
            by_weights.setdefault(hashes, []).append(network)
    yield from (shared for shared in by_weights.values() if len(shared) > 1)


def _changed(old: Mapping[str, Any], network: Network) -> list[str]:
    return [key for key in changed_keys(old, network.evaluation) if not key.startswith(_IGNORED)]


def option_tables(networks: Sequence[Network]) -> list[Table]:
    """Return a table with one row per effect, or no table if no two networks share their weights."""
    effects = find_option_effects(networks)
    if not effects:
        return []
    titles = [METRICS[metric].title for metric in EFFECT_METRICS]
    columns = [Column("settings that differ", align="left"), *map(Column, titles)]
    rows = [
        Row(
            f"{effect.network} - {effect.base}",
            [
                Cell("; ".join(effect.settings)),
                *(interval_cell(effect.differences[metric]) for metric in EFFECT_METRICS),
            ],
        )
        for effect in effects
    ]
    note = "Differences are first minus second on the same images, with 95 % intervals and without tests."
    reasons = [f"{pairs}, {titles}: {reason}." for titles, pairs, reason in merge_reasons(_reasons(effects))]
    caption = "The same weights, evaluated with different settings"
    return [Table("pair", columns, rows, "effects", caption, [note, *reasons])]


def _reasons(effects: Sequence[OptionEffect]) -> Iterator[tuple[str, str, str]]:
    for effect in effects:
        for metric, difference in effect.differences.items():
            if difference.reason:
                yield METRICS[metric].title, f"{effect.network} - {effect.base}", difference.reason
