"""A table of a file with its missing cells filled in: what was there is written as it was read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import compute

from reparam.data.coding import as_text, decode
from reparam.data.columns import Column
from reparam.data.reading import Reading
from reparam.data.schema import Schema
from reparam.data.sheets import Sheet
from reparam.data.sources import read_sheet
from reparam.data.tables import matched
from reparam.data.writing import write_cells
from reparam.errors import ParameterError

COMPLETED = (".csv", ".parquet")
"""The endings of files that hold cells of any kind."""


def write_completed(
    path: Path,
    source: str,
    rows: NDArray[np.float64],
    schema: Schema,
    *,
    reading: Reading,
    beside: Mapping[str, NDArray[np.float64]] | None = None,
) -> int | None:
    """Write a table again with its missing cells from rows; every other cell, of every column, is what it was.

    A table of text keeps its delimiter, and has a header if it had one.

    Args:
        path: the file, one of ``COMPLETED``; one of this name is replaced.
        source: the table.
        rows: in stored units, shape (N, P), without gaps.
        schema: of the rows.
        reading: how the table is read.
        beside: further columns by name, shape (N,).

    Raises:
        ParameterError: a further column has the name of one that is there.

    Returns:
        How many cells were filled in; None where the source is no table that could be read so, and nothing is written.
    """
    sheet = read_sheet(source, reading) if path.suffix.lower() in COMPLETED else None
    if sheet is None:
        return None
    cells = completed(sheet, rows, schema, beside or {})
    write_cells(path, cells, delimiter=sheet.delimiter, header=sheet.named)
    return holes(sheet, schema)


def holes(sheet: Sheet, schema: Schema) -> int:
    """How many cells of a table are filled in: one of a level that is taken for missing is there, and stays."""
    return sum(sheet.text(name).null_count for name in _columns(sheet, schema)[1])


def completed(
    sheet: Sheet, rows: NDArray[np.float64], schema: Schema, beside: Mapping[str, NDArray[np.float64]]
) -> dict[str, Any]:
    """The cells of a table by column, missing ones from rows, and further columns behind them.

    Raises:
        ParameterError: a further column has the name of one that is there.
    """
    cells = {name: sheet.raw(name) for name in sheet.names}
    columns, names = _columns(sheet, schema)
    for name, column, values in zip(names, columns, np.asarray(rows, np.float64).T, strict=True):
        cells[name] = _joined(sheet, name, column, values)
    taken = sorted({*cells} & {*beside})
    if taken:
        raise ParameterError(
            f"{sheet.source} has a column {taken[0]!r} already, where another would be written. Rename it."
        )
    return cells | {name: pa.array(values) for name, values in beside.items()}


def _columns(sheet: Sheet, schema: Schema) -> tuple[tuple[Column, ...], list[str]]:
    """The columns that rows tell of, and what the sheet calls them."""
    if schema.table is not None:
        return schema.table, matched(sheet, schema)
    names = list(schema.columns or sheet.names)
    columns = tuple(Column(name, "real", "gaussian", place=place) for place, name in enumerate(names))
    return columns, [name if name in sheet.names else sheet.names[place] for place, name in enumerate(names)]


def _joined(sheet: Sheet, name: str, column: Column, values: NDArray[np.float64]) -> Any:
    """The cells that were there as they came, and made ones in the places of the others."""
    raw, known = sheet.raw(name), sheet.text(name)
    if not known.null_count:
        return raw
    if pa.types.is_dictionary(raw.type):
        raw = as_text(raw, str(raw.type))
    return compute.if_else(known.is_valid(), raw, decode(values, column).cast(raw.type, safe=False))
