"""How it was measured: time, parameters, protocol and environment, in tables."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from acsnet._utils.html import NO_VALUE, count, decimal
from acsnet.report.networks import Network
from acsnet.report.tables import Table, plain_table
from acsnet.statistics.runs import name_first

_ENVIRONMENT = ("device", "precision", "processes", "threads", "acsnet", "commit", "python", "platform")
# Hashes are told apart by less than all of them.
_HASH_DIGITS = 12


def cost_table(networks: Sequence[Network]) -> Table:
    """Parameters, time an image, and how long the trainings took."""
    rows = []
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
                [
                    ", ".join(f"{number / 1e6:.2f}" for number in sorted(parameters)) or NO_VALUE,
                    decimal(1000 * statistics.median(seconds) if seconds else None, 1),
                    _range(epochs),
                    _duration(statistics.fmean(times)) if times else NO_VALUE,
                    _duration(sum(times)) if times else NO_VALUE,
                    _device(network),
                ],
            )
        )
    return plain_table(
        "cost",
        "Parameters and time",
        "network",
        ["parameters (M)", "ms an image", "epochs", "training a fold", "all folds", "trained on"],
        rows,
        words=("trained on",),
        notes=(
            "Milliseconds an image: of predicting in batches, the median over batches, then over folds; they depend on "
            "the machine and on what else it did.",
        ),
    )


def _device(network: Network) -> str:
    devices = dict.fromkeys(str(training.environment.get("device") or "") for training in network.trainings)
    return ", ".join(filter(None, devices)) or NO_VALUE


def _range(numbers: Sequence[int]) -> str:
    if not numbers:
        return NO_VALUE
    return str(min(numbers)) if min(numbers) == max(numbers) else f"{min(numbers)} to {max(numbers)}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def settings_of(networks: Sequence[Network]) -> list[dict[str, str]]:
    """How each network was evaluated: every setting in words."""
    settings = []
    for network in networks:
        words = {key.replace("_", " "): _value(value) for key, value in _flatten(network.evaluation)}
        settings.append(words | {"threshold": _threshold(network)})
    return settings


def environments_of(networks: Sequence[Network]) -> list[dict[str, str]]:
    """With what each network was trained, in words; of the first fold that says it."""
    found = []
    for network in networks:
        environment = next((training.environment for training in network.trainings if training.environment), {})
        known = {key: environment[key] for key in _ENVIRONMENT if key in environment}
        packages = environment.get("packages")
        known |= packages if isinstance(packages, Mapping) else {}
        found.append({key: _value(value) for key, value in known.items()})
    return found


def part_shared(
    key: str, caption: str, networks: Sequence[Network], facts: Sequence[Mapping[str, str]]
) -> tuple[list[tuple[str, str]], Table | None]:
    """Part facts into those that are the same for all networks, and a table of those that differ, None without any.

    Args:
        key, caption: of the table.
        networks: in the order of its rows.
        facts: of each network.
    """
    names = [*dict.fromkeys(name for own in facts for name in own)]
    values = {name: [own.get(name, NO_VALUE) for own in facts] for name in names}
    shared = [(name, own[0]) for name, own in values.items() if len({*own}) == 1]
    differing = [name for name, own in values.items() if len({*own}) > 1]
    if not differing:
        return shared, None
    rows = [(network.name, [values[name][place] for name in differing]) for place, network in enumerate(networks)]
    return shared, plain_table(key, caption, "network", differing, rows, words=differing)


def _threshold(network: Network) -> str:
    used = {(facts.get("threshold"), facts.get("threshold_source")) for facts in network.result.provenance}
    words = [
        f"{threshold:g}" + (f" ({source})" if source and source != "configuration" else "")
        for threshold, source in sorted(used, key=str)
        if isinstance(threshold, int | float)
    ]
    return ", ".join(words) or _value(network.evaluation.get("threshold"))


def _flatten(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}: ")
        else:
            yield f"{prefix}{key}", value


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(_value, value))
    return NO_VALUE if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def protocol_rows(networks: Sequence[Network]) -> list[tuple[str, str]]:
    """The protocol that all networks share, in words: what, and how it was."""
    first = networks[0].result
    facts = first.provenance[0]
    config = networks[0].config
    rows = [
        ("metrics", str(facts.get("protocol") or "not written down")),
        ("subset tested", first.subset),
        ("classes", ", ".join(first.class_names)),
        ("images", f"{count(len(first.images))} in {count(len(set(first.groups)))} groups"),
        ("folds", str(len(first.folders))),
        ("hashes of the splits", _hashes(first.split_hashes)),
        ("hashes of the tested data", _hashes(first.dataset_hashes)),
    ]
    if config is not None:
        folds = config.data.folds
        ways = f"one single split, {folds.test:.0%} tested" if folds.test is not None else f"{folds.count} folds"
        drawn = f"{ways}; groups {'kept together' if folds.grouped else 'parted'}; seed {folds.seed}"
        listed = config.data.split_file
        rows.append(("split", drawn if listed is None else f"one single split, as listed in {listed.name}"))
        formula = config.training.selection_formula
        best = "the last epoch" if formula == "epoch" else f"best epoch by {formula}, on the validation subset"
        rows.append(("model selection", best))
    sizes = dict.fromkeys(
        "x".join(map(str, network.config.data.image_size)) for network in networks if network.config is not None
    )
    return [*rows, ("input size", ", ".join(sizes))] if sizes else rows


def _hashes(hashes: Sequence[str | None]) -> str:
    return name_first([value[:_HASH_DIGITS] if value else "no split" for value in hashes])
