"""CSV, Parquet and Arrow tables of numbers → one array, its column names and its labels."""

from __future__ import annotations

import csv
import gzip
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import compute

from reparam.data.arrays import Raw, check_int32, column_name, select_columns, stored_dtype
from reparam.data.files import reading
from reparam.errors import DataError, UnknownNameError

MISSING = ("", "?", "NA", "N/A", "NaN", "nan", "NULL", "null", "None")
SEPARATORS = (",", ";", "\t")


def read_csv(path: Path, labels: str | None, wanted: Sequence[str] | None) -> Raw:
    """A table of text, gzipped or not; its first row is a header if any cell of it is no number."""
    from pyarrow import csv as arrow_csv

    with reading(path, "table of UTF-8 text"):
        first = _first_row(path)
        try:
            with pa.input_stream(str(path), compression="gzip" if _is_gzipped(path) else None) as stream:
                table = arrow_csv.read_csv(
                    stream,
                    arrow_csv.ReadOptions(autogenerate_column_names=not first.is_header),
                    arrow_csv.ParseOptions(delimiter=first.separator),
                    arrow_csv.ConvertOptions(null_values=list(MISSING)),
                )
        except pa.ArrowInvalid:
            _check_lengths(path, first)
            raise
        names = [cell.strip() for cell in first.cells] if first.is_header else None
        return _raw(path, table, names, labels, wanted)


def read_parquet(path: Path, labels: str | None, wanted: Sequence[str] | None) -> Raw:
    """A Parquet table."""
    from pyarrow import parquet

    with reading(path, "Parquet table"):
        table = _without_index(parquet.ParquetFile(path, memory_map=True).read())
        return _raw(path, table, table.column_names, labels, wanted)


def read_arrow(path: Path, labels: str | None, wanted: Sequence[str] | None) -> Raw:
    """An Arrow table: a file (also called Feather) or a stream."""
    with reading(path, "Arrow table"), pa.memory_map(str(path)) as file:
        is_file = file.read(6) == b"ARROW1"
        file.seek(0)
        table = _without_index((pa.ipc.open_file if is_file else pa.ipc.open_stream)(file).read_all())
        return _raw(path, table, table.column_names, labels, wanted)


def _without_index(table: Any) -> Any:
    """The table without the columns that pandas wrote as its index, which are no data."""
    index = (table.schema.pandas_metadata or {}).get("index_columns", [])
    return table.drop_columns([name for name in index if isinstance(name, str) and name in table.column_names])


@dataclass(frozen=True)
class _FirstRow:
    cells: list[str]
    separator: str

    @property
    def is_header(self) -> bool:
        return any(cell.strip() not in MISSING and not _is_number(cell) for cell in self.cells)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _is_gzipped(path: Path) -> bool:
    return path.name.lower().endswith(".gz")


@contextmanager
def _text(path: Path) -> Iterator[io.TextIOBase]:
    with (gzip.open if _is_gzipped(path) else open)(path, "rt", encoding="utf-8-sig", newline="") as file:
        yield file


def _first_row(path: Path) -> _FirstRow:
    """The first line that is not blank; the first of comma, semicolon and tab that it holds separates."""
    with _text(path) as file:
        lines = (line for line in file if line.strip("\r\n"))
        line = next(lines, None)
        if line is None:
            raise DataError(f"{path} holds no rows; at least one is required.")
        separator = next((mark for mark in SEPARATORS if mark in line), ",")
        return _FirstRow(next(csv.reader([line, *_quoted_rest(line, lines)], delimiter=separator)), separator)


def _quoted_rest(line: str, lines: Iterator[str]) -> Iterator[str]:
    """The lines that follow while a quoted cell of the first row runs on."""
    return lines if line.count('"') % 2 else iter(())


def _check_lengths(path: Path, first: _FirstRow) -> None:
    """Raise the DataError that names the first line with another number of cells than the first row."""
    with _text(path) as file:
        reader = csv.reader(file, delimiter=first.separator)
        for cells in reader:
            if cells and len(cells) != len(first.cells):
                raise DataError(
                    f"{path}: line {reader.line_num} has {len(cells)} cells, but the first row has "
                    f"{len(first.cells)}. Every row must have as many; mend or remove that line."
                )


