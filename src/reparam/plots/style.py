"""What all pictures share: colours, an empty figure, and how axes look.

Colours are those of Okabe & Ito (2008), which readers with any colour vision tell apart.
"""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import LogFormatter, NullLocator

INK, FAINT, BLUE, ORANGE, GREEN = "#222222", "#888888", "#0072B2", "#D55E00", "#009E73"
DPI = 130


def new_figure(width: float, height: float, title: str) -> Figure:
    """A figure that no global state knows of, in inches, with a title above."""
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained", facecolor="white")
    figure.suptitle(title, fontsize=13, color=INK)
    return figure


def dress(axes: Axes, title: str, unit: str = "nats per datum") -> None:
    """A title, a unit, a faint grid, no box, and a legend if there is something to name."""
    axes.set_title(title, fontsize=11, color=INK)
    axes.set_ylabel(unit)
    axes.grid(axis="y", color="#E6E6E6", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)
    axes.tick_params(color=FAINT, labelcolor=INK, labelsize=9)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=9)


def drawn_as_text(figure: Figure) -> None:
    """Draw names as they are: a column called ``$_^{$`` is no formula. Powers of ten on an axis stay what they are."""
    axes = [axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)]
    powers = [axis for axis in axes if isinstance(axis.get_major_formatter(), LogFormatter)]
    formulas = {id(label) for axis in powers for label in axis.get_ticklabels(which="both")}
    for text in figure.findobj(Text):
        if isinstance(text, Text) and id(text) not in formulas:
            text.set_parse_math(False)


def count_axis(axes: Axes, counts: Sequence[int], name: str) -> None:
    """A logarithmic abscissa with a tick, a plain number, at each count."""
    axes.set_xscale("log")
    axes.set_xticks(list(counts), [f"{count:,}" for count in counts])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(name)
