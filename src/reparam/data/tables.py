"""CSV, Parquet and Arrow tables → sheets, and sheets → datasets."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import compute

from reparam.data.arrays import channels_last, column_name, fits_int32, from_array, select_columns, stored_dtype
from reparam.data.cells import is_numeric
from reparam.data.dialect import Dialect, is_number, line_of, recognise, records, undecodable_line
from reparam.data.files import reading as parsing
from reparam.data.judgement import judge, remarks
from reparam.data.places import Place, arrow_file
from reparam.data.reading import Reading
from reparam.data.schema import Dataset, Schema
from reparam.data.sheets import Sheet, check_names
from reparam.data.statistics import blocks
from reparam.errors import DataError

BLOCK = 1 << 20


def read_csv(path: Place, reading: Reading) -> Sheet:
    """A table of text, gzipped or not."""
    with parsing(path, "table of text"):
        dialect = recognise(path, reading)
        packed = path.name.lower().endswith(".gz")
        with pa.input_stream(arrow_file(path), compression="gzip" if packed else None) as stream:
            table = text_table(stream, path, dialect)
        if has_line_ends(table):
            check_rows(records(path, dialect, strict=True), path, dialect)
        return text_sheet(path, dialect, table, reading)


def text_table(stream: Any, path: Place, dialect: Dialect) -> Any:
    """The cells of a stream of text, all as text, the first row among them; ``path`` is where faults are looked for."""
    from pyarrow import csv as arrow_csv

    longest = 64 * sum(len(cell) + 1 for cell in dialect.first)
    cells = {f"f{place}": pa.string() for place in range(len(dialect.first))}
    try:
        return arrow_csv.read_csv(
            stream,
            arrow_csv.ReadOptions(column_names=list(cells), block_size=max(BLOCK, longest), encoding=dialect.encoding),
            arrow_csv.ParseOptions(delimiter=dialect.delimiter, quote_char=dialect.quote, newlines_in_values=True),
            arrow_csv.ConvertOptions(column_types=cells, strings_can_be_null=False),
        )
    except pa.ArrowInvalid:
        _check_text(path, dialect)
        raise


def read_parquet(path: Place, reading: Reading) -> Sheet:
    """A Parquet table."""
    from pyarrow import parquet

    with parsing(path, "Parquet table"), arrow_file(path) as file:
        return typed_sheet(str(path), valid(parquet.ParquetFile(file).read()))


def read_arrow(path: Place, reading: Reading) -> Sheet:
    """An Arrow table: a file (also called Feather) or a stream."""
    with parsing(path, "Arrow table"), arrow_file(path) as file:
        is_file = file.read(6) == b"ARROW1"
        file.seek(0)
        return typed_sheet(str(path), valid((pa.ipc.open_file if is_file else pa.ipc.open_stream)(file).read_all()))


def valid(table: Any) -> Any:
    """The table, once its buffers are known to hold what it says of them; Arrow itself would find out at their use."""
    table.validate(full=True)
    return table


def from_sheet(sheet: Sheet, reading: Reading, name: str) -> Dataset:
    """A table as rows: float64 by column of each kind, or numbers of one kind in the type they came in.

    Raises:
        DataError: a cell cannot be what its column is, or nothing is left to model; the text says where.
    """
    sheet, labels, index = _parted(sheet, reading)
    judgement, cells = judge(sheet, reading)
    columns = judgement.modelled
    if judgement.plain:
        whole = {name: cell.values for name, cell in cells.items()}
        names = sheet.names if sheet.named or reading.drop or labels is not None or index is not None else None
        data = from_array(_matrix(sheet, whole), name=name, columns=names, labels=labels, scale=1.0)
    else:
        rows = sheet.encoded(columns, [cells[column.name].values for column in columns])
        names = tuple(column.name for column in columns)
        schema = Schema(name, (len(columns),), "float64", names, table=columns, beside=judgement.left_out)
        data = Dataset(rows, schema, labels)
    told = remarks(columns, data.rows, labels, sheet.where)
    return replace(data, index=index, judgement=replace(judgement, remarks=(*judgement.remarks, *told)))


def pictured(sheet: Sheet, reading: Reading, name: str, shape: Sequence[int]) -> Dataset:
    """A table whose rows are pictures: numbers of one kind, whole ones from 0 to 255 as the pixels of a uint8 array.

    Raises:
        DataError: a cell is no number, or rows are not as long as the shape says.
        ParameterError: channels come first, and the shape was not said so.
    """
    sheet, labels, index = _parted(sheet, reading)
    size = math.prod(shape)
    if len(sheet.names) != size:
        raise DataError(
            f"{sheet.source} has {len(sheet.names)} columns, but a picture of shape {tuple(shape)} has {size} pixels. "
            "Say --labels of a column of labels, and --drop of others that are no pixels."
        )
    data = _numbers(sheet, labels)
    rows, names = data.rows, np.asarray(data.schema.columns or [])
    if reading.channels_first:
        rows = channels_last(rows, reading.shape, name).reshape(len(rows), -1)
        names = channels_last(names[None], reading.shape, name).reshape(-1) if len(names) else names
    whole = bool(all(((block == np.rint(block)) & (block >= 0) & (block <= 255)).all() for block in blocks(rows)))
    pixels = rows.astype(np.uint8) if whole else rows
    columns = tuple(names.tolist()) or None
    made = from_array(pixels, name=name, columns=columns, labels=labels, event_shape=shape, allow_missing=True)
    return replace(made, index=index)


def conformed(sheet: Sheet, schema: Schema, reading: Reading, *, unknown: str = "refuse") -> Dataset:
    """New rows of a table for an existing schema, matched by name, or by position where there are no names.

    Args:
        sheet: the table.
        schema: of the model.
        reading: what the user says of it.
        unknown: what becomes of a level that the model never saw: ``refuse`` or ``missing``.

    Raises:
        DataError: columns are missing, or a cell is no value of its column.
    """
    sheet, labels, index = _parted(sheet, reading)
    if schema.table is None:
        wanted = schema.columns
        if wanted is not None and (sheet.named or set(wanted) <= set(sheet.names)):
            select_columns(sheet.names, wanted, sheet.source)
            sheet = sheet.select(wanted)
        return replace(_numbers(sheet, labels), index=index)
    names = matched(sheet, schema)
    rows = sheet.encoded(schema.table, [sheet.text(name) for name in names], unknown=unknown)
    return Dataset(rows, schema, labels, index)


def matched(sheet: Sheet, schema: Schema) -> list[str]:
    """What a sheet calls the columns of a table's schema: the same, or by position where it names none.

    Raises:
        DataError: columns are missing.
    """
    table, beside, names = schema.table or (), schema.beside or (), sheet.names
    wanted = [column.name for column in table]
    if sheet.named or set(wanted) <= set(names):
        select_columns(names, wanted, sheet.source)
        return wanted
    if len(names) == len(table):
        return list(names)
    every = sorted((*table, *beside), key=lambda column: column.place)
    if len(names) == len(every):
        return [name for name, column in zip(names, every, strict=True) if column.is_modelled]
    raise DataError(
        f"{sheet.source} has {len(names)} columns without names, but the model was made for {len(table)} (from "
        f"{schema.name}). Give the same columns, or a header that names them."
    )


def text_sheet(path: Place, dialect: Dialect, table: Any, reading: Reading, *, has_first: bool = True) -> Sheet:
    """Cells of text as a sheet; ``has_first``: whether the file's first row, which may be a header, is among them."""
    if dialect.header:
        names, told = check_names(str(path), dialect.first)
        table = table.slice(1) if has_first else table
    else:
        names, told = tuple(column_name(None, place) for place in range(table.num_columns)), ()
    return Sheet(
        str(path),
        table.rename_columns(list(names)),
        named=dialect.header,
        is_text=True,
        missing=reading.missing,
        delimiter=dialect.delimiter,
        line_of=partial(line_of, path, dialect),
        remarks=told,
    )


