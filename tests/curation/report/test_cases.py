"""Grouping of images into the cases of the report."""

from pathlib import Path

import numpy as np

from acsnet.curation.findings import Conflict, Findings, ImagePair, Relation
from acsnet.curation.report.cases import DuplicateCase, find_cases, separate_conflicts, shorten
from acsnet.data import Record


def pair(first: int, second: int, relation: Relation = "copy", *conflicts: Conflict) -> ImagePair:
    return ImagePair(first, second, relation, 1.0, 1.0, (1.0, 1.0), False, np.eye(2, 3), 1.0, conflicts)


def make_findings(names: list[str], copies: list[int], *pairs: ImagePair) -> Findings:
    count = len(names)
    return Findings(
        records=tuple(Record(Path(name), (), "benign", name) for name in names),
        sizes=((9, 9),) * count,
        copy_sets=tuple(copies),
        flags=((),) * count,
        histograms=np.zeros((count, 256)),
        pairs=pairs,
        policy="",
        kept=(True,) * count,
        leak={},
    )


def test_sets_of_copies_come_in_natural_order_then_overlaps() -> None:
    findings = make_findings(
        ["b 10", "b 9", "b 10 again", "b 9 again", "c", "d", "e", "alone"],
        [5, 7, 5, 7, 1, 2, 3, 4],
        pair(0, 2),
        pair(1, 3, "identical"),
        pair(4, 5, "overlap"),
        pair(5, 6, "overlap"),
    )
    cases = find_cases(findings)
    assert [(case.kind, case.number, case.members) for case in cases] == [
        ("copies", 7, (1, 3)),
        ("copies", 5, (0, 2)),
        ("overlap", 1, (4, 5, 6)),
    ]
    assert [len(case.pairs) for case in cases] == [1, 1, 2]


def test_a_set_can_also_overlap_another_image() -> None:
    cases = find_cases(make_findings(["a", "b", "c"], [0, 0, 2], pair(0, 1), pair(1, 2, "overlap")))
    assert [(case.kind, case.members) for case in cases] == [("copies", (0, 1)), ("overlap", (1, 2))]


def test_without_pairs_there_are_no_cases() -> None:
    assert find_cases(make_findings(["a", "b"], [0, 1])) == []
    assert find_cases(make_findings([], [])) == []


def test_conflicts_are_separated_with_class_conflicts_first() -> None:
    agree = DuplicateCase("copies", 0, (0, 1), (pair(0, 1),))
    mask = DuplicateCase("copies", 1, (2, 3), (pair(2, 3, "copy", "mask"),))
    both = DuplicateCase("overlap", 2, (4, 5, 6), (pair(4, 5, "overlap", "mask"), pair(5, 6, "overlap", "class")))
    assert both.conflicts == ("class", "mask")
    assert separate_conflicts([agree, mask, both]) == ([both, mask], [agree])


def test_images_in_conflict_are_omitted_last() -> None:
    pairs = (pair(3, 4, "copy", "class"), pair(0, 1), pair(0, 2))
    case = DuplicateCase("copies", 0, (0, 1, 2, 3, 4), pairs)
    short = shorten(case, max_images=3, max_pairs=1)
    assert short.members == (0, 3, 4)
    assert short.pairs == pairs[:1]
    assert shorten(case, 5, 3) == case
