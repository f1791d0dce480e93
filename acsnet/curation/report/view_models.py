"""View models of the report: the images, pairs, cases and flags that its template shows, with their pictures."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

from tqdm.auto import tqdm

from acsnet._utils.html import Picture, to_picture
from acsnet.curation.findings import FLAG_DESCRIPTIONS, Box, CurationFlag, Findings, ImagePair
from acsnet.curation.report.cases import DuplicateCase, shorten
from acsnet.curation.report.pictures import (
    LoadedScan,
    Preview,
    draw_difference,
    draw_marks,
    draw_overlay,
    make_preview,
    read_scan,
    warp_onto,
)

# Limits that keep the page of a huge dataset small enough for a browser.
MAX_IMAGES_PER_CASE = 12
MAX_PAIRS_PER_CASE = 12
MAX_IMAGES_PER_FLAG = 48


@dataclass(frozen=True)
class ImageView:
    """One image and its picture.

    Attributes:
        name: name of the image, with its dataset if there are several datasets.
        label: class of the image.
        size: (height, width), or None if the image cannot be read.
        kept: whether the image is in the curated table.
        flags: flags to list below the picture.
        picture: the picture, or None if the image cannot be read.
        problem: description of a reading problem, or "".
    """

    name: str
    label: str
    size: tuple[int, int] | None
    kept: bool
    flags: tuple[CurationFlag, ...]
    picture: Picture | None
    problem: str


@dataclass(frozen=True)
class PairView:
    """Comparison of two images.

    Attributes:
        pair: the pair.
        names: names of the two images.
        positions: positions of the two images within their case, from 0; None for an image that is not shown there.
        overlay: picture of the second image warped onto the first, or None if one of them cannot be read.
        difference: picture of the absolute difference, or None.
    """

    pair: ImagePair
    names: tuple[str, str]
    positions: tuple[int | None, int | None]
    overlay: Picture | None
    difference: Picture | None


@dataclass(frozen=True)
class DuplicateCaseView:
    """One case.

    Attributes:
        case: the complete case.
        images: the images that are shown.
        pairs: the pairs that are shown.
    """

    case: DuplicateCase
    images: list[ImageView]
    pairs: list[PairView]

    @property
    def relations(self) -> list[str]:
        """Relations between the images, without repetition."""
        return sorted({pair.relation for pair in self.case.pairs})


@dataclass(frozen=True)
class FlagView:
    """One kind of flag.

    Attributes:
        kind: kind of the flag.
        description: explanation of the kind.
        total: number of images with this flag.
        images: the images that are shown, each with its flags of this kind.
    """

    kind: str
    description: str
    total: int
    images: list[ImageView]


class _LoadedPreview(NamedTuple):
    preview: Preview | None
    problem: str


def build_views(
    findings: Findings, cases: Sequence[DuplicateCase], progress: bool = True
) -> tuple[list[DuplicateCaseView], list[FlagView]]:
    """Build the views of cases and of all kinds of flags, in the order of :data:`FLAG_DESCRIPTIONS`.

    Each image is read once per case; an image that was read for a case is not read again for its flags.

    Args:
        findings: result of curation.
        cases: the cases to show; large cases are shortened.
        progress: whether to show a progress bar.
    """
    names = display_names(findings)
    flagged = _images_by_flag(findings)
    flagged_shown = {index for indexes in flagged.values() for index in indexes[:MAX_IMAGES_PER_FLAG]}
    case_members = {index for case in cases for index in _shorten(case).members}
    previews: dict[int, _LoadedPreview] = {}
    case_views = []
    with (
        ThreadPoolExecutor() as pool,
        tqdm(
            total=len(cases) + len(flagged_shown - case_members),
            desc="drawing the report",
            leave=False,
            disable=None if progress else True,
        ) as bar,
    ):
        for view, case_previews in pool.map(lambda case: _build_case_view(findings, names, case), cases):
            case_views.append(view)
            # Only the previews that are needed again are held in memory.
            previews |= {index: preview for index, preview in case_previews.items() if index in flagged_shown}
            bar.update()
        remaining = sorted(flagged_shown - case_members)
        for index, preview in pool.map(lambda index: (index, _load_preview(_read(findings, index))), remaining):
            previews[index] = preview
            bar.update()
        flag_views = [
            pool.submit(_build_flag_view, findings, names, kind, indexes, previews) for kind, indexes in flagged.items()
        ]
        return case_views, [view.result() for view in flag_views]


def _shorten(case: DuplicateCase) -> DuplicateCase:
    return shorten(case, MAX_IMAGES_PER_CASE, MAX_PAIRS_PER_CASE)


def _images_by_flag(findings: Findings) -> dict[str, list[int]]:
    """Return the positions of the images per kind of flag; kinds without a description come last."""
    by_kind: dict[str, list[int]] = {kind: [] for kind in FLAG_DESCRIPTIONS}
    for index, flags in enumerate(findings.flags):
        for kind in dict.fromkeys(flag.kind for flag in flags):
            by_kind.setdefault(kind, []).append(index)
    return by_kind


def _read(findings: Findings, index: int) -> LoadedScan:
    return read_scan(findings.records[index], findings.sizes[index] is not None)


def _load_preview(scan: LoadedScan) -> _LoadedPreview:
    return _LoadedPreview(make_preview(scan), scan.problem)


def _build_case_view(
    findings: Findings, names: Sequence[str], whole_case: DuplicateCase
) -> tuple[DuplicateCaseView, dict[int, _LoadedPreview]]:
    case = _shorten(whole_case)
    paired = {index for pair in case.pairs for index in (pair.first, pair.second)}
    scans = {index: _read(findings, index) for index in paired | set(case.members)}
    previews = {index: _load_preview(scan) for index, scan in scans.items()}
    images = [
        _build_image_view(findings, index, names[index], previews[index], findings.flags[index])
        for index in case.members
    ]
    pairs = [
        _build_pair_view(names, pair, previews[pair.first].preview, scans[pair.second], case.members)
        for pair in case.pairs
    ]
    return DuplicateCaseView(whole_case, images, pairs), previews


def _build_pair_view(
    names: Sequence[str], pair: ImagePair, first: Preview | None, second: LoadedScan, members: tuple[int, ...]
) -> PairView:
    warped = warp_onto(first, second, pair.transform) if first else None
    return PairView(
        pair=pair,
        names=(names[pair.first], names[pair.second]),
        positions=(_position(pair.first, members), _position(pair.second, members)),
        overlay=to_picture(draw_overlay(first, warped)) if first and warped else None,
        difference=to_picture(draw_difference(first, warped)) if first and warped else None,
    )


def _build_flag_view(
    findings: Findings, names: Sequence[str], kind: str, indexes: Sequence[int], previews: Mapping[int, _LoadedPreview]
) -> FlagView:
    images = []
    for index in indexes[:MAX_IMAGES_PER_FLAG]:
        flags = tuple(flag for flag in findings.flags[index] if flag.kind == kind)
        boxes = [box for flag in flags for box in flag.boxes]
        images.append(_build_image_view(findings, index, names[index], previews[index], flags, boxes))
    return FlagView(kind, FLAG_DESCRIPTIONS.get(kind, ""), len(indexes), images)


def _build_image_view(
    findings: Findings,
    index: int,
    name: str,
    loaded: _LoadedPreview,
    flags: tuple[CurationFlag, ...],
    boxes: Sequence[Box] = (),
) -> ImageView:
    return ImageView(
        name=name,
        label=findings.records[index].label,
        size=findings.sizes[index],
        kept=findings.kept[index],
        flags=flags,
        picture=to_picture(draw_marks(loaded.preview, boxes)) if loaded.preview else None,
        problem=loaded.problem,
    )


def display_names(findings: Findings) -> list[str]:
    """Return the names of all images, with their dataset if there are several datasets."""
    several = len({record.dataset for record in findings.records}) > 1
    return [f"{record.dataset}/{record.name}" if several else record.name for record in findings.records]


def _position(index: int, members: tuple[int, ...]) -> int | None:
    return members.index(index) if index in members else None
