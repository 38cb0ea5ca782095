"""DataFrames of pandas and polars ↔ rows with a schema; neither library is imported unless a frame of it came."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import compute

from reparam.data.coding import as_text, constant_cells, decode
from reparam.data.columns import Column
from reparam.data.reading import Reading
from reparam.data.schema import Dataset, Schema
from reparam.data.sheets import Sheet, check_names
from reparam.data.tables import conformed, from_sheet
from reparam.errors import DataError

Frame = Any
LIBRARIES = ("pandas", "polars")


def is_frame(value: object) -> bool:
    """Whether a value is a DataFrame of pandas or polars."""
    return _library(value) is not None


def from_frame(frame: Frame, *, name: str = "X", reading: Reading | None = None) -> Dataset:
    """A DataFrame as a dataset: every column judged by its cells, NaN and None missing, the index left aside.

    Args:
        frame: of pandas or polars; columns of numbers, text, categories, dates, booleans, in any mixture.
        name: what errors and the schema call it.
        reading: labels, kinds of columns, columns to drop.

    Raises:
        DataError: nothing in it can be modelled, or a cell is not what its column is; the text says where.

    >>> import pandas as pd
    >>> frame = pd.DataFrame({"age": [31.5, None, 47.0], "sex": pd.Categorical(["f", "m", "f"])})
    >>> data = from_frame(frame)
    >>> [column.kind for column in data.schema.table], data.rows[:, 1].tolist()
    (['real', 'binary'], [0.0, 1.0, 0.0])
    """
    return from_sheet(sheet_of(frame, name), reading or Reading(), name)


def conform_frame(frame: Frame, schema: Schema, *, name: str = "X", unknown: str = "refuse") -> Dataset:
    """A DataFrame for an existing model, its columns matched by name.

    Raises:
        DataError: columns are missing, or a cell is no value of its column.
    """
    return conformed(sheet_of(frame, name), schema, Reading(), unknown=unknown)


def to_frame(rows: NDArray[Any], schema: Schema, like: Frame) -> Frame:
    """Rows as a frame of the kind of ``like``: its columns in their order, its types, its categories.

    Where ``like`` has as many rows, its index is kept, and so are the columns that the model leaves out; of a frame
    of another length those are left away, but for columns that have one value.

    Args:
        rows: in stored units, shape (N, P); a code becomes its level, and a number stays in its column's range.
        schema: of the rows.
        like: a frame, or one without rows, as those that the schema was made of.

    >>> import pandas as pd
    >>> frame = pd.DataFrame({"n": [3, 1, 2, 0] * 5, "sex": pd.Categorical(["f", "m"] * 10)})
    >>> data = from_frame(frame)
    >>> to_frame(data.rows, data.schema, like=frame).equals(frame)
    True
    """
    rows = np.asarray(rows, np.float64)
    cells = _cells(rows, schema, like)
    if len(like) == len(rows):
        return _assembled(cells, {*_names(like)} - {*cells}, like, len(rows))
    constant = {column.name: constant_cells(column, len(rows)) for column in schema.beside or ()}
    cells |= {name: values for name, values in constant.items() if values is not None}
    return _assembled(cells, set(), like, len(rows))


def filled(frame: Frame, rows: NDArray[Any], schema: Schema) -> Frame:
    """The frame with its missing cells from rows, shape (N, P); every cell that was present stays what it is."""
    sheet = sheet_of(frame, "X")
    cells = _cells(np.asarray(rows, np.float64), schema, frame)
    holed = {name: values for name, values in cells.items() if name in sheet.names and sheet.raw(name).null_count}
    joined = {name: _joined(sheet.raw(name), values) for name, values in holed.items()}
    return _assembled(joined, {*_names(frame)} - {*joined}, frame, len(rows))


def template(frame: Frame) -> Frame:
    """The frame without its rows: what :func:`to_frame` needs to make others like it."""
    return frame.iloc[:0] if _library(frame) == "pandas" else frame.clear()


def sheet_of(frame: Frame, name: str) -> Sheet:
    """A frame's cells.

    Raises:
        DataError: two columns have one name.
    """
    names, told = check_names(name, _names(frame))
    table = {column: _arrow(cells) for column, cells in zip(names, _columns(frame), strict=True)}
    return Sheet(name, pa.table(table), remarks=told)


def _library(value: object) -> str | None:
    for ancestor in type(value).__mro__:
        library = ancestor.__module__.partition(".")[0]
        if ancestor.__name__ == "DataFrame" and library in LIBRARIES:
            return library
    return None


def _names(frame: Frame) -> list[str]:
    return [str(name) for name in frame.columns]


def _columns(frame: Frame) -> Iterable[Any]:
    if _library(frame) == "pandas":
        return (frame.iloc[:, place] for place in range(frame.shape[1]))
    columns: list[Any] = frame.get_columns()
    return columns


def _arrow(column: Any) -> Any:
    """A column's cells in one piece; text and numbers mixed are text."""
    try:
        cells = column.to_arrow() if hasattr(column, "to_arrow") else pa.array(column, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        cells = pa.array([None if _is_missing(cell) else str(cell) for cell in column], pa.string())
    except pa.ArrowNotImplementedError as error:
        raise DataError(f"the column {column.name!r} has cells of a type that is unknown here: {error}") from error
    cells = cells.combine_chunks() if isinstance(cells, pa.ChunkedArray) else cells
    return cells.cast(pa.string()) if str(cells.type) == "string_view" else cells


def _is_missing(cell: Any) -> bool:
    return cell is None or cell != cell  # noqa: PLR0124 - NaN, NaT and NA of any library differ from themselves


def _cells(rows: NDArray[np.float64], schema: Schema, like: Frame) -> dict[str, Any]:
    """Arrow cells by name of the columns that rows tell of."""
    table = schema.table or _plain_columns(like)
    return {column.name: decode(values, column) for column, values in zip(table, rows.T, strict=True)}


def _plain_columns(like: Frame) -> list[Column]:
    """Columns of numbers of one kind, whole where the frame's are."""
    whole = [pa.types.is_integer(_arrow(column).type) for column in _columns(like)]
    return [
        Column(name, "real", "gaussian", whole=w, decimals=0 if w else None)
        for name, w in zip(_names(like), whole, strict=True)
    ]


def _joined(present: Any, values: Any) -> Any:
    """Cells that are present, and others in the places of those that are not."""
    if pa.types.is_dictionary(present.type):
        present = as_text(present, str(present.type))
    return compute.coalesce(present, values.cast(present.type, safe=False))


def _assembled(cells: dict[str, Any], kept: set[str], like: Frame, rows: int) -> Frame:
    """A frame of made cells and of columns of ``like`` that are kept, in its order."""
    if _library(like) == "pandas":
        return _pandas(cells, kept, like, rows)
    import polars

    made = []
    for name, own in zip(_names(like), like.get_columns(), strict=True):
        if name in kept:
            made.append(own)
        elif name in cells:
            made.append(polars.Series(name, cells[name].to_pylist(), dtype=own.dtype, strict=False))
    return polars.DataFrame(made)


def _pandas(cells: dict[str, Any], kept: set[str], like: Frame, rows: int) -> Frame:
    import pandas

    index = like.index if len(like) == rows else pandas.RangeIndex(rows)
    places = [place for place, name in enumerate(_names(like)) if name in cells or name in kept]
    made = []
    for place in places:
        own, name = like.iloc[:, place], str(like.columns[place])
        made.append(own if name in kept else _series(cells[name], own.dtype, index))
    frame = pandas.concat(made, axis=1) if made else pandas.DataFrame(index=index)
    frame.columns = like.columns[places]
    return frame


def _series(cells: Any, dtype: Any, index: Any) -> Any:
    """Arrow cells as a pandas Series of a type."""
    import pandas

    if isinstance(dtype, pandas.CategoricalDtype):
        codes = _codes(cells, dtype.categories.tolist())
        return pandas.Series(pandas.Categorical.from_codes(codes, dtype=dtype), index=index)
    values = cells.to_pandas(timestamp_as_object=False)
    values.index = index
    holes = cells.null_count and isinstance(dtype, np.dtype) and dtype.kind in "iub"
    return values if holes else values.astype(dtype)


def _codes(cells: Any, categories: Sequence[Any]) -> NDArray[np.int64]:
    """Where each cell stands among categories of any type, −1 where it is missing."""
    known = as_text(pa.array(categories), "string")
    text = cells if pa.types.is_string(cells.type) else as_text(cells, str(cells.type))
    return np.asarray(compute.index_in(text, value_set=known.cast(text.type)).fill_null(-1), np.int64)
