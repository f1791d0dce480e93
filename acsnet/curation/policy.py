"""Which images a curated table keeps."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Literal, get_args

from acsnet._utils.naming import look_up
from acsnet.curation.examination import Examination
from acsnet.curation.findings import Pair
from acsnet.data.image_files import natural_order

Policy = Literal["keep-one", "drop-all", "keep-all-grouped"]
POLICIES: tuple[str, ...] = get_args(Policy)

# What makes an image the worse one of two copies: it covers what the network should look at.
_MARKS = ("calipers", "text", "color", "split-screen")
_UNUSABLE = ("unreadable", "mask-size")


def choose(policy: Policy, examined: Sequence[Examination], copies: Sequence[int], pairs: Sequence[Pair]) -> list[bool]:
    """Choose the images of the curated table.

    - keep-one: of each set of copies the image with the fewest kinds of marks, of these the largest; none of a set
      whose images disagree in class or mask.
    - drop-all: no image that has a copy, as Aumente-Maestro et al. 2025 did.
    - keep-all-grouped: every image; ``group`` keeps copies on one side of a split.

    Images that cannot be read, and those with masks of another size, are never kept.

    Args:
        policy: one of the three.
        examined: one an image.
        copies: the number of each image's set of copies.
        pairs: what was found between them.
    """
    sets: dict[int, list[int]] = defaultdict(list)
    for index, number in enumerate(copies):
        sets[number].append(index)
    inconsistent = {copies[pair.first] for pair in pairs if pair.relation != "overlap" and pair.conflicts}
    inconsistent |= {number for number, members in sets.items() if len({examined[i].record.label for i in members}) > 1}

    def of_set(number: int, members: list[int]) -> list[int]:
        if policy == "keep-all-grouped" or len(members) == 1:
            return members
        if policy == "drop-all" or number in inconsistent:
            return []
        return [min(members, key=_preference(examined))]

    chosen = {index for number, members in sets.items() for index in of_set(number, members)}
    return [index in chosen and _is_usable(examination) for index, examination in enumerate(examined)]


def check_policy(policy: str) -> None:
    """Check the name of a policy.

    Raises:
        UnknownNameError: with near matches.
    """
    look_up("policy", policy, dict.fromkeys(POLICIES), "")


def _is_usable(examination: Examination) -> bool:
    return not any(flag.kind in _UNUSABLE for flag in examination.flags)


def _preference(examined: Sequence[Examination]) -> Callable[[int], tuple[object, ...]]:
    def key(index: int) -> tuple[object, ...]:
        examination = examined[index]
        kinds = {flag.kind for flag in examination.flags}
        height, width = examination.description.size if examination.description else (0, 0)
        return (
            not _is_usable(examination),
            sum(mark in kinds for mark in _MARKS),
            -height * width,
            natural_order(examination.record.name),
        )

    return key
