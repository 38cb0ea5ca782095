"""A file as parts, each read in one go: ranges of rows, row groups, record batches, ranges of text."""

from __future__ import annotations

import io
import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa

from reparam.data.arrays import Raw
from reparam.data.dialect import Dialect, recognise, records_of
from reparam.data.files import reading as parsing
from reparam.data.files import refuse_labels
from reparam.data.images import Found, in_table, picture_column
from reparam.data.images.columns import wanted_columns
from reparam.data.places import Place
from reparam.data.reading import Reading
from reparam.data.sheets import Sheet
from reparam.data.streaming.cutting import lines_before, row_ends
from reparam.data.tables import check_rows, has_line_ends, text_sheet, text_table, typed_sheet, valid
from reparam.errors import DataError

PART_BYTES = 1 << 24
HASHED_BYTES = 1 << 22
Identity = tuple[int, int]


class Parts:
    """The parts of a source; concrete ones are final.

    ``name`` is what errors call it.
    """

    name: str

    @property
    @abstractmethod
    def count(self) -> int:
        """How many there are."""

    @abstractmethod
    def _read(self, number: int, columns: Sequence[str] | None) -> Raw | Sheet | Found:
        """A part; of a file that knows its columns these alone."""

    @abstractmethod
    def check(self) -> None:
        """Refuse a source that is not what it was when it was opened.

        Raises:
            DataError: it is gone, or was written since.
        """

    @abstractmethod
    def digest(self, into: Any) -> None:
        """Feed all bytes of the source to a hash."""

    def read(self, number: int, columns: Sequence[str] | None = None) -> Raw | Sheet | Found:
        """A part: of a table at least these columns, of pictures the files that are yet to be decoded.

        Raises:
            DataError: the source is gone, is another than when it was opened, or is damaged.
        """
        self.check()
        return self._read(number, columns)

    @staticmethod
    def refuse_another(name: str, was: Identity, now: Identity) -> None:
        """Refuse a file of another size or time.

        Raises:
            DataError: so it is.
        """
        if was != now:
            raise DataError(
                f"{name} was written since it was opened: its rows are no longer those that were surveyed. "
                "Keep files as they are while they are read."
            )


class FileParts(Parts):
    """The parts of one file.

    Args:
        path: of the file.
        reading: what the user says of it.
    """

    def __init__(self, path: Place, reading: Reading):
        self.path, self.reading, self.name = path, reading, str(path)
        self._was = identity(path)

    def check(self) -> None:
        """Refuse a file that is not what it was when it was opened."""
        self.refuse_another(self.name, self._was, identity(self.path))

    def digest(self, into: Any) -> None:
        """Feed all bytes of the file to a hash."""
        self.check()
        with self.path.open("rb") as file:
            while block := file.read(HASHED_BYTES):
                into.update(block)


