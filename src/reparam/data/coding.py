"""Cells of a column ↔ the float64 values of a row: codes of levels, seconds of dates, numbers as they are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import compute

from reparam.data.cells import dates_in, exact_numbers_in, numbers_in
from reparam.data.columns import SECONDS_A_DAY, Column
from reparam.data.schema import Schema
from reparam.errors import RunError
from reparam.specification import shown

TEXT_DATE = "date:"
PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def as_text(values: Any, stored_as: str) -> Any:
    """Cells as the text of levels: a whole number without a point, true or false, text as it is."""
    kind, types = values.type, pa.types
    if types.is_dictionary(kind):
        values = values.cast(kind.value_type)
    if types.is_floating(kind) or types.is_decimal(kind):
        coded = values.dictionary_encode()  # for levels are few, and cells many
        return pa.array([level_of(level) for level in coded.dictionary.to_pylist()], pa.string()).take(coded.indices)
    if types.is_string(values.type) and not _is_text(stored_as):
        numbers, _ = numbers_in(values, stored_as)
        return compute.coalesce(as_text(numbers, stored_as), values)
    return values.cast(pa.string())


def level_of(number: float) -> str:
    """The text of a level that is a number."""
    return str(int(number)) if float(number).is_integer() else repr(float(number))


def as_numbers(values: Any, stored_as: str) -> tuple[NDArray[np.float64], tuple[int, ...]]:
    """Cells as float64, NaN where they are empty or no numbers, and the places of the latter; dates as seconds."""
    bad: tuple[int, ...] = ()
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        if stored_as.startswith(TEXT_DATE):
            values, bad = dates_in(values, stored_as.removeprefix(TEXT_DATE))
        else:
            values, bad = exact_numbers_in(values.cast(pa.string()), stored_as)
    if pa.types.is_date(values.type):
        values = values.cast(pa.timestamp("s"))
    if pa.types.is_timestamp(values.type):
        seconds = values.cast(pa.int64()).cast(pa.float64(), safe=False)
        return _numpy(seconds) / PER_SECOND[values.type.unit], bad
    return _numpy(values.cast(pa.float64(), safe=False)), bad


def encode(values: Any, column: Column) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Cells as values of a row, NaN where they are missing, and the places of cells that are none of the column's."""
    if not column.is_coded:
        numbers, bad = as_numbers(values, column.stored_as)
        return numbers, np.asarray(bad, np.int64)
    text = as_text(values, column.stored_as)
    codes = compute.index_in(text, value_set=pa.array(column.levels, text.type))
    unknown = np.flatnonzero(np.asarray(codes.is_null()) & np.asarray(text.is_valid()))
    return _numpy(codes.cast(pa.float64())), unknown


def decode(values: NDArray[np.float64], column: Column) -> Any:
    """Values of a row as cells of the column's own type: a level, a date, a number inside its range; NaN as null."""
    missing = np.isnan(values)
    if column.is_coded:
        levels = column.levels or ()
        codes = np.clip(np.rint(np.where(missing, 0, values)), 0, len(levels) - 1).astype(np.int64)
        return _typed(pa.array(levels, pa.string()).take(pa.array(codes, mask=missing)), column.stored_as)
    low, high = -np.inf if column.lower is None else column.lower, np.inf if column.upper is None else column.upper
    numbers = np.clip(np.asarray(values, np.float64), low, high)
    rounded = numbers if column.decimals is None else np.round(numbers, column.decimals)
    if column.kind == "date":
        seconds = np.where(missing, 0, np.rint(rounded / SECONDS_A_DAY) * SECONDS_A_DAY if column.whole else rounded)
        return _dated(seconds, missing, column.stored_as)
    return _typed(pa.array(rounded, mask=missing), column.stored_as)


def constant_cells(column: Column, rows: int) -> Any | None:
    """The cells of a column that has one value, or None of one that has none."""
    if column.kind != "constant":
        return None
    if column.levels is not None:
        return _typed(pa.array([column.levels[0]] * rows, pa.string()), column.stored_as)
    if column.lower is None:
        return pa.nulls(rows)
    return decode(np.full(rows, column.lower), _as_if_it_varied(column))


