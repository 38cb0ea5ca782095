"""Charts as SVG: marks in data coordinates, axes around them, colours by class so that light and dark both work.

Nothing is computed here but places. Every mark bears a ``<title>``, which a browser shows on hover and a screen
reader reads; the colours are those of Okabe & Ito (2008).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reparam.markup.html import Html, number, tag

Range = tuple[float, float]

LEFT, RIGHT, TOP, BOTTOM, EDGE = 62, 14, 12, 44, 6
LETTER, LONGEST = 7, 24  # of names beside rows, in pixels and in letters


@dataclass(frozen=True)
class Frame:
    """Where data coordinates lie in the picture."""

    x: Range
    y: Range
    width: float
    height: float
    log_x: bool = False

    def across(self, x: ArrayLike) -> NDArray[np.float64]:
        """Pixels from the left."""
        low, high = (math.log10(end) for end in self.x) if self.log_x else self.x
        value = np.log10(np.asarray(x, np.float64)) if self.log_x else np.asarray(x, np.float64)
        return LEFT + (value - low) / (high - low) * (self.width - LEFT - RIGHT)

    def down(self, y: ArrayLike) -> NDArray[np.float64]:
        """Pixels from the top."""
        low, high = self.y
        return self.height - BOTTOM - (np.asarray(y, np.float64) - low) / (high - low) * (self.height - TOP - BOTTOM)


@dataclass(frozen=True)
class Line:
    """A line through points; with ``dots`` the points themselves are marked and named."""

    x: ArrayLike
    y: ArrayLike
    label: str
    colour: int = 0
    dashed: bool = False
    dots: bool = False

    def draw(self, frame: Frame) -> Iterator[Html]:
        """The path, broken where a value is not finite, and its dots."""
        across, down = frame.across(self.x), frame.down(self.y)
        yield tag("path", tag("title", self.label), d=_path(across, down), class_=_classes(self))
        for x, y, value, place in zip(across, down, np.ravel(self.y), np.ravel(self.x), strict=True):
            if self.dots and math.isfinite(value):
                title = tag("title", f"{self.label}: {number(float(value))} at {number(float(place))}")
                yield tag("circle", title, cx=_short(x), cy=_short(y), r=3, class_=f"dot c{self.colour}")


@dataclass(frozen=True)
class Points:
    """A cloud of points."""

    x: ArrayLike
    y: ArrayLike
    label: str
    colour: int = 0
    radius: float = 2.0

    def draw(self, frame: Frame) -> Iterator[Html]:
        """One path of round dots: a thousand elements would be slow."""
        places = zip(frame.across(self.x), frame.down(self.y), strict=True)
        path = "".join(f"M{_short(x)} {_short(y)}h0" for x, y in places if math.isfinite(x) and math.isfinite(y))
        yield tag(
            "path", tag("title", self.label), d=path, class_=f"cloud c{self.colour}", stroke_width=2 * self.radius
        )


@dataclass(frozen=True)
class Arrow:
    """From one place to another."""

    start: tuple[float, float]
    end: tuple[float, float]
    label: str
    colour: int = 0

    def draw(self, frame: Frame) -> Iterator[Html]:
        """A shaft and a head of eight pixels."""
        x0, x1 = (float(frame.across(place[0])) for place in (self.start, self.end))
        y0, y1 = (float(frame.down(place[1])) for place in (self.start, self.end))
        angle = math.atan2(y1 - y0, x1 - x0)
        wings = [(x1 - 8 * math.cos(angle + turn), y1 - 8 * math.sin(angle + turn)) for turn in (0.45, -0.45)]
        head = "".join(f"M{_short(x1)} {_short(y1)}L{_short(x)} {_short(y)}" for x, y in wings)
        shaft = f"M{_short(x0)} {_short(y0)}L{_short(x1)} {_short(y1)}{head}"
        yield tag("path", tag("title", self.label), d=shaft, class_=f"line arrow c{self.colour}")


@dataclass(frozen=True)
class ErrorBars:
    """Values with whiskers of one standard error, at places along x."""

    x: ArrayLike
    y: ArrayLike
    error: ArrayLike
    label: str
    colour: int = 0

    def draw(self, frame: Frame) -> Iterator[Html]:
        """A dot and its whisker each."""
        low, high = (frame.down(np.asarray(self.y) + sign * np.asarray(self.error)) for sign in (-1, 1))
        places = zip(frame.across(self.x), frame.down(self.y), low, high, np.ravel(self.y), strict=True)
        for x, y, bottom, top, value in places:
            if math.isfinite(bottom - top):
                yield tag("path", d=f"M{_short(x)} {_short(bottom)}V{_short(top)}", class_=f"line c{self.colour}")
            title = tag("title", f"{self.label}: {number(float(value))}")
            yield tag("circle", title, cx=_short(x), cy=_short(y), r=4, class_=f"dot c{self.colour}")


Mark = Line | Points | Arrow | ErrorBars


def chart(
    marks: Sequence[Mark],
    *,
    title: str,
    description: str,
    x_label: str,
    y_label: str,
    x: Range,
    y: Range,
    size: tuple[int, int] = (420, 300),
    log_x: bool = False,
    ticks_x: Sequence[tuple[float, str]] | None = None,
    legend: bool = True,
) -> Html:
    """Marks in a frame with axes, as a figure with its caption.

    Args:
        marks: drawn in order.
        title: the caption.
        description: what a screen reader says of the picture.
        x_label: below the axis, with its unit.
        y_label: above the axis, with its unit.
        x: the range shown.
        y: the range shown.
        size: pixels at which it is drawn; it scales with the page.
        log_x: a logarithmic abscissa.
        ticks_x: places and texts of the ticks below, by default round numbers.
        legend: name the marks.
    """
    frame = Frame(_opened(x, log=log_x), _opened(y), *size, log_x=log_x)
    below = [(tick, number(tick)) for tick in (decades if log_x else ticks)(frame.x)] if ticks_x is None else ticks_x
    inside = _clipped(frame, [tuple(mark.draw(frame)) for mark in marks])
    drawing = tag(
        "svg",
        _axes(frame, below, x_label, y_label),
        inside,
        viewBox=f"0 0 {size[0]} {size[1]}",
        role="img",
        aria_label=description,
        class_="chart",
        xmlns="http://www.w3.org/2000/svg",
    )
    return figure(drawing, title, _legend(marks) if legend else None)


def heat(
    values: NDArray[np.float64],
    *,
    title: str,
    description: str,
    x_label: str,
    y_labels: Sequence[str],
    x: Range,
    x_labels: Sequence[str] | None = None,
) -> Html:
    """A matrix as rows of cells, darker where larger; every row is named, and each cell where the pointer rests."""
    rows, columns = values.shape
    step = min(22.0, 260.0 / rows)
    width, height = 420, int(TOP + rows * step + BOTTOM)
    frame = Frame(x, (0.0, 1.0), width, height)
    wider = max(0, LETTER * min(LONGEST, max(map(len, y_labels))) + EDGE - LEFT)
    top = float(np.nanmax(values)) or 1.0
    cell = (width - LEFT - RIGHT) / columns
    also = [""] * columns if x_labels is None else [f", {label}" for label in x_labels]
    cells = [
        tag(
            "rect",
            tag("title", f"{y_labels[row]}{also[column]}: {number(float(values[row, column]))}"),
            x=_short(LEFT + column * cell),
            y=_short(TOP + row * step),
            width=_short(cell + 0.3),
            height=_short(step - 1),
            class_="heat",
            fill_opacity=round(float(max(values[row, column], 0.0)) / top, 3),
        )
        for row in range(rows)
        for column in range(columns)
    ]
    names = [
        tag("text", _cut(label), x=LEFT - 6, y=_short(TOP + (row + 0.7) * step), class_="tick end")
        for row, label in enumerate(y_labels)
        if step >= 11 or row % math.ceil(11 / step) == 0
    ]
    below = [_tick_below(frame, tick, number(tick)) for tick in ticks(x)]
    drawing = tag(
        "svg",
        cells,
        names,
        below,
        tag("text", x_label, x=width / 2, y=height - 8, class_="axis middle"),
        viewBox=f"{-wider} 0 {width + wider} {height}",
        role="img",
        aria_label=description,
        class_="chart",
        xmlns="http://www.w3.org/2000/svg",
    )
    return figure(drawing, title, None)


def _cut(label: str) -> str:
    return label if len(label) <= LONGEST else f"{label[: LONGEST - 1]}…"


def figure(drawing: Html, title: str, legend: Html | None) -> Html:
    """A drawing under its title, with its legend."""
    return tag("figure", tag("figcaption", title), legend, drawing)


def ticks(limits: Range, about: int = 5) -> list[float]:
    """Round numbers within limits.

    >>> ticks((0.0, 1.0))
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    low, high = limits
    rough = (high - low) / about
    scale = 10.0 ** math.floor(math.log10(rough))
    step = next(scale * factor for factor in (1.0, 2.0, 5.0, 10.0) if scale * factor >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(index * step, 12) for index in range(first, math.floor(high / step + 1e-9) + 1)]


