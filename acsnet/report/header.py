"""The large figures in the head of a report."""

from collections.abc import Sequence

from acsnet._utils.html import NO_VALUE, Tile, count
from acsnet.report.networks import Network
from acsnet.statistics.compare import Comparison

_HASH_DIGITS = 8


def head_tiles(comparison: Comparison, networks: Sequence[Network]) -> list[Tile]:
    """What was compared: networks, images, groups, folds, data, split."""
    first = networks[0].result
    folds = len(first.folders)
    datasets = sorted({dataset for dataset, _ in first.images})
    classes = ", ".join(f"{label} {count(number)}" for label, number in comparison.classes.items())
    sizes = sorted({first.groups.count(group) for group in set(first.groups)})
    hashes = [value[:_HASH_DIGITS] for value in first.split_hashes if value]
    against = "every pair is tested" if comparison.reference is None else f"tested against {comparison.reference}"
    together = "each image alone" if sizes == [1] else f"of up to {sizes[-1]} images"
    several = len(networks) > 1
    return [
        Tile(count(len(networks)), "networks" if several else "network", against if several else ""),
        Tile(count(comparison.images), "images tested", classes),
        Tile(count(comparison.groups), "groups", together),
        Tile(count(folds), "fold" if folds == 1 else "folds", f"the subset tested is {first.subset!r}"),
        Tile(", ".join(datasets), "dataset" if len(datasets) == 1 else "datasets"),
        Tile(hashes[0] if hashes else NO_VALUE, "split", _of_split(hashes)),
    ]


def _of_split(hashes: Sequence[str]) -> str:
    if not hashes:
        return "all images are tested, with no split"
    return f"and {', '.join(hashes[1:])}" if len(hashes) > 1 else "the first digits of its hash"
