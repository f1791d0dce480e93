"""The report as one HTML page that works offline."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from acsnet._utils.files import write_text
from acsnet._utils.html import count, inline_plot, render
from acsnet._utils.plots import assign_colors
from acsnet.curation.findings import Findings
from acsnet.curation.report.cases import DuplicateCase, find_cases, separate_conflicts
from acsnet.curation.report.pictures import BRIGHTEST_DIFFERENCE_GRAY_LEVELS
from acsnet.curation.report.plots import draw_intensities, draw_shares, draw_sizes
from acsnet.curation.report.tables import class_rows, count_classes, header_tiles, leak_rows, size_rows
from acsnet.curation.report.view_models import DuplicateCaseView, build_views
from acsnet.data.image_files import natural_order

# Limit that keeps the page of a huge dataset small enough for a browser.
MAX_CASES_PER_SECTION = 160


class _SectionText(NamedTuple):
    """The texts of a section; ``empty`` is shown if it has no cases."""

    anchor: str
    title: str
    introduction: str
    empty: str


@dataclass(frozen=True)
class _CaseSection:
    """A section of cases; ``total`` includes the cases that are not shown."""

    text: _SectionText
    total: int
    cases: list[DuplicateCaseView]


_CONFLICTS = _SectionText(
    "conflicts",
    "Conflicts",
    "Images of the same scan that disagree in class or mask: at most one of them is right. Check these first.",
    "No two images of the same scan disagree in class or mask.",
)
_COPIES = _SectionText(
    "copies",
    "Copies",
    "Sets of images that are copies of one another and agree: identical, rescaled, re-encoded, cropped, marked or "
    "mirrored. A copy on both sides of a split makes test metrics look better than they are.",
    "No image has a copy that agrees with it.",
)
_OVERLAPS = _SectionText(
    "overlaps",
    "Overlaps",
    "The same scan framed differently: each image shows something that the other does not. They are not copies, but "
    "they are not independent either: a split should keep them together.",
    "No two images that agree show overlapping areas of the same scan.",
)


def write_report(path: Path, findings: Findings, progress: bool = True) -> None:
    """Write the report as a single file with all its pictures.

    Images and masks are read from their files again; an image that cannot be read is listed without a picture. The
    report of a large dataset is shortened and says so; conflicts are shown before everything else. An existing file is
    replaced only when the new one is complete.

    Args:
        path: file to write.
        findings: result of curation.
        progress: whether to show a progress bar.
    """
    records = findings.records
    labels = sorted({record.label for record in records}, key=natural_order)
    colors = assign_colors(labels)
    counts = count_classes(findings, labels)
    cases = find_cases(findings)
    cases_of_section = _assign_to_sections(cases)
    shown = [case for section_cases in cases_of_section.values() for case in section_cases[:MAX_CASES_PER_SECTION]]
    views, flags = build_views(findings, shown, progress)
    page = render(
        "curation.html",
        datasets=sorted({record.dataset for record in records}, key=natural_order),
        policy=findings.policy,
        tiles=header_tiles(findings, cases),
        labels=labels,
        colors=colors,
        class_rows=class_rows(counts),
        size_rows=size_rows(findings, labels),
        leak_rows=leak_rows(findings),
        shares=inline_plot(draw_shares(counts, colors)),
        any_readable=any(findings.sizes),
        sizes=inline_plot(draw_sizes(findings, colors)),
        intensities=inline_plot(draw_intensities(findings, colors)),
        sections=_build_sections(cases_of_section, views),
        flags=flags,
        flag_rows=[(flag.kind, count(flag.total), flag.description) for flag in flags],
        brightest=BRIGHTEST_DIFFERENCE_GRAY_LEVELS,
    )
    write_text(path, page)


def _assign_to_sections(cases: Sequence[DuplicateCase]) -> dict[_SectionText, list[DuplicateCase]]:
    conflicts, others = separate_conflicts(cases)
    return {
        _CONFLICTS: conflicts,
        _COPIES: [case for case in others if case.kind == "copies"],
        _OVERLAPS: [case for case in others if case.kind == "overlap"],
    }


def _build_sections(
    cases_of_section: dict[_SectionText, list[DuplicateCase]], views: Sequence[DuplicateCaseView]
) -> list[_CaseSection]:
    """Distribute the views, which are in the order of the sections."""
    remaining = iter(views)
    return [
        _CaseSection(text, len(cases), [next(remaining) for _ in cases[:MAX_CASES_PER_SECTION]])
        for text, cases in cases_of_section.items()
    ]