class ArrayParts(FileParts):
    """Ranges of rows of a ``.npy`` file, read and not mapped, for pages of a map count as memory of the process."""

    def __init__(self, path: Place, reading: Reading):
        super().__init__(path, reading)
        refuse_labels(path, reading.labels)
        with parsing(path, ".npy array"), path.open("rb") as file:
            shape, by_columns, self._dtype = array_header(file)
            self._offset = file.tell()
        if by_columns or len(shape) < 2 or shape[0] == 0:
            raise DataError(
                f"{path} has shape {shape}{', column after column' if by_columns else ''}; rows one after the other "
                "are required, shape (N, P), to read it part by part. Save it so, or load it whole."
            )
        self._shape, self._row_bytes = shape, self._dtype.itemsize * math.prod(shape[1:])
        self._rows = max(1, PART_BYTES // max(1, self._row_bytes))

    @property
    def count(self) -> int:
        """How many there are."""
        return int(-(-self._shape[0] // self._rows))

    def _read(self, number: int, columns: Sequence[str] | None) -> Raw:
        start = number * self._rows
        rows = min(self._rows, self._shape[0] - start)
        with parsing(self.path, ".npy array"), self.path.open("rb") as file:
            file.seek(self._offset + start * self._row_bytes)
            flat = np.frombuffer(file.read(rows * self._row_bytes), self._dtype)
            return Raw(flat.reshape(rows, *self._shape[1:]))


def array_header(file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether it lies column after column, and type of the array of a ``.npy`` file, which then is at its start.

    Raises:
        ValueError: it is no such file, or holds pickles.
    """
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    version = np.lib.format.read_magic(file)
    if version not in readers:
        raise ValueError(f"its format {version} is unknown")
    shape, by_columns, dtype = readers[version](file)
    if dtype.hasobject:
        raise ValueError("Python objects")
    return shape, bool(by_columns) and sum(length > 1 for length in shape) > 1, dtype


class ParquetParts(FileParts):
    """The row groups of a Parquet table."""

    @cached_property
    def _file(self) -> Any:
        from pyarrow import parquet

        with parsing(self.path, "Parquet table"):
            return parquet.ParquetFile(self.path if isinstance(self.path, Path) else self.path.open("rb"))

    @property
    def count(self) -> int:
        """How many there are."""
        return int(self._file.num_row_groups)

    def _read(self, number: int, columns: Sequence[str] | None) -> Sheet | Found:
        schema = self._file.schema_arrow
        there = None if columns is None or not set(columns) <= set(schema.names) else list(columns)
        if picture_column(schema) is not None:
            wanted = wanted_columns(schema, self.reading, self.name)
            there = [name for name in wanted if name is not None]
        with parsing(self.path, "Parquet table"):
            table = valid(self._file.read_row_group(number, there, use_threads=False))
        return _cells_or_pictures(self, number, table)


class ArrowParts(FileParts):
    """The record batches of an Arrow file, also called Feather."""

    @cached_property
    def _file(self) -> Any:
        with parsing(self.path, "Arrow file (a stream of Arrow has no parts: save it as a file)"):
            here = isinstance(self.path, Path)
            return pa.ipc.open_file(pa.OSFile(str(self.path)) if here else self.path.open("rb"))

    @property
    def count(self) -> int:
        """How many there are."""
        return int(self._file.num_record_batches)

    def _read(self, number: int, columns: Sequence[str] | None) -> Sheet | Found:
        with parsing(self.path, "Arrow table"):
            table = valid(pa.Table.from_batches([self._file.get_batch(number)]))
        return _cells_or_pictures(self, number, table)


def _cells_or_pictures(file: FileParts, number: int, table: Any) -> Sheet | Found:
    """Of a table with a column of pictures these, else its cells."""
    if picture_column(table.schema) is None:
        return typed_sheet(file.name, table)
    return in_table(table, file.reading, file.path, part=f", part {number + 1}")


class TextParts(FileParts):
    """Ranges of a table of text, each of whole rows."""

    def __init__(self, path: Place, reading: Reading):
        super().__init__(path, reading)
        self._checked: set[int] = set()

    @cached_property
    def _dialect(self) -> Dialect:
        with parsing(self.path, "table of text"):
            found = recognise(self.path, self.reading)
        if not found.encoding.startswith("utf-8"):
            raise DataError(f"{self.path} is written in {found.encoding}; UTF-8 is required to read it part by part.")
        return found

    @cached_property
    def _ranges(self) -> list[tuple[int, int]]:
        return list(pairwise([0, *row_ends(self.path, self._dialect, PART_BYTES)]))

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._ranges)

    def _read(self, number: int, columns: Sequence[str] | None) -> Sheet:
        start, end = self._ranges[number]
        with parsing(self.path, "table of text"), self.path.open("rb") as file:
            file.seek(start)
            content = file.read(end - start)
            table = text_table(pa.BufferReader(content), self.path, self._dialect)
            if number not in self._checked and has_line_ends(table):
                self._check_range(content, start)
            self._checked.add(number)
            sheet = text_sheet(self.path, self._dialect, table, self.reading, has_first=number == 0)
        return sheet if number == 0 else replace(sheet, line_of=None)

    def _check_range(self, content: bytes, start: int) -> None:
        """Refuse rows of the range that begins at ``start`` among which a quote is open: it hides all behind it."""
        text = io.TextIOWrapper(io.BytesIO(content), self._dialect.encoding, errors="replace", newline="")
        rows = records_of(text, self._dialect, strict=True)
        check_rows(rows, self.path, self._dialect, lines_before=lambda: lines_before(self.path, start))


def identity(path: Place) -> Identity:
    """Size and time of a file, by which it is known again.

    Raises:
        DataError: it is gone.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise DataError(f"{path} is gone: it was there when it was opened. Put it back, and go on.") from error
    return status.st_size, status.st_mtime_ns
