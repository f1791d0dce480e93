"""The figures of a report: class shares, image sizes, gray values."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from acsnet._utils.plots import FAINT, INK, WIDTH, despine
from acsnet.curation.findings import Findings

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Gray values to a bin, panels to a row.
_BIN, _COLUMNS = 4, 3


def draw_shares(rows: Mapping[str, Mapping[str, int]], colors: Mapping[str, str]) -> "Figure":
    """Draw the shares of the classes as a bar a row.

    Args:
        rows: what the row counts ("before", "after"), with the number of images of each class.
        colors: the classes in order.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, 0.55 * len(rows) + 0.1), layout="constrained")
    axes = figure.subplots()
    for place, counts in enumerate(rows.values()):
        total = sum(counts.values())
        start = 0.0
        for label, color in colors.items():
            share = counts.get(label, 0) / total if total else 0.0
            axes.barh(place, share, left=start, color=color, height=0.62, edgecolor="white", linewidth=1.5)
            if share >= 0.07:
                axes.text(start + share / 2, place, f"{100 * share:.0f} %", ha="center", va="center", color="white")
            start += share
    axes.set(yticks=range(len(rows)), yticklabels=list(rows), xlim=(0, 1), xticks=[])
    axes.invert_yaxis()
    despine(axes, spines=())
    return figure


def draw_sizes(findings: Findings, colors: Mapping[str, str]) -> "Figure":
    """Draw the width and height of every image that can be read, a dot an image."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, 4.4), layout="constrained")
    axes = figure.subplots()
    for label, color in colors.items():
        sizes = [
            size
            for record, size in zip(findings.records, findings.sizes, strict=True)
            if size and record.label == label
        ]
        heights, widths = zip(*sizes, strict=True) if sizes else ((), ())
        # Dots in pixels: 50,000 of them as shapes would weigh more than the rest of the page.
        axes.scatter(widths, heights, s=16, color=color, alpha=0.55, linewidths=0, rasterized=True)
    axes.set(xlabel="width in pixels", ylabel="height in pixels")
    axes.margins(0.04)
    despine(axes)
    axes.grid(color=FAINT, linewidth=0.6)
    return figure


def draw_intensities(findings: Findings, colors: Mapping[str, str]) -> "Figure":
    """Draw the mean histogram of the images of each class, and between which shares the middle 80 % of them lie."""
    from matplotlib.figure import Figure

    panels = {label: histograms for label in colors if (histograms := _histograms(findings, label)).size}
    columns = min(_COLUMNS, max(1, len(panels)))
    rows = max(1, -(-len(panels) // columns))
    figure = Figure(figsize=(WIDTH, 2.7 * rows + 0.2), dpi=150, layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    # The black of the margins would press all else flat: it is written down instead.
    highest = max((np.quantile(shares[:, 1:], 0.9, axis=0).max() for shares in panels.values()), default=1.0)
    for axes, (label, shares) in zip(grid.flat, panels.items(), strict=False):
        _draw_histogram(axes, shares, colors[label])
        # A "$" in the name of a class is no formula.
        axes.set_title(f"{label} ({len(shares):,})", fontsize=10, color=INK, loc="left", parse_math=False)
        axes.set(xlim=(0, 256), ylim=(0, 1.1 * highest or 1.0), xticks=(0, 64, 128, 192, 256))
    figure.supxlabel("gray value", fontsize=10, color=INK)
    figure.supylabel("share of the pixels in %", fontsize=10, color=INK)
    return figure


def _histograms(findings: Findings, label: str) -> npt.NDArray[np.float64]:
    """The histograms of a class in percent, (images, 256 / _BIN), without those of images that cannot be read."""
    rows = findings.histograms[[record.label == label for record in findings.records]]
    rows = rows[np.isfinite(rows).all(axis=1) & (rows.sum(axis=1) > 0)]
    return 100 * rows.reshape(len(rows), rows.shape[1] // _BIN, _BIN).sum(axis=2)


def _draw_histogram(axes: "Axes", shares: npt.NDArray[np.float64], color: str) -> None:
    middle = np.arange(shares.shape[1]) * _BIN + _BIN / 2
    low, high = np.quantile(shares, (0.1, 0.9), axis=0)
    axes.fill_between(middle, low, high, color=color, alpha=0.22, linewidth=0)
    mean = shares.mean(axis=0)
    axes.plot(middle, mean, color=color, linewidth=1.6)
    axes.text(
        0.97, 0.94, f"below {_BIN}: {mean[0]:.0f} % of the pixels", transform=axes.transAxes, ha="right", va="top",
        fontsize=8, color=INK,
    )  # fmt: skip
    despine(axes)
