"""Training, validation and test subsets, stratified by class, dataset and lesion size, that never separate a group.

The assignment draws no random numbers: SHA-256 orders the groups and breaks ties. The same seed gives the same split
with every version of Python and of every library, in any order of the records. Splits at random are in
:mod:`acsnet.data.random_folds`.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum
from typing import NamedTuple

from acsnet._utils.tables import Table
from acsnet.config import VALIDATED_ON_TEST, FoldsConfig, Subset
from acsnet.data.image_files import natural_order
from acsnet.data.image_list import listed_name
from acsnet.data.random_folds import draw_positions
from acsnet.data.records import Record, stable_hash
from acsnet.errors import DataError

SUBSETS: tuple[Subset, ...] = ("train", "val", "test")

# Weight of a deviation by one image in the count of each kind of stratum.
_WEIGHT_OF_ALL_IMAGES = 0.1
_WEIGHT_OF_CLASS = 1.0
_WEIGHT_OF_CLASS_IN_DATASET = 0.7
_WEIGHT_OF_SIZE_THIRD = 0.25
# Number of times that every group may move after all are placed; more than two improve next to nothing.
_SWEEPS = 2

# All images (), a class, a class of a dataset, or a third of that class of that dataset by lesion size.
_Stratum = tuple[str, ...]


@dataclass(frozen=True)
class Split:
    """Three disjoint subsets of a dataset; with ``data.folds.validation: test`` the last two are the same.

    Attributes:
        train: Records to train on.
        val: Records for model selection.
        test: Records to test on.

    Example:
        >>> from pathlib import Path
        >>> from acsnet.data import Record, Split
        >>> a, b, c = (Record(Path(name), (), "benign", name) for name in ("a.png", "b.png", "c.png"))
        >>> split = Split(train=(a,), val=(b,), test=(c,))
        >>> [record.name for record in split.subset("test")], len(split.subset("all"))
        (['c.png'], 3)
    """

    train: tuple[Record, ...]
    val: tuple[Record, ...]
    test: tuple[Record, ...]

    @property
    def hash(self) -> str:
        """Hash of the assignment: the same on every machine for the same subsets of the same images."""
        return stable_hash(sorted((r.dataset, r.name, r.label, name) for name in SUBSETS for r in self.subset(name)))

    @property
    def leaked(self) -> int:
        """Number of test images with a copy, or another image of their group, in the training subset.

        It is 0 unless groups were separated. Records without a group, which were never verified, are not counted.
        """
        trained = {record.group for record in self.train if record.group}
        return sum(record.group in trained for record in self.test)

    def subset(self, name: Subset) -> tuple[Record, ...]:
        """Return the records of ``train``, ``val``, ``test``, or of ``all`` three."""
        if name != "all":
            return getattr(self, name)
        return self.train + self.test if self.is_validated_on_test else self.train + self.val + self.test

    @property
    def is_validated_on_test(self) -> bool:
        """Whether the epoch is selected on the test subset, so that metrics on it are too good."""
        return self.val == self.test


def split_records(records: Sequence[Record], folds: FoldsConfig, listed: Mapping[str, str] | None = None) -> Split:
    """Split records into a test subset and, by the same rule, the rest into a validation and a training subset.

    The test subset is fold ``index`` of ``count``, or the fraction ``test`` of the images. The validation subset is
    taken from the rest, so that model selection never sees the test subset.

    With ``grouped``, subsets are stratified by class, dataset and lesion size and never separate a group. They are
    filled by a greedy rule: groups are placed in order of size, the largest first, each where it leaves the smallest
    Pearson chi-square of the strata's counts, in which the counts of classes weigh most. Then every group may move
    twice more, the smallest first.

    Without ``grouped``, images are assigned at random, regardless of their groups; see
    :func:`acsnet.data.random_folds.draw_positions`. Publications of this field that say no more than "80/20 split" or
    "5-fold cross-validation" describe this, and their metrics are partly computed on copies of training images.

    Args:
        records: Verified records, in any order.
        folds: Settings of the split.
        listed: The images that folds at random are drawn of, as class by name in the order of an image list; records
            that it lists and that are missing take part in the draw, so that the others are assigned as published. By
            default the records themselves, sorted by dataset, class and name.

    Raises:
        DataError: If a class has too few groups for every subset, or, without ``grouped``, there are too few images.

    Example:
        >>> from pathlib import Path
        >>> from acsnet.config import FoldsConfig
        >>> from acsnet.data import Record, split_records
        >>> names = [f"{label} ({number})" for label in ("benign", "malignant") for number in range(20)]
        >>> records = [Record(Path(name), (), name.split()[0], name, group=name) for name in names]
        >>> split = split_records(records, FoldsConfig(count=5, index=0, validation=0.25))
        >>> len(split.train), len(split.val), len(split.test), split.leaked
        (24, 8, 8, 0)
    """
    if not folds.grouped:
        return _split_at_random(records, folds, listed)
    if folds.test is None:
        shares, index = [1 / folds.count] * folds.count, folds.index
        goal, remedy = f"{folds.count} folds", "lower data.folds.count"
    else:
        shares, index = [folds.test, 1 - folds.test], 0
        goal, remedy = f"a test subset of {folds.test}", "raise data.folds.test"
    _check_enough(records, shares[0], goal, remedy)
    rest, test = _draw(records, folds, "test", shares, index)
    if folds.validation == VALIDATED_ON_TEST:
        return Split(tuple(rest), tuple(test), tuple(test))
    validation = float(folds.validation)
    goal, remedy = f"a validation subset of {folds.validation}", "raise data.folds.validation"
    _check_enough(rest, validation, goal, remedy)
    train, val = _draw(rest, folds, "validation", [validation, 1 - validation], 0)
    return Split(tuple(train), tuple(val), tuple(test))


def _split_at_random(records: Sequence[Record], folds: FoldsConfig, listed: Mapping[str, str] | None) -> Split:
    if listed is None:
        ordered = sorted(records, key=lambda record: (record.dataset, record.label, natural_order(record.name)))
        places: list[Record | None] = [*ordered]
        labels = [record.label for record in ordered]
    else:
        present = {listed_name(record): record for record in records}
        places = [present.get(name) for name in listed]
        labels = [*listed.values()]
    drawn = draw_positions(labels, folds)
    return Split(*(tuple(record for i in positions if (record := places[i]) is not None) for positions in drawn))


def describe_split(split: Split, classes: Sequence[str]) -> str:
    """Format the subsets of a split as a table: images, groups, images per class, and mean area of the lesions.

    Args:
        split: Split of verified records.
        classes: Classes, in the order of the columns.

    Example:
        >>> from pathlib import Path
        >>> from acsnet.data import Record, Split, describe_split
        >>> a, b = (Record(Path(name), (), "benign", name, group=name, lesion_share=0.125) for name in "ab")
        >>> print(describe_split(Split(train=(a,), val=(), test=(b,)), ["benign"]))
        subset  images  groups  benign  mean lesion area
        ------------------------------------------------
        train        1       1       1            12.50%
        val          0       0       0                 -
        test         1       1       1            12.50%
    """
    rows = [["subset", "images", "groups", *classes, "mean lesion area"]]
    for name in SUBSETS:
        members = split.subset(name)
        counts = Counter(record.label for record in members)
        areas = [record.lesion_share for record in members if record.lesion_share > 0]
        area = f"{sum(areas) / len(areas):.2%}" if areas else "-"
        groups = len({record.group for record in members})
        rows.append([name, str(len(members)), str(groups), *(str(counts[label]) for label in classes), area])
    return Table.from_rows(rows).to_text()


def _check_enough(records: Sequence[Record], share: float, goal: str, remedy: str) -> None:
    least = round(1 / share)
    groups_of = defaultdict(set)
    for record in records:
        groups_of[record.label].add(record.group)
    for label, groups in groups_of.items():
        if len(groups) < least:
            raise DataError(
                f"class {label!r} has {len(groups)} groups of images left, too few for {goal}: add images, or {remedy}"
            )


# Below, folds may differ in size: a single split is two folds with the shares ``test`` and ``1 - test``.


def _draw(
    records: Sequence[Record], folds: FoldsConfig, purpose: str, shares: Sequence[float], index: int
) -> tuple[list[Record], list[Record]]:
    """Return the records outside and inside fold ``index``; the purpose makes two draws independent."""
    fold_of = _assign_groups(records, shares, f"{folds.seed}/{purpose}")
    outside = [record for record, fold in zip(records, fold_of, strict=True) if fold != index]
    return outside, [record for record, fold in zip(records, fold_of, strict=True) if fold == index]


class _Group(NamedTuple):
    """Records that are assigned together, and how many of them are in each stratum."""

    digest: str
    name: str
    members: list[int]
    counts: dict[_Stratum, int]

    @property
    def rank(self) -> tuple[object, ...]:
        """Sort key: the largest groups first, then the most mixed; then stratum by stratum, each shuffled."""
        return -len(self.members), -len(self.counts), min(self.counts, key=_depth_first), self.digest, self.name


def _depth_first(stratum: _Stratum) -> tuple[int, _Stratum]:
    return -len(stratum), stratum


def _assign_groups(records: Sequence[Record], shares: Sequence[float], salt: str) -> list[int]:
    """Return the fold of each record, by the rule that :func:`split_records` describes."""
    strata = _strata(records)
    weights = _weights(strata)
    loads = {stratum: [0] * len(shares) for stratum in weights}
    groups = sorted(_groups(records, strata, salt), key=lambda group: group.rank)
    terms = [[(weights[s] * count, count, loads[s]) for s, count in sorted(group.counts.items())] for group in groups]
    chosen = [_place(group, term, shares) for group, term in zip(groups, terms, strict=True)]
    # The first groups were placed before the counts of the last were known: all may move again, the last one first.
    for position in [*reversed(range(len(groups)))] * _SWEEPS:
        for _, count, load in terms[position]:
            load[chosen[position]] -= count
        chosen[position] = _place(groups[position], terms[position], shares)
    fold_of = [0] * len(records)
    for group, fold in zip(groups, chosen, strict=True):
        for member in group.members:
            fold_of[member] = fold
    return fold_of


# For each stratum of a group: weight times count, count, and the present number of images in each fold.
_Terms = Sequence[tuple[float, int, list[int]]]


def _place(group: _Group, terms: _Terms, shares: Sequence[float]) -> int:
    """Add a group to the fold that suits it best, and return that fold."""
    # The growth of chi-square, the sum of observed^2 / expected: (load + count)^2 - load^2 per stratum, over the share.
    # fsum rounds once: Python's own sum adds floats differently from 3.12 on, and a last bit decides between equals.
    costs = [
        fsum(weight * (2 * load[fold] + count) for weight, count, load in terms) / share
        for fold, share in enumerate(shares)
    ]
    # The order of equally good folds differs from group to group and from seed to seed.
    turn = int(group.digest, 16) % len(shares)
    best = min(range(len(shares)), key=lambda fold: (costs[fold], (fold + turn) % len(shares)))
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
    """Return the strata of each record, from all images to the third of its class and dataset by lesion size."""
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
    """Return the third, 0 to 2, of each value; equal values are in the same third."""
    thirds: dict[float, int] = {}
    for rank, value in enumerate(sorted(values)):
        thirds.setdefault(value, 3 * rank // len(values))
    return thirds


def _weights(strata: Sequence[Sequence[_Stratum]]) -> dict[_Stratum, float]:
    """Return the weight of each stratum's squared counts.

    Strata within a class are normalized by the size of the class: by their own sizes, small ones would dominate.
    """
    totals = Counter(stratum for several in strata for stratum in several)
    by_depth = (_WEIGHT_OF_ALL_IMAGES, _WEIGHT_OF_CLASS, _WEIGHT_OF_CLASS_IN_DATASET, _WEIGHT_OF_SIZE_THIRD)
    return {stratum: by_depth[len(stratum)] / totals[stratum[:1]] for stratum in totals}
