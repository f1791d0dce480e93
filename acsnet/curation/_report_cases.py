"""Which images a report shows together: sets of copies, and images that overlap."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from acsnet.curation.findings import Conflict, Findings, Pair
from acsnet.data.grouping import connected_sets
from acsnet.data.image_files import natural_order

# The order in which conflicts are told.
CONFLICTS: tuple[Conflict, ...] = ("class", "mask")


@dataclass(frozen=True)
class Case:
    """Images that are shown side by side.

    Attributes:
        kind: a set of copies, or images that overlap.
        number: the number of the set of copies, or a running number, from 1, of the overlaps.
        members: the positions of the images among the records.
        pairs: what is known of each two of them, those in conflict first.
    """

    kind: Literal["copies", "overlap"]
    number: int
    members: tuple[int, ...]
    pairs: tuple[Pair, ...]

    @property
    def conflicts(self) -> tuple[Conflict, ...]:
        """What the images disagree on."""
        return tuple(conflict for conflict in CONFLICTS if any(conflict in pair.conflicts for pair in self.pairs))


def find_cases(findings: Findings) -> list[Case]:
    """List the sets of copies of more than one image, then the images that hang together by overlaps."""
    members = defaultdict(list)
    for index, number in enumerate(findings.copies):
        members[number].append(index)
    pairs = defaultdict(list)
    for pair in findings.pairs:
        if pair.relation != "overlap":
            pairs[findings.copies[pair.first]].append(pair)
    copies = [Case("copies", n, tuple(m), _in_order(pairs[n])) for n, m in members.items() if len(m) > 1]
    return _by_name(copies, findings) + _find_overlaps(findings)


def _find_overlaps(findings: Findings) -> list[Case]:
    pairs = [pair for pair in findings.pairs if pair.relation == "overlap"]
    sets = connected_sets(len(findings.records), ((pair.first, pair.second) for pair in pairs))
    connected = defaultdict(list)
    for pair in pairs:
        connected[sets[pair.first]].append(pair)
    cases = [Case("overlap", 0, _images(together), _in_order(together)) for together in connected.values()]
    return [replace(case, number=number) for number, case in enumerate(_by_name(cases, findings), 1)]


def _images(pairs: Iterable[Pair]) -> tuple[int, ...]:
    return tuple(sorted({index for pair in pairs for index in (pair.first, pair.second)}))


def _in_order(pairs: Iterable[Pair]) -> tuple[Pair, ...]:
    return tuple(sorted(pairs, key=lambda pair: (not pair.conflicts, pair.first, pair.second)))


def _by_name(cases: Iterable[Case], findings: Findings) -> list[Case]:
    def key(case: Case) -> tuple[str, list[tuple[int, int | str]]]:
        record = findings.records[case.members[0]]
        return record.dataset, natural_order(record.name)

    return sorted(cases, key=key)


def shorten(case: Case, most_images: int, most_pairs: int) -> Case:
    """Leave out of a case what is too much to look at; what is in conflict stays before what is not."""
    pairs = case.pairs[:most_pairs]
    in_conflict = {index for pair in pairs if pair.conflicts for index in (pair.first, pair.second)}
    members = sorted(case.members, key=lambda index: index not in in_conflict)[:most_images]
    return replace(case, members=tuple(sorted(members)), pairs=pairs)


def part_conflicts(cases: Sequence[Case]) -> tuple[list[Case], list[Case]]:
    """Part the cases in conflict, those about the class first, from all others."""
    in_conflict = sorted((case for case in cases if case.conflicts), key=lambda case: "class" not in case.conflicts)
    return in_conflict, [case for case in cases if not case.conflicts]
