"""Results → a file, by its ending; a file appears whole or not at all."""

from __future__ import annotations

import csv
import io
import math
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from reparam.data.arrays import column_name
from reparam.data.coding import cells_of
from reparam.data.pictures import is_folder, write_folder, write_grid, write_visibly
from reparam.data.schema import Schema
from reparam.errors import DataError, ParameterError
from reparam.storage import whole_file


@dataclass(frozen=True)
class Table:
    """Named arrays with one row a datum, N rows in all; `index` names the rows.

    The first array may carry the names of its columns, the shape of a datum, and the values that a
    picture shows black and white.
    """

    arrays: dict[str, NDArray[Any]]
    columns: tuple[str, ...] | None = None
    index: NDArray[Any] | None = None
    event_shape: tuple[int, ...] | None = None
    limits: tuple[float, float] | None = None
    index_name: str = "index"

    @property
    def first(self) -> NDArray[Any]:
        """The first array."""
        return next(iter(self.arrays.values()))

    def shaped(self) -> dict[str, NDArray[Any]]:
        """The arrays by name, the first as (N, *event_shape)."""
        name, *_ = self.arrays
        shape = self.event_shape or self.first.shape[1:]
        return {**self.arrays, name: self.first.reshape(len(self.first), *shape)}

    def flat(self) -> dict[str, NDArray[Any]]:
        """Every column by name, shape (N,): `score`, or `mean_0`, `mean_1` and so on."""
        named: dict[str, NDArray[Any]] = {} if self.index is None else {self.index_name: self.index}
        for position, (name, array) in enumerate(self.arrays.items()):
            own = self.columns if position == 0 else None
            rows = array.reshape(len(array), -1)
            names = own or ([name] if array.ndim == 1 else [f"{name}_{i}" for i in range(rows.shape[1])])
            named.update(zip(names, rows.T, strict=True))
        if len(named) != (self.index is not None) + sum(math.prod(a.shape[1:]) for a in self.arrays.values()):
            raise ParameterError(f"the columns of a table must have different names. Got {', '.join(named)}.")
        return named


def write(
    path: str | os.PathLike[str],
    arrays: Any,
    *,
    columns: Sequence[str] | None = None,
    index: Sequence[Any] | NDArray[Any] | None = None,
    index_name: str = "index",
    event_shape: Sequence[int] | None = None,
    limits: tuple[float, float] | None = None,
) -> Path:
    """Write one array, or several by name, in the format that the ending of `path` names.

    ==============  =======================================================================
    `.npy`          one array as (N, *event_shape); several stand side by side along columns
    `.npz`          each array under its name, the first as (N, *event_shape)
    `.csv`          a header, then a row a datum; columns `name_0`, `name_1`, … or `columns`
    `.parquet`      the same table
    `.png`          the first array as a grid of images, at most 400
    ==============  =======================================================================

    The file is written under a temporary name in the same folder, synced, then renamed.

    Args:
        path: the file; one of this name is replaced.
        arrays: shape (N, ...), or a mapping of names to such arrays with the same N. Alone it is x.
        columns: names of the first array's columns.
        index: names of the N rows, written as a column to `.csv` and `.parquet`, as an array to `.npz`.
        index_name: what that column, or array, is called.
        event_shape: shape of one datum of the first array.
        limits: the values shown black and white; by default the smallest and the largest.

    Returns:
        The path.

    Raises:
        ParameterError: the ending is unknown, or names and shapes disagree with the arrays.
        DataError: the folder is missing, nothing may be written there, or a picture is asked of what is none.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = write(f"{folder}/codes.csv", {"mean": np.zeros((1, 2)), "std": np.ones((1, 2))})
    ...     path.read_text().splitlines()
    ['mean_0,mean_1,std_0,std_1', '0,0,1,1']
    """
    path = Path(path).expanduser()
    writer = _writer(path)
    table = table_of(arrays, columns, index, event_shape, limits, index_name)
    with atomic(path) as file:
        writer(file, table, path)
    return path


