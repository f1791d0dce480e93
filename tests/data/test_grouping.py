from dataclasses import replace
from pathlib import Path

import pytest

from acsnet.data import Record
from acsnet.data.grouping import connected_sets, group_records


@pytest.mark.parametrize(
    ("count", "links", "sets"),
    [
        (0, [], []),
        (3, [], [0, 1, 2]),
        (5, [(3, 1), (4, 3)], [0, 1, 2, 1, 1]),
        (4, [(2, 3), (0, 1), (1, 0), (2, 2)], [0, 0, 1, 1]),
    ],
)
def test_connected_sets(count: int, links: list[tuple[int, int]], sets: list[int]) -> None:
    assert connected_sets(count, links) == sets


def record(name: str, **known: str) -> Record:
    return replace(Record(Path(name), (), "benign", name), **known)  # type: ignore[arg-type]


def test_records_with_shared_properties_are_one_group() -> None:
    records = [
        record("a10", digest="x"),
        record("a9", digest="x", patient="p"),
        record("b", digest="y", patient="p"),
        record("c", digest="y2", patient="p", dataset="other"),  # patient p of another dataset
        record("d", digest="z", group="g"),
        record("e", digest="w", group="g"),
        record("f"),  # not read yet
        record("g"),
    ]
    groups = [r.group for r in group_records(records, [(5, 7)])]
    assert groups == ["busi/a9"] * 3 + ["other/c"] + ["busi/d"] * 2 + ["busi/f", "busi/d"]
    assert group_records([]) == []
