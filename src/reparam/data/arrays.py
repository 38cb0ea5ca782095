"""Any numeric array → rows in a stored type, with the schema that says what they mean."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reparam.data.schema import Dataset, Schema
from reparam.data.statistics import blocks
from reparam.errors import DataError, ParameterError

KINDS = {
    "O": "Python objects, which are stored as pickles, and opening a pickle runs code",
    "c": "complex numbers",
    "S": "text",
    "U": "text",
    "T": "text",
    "M": "dates",
    "m": "time spans",
    "V": "records or raw bytes",
}


LARGEST_EXACT = 2**53  # whole numbers up to it are each a float64


@dataclass(frozen=True)
class Raw:
    """What a source holds before it is checked: `scale`, names of columns and of rows where they are known, remarks."""

    array: NDArray[Any]
    labels: NDArray[Any] | None = None
    scale: float | None = None
    columns: tuple[str, ...] | None = None
    index: NDArray[Any] | None = None
    remarks: tuple[str, ...] = ()


def from_array(
    array: Any,
    *,
    name: str = "array",
    columns: Sequence[str] | None = None,
    labels: Any = None,
    scale: float | None = None,
    event_shape: Sequence[int] | None = None,
    allow_missing: bool = False,
) -> Dataset:
    """An array of N data, shape (N, ...), as a dataset.

    Floats are stored as float32 or float64; integers up to 16 bits as they are, wider ones as int32, or as float64
    where that is too narrow; booleans as uint8. uint8 means pixels (units x/255) unless no value exceeds 1 or `scale`
    is given; all else keeps its units.

    Args:
        array: numbers, shape (N, P) or (N, *event_shape), any byte order, any memory order.
        name: what errors and the schema call it.
        columns: names of the P columns.
        labels: shape (N,).
        scale: what a stored value is divided by; `None` lets the stored type decide.
        event_shape: the shape of one datum, when the array's own shape does not tell it.
        allow_missing: keep NaN, which means missing; otherwise it is refused.

    Raises:
        DataError: not numbers, no rows or columns, NaN or infinity, or out of the stored type's range.
        ParameterError: `event_shape` or `columns` disagree with the array.

    >>> data = from_array(np.array([[[0, 255], [51, 0]]], dtype=np.uint8))
    >>> data.schema.event_shape, data.schema.units, data.rows.dtype
    ((2, 2), 'x/255', dtype('uint8'))
    """
    array = np.asarray(array)
    _check_shape(array, name)
    shape = _event_shape(array, event_shape, name)
    if columns is not None and len(columns) != math.prod(shape):
        raise ParameterError(f"{name} has {math.prod(shape)} columns, but {len(columns)} column names came.")
    rows = _store(array, name).reshape(len(array), -1)
    _check_finite(rows, columns, name, allow_missing)
    unit, units = _units(array, rows, scale)
    names = None if columns is None else tuple(columns)
    schema = Schema(name, shape, str(rows.dtype), names, 0.0, unit, units, unit)
    return Dataset(rows, schema, _check_labels(labels, len(rows), name))


def channels_last(array: NDArray[Any], shape: Sequence[int] | None, name: str) -> NDArray[Any]:
    """An array (N, C, H, W), or flat rows of that ``shape`` (C, H, W), as (N, H, W, C); rows of another size stay.

    Raises:
        ParameterError: rows are flat, and their shape was not said.

    >>> channels_last(np.arange(6).reshape(1, 6), (3, 1, 2), "x").tolist()
    [[[[0, 2, 4], [1, 3, 5]]]]
    """
    if array.ndim == 2 and shape is None:
        raise ParameterError(f"{name} has flat rows: channels_first needs their shape, such as 3,32,32.")
    if array.ndim == 2 and shape is not None and math.prod(shape) == array.shape[1]:
        array = array.reshape(len(array), *shape)
    return np.moveaxis(array, 1, -1) if array.ndim == 4 else array


def column_name(columns: Sequence[str] | None, index: int) -> str:
    """The name of a column, or what a column without a name is called."""
    return f"column_{index}" if columns is None else columns[index]


def _check_shape(array: NDArray[Any], name: str) -> None:
    if array.dtype.kind in KINDS:
        raise DataError(
            f"{name} holds {KINDS[array.dtype.kind]} (dtype {array.dtype}); real numbers are required. "
            "Convert it to an array of floats or integers."
        )
    if array.ndim < 2:
        raise DataError(
            f"{name} has shape {array.shape}; rows are required, shape (N, P) or (N, height, width). "
            "Reshape it so that the first axis counts the data."
        )
    if array.size == 0:
        missing = "rows" if len(array) == 0 else "columns"
        raise DataError(f"{name} holds no {missing} (shape {array.shape}); at least one is required.")


def _event_shape(array: NDArray[Any], wanted: Sequence[int] | None, name: str) -> tuple[int, ...]:
    if wanted is None:
        return array.shape[1:]
    shape = tuple(int(length) for length in wanted)
    size = math.prod(array.shape[1:])
    if not shape or min(shape) < 1 or math.prod(shape) != size:
        raise ParameterError(
            f"the shape {shape} holds {math.prod(shape)} values, but a row of {name} holds {size} "
            f"(shape {array.shape[1:]})."
        )
    return shape


def select_columns(have: Sequence[str], wanted: Sequence[str], name: str) -> list[int]:
    """Where the wanted columns stand; others are passed over, and a missing one is a DataError."""
    places = {column: index for index, column in enumerate(have)}
    missing = [column for column in wanted if column not in places]
    if missing:
        shown = ", ".join(map(repr, missing[:5])) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        raise DataError(
            f"{name} lacks {len(missing)} of the {len(wanted)} columns that are required: {shown}. "
            f"It has {', '.join(map(repr, have[:5]))}{', …' if len(have) > 5 else ''}."
        )
    return [places[column] for column in wanted]


def fits_int32(low: int, high: int) -> bool:
    """Whether int32 holds whole numbers from `low` to `high`."""
    limits = np.iinfo(np.int32)
    return bool(limits.min <= low and high <= limits.max)


def stored_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The native type in which numbers of `dtype` are kept."""
    if dtype.kind == "b":
        return np.dtype(np.uint8)
    if dtype.kind == "f":
        return np.dtype(np.float64 if dtype.itemsize >= 8 else np.float32)
    wide = dtype.itemsize > 2
    return np.dtype(np.int32) if wide else dtype.newbyteorder("=")


