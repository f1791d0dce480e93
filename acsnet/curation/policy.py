"""Policies that select the images of the curated table."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Literal, get_args

from acsnet._utils.naming import look_up
from acsnet.curation.examination import Examination
from acsnet.curation.findings import ImagePair
from acsnet.data.image_files import natural_order

Policy = Literal["keep-one", "drop-all", "keep-all-grouped"]
POLICIES: tuple[str, ...] = get_args(Policy)

# Kinds of flags that make an image the worse one of two copies: the marks cover tissue.
_COVERING_KINDS = ("calipers", "text", "color", "split-screen")
_UNUSABLE_KINDS = ("unreadable", "mask-size")


def select_images(
    policy: Policy, examinations: Sequence[Examination], copy_sets: Sequence[int], pairs: Sequence[ImagePair]
) -> list[bool]:
    """Select the images of the curated table.

    - keep-one: from each set of copies the image with the fewest kinds of marks, and among those the largest; none
      from a set whose images disagree in class or mask.
    - drop-all: no image that has a copy, as in Aumente-Maestro et al. 2025.
    - keep-all-grouped: every image; ``group`` keeps copies on one side of a split.

    Images that cannot be read, or whose mask has another size, are never selected.

    Args:
        policy: name of the policy.
        examinations: one examination per image.
        copy_sets: number of the set of copies per image.
        pairs: related images.

    Returns:
        Whether the image is selected, per image.
    """
    members_of_set: dict[int, list[int]] = defaultdict(list)
    for index, number in enumerate(copy_sets):
        members_of_set[number].append(index)
    inconsistent = {copy_sets[pair.first] for pair in pairs if pair.relation != "overlap" and pair.conflicts}
    # Two members may disagree although they were never compared directly.
    inconsistent |= {
        number
        for number, members in members_of_set.items()
        if len({examinations[index].record.label for index in members}) > 1
    }

    def select_from_set(number: int, members: list[int]) -> list[int]:
        if policy == "keep-all-grouped" or len(members) == 1:
            return members
        if policy == "drop-all" or number in inconsistent:
            return []
        return [min(members, key=_preference_key(examinations))]

    selected = {index for number, members in members_of_set.items() for index in select_from_set(number, members)}
    return [index in selected and _is_usable(examination) for index, examination in enumerate(examinations)]


def check_policy(policy: str) -> None:
    """Check that a policy of this name exists.

    Raises:
        UnknownNameError: if it does not; the message names near matches.
    """
    look_up("policy", policy, dict.fromkeys(POLICIES), "")


def _is_usable(examination: Examination) -> bool:
    return not any(flag.kind in _UNUSABLE_KINDS for flag in examination.flags)


def _preference_key(examinations: Sequence[Examination]) -> Callable[[int], tuple[object, ...]]:
    """Return a sort key over image positions that puts the preferred copy first."""

    def key(index: int) -> tuple[object, ...]:
        examination = examinations[index]
        kinds = {flag.kind for flag in examination.flags}
        height, width = examination.size or (0, 0)
        return (
            not _is_usable(examination),
            sum(kind in kinds for kind in _COVERING_KINDS),
            -height * width,
            natural_order(examination.record.name),
        )

    return key
