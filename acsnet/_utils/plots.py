"""How the figures of every report look: colors, size, and calm axes."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# After M. Okabe and K. Ito, "Color universal design", 2008: told apart by every eye, and in gray.
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a6a00", "#666666")
INK, FAINT = "#3b4148", "#d9dce0"
# Inches: the full width of a page.
WIDTH = 9.0


def assign_colors(names: Iterable[str]) -> dict[str, str]:
    """Give every name its color, in order; the ninth has that of the first again."""
    return {name: PALETTE[index % len(PALETTE)] for index, name in enumerate(names)}


def despine(axes: "Axes", spines: Sequence[str] = ("left", "bottom")) -> None:
    """Draw nothing but these lines around a plot, thin, and no ticks."""
    for side, spine in axes.spines.items():
        spine.set_visible(side in spines)
        spine.set_color(FAINT)
    axes.tick_params(colors=INK, length=0, labelsize=9)
    axes.xaxis.label.set_color(INK)
    axes.yaxis.label.set_color(INK)
    axes.set_axisbelow(True)
