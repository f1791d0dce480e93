"""Plots of the report, checked by the objects they draw."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_hex

from acsnet._utils.html import inline_plot
from acsnet._utils.plots import assign_colors
from acsnet.curation.findings import Findings
from acsnet.curation.report.plots import draw_intensities, draw_shares, draw_sizes
from acsnet.data import Record


def make_findings(*images: tuple[str, tuple[int, int] | None, int]) -> Findings:
    """Make findings of images (class, size, gray value); a negative gray value gives an empty histogram."""
    count = len(images)
    histograms = np.zeros((count, 256))
    for row, (_, _, gray) in zip(histograms, images, strict=True):
        row[gray] = gray >= 0
    return Findings(
        records=tuple(Record(Path("x.png"), (), label, f"{index}.png") for index, (label, _, _) in enumerate(images)),
        sizes=tuple(size for _, size, _ in images),
        copy_sets=tuple(range(count)),
        flags=((),) * count,
        histograms=histograms,
        pairs=(),
        policy="",
        kept=(True,) * count,
        leak={},
    )


def test_every_class_has_a_color_of_its_own() -> None:
    colors = assign_colors(["a", "b", "c", "d", "e", "f", "g", "h"])
    assert len(set(colors.values())) == 8
    assert len(assign_colors([str(number) for number in range(20)])) == 20


def test_bars_have_the_length_of_the_shares() -> None:
    colors = assign_colors(["benign", "malignant"])
    counts = {"before": {"benign": 3, "malignant": 1}, "after": {"benign": 1, "malignant": 1}, "none": {"benign": 0}}
    (axes,) = draw_shares(counts, colors).axes
    bars = [(round(bar.get_y() + bar.get_height() / 2), bar.get_x(), bar.get_width()) for bar in axes.patches]
    assert bars == [(0, 0, 0.75), (0, 0.75, 0.25), (1, 0, 0.5), (1, 0.5, 0.5), (2, 0, 0), (2, 0, 0)]
    assert [text.get_text() for text in axes.texts] == ["75 %", "25 %", "50 %", "50 %"]
    assert to_hex(axes.patches[1].get_facecolor()) == colors["malignant"]


def test_dots_are_at_width_and_height() -> None:
    findings = make_findings(("a", (20, 30), 0), ("b", (40, 50), 0), ("a", None, -1), ("a", (60, 70), 0))
    (axes,) = draw_sizes(findings, assign_colors(["a", "b", "c"])).axes
    assert [dots.get_offsets().tolist() for dots in axes.collections] == [[[30, 20], [70, 60]], [[50, 40]], []]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("width in pixels", "height in pixels")


def test_many_dots_do_not_enlarge_the_page() -> None:
    many = make_findings(*[("a", (100 + index % 97, 100 + index % 89), 0) for index in range(20_000)])
    assert len(inline_plot(draw_sizes(many, assign_colors(["a"])))) < 200_000


def test_histograms_show_mean_and_spread() -> None:
    # Ten images of gray 100 (bin 25), ten of gray 200 (bin 50); an unreadable image is ignored.
    findings = make_findings(*[("a", (9, 9), 100)] * 10, *[("a", (9, 9), 200)] * 10, ("a", None, -1), ("b", (9, 9), 50))
    first, second, *_ = draw_intensities(findings, assign_colors(["a", "b", "c"])).axes
    assert first.get_title(loc="left") == "a (20)"
    assert second.get_title(loc="left") == "b (1)"
    (line,) = first.get_lines()
    shares = dict(zip(line.get_xdata(), line.get_ydata(), strict=True))
    assert shares == {4 * index + 2: 50 if index in (25, 50) else 0 for index in range(64)}
    (band,) = first.collections
    low, high = band.get_datalim(first.transData).get_points()[:, 1]
    assert (low, high) == (0, 100)


def test_black_margins_do_not_flatten_the_plot() -> None:
    findings = make_findings(("a", (9, 9), 0))
    findings.histograms[0, [0, 128]] = (0.95, 0.05)
    (axes,) = draw_intensities(findings, assign_colors(["a"])).axes
    assert 5 < axes.get_ylim()[1] < 6
    assert axes.texts[0].get_text() == "below 4: 95 % of the pixels"


@pytest.mark.parametrize("labels", [["a"], [], [str(number) for number in range(7)], ["$a_{$", "_x", "<&>"]])
def test_any_classes_can_be_drawn(labels: list[str]) -> None:
    findings = make_findings(*[(label, (9, 9), 80) for label in labels], ("unreadable", None, -1))
    colors = assign_colors(labels)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for plot in (
            draw_shares({"before": dict.fromkeys(labels, 1)}, colors),
            draw_sizes(findings, colors),
            draw_intensities(findings, colors),
        ):
            assert inline_plot(plot)
