"""A table of a file with its missing cells filled in: what was there is written as it was read."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import compute

from reparam.data.coding import decode
from reparam.data.columns import Column
from reparam.data.reading import Reading
from reparam.data.schema import Schema
from reparam.data.sheets import Sheet
from reparam.data.sources import read_sheet
from reparam.data.writing import atomic

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
) -> bool:
    """Write a table again with its missing cells from rows; every other cell, of every column, is what it was.

    Args:
        path: the file, one of ``COMPLETED``; one of this name is replaced.
        source: the table.
        rows: in stored units, shape (N, P), without gaps.
        schema: of the rows.
        reading: how the table is read.
        beside: further columns by name, shape (N,).

    Returns:
        Whether the source is a table that could be read so; else nothing is written.
    """
    sheet = read_sheet(source, reading) if path.suffix.lower() in COMPLETED else None
    if sheet is None:
        return False
    cells = {name: sheet.table[name].combine_chunks() for name in sheet.names}
    for column, values in zip(_columns(sheet, schema), rows.T, strict=True):
        name = column.name if column.name in sheet.names else sheet.names[column.place]
        cells[name] = _joined(sheet, name, decode(values, column))
    cells |= {name: pa.array(values) for name, values in (beside or {}).items()}
    with atomic(path) as file:
        if path.suffix.lower() == ".csv":
            file.write(_text(cells, header=sheet.named).encode())
        else:
            from pyarrow import parquet

            parquet.write_table(pa.table(cells), file)
    return True


def _columns(sheet: Sheet, schema: Schema) -> tuple[Column, ...]:
    """The columns that rows tell of, by the names that the sheet has."""
    names = schema.columns or sheet.names
    if schema.table is None:
        return tuple(Column(name, "real", "gaussian", place=place) for place, name in enumerate(names))
    return schema.table


def _joined(sheet: Sheet, name: str, made: Any) -> Any:
    """The cells that were there as they came, and made ones in the places of the others."""
    present, raw = sheet.text(name), sheet.raw(name)
    kept = compute.if_else(compute.is_valid(present), raw, None)
    return compute.coalesce(kept, made.cast(kept.type, safe=False))


def _text(cells: Mapping[str, Any], *, header: bool) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    if header:
        writer.writerow(cells)
    columns = [column.cast(pa.string()).to_pylist() for column in cells.values()]
    writer.writerows(zip(*columns, strict=True))
    return stream.getvalue()
