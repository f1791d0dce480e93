"""Figures of a panel a network: calibration, confusion, Dice against lesion size; and violins of Dice by class."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from acsnet._utils.plots import FAINT, INK, WIDTH, despine
from acsnet.metrics import expected_calibration_error, reliability_bins
from acsnet.report.curves import Style
from acsnet.report.networks import Network
from acsnet._utils.typing import Float64Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BINS = 15
# The height below a reliability diagram in which its counts are drawn, in units of accuracy.
_COUNTS = 0.42
_COLUMNS = 3
# The running median is of so many neighbors in size, or this share of them if that is more.
_NEIGHBORS, _NEIGHBOR_SHARE = 9, 0.12


def _grid(
    networks: Sequence[Network], height: float, draw: Callable[["Axes", Network], None], columns: int = _COLUMNS
) -> "Figure":
    """A figure with a panel a network, each with its name above."""
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
        networks: those that give classes.
        styles: of every network.
    """

    def draw(axes: "Axes", network: Network) -> None:
        color = styles[network.name].color
        labels, probabilities = _labels(network), network.result.probabilities
        assert probabilities is not None  # of networks that give classes
        images, accuracy, confidence = reliability_bins(labels, probabilities, _BINS)
        axes.plot((0, 1), (0, 1), color=FAINT, linewidth=1)
        filled = images > 0
        axes.plot(confidence[filled], accuracy[filled], color=color, linewidth=1.2, marker="o", markersize=4)
        error = expected_calibration_error(labels, probabilities, _BINS)
        axes.set_xlabel(f"mean probability (ECE {error:.3f})", fontsize=9)
        axes.set_ylabel("accuracy", fontsize=9)
        # No probability of the predicted class is lower.
        axes.set(xlim=(1 / len(network.result.class_names) - 0.02, 1.02), ylim=(-_COUNTS, 1.04), yticks=(0, 0.5, 1))
        axes.axhline(0, color=FAINT, linewidth=1)
        _draw_counts(axes, images.tolist(), color)
        despine(axes)

    return _grid(networks, 3.0, draw)


def _draw_counts(axes: "Axes", images: Sequence[int], color: str) -> None:
    """Bars below the diagram, each with its number above."""
    middles = (np.arange(_BINS) + 0.5) / _BINS
    heights = 0.72 * _COUNTS * np.array(images) / max(images)
    axes.bar(middles, heights, width=0.9 / _BINS, bottom=-_COUNTS, color=color, alpha=0.5)
    for middle, height, number in zip(middles, heights, images, strict=True):
        if number:
            axes.text(middle, height - _COUNTS, str(number), ha="center", va="bottom", fontsize=6.5, color=INK)


def draw_confusion(networks: Sequence[Network]) -> "Figure":
    """Draw confusion matrices: counts, shaded by their share of the true class.

    Args:
        networks: those that give classes.
    """

    def draw(axes: "Axes", network: Network) -> None:
        names, result = network.result.class_names, network.result
        assert result.predicted is not None  # of networks that give classes
        counts = np.zeros((len(names), len(names)), np.intp)
        for truth, predicted in zip(result.labels, result.predicted, strict=True):
            counts[names.index(truth), names.index(predicted)] += 1
        totals = counts.sum(axis=1, keepdims=True)
        shares = counts / np.maximum(totals, 1)
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for (row, column), number in np.ndenumerate(counts):
            share = f"\n{shares[row, column]:.0%}" if totals[row, 0] else "\nno case"
            axes.text(column, row, f"{number}{share}", ha="center", va="center", fontsize=8.5,
                      color="white" if shares[row, column] > 0.55 else INK)  # fmt: skip
        places = range(len(names))
        axes.set(xticks=places, yticks=places, xlabel="predicted", ylabel="truth")
        axes.set_xticklabels(names, parse_math=False)
        axes.set_yticklabels(names, parse_math=False, rotation=90, va="center")
        despine(axes, spines=())
        axes.tick_params(labelsize=8)

    return _grid(networks, 3.1, draw)


def draw_sizes(
    networks: Sequence[Network], shares: Mapping[tuple[str, str], float], colors: Mapping[str, str]
) -> "Figure":
    """Draw the Dice of every lesion against its share of the image, with a running median.

    Args:
        networks: those that give masks.
        shares: of the image that is lesion, by dataset and name of the image, 0-1; lesions that are not in it, or of
            share 0, are left out.
        colors: of the classes.
    """

    def draw(axes: "Axes", network: Network) -> None:
        result = network.result
        size = np.array([shares.get(image, 0.0) for image in result.images])
        dice, labels = result.per_image["dice"], np.array(result.labels)
        for label, color in colors.items():
            chosen = (labels == label) & (size > 0)
            # Dots in pixels: thousands of them as shapes would weigh more than the rest of the page.
            axes.scatter(100 * size[chosen], dice[chosen], s=9, color=color, alpha=0.5, linewidths=0, rasterized=True)
        known = (size > 0) & ~np.isnan(dice)
        middle, medians = running_median(size[known], dice[known])
        axes.plot(100 * middle, medians, color=INK, linewidth=1.8)
        axes.set(xscale="log", ylim=(-0.03, 1.03), xlabel="lesion in % of the image", ylabel="Dice")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        despine(axes)
        axes.grid(color=FAINT, linewidth=0.6)

    return _grid(networks, 2.8, draw)


def running_median(sizes: Float64Array, values: Float64Array) -> tuple[Float64Array, Float64Array]:
    """The median of values (N,) among neighbors in size (N,), and the median size of these neighbors: (M,) each.

    The window is of 9 images, or 12 % of them where that is more; with fewer images than that there is one point.
    """
    order = np.argsort(sizes, kind="stable")
    window = min(len(order), max(_NEIGHBORS, round(_NEIGHBOR_SHARE * len(order))))
    if not window:
        return np.empty(0), np.empty(0)
    return tuple(  # type: ignore[return-value]
        np.median(np.lib.stride_tricks.sliding_window_view(column[order], window), axis=1) for column in (sizes, values)
    )


def draw_violins(networks: Sequence[Network], styles: Mapping[str, Style]) -> "Figure":
    """Draw how the Dice of the images of each class is spread: a panel a class, a row a network.

    Args:
        networks: those that give masks.
        styles: of every network.
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
