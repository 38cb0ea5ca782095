"""A file whose missing cells are filled in, and whose other cells stay what they are, to the last byte."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import compute

from reparam.data.coding import as_text, decode
from reparam.data.columns import Column
from reparam.data.schema import Schema
from reparam.data.sheets import Sheet
from reparam.data.tables import matched
from reparam.data.writing import write_cells


def write_filled(path: str | os.PathLike[str], sheet: Sheet, rows: NDArray[Any], schema: Schema) -> Path:
    """Write a table again, `.csv` or `.parquet`, its missing cells from rows.

    Every column stays in its place, those that the model leaves out too; a table of text keeps its delimiter, and has
    a header if it had one.

    Args:
        path: the file.
        sheet: the table as it was read.
        rows: completed, in stored units, shape (N, P).
        schema: of the rows.

    Raises:
        ParameterError, DataError: as ``write_cells``.
    """
    values = dict(zip(matched(sheet, schema), np.asarray(rows, np.float64).T, strict=True))
    columns = dict(zip(values, schema.table or (), strict=True))
    cells = {name: _filled(sheet, name, columns.get(name), values.get(name)) for name in sheet.names}
    return write_cells(path, cells, delimiter=sheet.delimiter, header=sheet.named)


def _filled(sheet: Sheet, name: str, column: Column | None, values: NDArray[np.float64] | None) -> Any:
    """The cells of one column, those that are missing from values; others as they came."""
    raw, known = sheet.raw(name), sheet.text(name)
    if column is None or values is None or not known.null_count:
        return raw
    made = decode(values, column)
    if pa.types.is_dictionary(raw.type):
        raw = as_text(raw, str(raw.type))
    return compute.if_else(known.is_valid(), raw, made.cast(raw.type, safe=False))
