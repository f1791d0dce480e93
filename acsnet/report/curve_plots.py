"""Line plots with one line per network: training curves, ROC and precision-recall curves."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from acsnet._utils.plots import FAINT, INK, PALETTE, WIDTH, assign_colors, despine
from acsnet._utils.typing import Float64Array
from acsnet.labels import POSITIVE_CLASS
from acsnet.report.tested_networks import Network

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend

_PANELS = {
    "loss": "loss, training subset",
    "val_loss": "loss, validation subset",
    "val_dice": "Dice, validation subset",
    "val_accuracy": "accuracy, validation subset",
    "learning_rate": "learning rate",
}
_DASHES = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 1.5, 1, 1.5)))
# Larger legends have a smaller font.
_MAX_ENTRIES_OF_LARGE_LEGEND = 8


class Style(NamedTuple):
    """The color and dashes of a network; networks of the same color have different dashes."""

    color: str
    dashes: str | tuple[int, tuple[float, ...]]


def assign_styles(names: Sequence[str]) -> dict[str, Style]:
    """Return the color and dashes of every network, the same in all plots."""
    colors = assign_colors(names)
    return {
        name: Style(colors[name], _DASHES[index // len(PALETTE) % len(_DASHES)]) for index, name in enumerate(names)
    }


def shared_trainings(networks: Sequence[Network]) -> dict[str, Network]:
    """Return one network per training, by the names of all networks that share the training."""
    by_training: dict[tuple[object, ...], list[Network]] = {}
    for network in networks:
        if any(training.history for training in network.trainings):
            folders = tuple(training.folder and training.folder.resolve() for training in network.trainings)
            by_training.setdefault(folders, []).append(network)
    return {", ".join(network.name for network in several): several[0] for several in by_training.values()}


def draw_training(networks: Mapping[str, Network], styles: Mapping[str, Style]) -> "Figure":
    """Draw the histories of all trainings: thin lines are folds, thick lines their mean up to the shortest fold.

    Args:
        networks: the networks, as returned by :func:`shared_trainings`.
        styles: the style of every network, by its own name.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, 5.2), layout="constrained")
    grid = figure.subplots(2, 3).flat
    for axes, (key, title) in zip(grid, _PANELS.items(), strict=False):
        for network in networks.values():
            _draw_histories(axes, network, key, styles[network.name])
        axes.set_title(title, fontsize=10, color=INK, loc="left")
        axes.set_xlabel("epoch", fontsize=9)
        if key == "learning_rate":
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        despine(axes)
        axes.grid(color=FAINT, linewidth=0.6)
        if not axes.lines:
            axes.text(0.5, 0.5, "not measured", transform=axes.transAxes, ha="center", color=INK, fontsize=9)
    # Long names are wrapped and left out of the layout, so that they do not shrink the panels.
    labels = {textwrap.fill(label, 44): styles[network.name] for label, network in networks.items()}
    _draw_legend(figure.axes[-1], labels, letters=26).set_in_layout(False)
    return figure


def _draw_histories(axes: "Axes", network: Network, key: str, style: Style) -> None:
    curves = []
    for training in network.trainings:
        points = [(row["epoch"], row[key]) for row in training.history if key in row]
        if points:
            curves.append(np.array(points))
    if not curves:
        return
    several = len(curves) > 1
    for curve in curves if several else ():
        axes.plot(*curve.T, color=style.color, linestyle=style.dashes, linewidth=0.6, alpha=0.45)
    length = min(map(len, curves))
    epochs, values = np.mean([curve[:length] for curve in curves], axis=0).T
    marker = "o" if length == 1 else None
    axes.plot(epochs, values, color=style.color, linestyle=style.dashes, linewidth=1.8, marker=marker, markersize=3)


def draw_rankings(networks: Sequence[Network], styles: Mapping[str, Style]) -> "Figure":
    """Draw ROC and precision-recall curves of "malignant" against the rest, with all images pooled.

    Args:
        networks: the networks that predict the class (:func:`ranks_malignant`).
        styles: the style of every network.
    """
    from matplotlib.figure import Figure
    from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

    figure = Figure(figsize=(WIDTH, 3.9 + 0.2 * len(networks)), layout="constrained")
    left, right, below_left, below_right = figure.subplots(2, 2, height_ratios=(3.6, 0.2 + 0.2 * len(networks))).flat
    areas, precisions = {}, {}
    for network in networks:
        positive, scores = malignant_scores(network)
        style = styles[network.name]
        look = {"color": style.color, "linestyle": style.dashes, "linewidth": 1.6}
        false_positives, sensitivity, _ = roc_curve(positive, scores, drop_intermediate=False)
        left.plot(false_positives, sensitivity, **look)
        precision, recall, _ = precision_recall_curve(positive, scores)
        # Precision is not linear between two thresholds: it is constant up to the next one.
        right.step(recall, precision, where="post", **look)
        areas[f"{network.name}: AUROC {roc_auc_score(positive, scores):.3f}"] = style
        precisions[f"{network.name}: average precision {average_precision_score(positive, scores):.3f}"] = style
    left.plot((0, 1), (0, 1), color=FAINT, linewidth=1)
    right.axhline(float(np.mean(malignant_scores(networks[0])[0])), color=FAINT, linewidth=1)
    left.set(xlabel="1 - specificity", ylabel="sensitivity", aspect="equal")
    right.set(xlabel="recall", ylabel="precision", aspect="equal")
    for axes, title in ((left, "ROC"), (right, "precision and recall")):
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
        axes.set_title(title, fontsize=10, color=INK, loc="left")
        despine(axes)
        axes.grid(color=FAINT, linewidth=0.6)
    _draw_legend(below_left, areas, "upper center")
    _draw_legend(below_right, precisions, "upper center")
    return figure


def malignant_scores(network: Network) -> tuple[Float64Array, Float64Array]:
    """Return whether each image is malignant, and the predicted probability of it: (N,) each."""
    result = network.result
    assert result.probabilities is not None  # checked by ranks_malignant
    return np.array(result.labels) == POSITIVE_CLASS, result.probabilities[:, result.class_names.index(POSITIVE_CLASS)]


def ranks_malignant(network: Network) -> bool:
    """Return whether a network predicts "malignant", on images of which some, but not all, are malignant."""
    result = network.result
    known = result.probabilities is not None and POSITIVE_CLASS in result.class_names
    return known and 0 < result.labels.count(POSITIVE_CLASS) < len(result.labels)


def _draw_legend(axes: "Axes", styles: Mapping[str, Style], place: str = "upper left", letters: int = 44) -> "Legend":
    """Draw the legend in place of a panel, smaller if it has many entries or lines longer than ``letters``."""
    from matplotlib.lines import Line2D

    axes.set_axis_off()
    longest = max(len(line) for label in styles for line in label.splitlines())
    size = 9 if len(styles) <= _MAX_ENTRIES_OF_LARGE_LEGEND and longest <= letters else 7.5
    handles = [Line2D([], [], color=style.color, linestyle=style.dashes, linewidth=1.8) for style in styles.values()]
    legend = axes.legend(
        handles, [*styles], loc=place, frameon=False, fontsize=size, labelcolor=INK,
        borderpad=0, handlelength=2.6,
    )  # fmt: skip
    for text in legend.get_texts():
        # A "$" in the name of a network does not start a formula.
        text.set_parse_math(False)
    return legend
