import dataclasses
from pathlib import Path

import numpy as np
import pytest

from acsnet.curation.examination import Examination
from acsnet.curation.findings import Conflict, CurationFlag, ImagePair, Relation
from acsnet.curation.policy import check_policy, select_images
from acsnet.data import Record
from acsnet.errors import UnknownNameError


def examination(name: str, *kinds: str, side: int = 10, label: str = "benign") -> Examination:
    size = None if "unreadable" in kinds else (side, side)
    record = Record(Path(name), (), label, name)
    return Examination(record, tuple(CurationFlag(kind) for kind in kinds), size, np.zeros(256))


def pair(first: int, second: int, relation: Relation = "copy", *conflicts: Conflict) -> ImagePair:
    return ImagePair(first, second, relation, 1.0, 1.0, (1.0, 1.0), False, np.eye(2, 3), 1.0, conflicts)


EXAMINED = [
    examination("a 0", "text", side=40),  # a larger copy of 1, with a caption
    examination("a 1", side=20),
    examination("b 0", side=20),  # a smaller copy of 3
    examination("b 1", side=30),
    examination("c 10"),  # equally good: 5 is the first in natural order
    examination("c 9"),
    examination("d 0"),  # a conflict
    examination("d 1"),
    examination("e"),  # without a copy, but with an overlap that disagrees
    examination("f", "unreadable"),
    examination("g", "mask-size"),
]
COPIES = [0, 0, 1, 1, 2, 2, 3, 3, 4, 5, 6]
PAIRS = [pair(0, 1), pair(2, 3), pair(4, 5), pair(6, 7, "copy", "mask"), pair(7, 8, "overlap", "class")]


@pytest.mark.parametrize(
    ("policy", "kept"),
    [
        ("keep-one", {1, 3, 5, 8}),
        ("drop-all", {8}),
        ("keep-all-grouped", {0, 1, 2, 3, 4, 5, 6, 7, 8}),
    ],
)
def test_policies(policy: str, kept: set[int]) -> None:
    chosen = select_images(policy, EXAMINED, COPIES, PAIRS)  # type: ignore[arg-type]
    assert {index for index, keep in enumerate(chosen) if keep} == kept


def test_a_set_of_several_classes_is_dropped_even_if_no_pair_is_in_conflict() -> None:
    # 0 and 2 are connected by 1 only and were never compared with each other.
    malignant = dataclasses.replace(EXAMINED[2], record=dataclasses.replace(EXAMINED[2].record, label="malignant"))
    examined = [EXAMINED[0], EXAMINED[1], malignant]
    assert select_images("keep-one", examined, [0, 0, 0], [pair(0, 1), pair(1, 2)]) == [False, False, False]


def test_a_readable_copy_is_kept_before_a_broken_one() -> None:
    examined = [examination("a", "mask-size", side=40), examination("b", "text", "calipers")]
    assert select_images("keep-one", examined, [0, 0], [pair(0, 1)]) == [False, True]


def test_unknown_policy() -> None:
    with pytest.raises(UnknownNameError, match=r"keep-on.*keep-one"):
        check_policy("keep-on")
