"""What curation found, as one page to look through in a browser without a network."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from acsnet._utils.files import write_text
from acsnet._utils.html import count, inline_plot, render
from acsnet._utils.plots import assign_colors
from acsnet.curation._report_cases import Case, find_cases, part_conflicts
from acsnet.curation._report_numbers import class_rows, count_classes, head_tiles, leak_rows, size_rows
from acsnet.curation._report_pictures import BRIGHTEST_DIFFERENCE
from acsnet.curation._report_plots import draw_intensities, draw_shares, draw_sizes
from acsnet.curation._report_views import CaseView, draw_views
from acsnet.curation.findings import Findings
from acsnet.data.image_files import natural_order

# A page of a huge set stays one that a browser can show: at most so many cases a section.
CASE_LIMIT = 160


@dataclass(frozen=True)
class _Section:
    """A section of cases; ``total`` counts those that are not shown too."""

    anchor: str
    title: str
    text: str
    nothing: str
    total: int
    cases: list[CaseView]


_SECTIONS = (
    (
        "conflicts",
        "Conflicts",
        "Images that show the same and disagree in class or mask: at most one of them is right. Look at these first.",
        "No two images that show the same disagree in class or mask.",
    ),
    (
        "copies",
        "Copies",
        "Sets of images that are copies of one another and agree: identical, rescaled, re-encoded, cropped, marked or "
        "mirrored. A copy on both sides of a split makes a test look better than it is.",
        "No image is a copy of another that it agrees with.",
    ),
    (
        "overlaps",
        "Overlaps",
        "The same scan framed differently: each image also shows what the other does not. No copies, but not "
        "independent either: a split should keep them together.",
        "No two images that agree show parts of the same scan.",
    ),
)


def write_report(path: Path, findings: Findings, progress: bool = True) -> None:
    """Write ``report.html``: one file with all its pictures, whole or not at all.

    Images and masks are read anew from their files; one that cannot be read is named without its picture. Of a large
    set a part is shown, and that is said; what is in conflict is shown before what is not.

    Args:
        path: the file.
        findings: what curation found.
        progress: show a progress bar.
    """
    records = findings.records
    labels = sorted({record.label for record in records}, key=natural_order)
    colors = assign_colors(labels)
    counts = count_classes(findings, labels)
    cases = find_cases(findings)
    parts = _part(cases)
    views, flags = draw_views(findings, [case for part in parts for case in part[:CASE_LIMIT]], progress)
    page = render(
        "curation.html",
        datasets=sorted({record.dataset for record in records}, key=natural_order),
        policy=findings.policy,
        tiles=head_tiles(findings, cases),
        labels=labels,
        colors=colors,
        class_rows=class_rows(counts),
        size_rows=size_rows(findings, labels),
        leak_rows=leak_rows(findings),
        shares=inline_plot(draw_shares(counts, colors)),
        any_readable=any(findings.sizes),
        sizes=inline_plot(draw_sizes(findings, colors)),
        intensities=inline_plot(draw_intensities(findings, colors)),
        sections=_sections(parts, views),
        flags=flags,
        flag_rows=[(flag.kind, count(flag.total), flag.description) for flag in flags],
        brightest=BRIGHTEST_DIFFERENCE,
    )
    write_text(path, page)


def _part(cases: Sequence[Case]) -> tuple[list[Case], list[Case], list[Case]]:
    """Part the cases into those of the sections."""
    conflicts, others = part_conflicts(cases)
    copies = [case for case in others if case.kind == "copies"]
    return conflicts, copies, [case for case in others if case.kind == "overlap"]


def _sections(parts: Sequence[Sequence[Case]], views: Sequence[CaseView]) -> list[_Section]:
    rest = iter(views)
    return [
        _Section(*words, total=len(part), cases=[next(rest) for _ in part[:CASE_LIMIT]])
        for words, part in zip(_SECTIONS, parts, strict=True)
    ]