def write_rows(
    path: str | os.PathLike[str],
    rows: Any,
    schema: Schema,
    *,
    index: Sequence[Any] | NDArray[Any] | None = None,
    index_name: str = "index",
    above: NDArray[Any] | None = None,
    beside: Mapping[str, NDArray[Any]] | None = None,
) -> Path:
    """Write rows in stored units, shape (N, P), with the names, the shape and the grey levels of `schema`.

    Of a table `.csv` and `.parquet` hold its columns in their order, each cell as its column has them: a level, a date,
    a number inside its range; columns that have one value are there too. Other formats hold the values of the rows.
    Images are a grid in a `.png`, each pixel a square of as many as make it large enough to look at; and a folder of
    `0000.png`, `0001.png`, … where `path` has no ending.

    Args:
        path: the file, or the folder.
        rows: shape (N, P).
        schema: of the rows.
        index: names of the N rows.
        index_name: what their column is called.
        above: rows that a grid shows above these, one above each.
        beside: further columns by name, each of N values; a `.npy` and pictures leave them out.

    Raises:
        ParameterError, DataError: as `write`; or the folder holds something else.
    """
    path = Path(path).expanduser()
    if is_folder(path):
        return write_folder(path, rows, schema)
    if path.suffix.lower() == ".png":
        with atomic(path) as file:
            write_visibly(file, rows, schema, path, above)
        return path
    if path.suffix.lower() in (".csv", ".parquet") and (schema.table is not None or beside):
        named = {} if index is None else {index_name: index_names(index)}
        columns = schema.table or ()
        cells = _joined({**named, **(beside or {})}, _cells(np.asarray(rows), schema))
        return write_cells(path, cells, delimiter=";" if any(c.stored_as == "decimal_comma" for c in columns) else ",")
    return write(
        path,
        {"x": rows, **({} if path.suffix.lower() == ".npy" else beside or {})},
        columns=names_of(schema),
        index=index,
        index_name=index_name,
        event_shape=schema.event_shape,
    )


def names_of(schema: Schema) -> Sequence[str]:
    """What the columns of rows are called, also where the data do not say."""
    return schema.columns or [column_name(None, place) for place in range(schema.size)]


def _cells(rows: NDArray[Any], schema: Schema) -> dict[str, Any]:
    """Columns by name, of a table as its cells are written."""
    if schema.table is not None:
        return cells_of(rows.astype(np.float64), schema)
    return dict(zip(names_of(schema), np.ascontiguousarray(rows.T), strict=True))


