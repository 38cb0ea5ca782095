"""Data before anything is trained, as one page: each column and its picture, what is missing, what goes together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reparam.data import Column, Dataset, coding, inspect, is_image, span
from reparam.data.arrays import column_name
from reparam.markup import Html, number, tag
from reparam.markup.chart import heat
from reparam.markup.html import join, table
from reparam.reports.contact import contact_sheet
from reparam.reports.page import page

BINS = 24
PICTURED = 300  # columns; of more the first
TOGETHER = 30
BANDS = 60
WIDTH, HEIGHT = 150, 34


def data_page(data: Dataset) -> Html:
    """The page of a dataset as one HTML document."""
    parts = [("What the data are", _facts(data))]
    shown = is_image(data.schema.event_shape)
    parts.append(("Images", contact_sheet(data)) if shown else ("Columns", column_table(data)))
    if np.isnan(np.asarray(data.rows, np.float64)).any():
        parts.append(("Where cells are missing", _missing(data)))
    if data.judgement is not None and data.schema.size > 1:
        parts.append(("What goes together", _together(data)))
    sections = [tag("section", tag("h2", title), body) for title, body in parts]
    return page(data.schema.name, join(sections))


def _facts(data: Dataset) -> Html:
    judgement, summary = data.judgement, inspect(data)
    lines: list[tuple[str, str]] = [
        ("rows", f"{summary.rows:,}"),
        ("one datum", " × ".join(map(str, summary.event_shape))),
    ]
    if judgement is not None:
        out = [f"{column.name}: {column.kind}, {column.reason}" for column in judgement.left_out]
        lines += [("kept as", judgement.plain or "a table: one likelihood for each column")]
        lines += [("left out", "; ".join(out) or "nothing"), ("to be known", "; ".join(judgement.remarks) or "nothing")]
    if summary.image:
        lines += [("stored as", f"{summary.dtype}, from {summary.minimum:g} to {summary.maximum:g}")]
        lines += [("units", f"{summary.units}, from {summary.model_minimum:g} to {summary.model_maximum:g}")]
    if data.remarks:
        lines += [("to be known", "; ".join(data.remarks))]
    lines += [("missing", f"{summary.missing:,} values")]
    lines += [("labels", "none" if summary.labels is None else f"{summary.labels:,} classes")]
    return table(("", ""), lines, class_="card")


def column_table(data: Dataset) -> Html:
    """Every column with a picture of its values; those that are left out have none."""
    columns = _told(data)
    values = dict(zip(_all_names(data), data.rows.T, strict=True))
    head = ("column", "kind", "values", "range or levels", "missing", "likelihood", "shown to the model", "because")
    lines = [_line(column, values.get(column.name), len(data.rows)) for column in columns[:PICTURED]]
    more = len(columns) - PICTURED
    return table(head, lines, caption=f"the first {PICTURED} of {len(columns):,} columns" if more > 0 else None)


def _told(data: Dataset) -> Sequence[Column]:
    """What is known of every column, in the order of the data."""
    if data.schema.table is not None:
        return sorted((*data.schema.table, *(data.schema.beside or ())), key=lambda column: column.place)
    if data.judgement is not None:
        return data.judgement.columns
    return [Column(name, "real", "gaussian") for name in _all_names(data)]


def _all_names(data: Dataset) -> tuple[str, ...]:
    """The names of the columns of a row."""
    if data.schema.columns is None and data.judgement is not None:
        return tuple(column.name for column in data.judgement.columns)
    return tuple(column_name(data.schema.columns, place) for place in range(data.schema.size))


def _line(column: Column, values: NDArray[Any] | None, rows: int) -> tuple[Any, ...]:
    empty = column.missing if values is None else int(np.isnan(np.asarray(values, np.float64)).sum())
    missing = f"{empty:,} ({empty / rows:.1%})" if empty and values is not None else f"{empty:,}"
    picture = None if values is None else _marginal(column, np.asarray(values, np.float64))
    told = (span(column), missing, column.likelihood or "–", coding(column), column.reason)
    return (column.name, column.kind, picture, *told)


def _marginal(column: Column, values: NDArray[np.float64]) -> Html:
    """Bars: how often each level stands, or how many values fall in each of equal bins."""
    present = values[np.isfinite(values)]
    if column.levels is not None:
        counts = np.bincount(present.astype(np.int64), minlength=len(column.levels))
        names = list(column.levels)
    else:
        counts, edges = np.histogram(present, bins=BINS)
        names = [f"{number(float(low))} to {number(float(high))}" for low, high in pairwise(edges)]
    return tag(
        "svg",
        _bars(counts, names),
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        width=WIDTH,
        height=HEIGHT,
        role="img",
        aria_label=f"how the values of {column.name} are spread",
    )


def _bars(counts: NDArray[np.int64], names: Sequence[str]) -> Iterator[Html]:
    width, top = WIDTH / len(counts), max(float(counts.max()), 1.0)
    for place, (count, name) in enumerate(zip(counts.tolist(), names, strict=True)):
        tall = max(HEIGHT * count / top, 1.0 if count else 0.0)
        yield tag(
            "rect",
            tag("title", f"{name}: {count:,}"),
            x=f"{place * width:.2f}",
            y=f"{HEIGHT - tall:.2f}",
            width=f"{max(width - 0.6, 0.4):.2f}",
            height=f"{tall:.2f}",
            class_="bar c0",
        )


def _missing(data: Dataset) -> Html:
    """The share of missing cells in bands of rows, for the columns that have any."""
    holes = np.isnan(np.asarray(data.rows, np.float64))
    places = np.flatnonzero(holes.any(axis=0))[:TOGETHER]
    bands = np.array_split(holes[:, places], min(BANDS, len(holes)))
    shares = np.stack([band.mean(axis=0) for band in bands], axis=1)
    return heat(
        shares,
        title="share of cells that are missing",
        description="the share of missing cells by column and row",
        x_label="row",
        y_labels=_names(data, places),
        x=(0.0, float(len(holes))),
    )


def _together(data: Dataset) -> Html:
    """How far pairs of columns go together: correlations of ranks, in absolute value, over rows that have both."""
    ranks = np.stack([_ranks(np.asarray(column, np.float64)) for column in data.rows.T[:TOGETHER]])
    names = _names(data, range(len(ranks)))
    return heat(
        np.nan_to_num(np.abs(_correlations(ranks))),
        title="rank correlation of columns, in absolute value; a text's levels by their code",
        description="how far pairs of columns go together",
        x_label="column, in the same order",
        y_labels=names,
        x_labels=names,
        x=(0.0, float(len(ranks))),
    )


def _correlations(ranks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pearson's correlation of rows of numbers over the places where neither is missing, (P, P)."""
    seen = (~np.isnan(ranks)).astype(np.float64)
    x = np.where(np.isnan(ranks), 0.0, ranks)
    count = np.maximum(seen @ seen.T, 1.0)
    mean = (x @ seen.T) / count
    covariance = (x @ x.T) / count - mean * mean.T
    variance = (x**2 @ seen.T) / count - mean**2
    found: NDArray[np.float64] = covariance / np.sqrt(np.maximum(variance * variance.T, 1e-12))
    return found


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean ranks scaled to [0, 1], NaN where a value is missing."""
    seen = ~np.isnan(values)
    _, codes, counts = np.unique(values[seen], return_inverse=True, return_counts=True)
    ranks = np.full(len(values), np.nan)
    ranks[seen] = (np.cumsum(counts) - (counts + 1) / 2)[codes] / max(seen.sum(), 1)
    return ranks


def _names(data: Dataset, places: Any) -> list[str]:
    names = _all_names(data)
    return [names[place] for place in places]
