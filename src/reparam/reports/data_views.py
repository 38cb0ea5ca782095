"""A datum as it is best seen: pixels, a table of its columns, or its largest counts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reparam.data import Column
from reparam.data.coding import decode
from reparam.insight import Session
from reparam.markup import Html, number, tag
from reparam.markup.html import join, table
from reparam.markup.picture import image, shrunk

TABLE_ROWS = 30
COUNT_ROWS = 20


def datum(session: Session, values: NDArray[Any], description: str, *, most: int | None = None) -> Html:
    """One datum in stored units, (P,); an image of no more than ``most`` pixels a side."""
    if session.kind == "image":
        pixels = values.reshape(*session.schema.event_shape[:2], -1)
        return image(pixels if most is None else shrunk(pixels, most), description, limits=session.limits)
    chosen = _chosen(session, values)
    rows = ((session.columns[j], cell(session, j, values[j])) for j in chosen)
    return table(("column", "value"), rows, caption=f"{description}{_cut(session, chosen)}", class_="values")


def given_and_found(session: Session, given: NDArray[Any], found: NDArray[Any], names: tuple[str, str]) -> Html:
    """A datum and its reconstruction side by side, both (P,) in stored units."""
    if session.kind == "image":
        pair = zip((given, found), names, strict=True)
        return tag("div", (captioned(datum(session, values, name), name) for values, name in pair), class_="pair")
    chosen = _chosen(session, np.where(np.isnan(given), found, given) if given.dtype.kind == "f" else given)
    caption = _cut(session, chosen).strip(" ,")
    if session.kind == "counts":
        top = float(np.nanmax([*given[chosen], *found[chosen], 1.0]))
        parts = ((given, 0), (found, 1))
        bars = ((session.columns[j], *(_counted(session, j, side, top) for side in parts)) for j in chosen)
        return table(("column", *names), bars, caption=caption, class_="values")
    both = ((j, (cell(session, j, given[j]), cell(session, j, found[j]))) for j in chosen)
    rows = ((session.columns[j], *pair, _difference(session, j, given, found)) for j, pair in both)
    return table(("column", *names, "difference"), rows, caption=caption, class_="values")


def strip(session: Session, values: Sequence[NDArray[Any]], names: Sequence[str], title: str) -> Html:
    """Data side by side under their names, as a figure; of tables the columns that vary most, a column a datum."""
    if session.kind == "image":
        pictures = [captioned(datum(session, v, f"{title}: {n}"), n) for v, n in zip(values, names, strict=True)]
        return tag("figure", tag("figcaption", title), tag("div", pictures, class_="strip"))
    stacked = np.stack([np.asarray(v, np.float64) for v in values])
    scale = column_scale(session)
    order = np.argsort(-np.nan_to_num(np.ptp(stacked, axis=0) / scale), kind="stable")[:12]
    rows = ((session.columns[j], *(cell(session, j, v) for v in stacked[:, j])) for j in order)
    note = "" if len(order) == session.schema.size else f", the {len(order)} columns that vary most"
    return tag("figure", tag("figcaption", title + note), table(("column", *names), rows, class_="values"))


def signed(session: Session, values: NDArray[Any], title: str, names: tuple[str, str], *, count: int = 15) -> Html:
    """Numbers on both sides of zero, one for each feature: pixels in two colours, or the largest in a table.

    ``names`` are those of a feature and of its number.
    """
    size = float(np.nanmax(np.abs(values))) or 1.0
    if session.kind == "image":
        shaped = values.reshape(session.schema.event_shape)
        flat = shaped.sum(axis=-1) if shaped.ndim == 3 else shaped
        bound = float(np.abs(flat).max()) or 1.0
        picture = image(flat, title, limits=(-bound, bound), diverging=True)
        ends = tag("p", f"blue −{number(bound, 3)} · white 0 · red +{number(bound, 3)}", class_="note")
        return tag("figure", tag("figcaption", title), picture, ends)
    order = np.argsort(-np.abs(np.nan_to_num(values)), kind="stable")[:count]
    rows = ((session.columns[j], float(values[j]), _bar(float(values[j]) / size)) for j in order)
    return tag("figure", tag("figcaption", title), table((*names, ""), rows, class_="values"))


def column_scale(session: Session) -> NDArray[np.float64]:
    """The deviation of each column in the data, 1 where it is constant."""
    std = np.nanstd(np.asarray(session.data.rows[:20_000], np.float64), axis=0)
    return np.where(std > 0, std, 1.0)


def captioned(picture: Html, name: str) -> Html:
    """A picture over its name."""
    return tag("div", picture, tag("span", name, class_="under"), class_="captioned")


def cell(session: Session, column: int, value: Any) -> str:
    """A value as its column writes it, a level, a date or a number; or the word for its absence."""
    if np.isnan(value):
        return "missing"
    word = _word(session, column, value)
    return number(float(value)) if word is None else word


def exact_cell(session: Session, column: int, value: Any) -> Any:
    """A value as a file holds it: a number with all of its digits, a level or a date; nothing where it is absent."""
    if np.isnan(value):
        return ""
    word = _word(session, column, value)
    return value.item() if word is None else word


def _word(session: Session, column: int, value: Any) -> str | None:
    """A level or a date; None of a number."""
    known = _column(session, column)
    if known is None or not (known.is_coded or known.kind == "date"):
        return None
    return str(decode(np.array([value], np.float64), known)[0].as_py())


def row_name(session: Session, row: int) -> str:
    """What a row is called: its number, and its label where it has one."""
    return f"row {row}" if session.labels is None else f"row {row}, label {session.labels[row]}"


def _column(session: Session, place: int) -> Column | None:
    return None if session.schema.table is None else session.schema.table[place]


def _counted(session: Session, column: int, side: tuple[NDArray[Any], int], top: float) -> Html:
    """A count and its bar, on the scale of the largest one shown."""
    values, colour = side
    value = values[column]
    width = 0.0 if np.isnan(value) else 80 * float(value) / top
    rect = tag("rect", x=0, y=2, width=f"{width:.1f}", height=8, class_=f"bar c{colour}")
    bar = tag("svg", rect, viewBox="0 0 80 12", width=80, height=12, class_="spark", aria_hidden="true")
    return join((cell(session, column, value), " ", bar))


def _difference(session: Session, column: int, given: NDArray[Any], found: NDArray[Any]) -> str:
    """What was found beside what was given: a number, whether the level is the same, or why there is nothing to say."""
    if session.columns[column] in session.condition:
        return "given"
    if np.isnan(given[column]):
        return "–"
    known = _column(session, column)
    if known is not None and known.is_coded:
        return "same" if given[column] == found[column] else "other"
    if known is not None and known.kind == "date":
        return f"{number((float(found[column]) - float(given[column])) / 86400, 3)} days"
    return number(float(found[column]) - float(given[column]), 3)


def _chosen(session: Session, values: NDArray[Any]) -> list[int]:
    """Which columns stand in the table: the largest counts, or the first columns."""
    if session.kind == "counts":
        return [int(j) for j in np.argsort(-np.nan_to_num(values).astype(np.float64), kind="stable")[:COUNT_ROWS]]
    return list(range(min(session.schema.size, TABLE_ROWS)))


def _cut(session: Session, chosen: Sequence[int]) -> str:
    size = session.schema.size
    if len(chosen) == size:
        return ""
    which = "largest" if session.kind == "counts" else "first"
    return f", the {which} {len(chosen)} of {size} columns"


def _bar(share: float) -> Html:
    """A bar to the left or right of the middle, by share in [−1, 1]."""
    return Html("".join(_bar_parts(share)))


def _bar_parts(share: float) -> Iterator[Html]:
    width = 40 * abs(share)
    start = 40 - width if share < 0 else 40
    colour = 0 if share < 0 else 1
    rect = tag("rect", x=f"{start:.1f}", y=2, width=f"{width:.1f}", height=8, class_=f"bar c{colour}")
    yield tag("svg", rect, viewBox="0 0 80 12", width=80, height=12, class_="spark", aria_hidden="true")
