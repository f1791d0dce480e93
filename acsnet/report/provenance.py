"""The origin of the results: summary, protocol, evaluation settings, environment, time and parameters."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from acsnet._utils.html import NO_VALUE, Tile, count, decimal
from acsnet._utils.tables import Table
from acsnet.report.context import ReportContext
from acsnet.report.tested_networks import Network
from acsnet.statistics.runs import SELECTED_ON_VALIDATION, name_first

_ENVIRONMENT = ("device", "precision", "processes", "threads", "acsnet", "commit", "python", "platform")
# The first digits suffice to distinguish hashes.
_HASH_DIGITS = 12
_TILE_HASH_DIGITS = 8


def summary_tiles(context: ReportContext) -> list[Tile]:
    """Return the tiles at the top of a report: networks, images, groups, folds, datasets, split."""
    comparison, first = context.comparison, context.networks[0].result
    folds = len(first.folders)
    datasets = sorted({dataset for dataset, _ in first.images})
    classes = ", ".join(f"{label} {count(number)}" for label, number in comparison.classes.items())
    sizes = sorted({first.groups.count(group) for group in set(first.groups)})
    hashes = [value[:_TILE_HASH_DIGITS] for value in first.split_hashes if value]
    tested = "every pair is tested" if comparison.reference is None else f"tested against {comparison.reference}"
    sizes_text = "one image per group" if sizes == [1] else f"of up to {sizes[-1]} images"
    several = len(context.networks) > 1
    return [
        Tile(count(len(context.networks)), "networks" if several else "network", tested if several else ""),
        Tile(count(comparison.images), "images tested", classes),
        Tile(count(comparison.groups), "groups", sizes_text),
        Tile(count(folds), "fold" if folds == 1 else "folds", f"tested subset: {first.subset!r}"),
        Tile(", ".join(datasets), "dataset" if len(datasets) == 1 else "datasets"),
        Tile(hashes[0] if hashes else NO_VALUE, "split", _describe_split(hashes)),
    ]


def _describe_split(hashes: Sequence[str]) -> str:
    if not hashes:
        return "all images are tested, without a split"
    return f"and {', '.join(hashes[1:])}" if len(hashes) > 1 else "the first digits of its hash"


def cost_table(networks: Sequence[Network]) -> Table:
    """Return the parameters, the time per image and the duration of the trainings of each network."""
    rows = [("network", "parameters (M)", "ms per image", "epochs", "training per fold", "all folds", "trained on")]
    for network in networks:
        facts = network.result.provenance
        parameters = {facts["parameters"] for facts in facts if facts.get("parameters") is not None}
        seconds = [facts["seconds_per_image"] for facts in facts if facts.get("seconds_per_image") is not None]
        trained = [training for training in network.trainings if training.seconds is not None]
        times = [training.seconds for training in trained if training.seconds is not None]
        epochs = [len(training.history) for training in trained]
        rows.append(
            (
                network.name,
                ", ".join(f"{number / 1e6:.2f}" for number in sorted(parameters)) or NO_VALUE,
                decimal(1000 * statistics.median(seconds) if seconds else None, 1),
                _format_range(epochs),
                _format_duration(statistics.fmean(times)) if times else NO_VALUE,
                _format_duration(sum(times)) if times else NO_VALUE,
                _list_devices(network),
            )
        )
    note = (
        "Milliseconds per image: prediction in batches, the median over batches, then over folds. They depend on the "
        "machine and its load."
    )
    return Table.from_rows(rows, left=["trained on"], key="cost", caption="Parameters and time", notes=[note])


def _list_devices(network: Network) -> str:
    devices = dict.fromkeys(str(training.environment.get("device") or "") for training in network.trainings)
    return ", ".join(filter(None, devices)) or NO_VALUE


def _format_range(numbers: Sequence[int]) -> str:
    if not numbers:
        return NO_VALUE
    return str(min(numbers)) if min(numbers) == max(numbers) else f"{min(numbers)} to {max(numbers)}"


def _format_duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def fact_sections(networks: Sequence[Network]) -> dict[str, tuple[list[tuple[str, str]], Table | None]]:
    """Return the evaluation settings and the training environment, as returned by :func:`split_shared`."""
    settings, environments = list_settings(networks), list_environments(networks)
    return {
        "settings": split_shared("settings", "Settings that differ", networks, settings),
        "environment": split_shared("environment", "Differences", networks, environments),
    }


def list_settings(networks: Sequence[Network]) -> list[dict[str, str]]:
    """Return the evaluation settings of each network as text."""
    settings = []
    for network in networks:
        texts = {key.replace("_", " "): _format_value(value) for key, value in _flatten(network.evaluation)}
        selected = network.selection_remark or SELECTED_ON_VALIDATION
        settings.append(texts | {"threshold": _format_threshold(network), "epoch": selected})
    return settings


def list_environments(networks: Sequence[Network]) -> list[dict[str, str]]:
    """Return the training environment of each network as text, from the first fold that has one."""
    environments = []
    for network in networks:
        environment = next((training.environment for training in network.trainings if training.environment), {})
        known = {key: environment[key] for key in _ENVIRONMENT if key in environment}
        packages = environment.get("packages")
        known |= packages if isinstance(packages, Mapping) else {}
        environments.append({key: _format_value(value) for key, value in known.items()})
    return environments


def split_shared(
    key: str, caption: str, networks: Sequence[Network], facts: Sequence[Mapping[str, str]]
) -> tuple[list[tuple[str, str]], Table | None]:
    """Separate the facts that all networks share from those that differ.

    Args:
        key: the key of the table of differences.
        caption: its caption.
        networks: the networks, in the order of its rows.
        facts: the facts of each network.

    Returns:
        The shared facts, and the table of the others, None if there are none.
    """
    names = [*dict.fromkeys(name for own in facts for name in own)]
    values = {name: [own.get(name, NO_VALUE) for own in facts] for name in names}
    shared = [(name, own[0]) for name, own in values.items() if len({*own}) == 1]
    differing = [name for name, own in values.items() if len({*own}) > 1]
    if not differing:
        return shared, None
    rows = [(network.name, *(values[name][index] for name in differing)) for index, network in enumerate(networks)]
    return shared, Table.from_rows([("network", *differing), *rows], left=differing, key=key, caption=caption)


def _format_threshold(network: Network) -> str:
    used = {(facts.get("threshold"), facts.get("threshold_source")) for facts in network.result.provenance}
    texts = [
        f"{threshold:g}" + (f" ({source})" if source and source != "configuration" else "")
        for threshold, source in sorted(used, key=str)
        if isinstance(threshold, int | float)
    ]
    return ", ".join(texts) or _format_value(network.evaluation.get("threshold"))


def _flatten(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}: ")
        else:
            yield f"{prefix}{key}", value


def _format_value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(_format_value, value))
    return NO_VALUE if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def protocol_rows(networks: Sequence[Network]) -> list[tuple[str, str]]:
    """Return the protocol that all networks share, as names and texts."""
    first = networks[0].result
    facts = first.provenance[0]
    config = networks[0].config
    rows = [
        ("metrics", str(facts.get("protocol") or "not recorded")),
        ("tested subset", first.subset),
        ("classes", ", ".join(first.class_names)),
        ("images", f"{count(len(first.images))} in {count(len(set(first.groups)))} groups"),
        ("folds", str(len(first.folders))),
        ("split hashes", _format_hashes(first.split_hashes)),
        ("dataset hashes", _format_hashes(first.dataset_hashes)),
    ]
    if config is not None:
        folds = config.data.folds
        kind = f"single split, {folds.test:.0%} tested" if folds.test is not None else f"{folds.count} folds"
        drawn = f"{kind}; groups {'kept together' if folds.grouped else 'ignored'}; seed {folds.seed}"
        split_file = config.data.split_file
        rows.append(("split", drawn if split_file is None else f"single split, read from {split_file.name}"))
        formula = config.training.selection_formula
        selection = "the last epoch" if formula == "epoch" else f"best epoch by {formula} on the validation subset"
        rows.append(("model selection", selection))
    sizes = dict.fromkeys(
        "x".join(map(str, network.config.data.image_size)) for network in networks if network.config is not None
    )
    return [*rows, ("input size", ", ".join(sizes))] if sizes else rows


def _format_hashes(hashes: Sequence[str | None]) -> str:
    return name_first([value[:_HASH_DIGITS] if value else "no split" for value in hashes])
