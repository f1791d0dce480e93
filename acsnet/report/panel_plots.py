"""Plots with one panel per network (calibration, confusion, Dice against lesion size), and violins of Dice by class."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from acsnet._utils.plots import FAINT, INK, WIDTH, despine
from acsnet._utils.typing import Float64Array
from acsnet.metrics import expected_calibration_error, reliability_bins
from acsnet.report.curve_plots import Style
from acsnet.report.images import ImageKey
from acsnet.report.tested_networks import Network

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BINS = 15
# The height of the counts below a reliability diagram, in units of accuracy.
_COUNT_HEIGHT = 0.42
_COLUMNS = 3
# The window of the running median, in images and as a fraction of all images; the larger one applies.
_MIN_WINDOW = 9
_WINDOW_FRACTION = 0.12


def _grid(
    networks: Sequence[Network], height: float, draw: Callable[["Axes", Network], None], columns: int = _COLUMNS
) -> "Figure":
    """Return a plot with one titled panel per network."""
    from matplotlib.figure import Figure

    columns = min(columns, max(2, len(networks)))
    rows = -(-len(networks) // columns)
    figure = Figure(figsize=(WIDTH, height * rows), dpi=150, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False)
    for axes in panels.flat[len(networks) :]:
        axes.set_axis_off()
    for axes, network in zip(panels.flat, networks, strict=False):
        axes.set_title(_short(network.name), fontsize=9.5, color=INK, loc="left", parse_math=False)
        draw(axes, network)
    return figure


def _short(name: str) -> str:
    return name if len(name) <= 38 else f"{name[:24]}…{name[-13:]}"


def _labels(network: Network) -> "np.ndarray[tuple[int], np.dtype[np.intp]]":
    result = network.result
    return np.array([result.class_names.index(label) for label in result.labels])


def draw_calibration(networks: Sequence[Network], styles: Mapping[str, Style]) -> "Figure":
    """Draw reliability diagrams of the predicted class, with the number of images of each bin.

    Args:
        networks: the networks that predict classes.
        styles: the style of every network.
    """

    def draw(axes: "Axes", network: Network) -> None:
        color = styles[network.name].color
        labels, probabilities = _labels(network), network.result.probabilities
        assert probabilities is not None  # the networks predict classes
        images, accuracy, confidence = reliability_bins(labels, probabilities, _BINS)
        axes.plot((0, 1), (0, 1), color=FAINT, linewidth=1)
        filled = images > 0
        axes.plot(confidence[filled], accuracy[filled], color=color, linewidth=1.2, marker="o", markersize=4)
        error = expected_calibration_error(labels, probabilities, _BINS)
        axes.set_xlabel(f"mean probability (ECE {error:.3f})", fontsize=9)
        axes.set_ylabel("accuracy", fontsize=9)
        # The probability of the predicted class is at least one over the number of classes.
        axes.set(
            xlim=(1 / len(network.result.class_names) - 0.02, 1.02), ylim=(-_COUNT_HEIGHT, 1.04), yticks=(0, 0.5, 1)
        )
        axes.axhline(0, color=FAINT, linewidth=1)
        _draw_counts(axes, images.tolist(), color)
        despine(axes)

    return _grid(networks, 3.0, draw)


def _draw_counts(axes: "Axes", images: Sequence[int], color: str) -> None:
    """Draw bars below the diagram, each labeled with its number."""
    middles = (np.arange(_BINS) + 0.5) / _BINS
    heights = 0.72 * _COUNT_HEIGHT * np.array(images) / max(images)
    axes.bar(middles, heights, width=0.9 / _BINS, bottom=-_COUNT_HEIGHT, color=color, alpha=0.5)
    for middle, height, number in zip(middles, heights, images, strict=True):
        if number:
            axes.text(middle, height - _COUNT_HEIGHT, str(number), ha="center", va="bottom", fontsize=6.5, color=INK)


def draw_confusion(networks: Sequence[Network]) -> "Figure":
    """Draw confusion matrices: counts, shaded by their fraction of the true class.

    Args:
        networks: the networks that predict classes.
    """

    def draw(axes: "Axes", network: Network) -> None:
        names, result = network.result.class_names, network.result
        assert result.predicted is not None  # the networks predict classes
        counts = np.zeros((len(names), len(names)), np.intp)
        for truth, predicted in zip(result.labels, result.predicted, strict=True):
            counts[names.index(truth), names.index(predicted)] += 1
        totals = counts.sum(axis=1, keepdims=True)
        fractions = counts / np.maximum(totals, 1)
        axes.imshow(fractions, cmap="Blues", vmin=0, vmax=1)
        for (row, column), number in np.ndenumerate(counts):
            percentage = f"\n{fractions[row, column]:.0%}" if totals[row, 0] else "\nno case"
            axes.text(column, row, f"{number}{percentage}", ha="center", va="center", fontsize=8.5,
                      color="white" if fractions[row, column] > 0.55 else INK)  # fmt: skip
        ticks = range(len(names))
        axes.set(xticks=ticks, yticks=ticks, xlabel="predicted", ylabel="truth")
        axes.set_xticklabels(names, parse_math=False)
        axes.set_yticklabels(names, parse_math=False, rotation=90, va="center")
        despine(axes, spines=())
        axes.tick_params(labelsize=8)

    return _grid(networks, 3.1, draw)


def draw_sizes(networks: Sequence[Network], fractions: Mapping[ImageKey, float], colors: Mapping[str, str]) -> "Figure":
    """Draw the Dice of every lesion against its fraction of the image, with a running median.

    Args:
        networks: the networks that predict masks.
        fractions: the fraction of lesion pixels of each image, 0-1; images that are missing or have a fraction of 0 are
            left out.
        colors: the colors of the classes.
    """
    from matplotlib.ticker import LogFormatter

    class PlainLogFormatter(LogFormatter):
        """Labels the same ticks, with plain numbers in every version of Matplotlib."""

        def __call__(self, x: float, pos: int | None = None) -> str:
            return f"{x:g}" if super().__call__(x, pos) else ""

    def draw(axes: "Axes", network: Network) -> None:
        result = network.result
        size = np.array([fractions.get(image, 0.0) for image in result.images])
        dice, labels = result.per_image["dice"], np.array(result.labels)
        for label, color in colors.items():
            chosen = (labels == label) & (size > 0)
            # Rasterized: thousands of vector shapes would be larger than the rest of the page.
            axes.scatter(100 * size[chosen], dice[chosen], s=9, color=color, alpha=0.5, linewidths=0, rasterized=True)
        known = (size > 0) & ~np.isnan(dice)
        middle, medians = running_median(size[known], dice[known])
        axes.plot(100 * middle, medians, color=INK, linewidth=1.8)
        axes.set(xscale="log", ylim=(-0.03, 1.03), xlabel="lesion area in % of the image", ylabel="Dice")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        # Few lesions span less than a decade; powers of ten as labels would overlap.
        axes.xaxis.set_minor_formatter(PlainLogFormatter())
        despine(axes)
        axes.grid(color=FAINT, linewidth=0.6)

    return _grid(networks, 2.8, draw)


def running_median(sizes: Float64Array, values: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Return the running medians of sizes (N,) and of values (N,), ordered by size: (M,) each.

    The window has 9 images or 12 % of all images, whichever is more. With fewer images there is a single point.
    """
    order = np.argsort(sizes, kind="stable")
    window = min(len(order), max(_MIN_WINDOW, round(_WINDOW_FRACTION * len(order))))
    if not window:
        return np.empty(0), np.empty(0)
    return tuple(  # type: ignore[return-value]
        np.median(np.lib.stride_tricks.sliding_window_view(column[order], window), axis=1) for column in (sizes, values)
    )


