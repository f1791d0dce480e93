"""The common style of plots: colors, size and axes."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# After M. Okabe and K. Ito, "Color universal design", 2008: distinct for color-blind readers and in gray.
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a6a00", "#666666")
INK, FAINT = "#3b4148", "#d9dce0"
# The full width of a page in inches.
WIDTH = 9.0


def assign_colors(names: Iterable[str]) -> dict[str, str]:
    """Return one color per name, in order; colors repeat after the eighth.

    Example:
        >>> assign_colors(["unet", "acsnet"])
        {'unet': '#0072b2', 'acsnet': '#d55e00'}
    """
    return {name: PALETTE[index % len(PALETTE)] for index, name in enumerate(names)}


def despine(axes: "Axes", spines: Sequence[str] = ("left", "bottom")) -> None:
    """Hide the ticks and all spines of a plot except the given ones, which become faint."""
    for side, spine in axes.spines.items():
        spine.set_visible(side in spines)
        spine.set_color(FAINT)
    axes.tick_params(colors=INK, length=0, labelsize=9)
    axes.xaxis.label.set_color(INK)
    axes.yaxis.label.set_color(INK)
    axes.set_axisbelow(True)