def _raw(
    path: Path,
    table: Any,
    header: Sequence[str] | None,
    labels: str | None,
    wanted: Sequence[str] | None,
) -> Raw:
    """The columns that are asked for, or all but the labels, as one array."""
    if header is not None:
        _check_header(path, header)
    names = [column_name(header, index) for index in range(table.num_columns)]
    table = table.rename_columns(names)
    label_values = None if labels is None else _labels(path, table, labels)
    chosen = [name for name in names if name != labels]
    if wanted is not None and (header is not None or set(wanted) <= set(chosen)):
        chosen = [chosen[index] for index in select_columns(chosen, wanted, str(path))]
    table = table.select(chosen)
    _check_numbers(path, table)
    anonymous = header is None and len(chosen) == len(names)
    return Raw(_matrix(path, table), None if anonymous else tuple(chosen), label_values, scale=1.0)


def _check_header(path: Path, names: Sequence[str]) -> None:
    doubled = [name for name, count in Counter(names).items() if count > 1 and name]
    if doubled:
        raise DataError(f"{path} has more than one column called {', '.join(map(repr, doubled))}; rename them.")
    if "" in names:
        raise DataError(
            f"{path}: column {list(names).index('')} (counted from 0) has no name in the header. Name it; or, "
            "if it is an index that pandas wrote, write the table with index=False."
        )


def _labels(path: Path, table: Any, name: str) -> NDArray[Any]:
    """The column of labels: numbers or text."""
    if name not in table.column_names:
        raise DataError(f"{path}: {UnknownNameError('column', name, table.column_names)}")
    column = table[name]
    if column.null_count:
        raise DataError(f"{path}: {column.null_count} labels are missing in column {name!r}; fill them in.")
    labels = np.asarray(column.to_pylist())
    return labels.astype(str) if labels.dtype.kind == "O" else labels


def _check_numbers(path: Path, table: Any) -> None:
    """Raise the DataError that names the columns which are not numbers."""
    bad = [name for name in table.column_names if not _is_numeric(table.schema.field(name).type)]
    if not bad:
        return
    shown = ", ".join(map(repr, bad[:5])) + (f" and {len(bad) - 5} more" if len(bad) > 5 else "")
    column = table[bad[0]].drop_null()
    example = f", such as {str(column[0].as_py())[:40]!r} in {bad[0]!r}" if len(column) else ""
    raise DataError(
        f"{path}: {'column' if len(bad) == 1 else 'columns'} {shown} must hold numbers. Got "
        f"{table.schema.field(bad[0]).type} instead{example}. "
        "Encode as numbers, leave out, or name as labels."
    )


def _is_numeric(kind: Any) -> bool:
    types = pa.types
    return any(
        test(kind) for test in (types.is_integer, types.is_floating, types.is_boolean, types.is_decimal, types.is_null)
    )


def _matrix(path: Path, table: Any) -> NDArray[Any]:
    """All columns side by side, shape (N, P): integers where every column is whole, otherwise float64."""
    dtype = _common_dtype(path, table)
    rows = np.empty((table.num_rows, table.num_columns), dtype)
    for index, name in enumerate(table.column_names):
        rows[:, index] = table[name].cast(pa.from_numpy_dtype(dtype), safe=False).to_numpy()
    return rows


def _common_dtype(path: Path, table: Any) -> np.dtype[Any]:
    columns = [table[name] for name in table.column_names]
    types = [column.type for column in columns]
    if not columns or any(column.null_count for column in columns):
        return np.dtype(np.float64)
    if not all(pa.types.is_integer(kind) or pa.types.is_boolean(kind) for kind in types):
        return np.dtype(np.float64)
    for name, column in zip(table.column_names, columns, strict=True):
        if pa.types.is_integer(column.type) and column.type.bit_width > 16 and len(column):
            extremes = compute.min_max(column).as_py()
            check_int32(extremes["min"], extremes["max"], f"{path}: column {name!r}")
    return np.result_type(*(stored_dtype(np.dtype(kind.to_pandas_dtype())) for kind in types))