def _as_if_it_varied(column: Column) -> Column:
    """A constant column of the kind that its cells have."""
    is_date = column.stored_as.startswith((TEXT_DATE, "timestamp", "date"))
    return replace(column, kind="date" if is_date else "real")


def cells_of(rows: NDArray[np.float64], schema: Schema) -> dict[str, Any]:
    """Rows of a table, shape (N, P), as cells by column, in the order of the table; what has one value is there too."""
    made = {
        column.name: (column.place, decode(x, column)) for column, x in zip(schema.table or (), rows.T, strict=True)
    }
    for column in schema.beside or ():
        cells = constant_cells(column, len(rows))
        if cells is not None:
            made[column.name] = column.place, cells
    return {name: cells for name, (_, cells) in sorted(made.items(), key=lambda item: item[1][0])}


def check_cells(schema: Schema) -> None:
    """Refuse a table with a column whose cells cannot be those of its range, in the type that they are stored as.

    Raises:
        RunError: the error names the column.
    """
    for column in (*(schema.table or ()), *(schema.beside or ())):
        if (column.is_modelled or column.kind == "constant") and not _holds_its_range(column):
            raise RunError(
                f"the field 'stored_as' of the column {column.name!r} must be a type that holds its range. "
                f"Got {shown(column.stored_as)}."
            )


def _holds_its_range(column: Column) -> bool:
    """Whether its limits, or the codes of its levels, are the same when they were cells."""
    if column.kind == "constant" and (column.levels is not None or column.lower is None):
        return True
    tried = column if column.is_modelled else _as_if_it_varied(column)
    limits = [limit for limit in (column.lower, column.upper) if limit is not None]
    values = np.arange(len(column.levels or ()), dtype=float) if column.is_coded else np.asarray(limits, float)
    try:
        with np.errstate(all="ignore"):
            back, _ = encode(decode(values, tried), tried)
    except (pa.ArrowException, ValueError, TypeError, KeyError, OverflowError):
        return False
    return np.allclose(back, values, rtol=1e-6, atol=SECONDS_A_DAY if tried.kind == "date" else 1.0)


def _is_text(stored_as: str) -> bool:
    return stored_as in ("string", "large_string") or stored_as.startswith("dictionary")


def _typed(cells: Any, stored_as: str) -> Any:
    """Cells in the type that they are stored as; what is no Arrow type stays text or float64."""
    if stored_as == "decimal_comma":
        return compute.replace_substring(cells.cast(pa.string()), ".", ",")
    if stored_as.startswith(("dictionary", TEXT_DATE)) or stored_as == "grouped":
        return cells
    kind = pa.decimal128(38, 9) if stored_as.startswith("decimal") else pa.type_for_alias(stored_as)
    return cells.cast(kind, safe=False) if kind != cells.type else cells


def _dated(seconds: NDArray[np.float64], missing: NDArray[np.bool_], stored_as: str) -> Any:
    """Seconds as dates of a type, or as text in a format."""
    if stored_as.startswith(TEXT_DATE):
        dates = pa.array(np.rint(seconds).astype(np.int64), pa.timestamp("s"), mask=missing)
        return compute.strftime(dates, stored_as.removeprefix(TEXT_DATE))
    kind = pa.type_for_alias(stored_as) if not stored_as.startswith("timestamp") else _timestamp(stored_as)
    if pa.types.is_timestamp(kind):
        ticks = np.rint(seconds * PER_SECOND[kind.unit]).astype(np.int64)
        return pa.array(ticks, pa.int64(), mask=missing).cast(kind)
    if pa.types.is_date(kind):
        days = np.floor(seconds / SECONDS_A_DAY).astype(np.int32)
        return pa.array(days, pa.int32(), mask=missing).cast(pa.date32()).cast(kind)
    return _typed(pa.array(seconds, mask=missing), stored_as)


def _timestamp(stored_as: str) -> Any:
    """``timestamp[us, tz=UTC]`` as a type."""
    unit, _, zone = stored_as.removeprefix("timestamp[").removesuffix("]").partition(", tz=")
    return pa.timestamp(unit, zone or None)


def _numpy(values: Any) -> NDArray[np.float64]:
    return np.asarray(values.to_numpy(zero_copy_only=False), np.float64)
