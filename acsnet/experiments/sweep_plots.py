"""Plots of a search."""

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from acsnet.experiments.sweep import TrialResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FULL, _PRUNED, _BEST = "#0072b2", "#b0b0b0", "#d55e00"
_COLUMNS = 3
_WIDTH = 10.0


def draw_scores(results: Sequence[TrialResult]) -> "Figure":
    """Draw the score of each trial, in the order of their names, and the best score so far."""
    figure, (axes,) = _figure(1, 3.2)
    in_order = sorted(results, key=lambda result: result.name)
    numbers = [int(result.name.removeprefix("trial")) for result in in_order]
    full = [-math.inf if result.pruned else result.score for result in in_order]
    _draw_points(axes, list(zip(numbers, in_order, strict=True)))
    axes.step(numbers, list(accumulate(full, max)), where="post", color=_BEST, label="best so far")
    axes.set(xlabel="trial", ylabel="score")
    _use_integer_ticks(axes)
    axes.legend(frameon=False)
    return figure


def draw_values(results: Sequence[TrialResult], keys: Sequence[str]) -> "Figure":
    """Draw the score against each searched value, one panel per key."""
    figure, panels = _figure(len(keys), 3.0)
    for axes, key in zip(panels, keys, strict=True):
        values = [result.values[key] for result in results]
        if all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values):
            positions = [float(value) for value in values]
            if min(positions) > 0 and max(positions) > 50 * min(positions):
                axes.set_xscale("log")
        else:
            names = sorted({str(value) for value in values})
            positions = [float(names.index(str(value))) for value in values]
            axes.set_xticks(range(len(names)), names)
        _draw_points(axes, list(zip(positions, results, strict=True)))
        axes.set(xlabel=key, ylabel="score")
    return figure


def draw_curves(results: Sequence[TrialResult]) -> "Figure":
    """Draw the score of each epoch, one line per trial, with the best one highlighted."""
    figure, (axes,) = _figure(1, 3.2)
    for result in reversed(results):
        is_best = result is results[0]
        axes.plot(
            list(result.curve),
            list(result.curve.values()),
            color=_BEST if is_best else _PRUNED if result.pruned else _FULL,
            linewidth=2.2 if is_best else 0.8,
            alpha=1 if is_best else 0.6,
            label=f"{result.name} (best)" if is_best else None,
        )
    axes.set(xlabel="epoch", ylabel="score")
    _use_integer_ticks(axes)
    axes.legend(frameon=False)
    return figure


def _draw_points(axes: "Axes", placed: Sequence[tuple[float, TrialResult]]) -> None:
    for pruned, color, label in ((False, _FULL, "completed"), (True, _PRUNED, "stopped early")):
        points = [(position, result.score) for position, result in placed if result.pruned == pruned]
        if points:
            positions, scores = zip(*points, strict=True)
            axes.scatter(positions, scores, s=22, color=color, label=label)


def _use_integer_ticks(axes: "Axes") -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _figure(panels: int, height: float) -> tuple["Figure", list["Axes"]]:
    from matplotlib.figure import Figure

    columns = min(panels, _COLUMNS)
    rows = math.ceil(panels / columns)
    figure = Figure(figsize=(_WIDTH, height * rows), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for empty in axes[panels:]:
        empty.remove()
    for panel in axes[:panels]:
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(alpha=0.25)
    return figure, axes[:panels]