def _store(array: NDArray[Any], name: str) -> NDArray[Any]:
    """The same numbers, C-contiguous, in their stored type."""
    target = stored_dtype(array.dtype)
    if target == np.int32 and not fits_int32(int(array.min()), int(array.max())):
        _check_exact(array, name)
        target = np.dtype(np.float64)
    with np.errstate(over="ignore"):  # what overflows becomes infinite, and is refused by name below
        return np.asarray(array, dtype=target, order="C")


def _check_exact(array: NDArray[Any], name: str) -> None:
    """Raise the DataError that names the first whole number which float64 would round."""
    beyond = (array > LARGEST_EXACT) | (array < -LARGEST_EXACT)
    if beyond.any():
        place = np.argwhere(beyond.reshape(len(array), -1))[0]
        raise DataError(
            f"{name}: row {place[0]}, column {place[1]} holds {array.reshape(len(array), -1)[tuple(place)]}; whole "
            "numbers beyond 2^53 would be rounded. Rows and columns are counted from 0. Leave out that column."
        )


def _check_finite(rows: NDArray[Any], columns: Sequence[str] | None, name: str, allow_missing: bool) -> None:
    """Raise the DataError that says how many values are not finite, and where the first stands."""
    if rows.dtype.kind != "f" or all(map(_all_usable, blocks(rows))):
        return
    count, row, column = _count_and_locate(rows, lambda block: _unusable(block, allow_missing))
    if count == 0:
        return
    value = rows[row, column]
    what = "missing (NaN)" if np.isnan(value) else "infinite, or beyond 3.4e38"
    where = f"row {row}, column {column}" + ("" if columns is None else f" ({columns[column]!r})")
    raise DataError(
        f"{name}: {count} of {rows.size} values are not finite numbers; the first, in {where}, is {what}"
        ". Rows and columns are counted from 0. Remove or fill in these rows."
    )


def _all_usable(block: NDArray[Any]) -> bool:
    """Whether Σ x² is so small that no value is NaN or beyond single precision: a third of the time of asking each."""
    values = block.ravel()
    with np.errstate(all="ignore"):
        return bool(np.dot(values, values) < np.float64(np.finfo(np.float32).max) ** 2)


def _unusable(block: NDArray[Any], allow_missing: bool) -> NDArray[np.bool_]:
    """Which values are NaN, unless that is allowed, or become infinite in single precision."""
    with np.errstate(over="ignore"):
        single = block.astype(np.float32, copy=False)
    return np.isinf(single) if allow_missing else ~np.isfinite(single)


def _count_and_locate(rows: NDArray[Any], refused: Callable[[NDArray[Any]], NDArray[np.bool_]]) -> tuple[int, int, int]:
    """How many values are refused, and the row and column of the first (0, 0, 0 where none is)."""
    count = row = column = start = 0
    for block in blocks(rows):
        mask = refused(block)
        if mask.any():  # for the search takes as long as all else
            places = np.argwhere(mask)
            row, column = (row, column) if count else (start + int(places[0, 0]), int(places[0, 1]))
            count += len(places)
        start += len(block)
    return count, row, column


def _units(array: NDArray[Any], rows: NDArray[Any], scale: float | None) -> tuple[float, str]:
    """What a stored value is divided by to be in units, and their name."""
    if scale is None:
        pixels = array.dtype == np.uint8 and rows.max() > 1
        scale = 255.0 if pixels else 1.0
    return float(scale), "x" if scale == 1 else f"x/{scale:g}"


def _check_labels(labels: Any, rows: int, name: str) -> NDArray[Any] | None:
    if labels is None:
        return None
    found: NDArray[Any] = np.asarray(labels)
    if found.shape != (rows,):
        raise DataError(f"the labels of {name} have shape {found.shape}; one label a row is required, shape ({rows},).")
    return found