def draw_violins(networks: Sequence[Network], styles: Mapping[str, Style]) -> "Figure":
    """Draw the distribution of the Dice of each class: one panel per class, one row per network.

    Args:
        networks: the networks that predict masks.
        styles: the style of every network.
    """
    from matplotlib.figure import Figure

    names = networks[0].result.class_names
    labels = np.array(networks[0].result.labels)
    present = [name for name in names if name in labels]
    figure = Figure(figsize=(WIDTH, 1.0 + 0.5 * len(networks)), layout="constrained")
    panels = figure.subplots(1, len(present), sharey=True, squeeze=False)[0]
    for axes, label in zip(panels, present, strict=True):
        chosen = labels == label
        for place, network in enumerate(networks):
            _draw_violin(axes, network.result.per_image["dice"][chosen], place, styles[network.name].color)
        title = f"{label} ({np.count_nonzero(chosen)})"
        axes.set_title(title, fontsize=10, color=INK, loc="left", parse_math=False)
        axes.set(xlim=(-0.02, 1.02), xlabel="Dice", ylim=(len(networks) - 0.4, -0.6))
        despine(axes, spines=("bottom",))
        axes.grid(color=FAINT, linewidth=0.6, axis="x")
    panels[0].set_yticks(range(len(networks)))
    panels[0].set_yticklabels([_short(network.name) for network in networks], parse_math=False)
    return figure


def _draw_violin(axes: "Axes", values: Float64Array, place: int, color: str) -> None:
    from scipy.stats import gaussian_kde

    values = values[~np.isnan(values)]
    if len(values) > 1 and np.ptp(values) > 0:
        points = np.linspace(values.min(), values.max(), 120)
        density = gaussian_kde(values)(points)
        width = 0.42 * density / density.max()
        axes.fill_between(points, place - width, place + width, color=color, alpha=0.35, linewidth=0)
    if len(values):
        low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
        axes.plot((low, high), (place, place), color=color, linewidth=4, solid_capstyle="butt")
        axes.plot(middle, place, marker="o", color="white", markeredgecolor=color, markersize=6)
        axes.plot(values.mean(), place, marker="|", color=INK, markersize=11, markeredgewidth=1.6)