def typed_sheet(source: str, table: Any) -> Sheet:
    """The table without the columns that pandas wrote as its index, which are no data."""
    index = (table.schema.pandas_metadata or {}).get("index_columns", [])
    table = table.drop_columns([name for name in index if isinstance(name, str) and name in table.column_names])
    names, told = check_names(source, table.column_names)
    renamed = table.rename_columns(list(names)).replace_schema_metadata(table.schema.metadata)
    return Sheet(source, renamed, remarks=told)


def has_line_ends(table: Any) -> bool:
    """Whether a line ends within a cell: it is meant, or a quote was forgotten."""
    return any(compute.any(compute.match_substring(column, "\n")).as_py() for column in table.columns)


def _check_text(path: Place, dialect: Dialect) -> None:
    """Raise the DataError that names the first line of bytes that are no text, or what :func:`check_rows` finds."""
    found = undecodable_line(path) if dialect.encoding.startswith("utf-8") else None
    if found is not None:
        raise DataError(
            f"{path}: line {found[0]} holds the byte 0x{found[1].hex()}, which is not UTF-8, the encoding that is "
            f"required{_latin(found[1])}. Save the whole file as UTF-8."
        )
    check_rows(records(path, dialect, strict=True), path, dialect)


def check_rows(
    rows: Iterable[tuple[int, list[str]]], path: Place, dialect: Dialect, lines_before: Callable[[], int] = lambda: 0
) -> None:
    """Read strictly what was read already.

    Args:
        rows: the number of the line where each ends, and its cells.
        path: of the file that they are of.
        dialect: of the file.
        lines_before: how many stand in the file before these rows.

    Raises:
        DataError: a row has other cells than the first, or a quote is open; it names the line.
    """
    begun = 1
    try:
        for line, cells in rows:
            if len(cells) != len(dialect.first):
                raise DataError(
                    f"{path}: line {lines_before() + line} has {len(cells)} cells, but the first row has "
                    f"{len(dialect.first)}. Every row must have as many; mend or remove that line."
                )
            begun = line + 1
    except csv.Error as error:
        raise DataError(
            f"{path}: a quote {dialect.quote} that opens in the row of line {lines_before() + begun} is not closed "
            "where its cell ends. Close it there, double the quotes within a cell, or say what stands around cells: "
            "--quote."
        ) from error