def decades(limits: Range) -> list[float]:
    """1, 10, 100, … within limits."""
    low, high = (math.log10(end) for end in limits)
    return [10.0**power for power in range(math.ceil(low - 1e-9), math.floor(high + 1e-9) + 1)]


def span(*values: ArrayLike, margin: float = 0.06) -> Range:
    """The range that shows all finite values, with a margin; [0, 1] where there is none."""
    flat = np.concatenate([np.ravel(np.asarray(value, np.float64)) for value in values])
    finite = flat[np.isfinite(flat)]
    if not finite.size:
        return 0.0, 1.0
    low, high = float(finite.min()), float(finite.max())
    room = margin * (high - low or abs(high) or 1.0)
    return low - room, high + room


def _opened(limits: Range, *, log: bool = False) -> Range:
    """Limits with something between them."""
    low, high = limits
    if high > low:
        return low, high
    return (low, low * 10.0) if log else (low - 0.5, low + 0.5)


def _clipped(frame: Frame, marks: Any) -> Html:
    """Marks, cut off a little outside the axes."""
    x, y = LEFT - EDGE, TOP - EDGE
    width, height = frame.width - LEFT - RIGHT + 2 * EDGE, frame.height - TOP - BOTTOM + 2 * EDGE
    return tag("svg", marks, x=x, y=y, width=width, height=height, viewBox=f"{x} {y} {width} {height}")


