"""Plots of the report: class shares, image sizes and gray values."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from acsnet._utils.plots import FAINT, INK, WIDTH, despine
from acsnet.curation.findings import Findings

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BIN_WIDTH_GRAY_LEVELS = 4
_PANELS_PER_ROW = 3
# Narrower segments of a bar have no room for their percentage.
_MIN_LABELED_SHARE = 0.07


def draw_shares(rows: Mapping[str, Mapping[str, int]], colors: Mapping[str, str]) -> "Figure":
    """Draw the shares of the classes as one horizontal bar per row.

    Args:
        rows: number of images per class, by the name of the row ("before", "after").
        colors: color per class, in the order of the segments.
    """
    from matplotlib.figure import Figure

    plot = Figure(figsize=(WIDTH, 0.55 * len(rows) + 0.1), layout="constrained")
    axes = plot.subplots()
    for position, counts in enumerate(rows.values()):
        total = sum(counts.values())
        start = 0.0
        for label, color in colors.items():
            share = counts.get(label, 0) / total if total else 0.0
            axes.barh(position, share, left=start, color=color, height=0.62, edgecolor="white", linewidth=1.5)
            if share >= _MIN_LABELED_SHARE:
                axes.text(start + share / 2, position, f"{100 * share:.0f} %", ha="center", va="center", color="white")
            start += share
    axes.set(yticks=range(len(rows)), yticklabels=list(rows), xlim=(0, 1), xticks=[])
    axes.invert_yaxis()
    despine(axes, spines=())
    return plot


def draw_sizes(findings: Findings, colors: Mapping[str, str]) -> "Figure":
    """Draw the width and height of the readable images, one dot per image."""
    from matplotlib.figure import Figure

    plot = Figure(figsize=(WIDTH, 4.4), layout="constrained")
    axes = plot.subplots()
    for label, color in colors.items():
        sizes = [
            size
            for record, size in zip(findings.records, findings.sizes, strict=True)
            if size and record.label == label
        ]
        heights, widths = zip(*sizes, strict=True) if sizes else ((), ())
        # Rasterized: 50,000 dots as vector shapes would be larger than the rest of the page.
        axes.scatter(widths, heights, s=16, color=color, alpha=0.55, linewidths=0, rasterized=True)
    axes.set(xlabel="width in pixels", ylabel="height in pixels")
    axes.margins(0.04)
    despine(axes)
    axes.grid(color=FAINT, linewidth=0.6)
    return plot


def draw_intensities(findings: Findings, colors: Mapping[str, str]) -> "Figure":
    """Draw the mean histogram per class, with a band between the 10th and the 90th percentile of the images."""
    from matplotlib.figure import Figure

    panels = {label: histograms for label in colors if (histograms := _class_histograms(findings, label)).size}
    columns = min(_PANELS_PER_ROW, max(1, len(panels)))
    rows = max(1, -(-len(panels) // columns))
    plot = Figure(figsize=(WIDTH, 2.7 * rows + 0.2), dpi=150, layout="constrained")
    grid = plot.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    # The first bin (black margins) would flatten the rest of the plot: its mean is written as text instead.
    highest = max((np.quantile(shares[:, 1:], 0.9, axis=0).max() for shares in panels.values()), default=1.0)
    for axes, (label, shares) in zip(grid.flat, panels.items(), strict=False):
        _draw_histogram(axes, shares, colors[label])
        # Names of classes are text: "$" must not start a formula.
        axes.set_title(f"{label} ({len(shares):,})", fontsize=10, color=INK, loc="left", parse_math=False)
        axes.set(xlim=(0, 256), ylim=(0, 1.1 * highest or 1.0), xticks=(0, 64, 128, 192, 256))
    plot.supxlabel("gray value", fontsize=10, color=INK)
    plot.supylabel("share of the pixels in %", fontsize=10, color=INK)
    return plot


def _class_histograms(findings: Findings, label: str) -> npt.NDArray[np.float64]:
    """Return the histograms of the readable images of a class in percent: (images, bins)."""
    rows = findings.histograms[[record.label == label for record in findings.records]]
    rows = rows[np.isfinite(rows).all(axis=1) & (rows.sum(axis=1) > 0)]
    bins = rows.shape[1] // _BIN_WIDTH_GRAY_LEVELS
    return 100 * rows.reshape(len(rows), bins, _BIN_WIDTH_GRAY_LEVELS).sum(axis=2)


def _draw_histogram(axes: "Axes", shares: npt.NDArray[np.float64], color: str) -> None:
    bin_centers = np.arange(shares.shape[1]) * _BIN_WIDTH_GRAY_LEVELS + _BIN_WIDTH_GRAY_LEVELS / 2
    low, high = np.quantile(shares, (0.1, 0.9), axis=0)
    axes.fill_between(bin_centers, low, high, color=color, alpha=0.22, linewidth=0)
    mean = shares.mean(axis=0)
    axes.plot(bin_centers, mean, color=color, linewidth=1.6)
    axes.text(
        0.97, 0.94, f"below {_BIN_WIDTH_GRAY_LEVELS}: {mean[0]:.0f} % of the pixels", transform=axes.transAxes,
        ha="right", va="top", fontsize=8, color=INK,
    )  # fmt: skip
    despine(axes)
