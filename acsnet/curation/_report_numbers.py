"""The figures in the head of a report, and its tables."""

import math
from collections import Counter
from collections.abc import Sequence
from statistics import median

from acsnet._utils.html import NO_VALUE, Tile, count, percent
from acsnet.curation._report_cases import Case
from acsnet.curation.findings import FLAGS, Findings

# The share of test images of which the head tells the leak, where it was measured for it.
_USUAL_TEST_SHARE = 0.2


def head_tiles(findings: Findings, cases: Sequence[Case]) -> list[Tile]:
    """The large figures in the head."""
    images, kept = len(findings.records), sum(findings.kept)
    unreadable = findings.sizes.count(None)
    return [
        Tile(count(images), "images", f"{count(unreadable)} cannot be read" if unreadable else "all can be read"),
        *_leak(findings),
        _copies(findings, cases),
        _conflicts(findings),
        _groups(findings),
        _overlaps(findings),
        _flags(findings),
        Tile(count(kept), "images kept", f"{count(images - kept)} dropped; policy: {findings.policy}"),
    ]


def _groups(findings: Findings) -> Tile:
    sizes = Counter((record.dataset, record.group) for record in findings.records).values()
    several = sum(size > 1 for size in sizes)
    return Tile(count(len(sizes)), "groups", f"that no split may part; {count(several)} of several images")


def _copies(findings: Findings, cases: Sequence[Case]) -> Tile:
    sets = sum(case.kind == "copies" for case in cases)
    surplus = len(findings.copies) - len(set(findings.copies))
    return Tile(count(surplus), "surplus copies", f"in {count(sets)} sets of copies", "bad" if surplus else "good")


def _conflicts(findings: Findings) -> Tile:
    about = Counter(conflict for pair in findings.pairs for conflict in pair.conflicts)
    pairs = sum(bool(pair.conflicts) for pair in findings.pairs)
    remark = f"class: {count(about['class'])}, mask: {count(about['mask'])}" if pairs else "every pair agrees"
    return Tile(count(pairs), "pairs in conflict", remark, "bad" if pairs else "good")


def _overlaps(findings: Findings) -> Tile:
    pairs = [pair for pair in findings.pairs if pair.relation == "overlap"]
    images = {index for pair in pairs for index in (pair.first, pair.second)}
    return Tile(count(len(pairs)), "overlaps", f"the same scan framed differently, {count(len(images))} images")


def _flags(findings: Findings) -> Tile:
    flagged = sum(bool(flags) for flags in findings.flags)
    kinds = {flag.kind for flags in findings.flags for flag in flags}
    return Tile(count(flagged), "images flagged", f"{len(kinds)} of {len(FLAGS)} kinds of flags found")


def _leak(findings: Findings) -> list[Tile]:
    if not findings.leak:
        return []
    share = min(findings.leak, key=lambda share: abs(share - _USUAL_TEST_SHARE))
    leak = findings.leak[share]
    mark = "" if math.isnan(leak) else "bad" if leak > 0 else "good"
    return [
        Tile(
            percent(leak),
            "of test images leak",
            f"a copy is in training under a plain random {_split_name(share)} split",
            mark,
        )
    ]


def _split_name(share: float) -> str:
    return f"{100 - 100 * share:.0f}/{100 * share:.0f}"


def leak_rows(findings: Findings) -> list[tuple[str, str]]:
    """The leak of each plain random split that was tried."""
    return [(_split_name(share), percent(leak)) for share, leak in sorted(findings.leak.items())]


def count_classes(findings: Findings, labels: Sequence[str]) -> dict[str, dict[str, int]]:
    """How many images of each class there are before and after curation."""
    before = Counter(record.label for record in findings.records)
    after = Counter(record.label for record, kept in zip(findings.records, findings.kept, strict=True) if kept)
    return {
        name: {label: counter[label] for label in labels} for name, counter in (("before", before), ("after", after))
    }


def class_rows(counts: dict[str, dict[str, int]]) -> list[tuple[str, ...]]:
    """A row a class and one of all: images and share before, kept and dropped, share after."""
    before, after = counts["before"], counts["after"]
    rows = [(label, before[label], after[label]) for label in before] + [
        ("all", sum(before.values()), sum(after.values()))
    ]
    return [
        (
            label,
            count(images),
            _share(images, sum(before.values())),
            count(kept),
            count(images - kept),
            _share(kept, sum(after.values())),
        )
        for label, images, kept in rows
    ]


def size_rows(findings: Findings, labels: Sequence[str]) -> list[tuple[str, ...]]:
    """A row a class: how many images can be read, and the range and median of width and height."""
    rows: list[tuple[str, ...]] = []
    for label in labels:
        pairs = zip(findings.records, findings.sizes, strict=True)
        sizes = [size for record, size in pairs if size and record.label == label]
        heights, widths = ([size[axis] for size in sizes] for axis in (0, 1))
        rows.append((label, count(len(sizes)), _range(widths), _range(heights), count(len(set(sizes)))))
    return rows


def _share(part: int, whole: int) -> str:
    return percent(part / whole if whole else None)


def _range(values: Sequence[int]) -> str:
    return f"{min(values)} to {max(values)}, median {median(values):g}" if values else NO_VALUE
