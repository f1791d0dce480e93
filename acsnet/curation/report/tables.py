"""Numbers of the report: tiles in the header, and tables of classes and image sizes."""

import math
from collections import Counter
from collections.abc import Sequence
from statistics import median

from acsnet._utils.html import NO_VALUE, Tile, count, percent
from acsnet.curation.findings import FLAG_DESCRIPTIONS, Findings
from acsnet.curation.report.cases import DuplicateCase

# The header shows the leak for the test share nearest to this one.
_USUAL_TEST_SHARE = 0.2


def header_tiles(findings: Findings, cases: Sequence[DuplicateCase]) -> list[Tile]:
    """Return the tiles of the header."""
    images, kept = len(findings.records), sum(findings.kept)
    unreadable = findings.sizes.count(None)
    return [
        Tile(count(images), "images", f"{count(unreadable)} cannot be read" if unreadable else "all can be read"),
        *_leak_tiles(findings),
        _copies_tile(findings, cases),
        _conflicts_tile(findings),
        _groups_tile(findings),
        _overlaps_tile(findings),
        _flags_tile(findings),
        Tile(count(kept), "images kept", f"{count(images - kept)} dropped; policy: {findings.policy}"),
    ]


def _groups_tile(findings: Findings) -> Tile:
    sizes = Counter((record.dataset, record.group) for record in findings.records).values()
    several = sum(size > 1 for size in sizes)
    return Tile(count(len(sizes)), "groups", f"to keep together in a split; {count(several)} have several images")


def _copies_tile(findings: Findings, cases: Sequence[DuplicateCase]) -> Tile:
    sets = sum(case.kind == "copies" for case in cases)
    surplus = len(findings.copy_sets) - len(set(findings.copy_sets))
    return Tile(count(surplus), "surplus copies", f"in {count(sets)} sets of copies", "bad" if surplus else "good")


def _conflicts_tile(findings: Findings) -> Tile:
    conflicts = Counter(conflict for pair in findings.pairs for conflict in pair.conflicts)
    pairs = sum(bool(pair.conflicts) for pair in findings.pairs)
    remark = f"class: {count(conflicts['class'])}, mask: {count(conflicts['mask'])}" if pairs else "every pair agrees"
    return Tile(count(pairs), "pairs in conflict", remark, "bad" if pairs else "good")


def _overlaps_tile(findings: Findings) -> Tile:
    pairs = [pair for pair in findings.pairs if pair.relation == "overlap"]
    images = {index for pair in pairs for index in (pair.first, pair.second)}
    return Tile(count(len(pairs)), "overlaps", f"the same scan framed differently, {count(len(images))} images")


def _flags_tile(findings: Findings) -> Tile:
    flagged = sum(bool(flags) for flags in findings.flags)
    kinds = {flag.kind for flags in findings.flags for flag in flags}
    return Tile(count(flagged), "images flagged", f"{len(kinds)} of {len(FLAG_DESCRIPTIONS)} kinds of flags found")


def _leak_tiles(findings: Findings) -> list[Tile]:
    if not findings.leak:
        return []
    test_share = min(findings.leak, key=lambda share: abs(share - _USUAL_TEST_SHARE))
    leak = findings.leak[test_share]
    mark = "" if math.isnan(leak) else "bad" if leak > 0 else "good"
    return [
        Tile(
            percent(leak),
            "of test images leak",
            f"a copy is in training under a plain random {_split_name(test_share)} split",
            mark,
        )
    ]


def _split_name(test_share: float) -> str:
    return f"{100 - 100 * test_share:.0f}/{100 * test_share:.0f}"


def leak_rows(findings: Findings) -> list[tuple[str, str]]:
    """Return one row per plain random split: training/test percentages and leak."""
    return [(_split_name(test_share), percent(leak)) for test_share, leak in sorted(findings.leak.items())]


def count_classes(findings: Findings, labels: Sequence[str]) -> dict[str, dict[str, int]]:
    """Count the images per class before and after curation."""
    before = Counter(record.label for record in findings.records)
    after = Counter(record.label for record, kept in zip(findings.records, findings.kept, strict=True) if kept)
    return {
        name: {label: counter[label] for label in labels} for name, counter in (("before", before), ("after", after))
    }


def class_rows(counts: dict[str, dict[str, int]]) -> list[tuple[str, ...]]:
    """Return one row per class plus a total: images and share before curation, kept, dropped, share after curation."""
    before, after = counts["before"], counts["after"]
    total_before, total_after = sum(before.values()), sum(after.values())
    rows = [(label, before[label], after[label]) for label in before] + [("all", total_before, total_after)]
    return [
        (
            label,
            count(images),
            _share(images, total_before),
            count(kept),
            count(images - kept),
            _share(kept, total_after),
        )
        for label, images, kept in rows
    ]


def size_rows(findings: Findings, labels: Sequence[str]) -> list[tuple[str, ...]]:
    """Return one row per class: readable images, range and median of width and height, number of different sizes."""
    rows: list[tuple[str, ...]] = []
    for label in labels:
        pairs = zip(findings.records, findings.sizes, strict=True)
        sizes = [size for record, size in pairs if size and record.label == label]
        heights, widths = ([size[axis] for size in sizes] for axis in (0, 1))
        rows.append((label, count(len(sizes)), _range(widths), _range(heights), count(len(set(sizes)))))
    return rows


def _share(value: int, total: int) -> str:
    return percent(value / total if total else None)


def _range(values: Sequence[int]) -> str:
    return f"{min(values)} to {max(values)}, median {median(values):g}" if values else NO_VALUE
