"""Plots of a search."""

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from acsnet.experiments.sweep import TrialResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COMPLETE_COLOR = "#0072b2"
_PRUNED_COLOR = "#b0b0b0"
_BEST_COLOR = "#d55e00"
_MAX_COLUMNS = 3
_WIDTH_INCHES = 10.0


def draw_scores(results: Sequence[TrialResult]) -> "Figure":
    """Plot the score of each trial in the order of their names, and the best score so far."""
    figure, (axes,) = _figure(1, 3.2)
    in_order = sorted(results, key=lambda result: result.name)
    numbers = [int(result.name.removeprefix("trial")) for result in in_order]
    scores = [-math.inf if result.pruned else result.score for result in in_order]
    _dots(axes, list(zip(numbers, in_order, strict=True)))
    axes.step(numbers, list(accumulate(scores, max)), where="post", color=_BEST_COLOR, label="best so far")
    axes.set(xlabel="trial", ylabel="score")
    _whole_numbers(axes)
    axes.legend(frameon=False)
    return figure


def draw_values(results: Sequence[TrialResult], keys: Sequence[str]) -> "Figure":
    """Plot the score over each searched value, one panel per key."""
    figure, panels = _figure(len(keys), 3.0)
    for axes, key in zip(panels, keys, strict=True):
        values = [result.values[key] for result in results]
        if all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values):
            places = [float(value) for value in values]
            if min(places) > 0 and max(places) > 50 * min(places):
                axes.set_xscale("log")
        else:
            names = sorted({str(value) for value in values})
            places = [float(names.index(str(value))) for value in values]
            axes.set_xticks(range(len(names)), names)
        _dots(axes, list(zip(places, results, strict=True)))
        axes.set(xlabel=key, ylabel="score")
    return figure


def draw_curves(results: Sequence[TrialResult]) -> "Figure":
    """Plot the score of each epoch, one line per trial, the best one thick."""
    figure, (axes,) = _figure(1, 3.2)
    for result in reversed(results):
        is_best = result is results[0]
        axes.plot(
            list(result.curve),
            list(result.curve.values()),
            color=_BEST_COLOR if is_best else _PRUNED_COLOR if result.pruned else _COMPLETE_COLOR,
            linewidth=2.2 if is_best else 0.8,
            alpha=1 if is_best else 0.6,
            label=f"{result.name} (best)" if is_best else None,
        )
    axes.set(xlabel="epoch", ylabel="score")
    _whole_numbers(axes)
    axes.legend(frameon=False)
    return figure


def _dots(axes: "Axes", placed: Sequence[tuple[float, TrialResult]]) -> None:
    for pruned, color, label in ((False, _COMPLETE_COLOR, "complete"), (True, _PRUNED_COLOR, "stopped early")):
        shown = [(place, result.score) for place, result in placed if result.pruned == pruned]
        if shown:
            places, scores = zip(*shown, strict=True)
            axes.scatter(places, scores, s=22, color=color, label=label)


def _whole_numbers(axes: "Axes") -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _figure(panels: int, height: float) -> tuple["Figure", list["Axes"]]:
    from matplotlib.figure import Figure

    columns = min(panels, _MAX_COLUMNS)
    rows = math.ceil(panels / columns)
    figure = Figure(figsize=(_WIDTH_INCHES, height * rows), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for empty in axes[panels:]:
        empty.remove()
    for panel in axes[:panels]:
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(alpha=0.25)
    return figure, axes[:panels]
