"""Results that come part by part → one file, which appears whole or not at all."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from reparam.data.coding import cells_of
from reparam.data.schema import Schema
from reparam.data.writing import arrow_table, atomic, index_names, names_of, table_of, write_text
from reparam.errors import ParameterError


class Appender:
    """A file that grows by rows; concrete ones are final.

    Args:
        file: which is open for writing, and empty.
    """

    def __init__(self, file: BinaryIO):
        self.file = file

    @abstractmethod
    def add(self, table: Any) -> None:
        """Write the rows of an Arrow table, or of an array, behind those that are there."""

    def finish(self) -> None:
        """Write what comes last."""


class TextAppender(Appender):
    """Lines behind one header."""

    delimiter, header = ",", True

    def add(self, table: Any) -> None:
        """Write rows, the first time with their header."""
        write_text(self.file, table, self.delimiter, header=self.header)
        self.header = False


class ParquetAppender(Appender):
    """A row group for each part."""

    writer: Any = None

    def add(self, table: Any) -> None:
        """Write a row group, in the types of the first."""
        from pyarrow import parquet

        if self.writer is None:
            self.writer = parquet.ParquetWriter(self.file, table.schema)
        self.writer.write_table(table.cast(self.writer.schema))

    def finish(self) -> None:
        """Write where the groups stand."""
        if self.writer is not None:
            self.writer.close()


class ArrayAppender(Appender):
    """Rows behind a head that tells their number once it is known; its length leaves room for any."""

    first: NDArray[Any] | None = None
    rows = 0

    def add(self, table: Any) -> None:
        """Write rows of one shape and type."""
        if self.first is None:
            self.first = table[:1]
            self._write_head()
        self.rows += len(table)
        self.file.write(np.ascontiguousarray(table, self.first.dtype).data)

    def finish(self) -> None:
        """Write the head again, with the number of rows."""
        if self.first is not None:
            self.file.seek(0)
            self._write_head()

    def _write_head(self) -> None:
        assert self.first is not None
        described = np.lib.format.header_data_from_array_1_0(np.ascontiguousarray(self.first))
        np.lib.format.write_array_header_1_0(self.file, {**described, "shape": (self.rows, *self.first.shape[1:])})


APPENDERS: dict[str, Callable[[BinaryIO], Appender]] = {
    ".csv": TextAppender,
    ".parquet": ParquetAppender,
    ".npy": ArrayAppender,
}


def check_appended(path: Path) -> None:
    """Refuse a file that cannot grow.

    Raises:
        ParameterError: its ending is none of ``APPENDERS``.
    """
    if path.suffix.lower() not in APPENDERS:
        raise ParameterError(
            f"{str(path)!r} cannot be written part by part. Endings that can: {', '.join(APPENDERS)}. Choose one of "
            "them, or read the data whole (--in-memory)."
        )


class _NothingAddedError(Exception):
    """A file stayed without a byte, which no reader knows."""


@contextmanager
def appended(path: str | os.PathLike[str]) -> Iterator[Appender]:
    """A file to which rows are added, by its ending; where none was, no file is written.

    Raises:
        ParameterError: the ending is none of ``APPENDERS``.
        DataError: nothing may be written there.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with appended(f"{folder}/codes.npy") as file:
    ...         for part in (np.zeros((2, 3)), np.ones((1, 3))):
    ...             file.add(part)
    ...     np.load(f"{folder}/codes.npy")[:, 0].tolist()
    [0.0, 0.0, 1.0]
    """
    place = Path(path).expanduser()
    check_appended(place)
    with suppress(_NothingAddedError), atomic(place) as file:
        appender = APPENDERS[place.suffix.lower()](file)
        yield appender
        appender.finish()
        if not file.tell():
            raise _NothingAddedError


def of_arrays(arrays: Mapping[str, NDArray[Any]], ending: str, index: NDArray[Any] | None, index_name: str) -> Any:
    """Named arrays of N rows as an appender of that ending takes them."""
    if ending == ".npy":
        one, *others = arrays.values()
        return np.concatenate([a.reshape(len(a), -1) for a in (one, *others)], axis=1) if others else one
    return arrow_table(table_of(arrays, index=index, index_name=index_name))


def of_rows(rows: NDArray[Any], schema: Schema, ending: str, index: NDArray[Any] | None, index_name: str) -> Any:
    """Rows in stored units likewise, those of a table as its cells."""
    if ending == ".npy":
        return rows.reshape(len(rows), *schema.event_shape)
    if schema.table is None:
        return arrow_table(table_of({"x": rows}, columns=names_of(schema), index=index, index_name=index_name))
    import pyarrow as pa

    named = {} if index is None else {index_name: index_names(index)}
    return pa.table({**named, **cells_of(np.asarray(rows, np.float64), schema)})
