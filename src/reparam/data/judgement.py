"""The judgement of a whole table before training: every column's kind, and what a user should know of them together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reparam.data.cells import Cells, is_numeric
from reparam.data.columns import Column
from reparam.data.kinds import ROWS_TO_JUDGE, judge_column
from reparam.data.reading import Reading
from reparam.data.schema import Judgement
from reparam.data.sheets import Sheet, refuse_mixture
from reparam.errors import DataError

ONE_THING = 64  # so many whole-number columns measure one thing many times: genes, pixels, words
SHOWN, FEW = 5, 3
MOST_COMPARED, FIRST_LOOK = 100, 500  # columns that are compared pair by pair, and the rows that settle most pairs


def judge(sheet: Sheet, reading: Reading) -> tuple[Judgement, Mapping[str, Cells]]:
    """What every column of a table is, by its cells or by the user's word, and the cells, understood.

    Raises:
        DataError: a column holds a cell that is no number among numbers, or no column is left to be modelled.
        UnknownNameError: the user named a kind that there is not.
    """
    for name in reading.asked:
        sheet.require(name)
    asked = {**sheet.kinds, **reading.asked}
    understood = {name: sheet.cells(name) for name in sheet.names}
    for name, cells in understood.items():
        if cells.bad and name not in asked:
            refuse_mixture(sheet, name, cells)
    columns = tuple(
        judge_column(name, place, cells, asked.get(name)) for place, (name, cells) in enumerate(understood.items())
    )
    plain = "" if asked else _why_plain(columns, understood, sheet.rows)
    if not plain and not any(column.is_modelled for column in columns):
        reasons = "; ".join(f"{column.name!r} is left out ({column.reason})" for column in columns[:3])
        raise DataError(f"{sheet.source} holds no column to model: {reasons}. Say --column NAME=KIND to have one.")
    return Judgement(columns, sheet.remarks, plain), understood


def _why_plain(columns: Sequence[Column], cells: Mapping[str, Cells], rows: int) -> str:
    """Why one likelihood explains all columns; nothing where they are of several kinds, or have holes."""
    if any(column.missing for column in columns) or not all(
        is_numeric(cells[column.name].values.type) for column in columns
    ):
        return ""
    kinds = {column.kind for column in columns}
    if rows < ROWS_TO_JUDGE:
        return f"numbers; fewer than {ROWS_TO_JUDGE} rows do not tell their kinds apart"
    if kinds <= {"real", "positive"}:
        return "every column holds real numbers"
    if kinds == {"count"}:
        return "every column holds counts"
    if kinds == {"binary"} and all(column.levels in (("0", "1"), ("false", "true")) for column in columns):
        return "every value is 0 or 1"
    if len(columns) > ONE_THING and all((column.lower or 0) >= 0 and column.whole for column in columns):
        return f"more than {ONE_THING} columns of whole numbers: one thing measured many times"
    return ""


def remarks(
    columns: Sequence[Column], rows: NDArray[Any], labels: NDArray[Any] | None, where: Callable[[int], str]
) -> tuple[str, ...]:
    """What is to be said of columns and rows together: repeated columns, rows of nothing, levels seen once, leaks.

    Args:
        columns: of the rows.
        rows: as they are stored, shape (N, P).
        labels: shape (N,), or ``None``.
        where: what stands where, of the number of a row.
    """
    if len(rows) < ROWS_TO_JUDGE:
        return ()
    return (
        *_repeated(columns, rows),
        *_empty_rows(rows, where),
        *_seen_once(columns, rows, where),
        *_telling(columns, rows),
        *_leaks(columns, rows, labels),
    )


def _repeated(columns: Sequence[Column], rows: NDArray[Any]) -> list[str]:
    """Columns that say what an earlier one says."""
    first: dict[bytes, str] = {}
    told = []
    for column, values in zip(columns, np.asarray(rows).T, strict=True):
        same, alike = (
            np.ascontiguousarray(values).tobytes(),
            _canonical(values.astype(np.float64), coded=column.is_coded),
        )
        if same in first:
            told.append(f"{column.name!r} repeats {first[same]!r} in every row; --drop one of them")
        elif alike in first:
            how = "one to one" if column.is_coded else "up to units"
            told.append(f"{column.name!r} says the same as {first[alike]!r}, {how}; --drop one of them")
        for key in (same, alike):
            first.setdefault(key, column.name)
    return _at_most(told, "columns say what others say")


def _canonical(values: NDArray[np.float64], *, coded: bool) -> bytes:
    """What two columns share that differ by the names of their levels alone, or by their units."""
    if coded:
        _, starts, codes = np.unique(values, return_index=True, return_inverse=True, equal_nan=True)
        return b"coded" + np.argsort(np.argsort(starts))[codes].astype(np.int32).tobytes()
    spread = np.nanstd(values)
    standard = (values - np.nanmean(values)) / (spread if spread > 0 else 1.0)
    signs = np.sign(standard[np.abs(standard) > 1e-3])
    standard = np.round(standard * (signs[0] if len(signs) else 1.0), 6) + 0.0
    return b"number" + standard.tobytes()


def _empty_rows(rows: NDArray[Any], where: Callable[[int], str]) -> list[str]:
    empty = np.flatnonzero(np.isnan(rows).all(axis=1)).tolist() if rows.dtype.kind == "f" else []
    if not empty:
        return []
    many = "1 row holds" if len(empty) == 1 else f"{len(empty):,} rows hold"
    return [f"{many} nothing in any column that is modelled, the first on {where(empty[0])}; they teach nothing"]


def _seen_once(columns: Sequence[Column], rows: NDArray[Any], where: Callable[[int], str]) -> list[str]:
    told: list[tuple[Column, int, int]] = []
    for column, values in zip(columns, rows.T, strict=True):
        if column.levels is None or column.kind == "binary" or column.whole:
            continue
        codes = values[~np.isnan(values)].astype(np.int64)
        for code in np.flatnonzero(np.bincount(codes, minlength=len(column.levels)) == 1):
            place = int(np.flatnonzero(values == code)[0])
            told.append((column, int(code), place))
    if len(told) > FEW:
        first, number, place = told[0]
        level = (first.levels or ())[number]
        return [f"{len(told):,} levels are seen once, such as {level!r} of {first.name!r} on {where(place)}"]
    return [f"{c.name!r} holds {(c.levels or ())[code]!r} once, on {where(place)}" for c, code, place in told]


def _telling(columns: Sequence[Column], rows: NDArray[Any]) -> list[str]:
    """Columns of levels that alone tell another's in every row, as a town tells its country; not one to one."""
    coded = [place for place, column in enumerate(columns) if column.is_coded][:MOST_COMPARED]
    codes = {place: np.nan_to_num(np.asarray(rows[:, place], np.float64), nan=-1.0).astype(np.int64) for place in coded}
    told = []
    for one, other in permutations(coded, 2):
        if len(columns[one].levels or ()) > len(columns[other].levels or ()) and _tells(codes[one], codes[other]):
            told.append(f"{columns[one].name!r} alone tells {columns[other].name!r} in every row")
    return _at_most(told, "columns tell another")