def _axes(frame: Frame, below: Sequence[tuple[float, str]], x_label: str, y_label: str) -> list[Html]:
    right, bottom = frame.width - RIGHT, frame.height - BOTTOM
    lines = []
    for tick in ticks(frame.y):
        y = float(frame.down(tick))
        lines.append(tag("path", d=f"M{LEFT} {_short(y)}H{right}", class_="grid"))
        lines.append(tag("text", number(tick), x=LEFT - 6, y=_short(y + 4), class_="tick end"))
    lines += [_tick_below(frame, tick, text) for tick, text in below]
    lines.append(tag("path", d=f"M{LEFT} {bottom}H{right}", class_="base"))
    lines.append(tag("text", x_label, x=(LEFT + right) / 2, y=frame.height - 8, class_="axis middle"))
    middle = (TOP + bottom) / 2
    lines.append(tag("text", y_label, x=0, y=0, transform=f"translate(13 {middle}) rotate(-90)", class_="axis middle"))
    return lines


def _tick_below(frame: Frame, tick: float, text: str) -> Html:
    x = float(frame.across(tick))
    return tag("text", text, x=_short(x), y=_short(frame.height - BOTTOM + 16), class_="tick middle")


def _legend(marks: Sequence[Mark]) -> Html | None:
    named = {mark.label: mark for mark in marks if mark.label}
    items = (tag("li", label, class_=_key(mark)) for label, mark in named.items())
    return tag("ul", items, class_="legend") if named else None


def _key(mark: Mark) -> str:
    return f"key c{mark.colour}" + (" dash" if isinstance(mark, Line) and mark.dashed else "")


def _classes(line: Line) -> str:
    return f"line c{line.colour}" + (" dashed" if line.dashed else "")


def _path(across: NDArray[np.float64], down: NDArray[np.float64]) -> str:
    command, written = "M", []
    for x, y in zip(across, down, strict=True):
        if not (math.isfinite(x) and math.isfinite(y)):
            command = "M"
            continue
        written.append(f"{command}{_short(x)} {_short(y)}")
        command = "L"
    return "".join(written)


def _short(value: float) -> str:
    return f"{float(value):.1f}"