def _joined(some: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    """Columns side by side.

    Raises:
        ParameterError: two have one name.
    """
    twice = sorted(some.keys() & others.keys())
    if twice:
        raise ParameterError(f"the data have a column {twice[0]!r}, which is written beside them. Write .npz.")
    return {**some, **others}


def write_cells(
    path: str | os.PathLike[str], cells: Mapping[str, Any], *, delimiter: str = ",", header: bool = True
) -> Path:
    """Write Arrow cells by column to `.csv` or `.parquet`; in text only cells that need quotes have them.

    Raises:
        ParameterError: the ending is neither.
        DataError: as `write`.
    """
    import pyarrow as pa
    from pyarrow import parquet

    path, table = Path(path).expanduser(), pa.table(dict(cells))
    ending = path.suffix.lower()
    if ending not in (".csv", ".parquet"):
        raise ParameterError(f"the cells of a table are written to .csv or .parquet. Got {str(path)!r} instead.")
    with atomic(path) as file:
        if ending == ".parquet":
            parquet.write_table(table, file)
        else:
            write_text(file, table, delimiter, header=header)
    return path


def table_of(  # noqa: PLR0917
    arrays: Any,
    columns: Sequence[str] | None = None,
    index: Sequence[Any] | NDArray[Any] | None = None,
    event_shape: Sequence[int] | None = None,
    limits: tuple[float, float] | None = None,
    index_name: str = "index",
) -> Table:
    """The arguments of `write`, checked against each other."""
    given = arrays if isinstance(arrays, Mapping) else {"x": arrays}
    named = {name: np.asarray(array) for name, array in given.items()}
    rows = {name: array.shape[0] if array.ndim else None for name, array in named.items()}
    labels = None if index is None else index_names(index)
    if not named or None in rows.values() or len({*rows.values(), *(() if labels is None else labels.shape)}) != 1:
        raise ParameterError(f"one row a datum is required in every array and in the index. Got {rows} rows.")
    table = Table(
        named,
        None if columns is None else tuple(columns),
        labels,
        None if event_shape is None else tuple(event_shape),
        limits,
        index_name,
    )
    size = math.prod(table.first.shape[1:])
    for what, length in (
        ("columns", columns and len(columns)),
        ("event_shape", event_shape and math.prod(event_shape)),
    ):
        if length is not None and length != size:
            raise ParameterError(f"{what} tells of {length} values a row, but the rows hold {size}.")
    return table


def index_names(index: Sequence[Any] | NDArray[Any]) -> NDArray[Any]:
    """Names of rows, as text where they are objects."""
    names = np.asarray(index)
    return names.astype(str) if names.dtype.kind == "O" else names  # objects would be pickled


def _write_npy(file: BinaryIO, table: Table, path: Path) -> None:
    arrays = list(table.shaped().values())
    if len(arrays) > 1:
        arrays = [np.concatenate([array.reshape(len(array), -1) for array in arrays], axis=1)]
    np.save(file, np.ascontiguousarray(arrays[0]), allow_pickle=False)


def _write_npz(file: BinaryIO, table: Table, path: Path) -> None:
    arrays = table.shaped() if table.index is None else {**table.shaped(), table.index_name: table.index}
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():  # a ZipInfo without a date: equal arrays are equal bytes
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def _write_csv(file: BinaryIO, table: Table, path: Path) -> None:
    write_text(file, arrow_table(table), ",", header=True)


def write_text(file: BinaryIO, table: Any, delimiter: str, *, header: bool) -> None:
    """Cells as text: Arrow's way where none needs quotes, and otherwise cell by cell."""
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    if header:
        writer.writerow(table.column_names)
    body = io.BytesIO()
    try:
        plain = arrow_csv.WriteOptions(include_header=False, delimiter=delimiter, quoting_style="none")
        arrow_csv.write_csv(table, body, plain)
    except pa.ArrowInvalid:
        body = io.BytesIO()
        columns = [column.cast(pa.string()).to_pylist() for column in table.columns]
        writer.writerows(zip(*columns, strict=True))
    file.write(text.getvalue().encode())
    file.write(body.getbuffer())


def _write_parquet(file: BinaryIO, table: Table, path: Path) -> None:
    from pyarrow import parquet

    parquet.write_table(arrow_table(table), file)


def arrow_table(table: Table) -> Any:
    """Every column of a table, by name."""
    import pyarrow as pa

    return pa.table({name: np.ascontiguousarray(column) for name, column in table.flat().items()})


def _write_png(file: BinaryIO, table: Table, path: Path) -> None:
    write_grid(file, next(iter(table.shaped().values())), table.limits, path)


WRITERS: dict[str, Callable[[BinaryIO, Table, Path], None]] = {
    ".npy": _write_npy,
    ".npz": _write_npz,
    ".csv": _write_csv,
    ".parquet": _write_parquet,
    ".png": _write_png,
}


def _writer(path: Path) -> Callable[[BinaryIO, Table, Path], None]:
    ending = path.suffix.lower()
    if ending not in WRITERS:
        raise ParameterError(f"the ending of {str(path)!r} is unknown. Known: {', '.join(WRITERS)}.")
    return WRITERS[ending]


@contextmanager
def atomic(path: Path) -> Iterator[BinaryIO]:
    """A file that takes the name `path` when it is whole and on disk, and vanishes when anything fails."""
    if not path.parent.is_dir():
        raise DataError(f"there is no folder {str(path.parent)!r} to write {path.name!r} in. Make it first.")
    if path.is_dir():
        raise DataError(f"{path} is a folder; a file name is required.")
    try:
        with whole_file(path) as file:
            yield file
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror or error}.") from error
