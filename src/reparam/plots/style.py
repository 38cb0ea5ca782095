"""What all pictures share: colours, an empty figure, and how axes look.

Colours are those of Okabe & Ito (2008), which readers with any colour vision tell apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.text import Text
from matplotlib.textpath import text_to_path
from matplotlib.ticker import LogFormatter, NullLocator

INK, FAINT, BLUE, ORANGE, GREEN = "#222222", "#888888", "#0072B2", "#D55E00", "#009E73"
DPI = 130
CLASSES = (
    "#332288",
    "#88CCEE",
    "#44AA99",
    "#117733",
    "#999933",
    "#DDCC77",
    "#CC6677",
    "#882255",
    "#AA4499",
    "#7A7A7A",
)
POINTS_PER_INCH = 72
TITLE_LINES = 3
LONGEST = 500


def new_figure(width: float, height: float, title: str) -> Figure:
    """A figure that no global state knows of, in inches, with a title above."""
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained", facecolor="white")
    figure.suptitle(fitted(title, width, 13, TITLE_LINES), fontsize=13, color=INK)
    return figure


def tidied(figure: Figure) -> Figure:
    """The figure without boxes, its axes faint."""
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(FAINT)
        axes.tick_params(color=FAINT, labelcolor=INK, labelsize=9)
    return figure


def fitted(text: str, inches: float, size: float, most_lines: int = 2) -> str:
    """A text in lines that are no wider; of one that needs more lines than there may be the middle is left out."""
    kept = min(len(text), LONGEST)
    while True:
        shown = text if kept >= len(text) else f"{text[: kept // 2]}…{text[len(text) - kept // 2 :]}"
        lines = list(_lines(shown, 0.94 * inches * POINTS_PER_INCH, FontProperties(size=size)))
        if len(lines) <= most_lines:
            return "\n".join(lines)
        kept = int(0.9 * kept)


def _lines(text: str, width: float, font: FontProperties) -> Iterator[str]:
    """Pieces of a text no wider than ``width`` points, broken where a word ends, or else anywhere."""

    def fits(part: str) -> bool:
        drawn: float = text_to_path.get_text_width_height_descent(part, font, ismath=False)[0]
        return drawn <= width or len(part) == 1

    line = ""
    for piece in re.split(r"(?<=[ _/.,-])", text):
        if fits(line + piece):
            line += piece
            continue
        yield from filter(None, [line.rstrip()])
        line = ""
        for letter in piece:
            if not fits(line + letter):
                yield line
                line = ""
            line += letter
    yield line.rstrip()


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
