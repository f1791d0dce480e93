"""Training, validation and test subsets, stratified by class, dataset and lesion size, that never part a group.

The assignment draws no random numbers: SHA-256 orders the groups and breaks ties, so that a seed gives the same split
with every version of Python and of every library, and in whatever order the records come.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import fsum
from typing import NamedTuple

from acsnet._utils.tables import Table
from acsnet.config import FoldsConfig, Subset
from acsnet.data.records import Record, stable_hash
from acsnet.errors import DataError

# How much a deviation of one image weighs: in the counts of a class, of a class of one dataset, of a third of that by
# lesion size, and of all images.
_CLASS_WEIGHT, _SET_WEIGHT, _SIZE_WEIGHT, _IMAGE_WEIGHT = 1.0, 0.7, 0.25, 0.1
# How often groups may move once all are placed; more than two gain next to nothing.
_SWEEPS = 2

# What a part gets its share of: all images (), a class, a class of a dataset, or a third of that by lesion size.
_Stratum = tuple[str, ...]


@dataclass(frozen=True)
class Split:
    """Three disjoint parts of a dataset."""

    train: tuple[Record, ...]
    val: tuple[Record, ...]
    test: tuple[Record, ...]

    @property
    def hash(self) -> str:
        """The same on every machine for the same assignment of the same images."""
        parts = {"train": self.train, "val": self.val, "test": self.test}
        return stable_hash(sorted((r.dataset, r.name, r.label, part) for part, rs in parts.items() for r in rs))

    @property
    def leaked(self) -> int:
        """How many test images have a copy, or another image of their group, in training; 0 unless groups are parted.

        Records without a group, which were never verified, count as alone.
        """
        trained = {record.group for record in self.train if record.group}
        return sum(record.group in trained for record in self.test)

    def subset(self, name: Subset) -> tuple[Record, ...]:
        """The records of ``train``, ``val``, ``test``, or ``all`` of them."""
        return self.train + self.val + self.test if name == "all" else getattr(self, name)


def split_records(records: Sequence[Record], folds: FoldsConfig) -> Split:
    """Split records into a test subset, and by the same rule the rest into a validation and a training subset.

    The test subset is fold ``index`` of ``count``, or the share ``test``. The validation subset is taken from the
    rest, so that model selection never looks at the test subset.

    ``grouped`` parts are stratified by class, dataset and lesion size, and never part a group. They are filled by a
    greedy rule: groups come in order of size, the largest first, and each goes where it leaves the smallest Pearson
    chi-square statistic of the strata's counts in the parts, in which counts of classes weigh most; then each may move
    twice more, the smallest first.

    Otherwise images are dealt out at random, whatever their class and group. The publications of this field say no more
    than "80/20 split" or "5-fold cross-validation", and this is what that says: their figures are measured partly on
    copies of training images.

    Args:
        records: verified; in any order.
        folds: how to split.

    Raises:
        DataError: for a class with too few groups to be in every part, or, where groups are parted, for too few images.
    """
    if folds.test is None:
        shares, index = [1 / folds.count] * folds.count, folds.index
        part, key = f"{folds.count} folds", "lower data.folds.count"
    else:
        shares, index = [folds.test, 1 - folds.test], 0
        part, key = f"a test subset of {folds.test}", "raise data.folds.test"
    _check_enough(records, folds.grouped, shares[0], part, key)
    rest, test = _draw(records, folds, "test", shares, index)
    part, key = f"a validation subset of {folds.validation}", "raise data.folds.validation"
    _check_enough(rest, folds.grouped, folds.validation, part, key)
    train, val = _draw(rest, folds, "validation", [folds.validation, 1 - folds.validation], 0)
    return Split(tuple(train), tuple(val), tuple(test))


def describe_split(split: Split, classes: Sequence[str]) -> str:
    """Lay out the parts of a split for people: images, groups, images a class, and the mean area of the lesions.

    Args:
        split: of verified records.
        classes: in the order of the columns.
    """
    rows = [["subset", "images", "groups", *classes, "mean lesion area"]]
    for name, part in (("train", split.train), ("val", split.val), ("test", split.test)):
        counts = Counter(record.label for record in part)
        areas = [record.lesion_share for record in part if record.lesion_share > 0]
        area = f"{sum(areas) / len(areas):.2%}" if areas else "-"
        groups = len({record.group for record in part})
        rows.append([name, str(len(part)), str(groups), *(str(counts[label]) for label in classes), area])
    return Table.from_rows(rows).to_text()


def _check_enough(records: Sequence[Record], grouped: bool, share: float, part: str, key: str) -> None:
    least = round(1 / share)
    if not grouped:
        if len(records) < least:
            raise DataError(f"{len(records)} images are left, too few for {part}: add images, or {key}")
        return
    groups_of = defaultdict(set)
    for record in records:
        groups_of[record.label].add(record.group)
    for label, groups in groups_of.items():
        if len(groups) < least:
            raise DataError(
                f"class {label!r} has {len(groups)} groups of images left, too few for {part}: add images, or {key}"
            )


def _draw(
    records: Sequence[Record], folds: FoldsConfig, purpose: str, shares: Sequence[float], index: int
) -> tuple[list[Record], list[Record]]:
    """What is not, and what is in part ``index`` of parts of these shares; the purpose makes two draws two."""
    assign = _assign_groups if folds.grouped else _assign_images
    parts = assign(records, shares, f"{folds.seed}/{purpose}")
    kept = [record for record, part in zip(records, parts, strict=True) if part != index]
    return kept, [record for record, part in zip(records, parts, strict=True) if part == index]


def _assign_images(records: Sequence[Record], shares: Sequence[float], salt: str) -> list[int]:
    """The part of each image, plainly at random: a shuffled list is cut."""
    names = [(record.dataset, record.name) for record in records]
    order = sorted(range(len(records)), key=lambda i: (stable_hash([salt, *names[i]]), names[i]))
    ends = [round(len(records) * end) for end in accumulate(shares)]
    parts = [0] * len(records)
    for position, i in enumerate(order):
        parts[i] = sum(position >= end for end in ends[:-1])
    return parts


class _Group(NamedTuple):
    """What is assigned as a whole: which records, and how many of each stratum."""

    digest: str
    name: str
    members: list[int]
    counts: dict[_Stratum, int]

    @property
    def rank(self) -> tuple[object, ...]:
        """The largest come first, and of these the most mixed; then one stratum after the other, each shuffled."""
        return -len(self.members), -len(self.counts), min(self.counts, key=_depth_first), self.digest, self.name


def _depth_first(stratum: _Stratum) -> tuple[int, _Stratum]:
    return -len(stratum), stratum


def _assign_groups(records: Sequence[Record], shares: Sequence[float], salt: str) -> list[int]:
    """The part of each record, by the rule that :func:`split_records` tells."""
    strata = _strata(records)
    weights = _weights(strata)
    loads = {stratum: [0] * len(shares) for stratum in weights}
    groups = sorted(_groups(records, strata, salt), key=lambda group: group.rank)
    terms = [[(weights[s] * count, count, loads[s]) for s, count in sorted(group.counts.items())] for group in groups]
    chosen = [_put(group, term, shares) for group, term in zip(groups, terms, strict=True)]
    # The first had to choose before it was known what the last would leave: all may choose again, the last one first.
    for position in [*reversed(range(len(groups)))] * _SWEEPS:
        for _, count, load in terms[position]:
            load[chosen[position]] -= count
        chosen[position] = _put(groups[position], terms[position], shares)
    parts = [0] * len(records)
    for group, part in zip(groups, chosen, strict=True):
        for member in group.members:
            parts[member] = part
    return parts


# For each stratum of a group: weight times count, count, and how many are in each part by now.
_Terms = Sequence[tuple[float, int, list[int]]]


def _put(group: _Group, terms: _Terms, shares: Sequence[float]) -> int:
    """Add a group to the part that is best for it."""
    # How much chi-square grows: sum of observed^2 / expected, of which (load + count)^2 - load^2 is the change.
    # fsum rounds once: Python's own sum adds floats in another way from 3.12 on, and a last bit decides between equals.
    costs = [
        fsum(weight * (2 * load[part] + count) for weight, count, load in terms) / share
        for part, share in enumerate(shares)
    ]
    # Of parts that are equally good, which comes first differs from group to group and from seed to seed.
    turn = int(group.digest, 16) % len(shares)
    best = min(range(len(shares)), key=lambda part: (costs[part], (part + turn) % len(shares)))
    for _, count, load in terms:
        load[best] += count
    return best


def _groups(records: Sequence[Record], strata: Sequence[Sequence[_Stratum]], salt: str) -> list[_Group]:
    members = defaultdict(list)
    for position, record in enumerate(records):
        members[record.group].append(position)
    return [
        _Group(stable_hash([salt, name]), name, positions, Counter(s for i in positions for s in strata[i]))
        for name, positions in members.items()
    ]


def _strata(records: Sequence[Record]) -> list[tuple[_Stratum, ...]]:
    """The strata of each record, from all images to the third of its class and dataset by lesion size."""
    shares = defaultdict(list)
    for record in records:
        shares[record.dataset, record.label].append(record.lesion_share)
    thirds = {key: _thirds(values) for key, values in shares.items()}
    return [
        (
            (),
            (r.label,),
            (r.label, r.dataset),
            (r.label, r.dataset, str(thirds[r.dataset, r.label][r.lesion_share])),
        )
        for r in records
    ]


def _thirds(values: Sequence[float]) -> dict[float, int]:
    """The third, 0 to 2, that each value lies in; equal values lie in the same."""
    thirds: dict[float, int] = {}
    for rank, value in enumerate(sorted(values)):
        thirds.setdefault(value, 3 * rank // len(values))
    return thirds


def _weights(strata: Sequence[Sequence[_Stratum]]) -> dict[_Stratum, float]:
    """The weight of each stratum's squared counts: a part of the class's is measured by the class, else small ones
    would outweigh it."""
    totals = Counter(stratum for several in strata for stratum in several)
    by_depth = (_IMAGE_WEIGHT, _CLASS_WEIGHT, _SET_WEIGHT, _SIZE_WEIGHT)
    return {stratum: by_depth[len(stratum)] / totals[stratum[:1]] for stratum in totals}
