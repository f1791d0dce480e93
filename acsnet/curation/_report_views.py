"""What the template of the report shows: images, pairs, cases and flags with their pictures."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

from tqdm.auto import tqdm

from acsnet._utils.html import Picture, to_picture
from acsnet.curation._report_cases import Case, shorten
from acsnet.curation._report_pictures import (
    Photo,
    Scan,
    draw_difference,
    draw_laid,
    draw_marks,
    lay_over,
    read_scan,
    shrink,
)
from acsnet.curation.findings import FLAGS, Box, Findings, Flag, Pair

# A page of a huge set stays one that a browser can show: at most so many images and pairs a case, and pictures a flag.
IMAGE_LIMIT = 12
PAIR_LIMIT = 12
FLAG_LIMIT = 48


@dataclass(frozen=True)
class ImageView:
    """An image and its picture.

    Attributes:
        name: what it is called; with its dataset where there are several.
        label: its class.
        size: (height, width), or None where it cannot be read.
        kept: whether the curated table has it.
        flags: what is odd about it.
        picture: None where the image cannot be read.
        problem: what cannot be read, or "".
    """

    name: str
    label: str
    size: tuple[int, int] | None
    kept: bool
    flags: tuple[Flag, ...]
    picture: Picture | None
    problem: str


@dataclass(frozen=True)
class PairView:
    """Two images compared.

    Attributes:
        pair: what is known of the two.
        names: theirs.
        places: where in the case they stand, from 0, or None for one that is not shown there.
        laid: the second over the first, or None where one of them cannot be read.
        difference: their difference, or None.
    """

    pair: Pair
    names: tuple[str, str]
    places: tuple[int | None, int | None]
    laid: Picture | None
    difference: Picture | None


@dataclass(frozen=True)
class CaseView:
    """A case: all of it, and what of it is shown."""

    case: Case
    images: list[ImageView]
    pairs: list[PairView]

    @property
    def relations(self) -> list[str]:
        """How the images are related, each relation once."""
        return sorted({pair.relation for pair in self.case.pairs})


@dataclass(frozen=True)
class FlagView:
    """A kind of flag: how many images have it, and those that are shown, each with its flags of this kind."""

    kind: str
    description: str
    total: int
    images: list[ImageView]


class _Sight(NamedTuple):
    """What one reading of an image gave."""

    photo: Photo | None
    problem: str


def draw_views(
    findings: Findings, cases: Sequence[Case], progress: bool = True
) -> tuple[list[CaseView], list[FlagView]]:
    """Draw cases, and the flags of all kinds in the order of :data:`FLAGS`.

    Every image of a case is read once for it; one that was read for a case is not read again for its flags.

    Args:
        findings: what curation found.
        cases: those to show; of large ones a part is shown.
        progress: show a progress bar.
    """
    names = display_names(findings)
    flagged = _by_kind(findings)
    shown = {index for indexes in flagged.values() for index in indexes[:FLAG_LIMIT]}
    members = {index for case in cases for index in _shorten(case).members}
    sights: dict[int, _Sight] = {}
    views = []
    with (
        ThreadPoolExecutor() as pool,
        tqdm(
            total=len(cases) + len(shown - members),
            desc="drawing the report",
            leave=False,
            disable=None if progress else True,
        ) as bar,
    ):
        for view, seen in pool.map(lambda case: _draw_case(findings, names, case), cases):
            views.append(view)
            sights |= {index: sight for index, sight in seen.items() if index in shown}
            bar.update()
        for index, sight in pool.map(lambda index: (index, _look(_read(findings, index))), sorted(shown - members)):
            sights[index] = sight
            bar.update()
        kinds = [pool.submit(_draw_flag, findings, names, kind, indexes, sights) for kind, indexes in flagged.items()]
        return views, [kind.result() for kind in kinds]


def _shorten(case: Case) -> Case:
    return shorten(case, IMAGE_LIMIT, PAIR_LIMIT)


def _by_kind(findings: Findings) -> dict[str, list[int]]:
    """The images that have each kind of flag; kinds that are not known come last."""
    found: dict[str, list[int]] = {kind: [] for kind in FLAGS}
    for index, flags in enumerate(findings.flags):
        for kind in dict.fromkeys(flag.kind for flag in flags):
            found.setdefault(kind, []).append(index)
    return found


def _read(findings: Findings, index: int) -> Scan:
    return read_scan(findings.records[index], findings.sizes[index] is not None)


def _look(scan: Scan) -> _Sight:
    return _Sight(shrink(scan), scan.problem)


def _draw_case(findings: Findings, names: Sequence[str], whole: Case) -> tuple[CaseView, dict[int, _Sight]]:
    case = _shorten(whole)
    ends = {index for pair in case.pairs for index in (pair.first, pair.second)}
    scans = {index: _read(findings, index) for index in ends | set(case.members)}
    sights = {index: _look(scan) for index, scan in scans.items()}
    images = [
        _image_view(findings, index, names[index], sights[index], findings.flags[index]) for index in case.members
    ]
    pairs = [_draw_pair(names, pair, sights[pair.first].photo, scans[pair.second], case.members) for pair in case.pairs]
    return CaseView(whole, images, pairs), sights


def _draw_pair(
    names: Sequence[str], pair: Pair, first: Photo | None, second: Scan, members: tuple[int, ...]
) -> PairView:
    laid = lay_over(first, second, pair.transform) if first else None
    return PairView(
        pair=pair,
        names=(names[pair.first], names[pair.second]),
        places=(_place(pair.first, members), _place(pair.second, members)),
        laid=to_picture(draw_laid(first, laid)) if first and laid else None,
        difference=to_picture(draw_difference(first, laid)) if first and laid else None,
    )


def _draw_flag(
    findings: Findings, names: Sequence[str], kind: str, indexes: Sequence[int], sights: Mapping[int, _Sight]
) -> FlagView:
    images = []
    for index in indexes[:FLAG_LIMIT]:
        flags = tuple(flag for flag in findings.flags[index] if flag.kind == kind)
        boxes = [box for flag in flags for box in flag.boxes]
        images.append(_image_view(findings, index, names[index], sights[index], flags, boxes))
    return FlagView(kind, FLAGS.get(kind, ""), len(indexes), images)


def _image_view(
    findings: Findings, index: int, name: str, sight: _Sight, flags: tuple[Flag, ...], boxes: Sequence[Box] = ()
) -> ImageView:
    return ImageView(
        name=name,
        label=findings.records[index].label,
        size=findings.sizes[index],
        kept=findings.kept[index],
        flags=flags,
        picture=to_picture(draw_marks(sight.photo, boxes)) if sight.photo else None,
        problem=sight.problem,
    )


def display_names(findings: Findings) -> list[str]:
    """The names of all images, with their dataset where there are several."""
    several = len({record.dataset for record in findings.records}) > 1
    return [f"{record.dataset}/{record.name}" if several else record.name for record in findings.records]


def _place(index: int, members: tuple[int, ...]) -> int | None:
    return members.index(index) if index in members else None