def _latin(byte: bytes) -> str:
    letter = byte.decode("cp1252", errors="ignore")
    return f" (in Windows-1252 it is {letter!r})" if letter else ""


def _parted(sheet: Sheet, reading: Reading) -> tuple[Sheet, NDArray[Any] | None, NDArray[Any] | None]:
    """The table without the columns that are no data, its labels, and the names of its rows."""
    for name in reading.drop:
        sheet.require(name)
    labels = None if reading.labels is None else _labels(sheet, reading.labels)
    index = None if reading.index is None else _index(sheet, reading.index)
    apart = {*reading.drop, reading.labels, reading.index}
    kept = [name for name in sheet.names if name not in apart]
    if sheet.rows == 0 or not kept:
        raise DataError(
            f"{sheet.source} holds no {'rows' if sheet.rows == 0 else 'columns'}; at least one is required."
        )
    return sheet.select(kept), labels, index


def _labels(sheet: Sheet, name: str) -> NDArray[Any]:
    """The column of labels: numbers or text."""
    values = sheet.cells(sheet.require(name)).values
    if values.null_count:
        raise DataError(f"{sheet.source}: {values.null_count} labels are missing in column {name!r}; fill them in.")
    labels = np.asarray(values.to_pylist())
    return labels.astype(str) if labels.dtype.kind == "O" else labels


def _index(sheet: Sheet, name: str) -> NDArray[Any]:
    """The column that names the rows, as text where it came as text."""
    values = np.asarray(sheet.raw(sheet.require(name)).to_pylist())
    return values.astype(str) if values.dtype.kind == "O" else values


def _numbers(sheet: Sheet, labels: NDArray[Any] | None) -> Dataset:
    """Rows of numbers of one kind, whatever they are judged to be here.

    Raises:
        DataError: a cell is no number.
    """
    columns = {name: sheet.cells(name) for name in sheet.names}
    for name, cells in columns.items():
        if not (is_numeric(cells.values.type) or pa.types.is_null(cells.values.type)):
            _refuse_text(sheet, name, cells.values)
    names = sheet.names if sheet.named else None
    matrix = _matrix(sheet, {name: cells.values for name, cells in columns.items()})
    name = Path(sheet.source).name
    return from_array(matrix, name=name, columns=names, labels=labels, scale=1.0, allow_missing=True)


def _refuse_text(sheet: Sheet, name: str, values: Any) -> None:
    present = np.flatnonzero(np.asarray(values.is_valid())).tolist()
    first = next((place for place in present if not is_number(str(values[place].as_py()))), present[0])
    raise DataError(
        f"{sheet.source}: {sheet.place(first, name)} holds {str(values[first].as_py())[:40]!r}, but the column must "
        f"hold numbers. Mend that cell, or leave the column out."
    )


def _matrix(sheet: Sheet, columns: dict[str, Any]) -> NDArray[Any]:
    """All columns side by side, shape (N, P): integers where every column is whole, otherwise float64."""
    dtype = _common_dtype(list(columns.values()))
    rows = np.empty((sheet.rows, len(columns)), dtype)
    for target, values in zip(rows.T, columns.values(), strict=True):
        numbers = values.cast(pa.float64(), safe=False) if values.null_count or dtype == np.float64 else values
        target[:] = numbers.cast(pa.from_numpy_dtype(dtype), safe=False).to_numpy(zero_copy_only=False)
    return rows


def _common_dtype(columns: Sequence[Any]) -> np.dtype[Any]:
    """The narrowest type that holds every column, and float64 for fractions, holes and large whole numbers."""
    types = [column.type for column in columns]
    if any(column.null_count for column in columns):
        return np.dtype(np.float64)
    if not all(pa.types.is_integer(kind) or pa.types.is_boolean(kind) for kind in types):
        return np.dtype(np.float64)
    for column in columns:
        if pa.types.is_integer(column.type) and column.type.bit_width > 16 and len(column):
            extremes = compute.min_max(column).as_py()
            if not fits_int32(extremes["min"], extremes["max"]):
                return np.dtype(np.float64)
    return np.result_type(*(stored_dtype(np.dtype(kind.to_pandas_dtype())) for kind in types))
