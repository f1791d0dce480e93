"""Cases of the report: sets of copies, and images connected by overlaps."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from acsnet.curation.findings import Conflict, Findings, ImagePair
from acsnet.data.grouping import connected_sets
from acsnet.data.image_files import natural_order

# The order in which conflicts are listed.
CONFLICTS: tuple[Conflict, ...] = ("class", "mask")


@dataclass(frozen=True)
class DuplicateCase:
    """Images that are shown side by side.

    Attributes:
        kind: "copies" for a set of copies, "overlap" for images connected by overlaps.
        number: number of the set of copies, or a running number of the overlaps, starting at 1.
        members: positions of the images among the records.
        pairs: related pairs of these images, pairs in conflict first.
    """

    kind: Literal["copies", "overlap"]
    number: int
    members: tuple[int, ...]
    pairs: tuple[ImagePair, ...]

    @property
    def conflicts(self) -> tuple[Conflict, ...]:
        """Annotations in which any two of the images disagree."""
        return tuple(conflict for conflict in CONFLICTS if any(conflict in pair.conflicts for pair in self.pairs))


def find_cases(findings: Findings) -> list[DuplicateCase]:
    """Return the sets of copies with more than one image, then the sets of images connected by overlaps."""
    members = defaultdict(list)
    for index, number in enumerate(findings.copy_sets):
        members[number].append(index)
    pairs = defaultdict(list)
    for pair in findings.pairs:
        if pair.relation != "overlap":
            pairs[findings.copy_sets[pair.first]].append(pair)
    copies = [
        DuplicateCase("copies", number, tuple(indexes), _sort_pairs(pairs[number]))
        for number, indexes in members.items()
        if len(indexes) > 1
    ]
    return _sort_by_name(copies, findings) + _find_overlaps(findings)


def _find_overlaps(findings: Findings) -> list[DuplicateCase]:
    pairs = [pair for pair in findings.pairs if pair.relation == "overlap"]
    sets = connected_sets(len(findings.records), ((pair.first, pair.second) for pair in pairs))
    pairs_of_set = defaultdict(list)
    for pair in pairs:
        pairs_of_set[sets[pair.first]].append(pair)
    cases = [
        DuplicateCase("overlap", 0, _members_of(set_pairs), _sort_pairs(set_pairs))
        for set_pairs in pairs_of_set.values()
    ]
    return [replace(case, number=number) for number, case in enumerate(_sort_by_name(cases, findings), 1)]


def _members_of(pairs: Iterable[ImagePair]) -> tuple[int, ...]:
    return tuple(sorted({index for pair in pairs for index in (pair.first, pair.second)}))


def _sort_pairs(pairs: Iterable[ImagePair]) -> tuple[ImagePair, ...]:
    return tuple(sorted(pairs, key=lambda pair: (not pair.conflicts, pair.first, pair.second)))


def _sort_by_name(cases: Iterable[DuplicateCase], findings: Findings) -> list[DuplicateCase]:
    def key(case: DuplicateCase) -> tuple[str, list[tuple[int, int | str]]]:
        record = findings.records[case.members[0]]
        return record.dataset, natural_order(record.name)

    return sorted(cases, key=key)


def shorten(case: DuplicateCase, max_images: int, max_pairs: int) -> DuplicateCase:
    """Limit the images and pairs of a case; those in conflict are retained first."""
    pairs = case.pairs[:max_pairs]
    in_conflict = {index for pair in pairs if pair.conflicts for index in (pair.first, pair.second)}
    members = sorted(case.members, key=lambda index: index not in in_conflict)[:max_images]
    return replace(case, members=tuple(sorted(members)), pairs=pairs)


def separate_conflicts(cases: Sequence[DuplicateCase]) -> tuple[list[DuplicateCase], list[DuplicateCase]]:
    """Separate the cases in conflict, class conflicts first, from all other cases."""
    in_conflict = sorted((case for case in cases if case.conflicts), key=lambda case: "class" not in case.conflicts)
    return in_conflict, [case for case in cases if not case.conflicts]