def _tells(one: NDArray[np.int64], other: NDArray[np.int64]) -> bool:
    """Whether rows of one code have one code of the other, as no chance makes it: each has two rows on average."""
    for some in (slice(0, FIRST_LOOK), slice(None)):  # most pairs differ in the first rows
        pairs = np.unique(one[some] * (int(other.max()) + 2) + other[some])
        if len(pairs) > len(np.unique(one[some])):
            return False
    return len(pairs) <= len(one) / 2


def _leaks(columns: Sequence[Column], rows: NDArray[Any], labels: NDArray[Any] | None) -> list[str]:
    """Columns whose value alone tells the label of every row."""
    if labels is None:
        return []
    classes = np.unique(labels, return_inverse=True)[1]
    count = int(classes.max()) + 1
    if not 2 <= count <= len(rows) / 2:
        return []
    told = []
    for column, values in zip(columns, rows.T, strict=True):
        _, codes = np.unique(values, return_inverse=True, equal_nan=True)
        different = int(codes.max()) + 1
        pairs = len(np.unique(codes.astype(np.int64) * count + classes))
        if pairs == different <= len(rows) / 2:
            told.append(f"{column.name!r} alone tells the label of every row; --drop it if it is one")
    return _at_most(told, "columns tell the label")


def _at_most(lines: list[str], what: str) -> list[str]:
    """A few lines, and how many more there are."""
    more = len(lines) - SHOWN
    return [*lines[:SHOWN], *([f"and {more:,} more {what}"] if more > 0 else [])]
