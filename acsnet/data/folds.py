"""Training, validation and test parts that are stratified by data set and class and never part a group."""

import warnings
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from acsnet.config import FoldsConfig, Part
from acsnet.data.records import Record, stable_hash
from acsnet.errors import DataError


@dataclass(frozen=True)
class Split:
    """Three disjoint parts of a data set."""

    train: tuple[Record, ...]
    val: tuple[Record, ...]
    test: tuple[Record, ...]

    @property
    def hash(self) -> str:
        """The same on every machine for the same assignment of the same images."""
        parts = {"train": self.train, "val": self.val, "test": self.test}
        return stable_hash(sorted((r.dataset, r.name, r.label, part) for part, rs in parts.items() for r in rs))

    def part(self, name: Part) -> tuple[Record, ...]:
        """The records of ``train``, ``val``, ``test``, or ``all`` of them."""
        return self.train + self.val + self.test if name == "all" else getattr(self, name)


def split_records(records: Sequence[Record], folds: FoldsConfig) -> Split:
    """Split grouped records: fold ``index`` of ``count`` is the test part, a share of the rest the validation part.

    The validation part is taken from the training folds alone, so that choosing a model never looks at the test part.
    It is one of ``round(1 / validation)`` folds of the rest.

    Raises:
        DataError: for a class with fewer groups than folds.
    """
    inner = max(2, round(1 / folds.validation))
    rest, test = _fold(records, folds.count, folds.index, folds.seed)
    train, val = _fold(rest, inner, 0, folds.seed)
    return Split(tuple(train), tuple(val), tuple(test))


def _fold(records: Sequence[Record], count: int, index: int, seed: int) -> tuple[list[Record], list[Record]]:
    groups_of = defaultdict(set)
    for record in records:
        groups_of[record.label].add(record.group)
    for label, groups in groups_of.items():
        if len(groups) < count:
            raise DataError(
                f"class {label!r} has {len(groups)} groups of images left, too few for {count} folds: add images, or "
                "lower data.folds.count, or raise data.folds.validation"
            )
    # Half a second to import, and 70 MB.
    from sklearn.model_selection import StratifiedGroupKFold

    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # Groups of several classes can leave a class short in a fold; that is checked by what training needs.
        warnings.simplefilter("ignore", UserWarning)
        kept, held = list(splitter.split(np.zeros(len(records)), _strata(records, count), [r.group for r in records]))[
            index
        ]
    return [records[i] for i in kept], [records[i] for i in held]


def _strata(records: Sequence[Record], count: int) -> list[str]:
    """What each fold gets its share of: each class of each data set, or each class where all of those are too small."""
    strata = [f"{record.dataset}/{record.label}" for record in records]
    return [record.label for record in records] if max(Counter(strata).values()) < count else strata
