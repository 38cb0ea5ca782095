"""A file as parts, each read in one go: ranges of rows, row groups, record batches, ranges of text."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from reparam.data.arrays import Raw
from reparam.data.dialect import Dialect, recognise
from reparam.data.files import reading as parsing
from reparam.data.files import refuse_labels
from reparam.data.reading import Reading
from reparam.data.sheets import Sheet
from reparam.data.tables import text_sheet, text_table, typed_sheet, valid
from reparam.errors import DataError

PART_BYTES = 1 << 24
HASHED_BYTES = 1 << 22


class Parts:
    """The parts of a file; concrete ones are final.

    Args:
        path: of the file.
        reading: what the user says of it.
    """

    def __init__(self, path: Path, reading: Reading):
        self.path, self.reading = path, reading
        self._was = _identity(path)

    @property
    @abstractmethod
    def count(self) -> int:
        """How many there are."""

    @abstractmethod
    def _read(self, number: int, columns: Sequence[str] | None) -> Raw | Sheet:
        """A part; of a file that knows its columns these alone."""

    def read(self, number: int, columns: Sequence[str] | None = None) -> Raw | Sheet:
        """A part, of a table at least these columns.

        Raises:
            DataError: the file is gone, is another than when it was opened, or is damaged.
        """
        self.check()
        return self._read(number, columns)

    def check(self) -> None:
        """Refuse a file that is not what it was when it was opened.

        Raises:
            DataError: it is gone, or was written since.
        """
        if _identity(self.path) != self._was:
            raise DataError(
                f"{self.path} was written since it was opened: its rows are no longer those that were surveyed. "
                "Keep files as they are while they are read."
            )

    def digest(self, into: Any) -> None:
        """Feed all bytes of the file to a hash."""
        self.check()
        with self.path.open("rb") as file:
            while block := file.read(HASHED_BYTES):
                into.update(block)


class ArrayParts(Parts):
    """Ranges of rows of a ``.npy`` file, read and not mapped, for pages of a map count as memory of the process."""

    def __init__(self, path: Path, reading: Reading):
        super().__init__(path, reading)
        refuse_labels(path, reading.labels)
        with parsing(path, ".npy array"):
            mapped = np.load(path, mmap_mode="r", allow_pickle=False)
        if not mapped.flags.c_contiguous or mapped.ndim < 2 or len(mapped) == 0:
            raise DataError(
                f"{path} has shape {mapped.shape}{'' if mapped.flags.c_contiguous else ', column after column'}; rows "
                "one after the other are required, shape (N, P), to read it part by part. Save it so, or load it whole."
            )
        self._shape, self._dtype, self._offset = mapped.shape, mapped.dtype, mapped.offset
        self._row_bytes = mapped[:1].nbytes
        self._rows = max(1, PART_BYTES // self._row_bytes)

    @property
    def count(self) -> int:
        """How many there are."""
        return int(-(-self._shape[0] // self._rows))

    def _read(self, number: int, columns: Sequence[str] | None) -> Raw:
        start = number * self._rows
        rows = min(self._rows, self._shape[0] - start)
        with parsing(self.path, ".npy array"):
            flat = np.fromfile(
                self.path,
                self._dtype,
                count=rows * self._row_bytes // self._dtype.itemsize,
                offset=self._offset + start * self._row_bytes,
            )
            return Raw(flat.reshape(rows, *self._shape[1:]))


class ParquetParts(Parts):
    """The row groups of a Parquet table."""

    @cached_property
    def _file(self) -> Any:
        from pyarrow import parquet

        with parsing(self.path, "Parquet table"):
            return parquet.ParquetFile(self.path)

    @property
    def count(self) -> int:
        """How many there are."""
        return int(self._file.num_row_groups)

    def _read(self, number: int, columns: Sequence[str] | None) -> Sheet:
        there = None if columns is None or not set(columns) <= set(self._file.schema_arrow.names) else list(columns)
        with parsing(self.path, "Parquet table"):
            return typed_sheet(str(self.path), valid(self._file.read_row_group(number, there, use_threads=False)))


class ArrowParts(Parts):
    """The record batches of an Arrow file, also called Feather."""

    @cached_property
    def _file(self) -> Any:
        with parsing(self.path, "Arrow file (a stream of Arrow has no parts: save it as a file)"):
            return pa.ipc.open_file(pa.OSFile(str(self.path)))

    @property
    def count(self) -> int:
        """How many there are."""
        return int(self._file.num_record_batches)

    def _read(self, number: int, columns: Sequence[str] | None) -> Sheet:
        with parsing(self.path, "Arrow table"):
            return typed_sheet(str(self.path), valid(pa.Table.from_batches([self._file.get_batch(number)])))


class TextParts(Parts):
    """Ranges of a table of text, each of whole rows."""

    @cached_property
    def _dialect(self) -> Dialect:
        with parsing(self.path, "table of text"):
            found = recognise(self.path, self.reading)
        if not found.encoding.startswith("utf-8"):
            raise DataError(f"{self.path} is written in {found.encoding}; UTF-8 is required to read it part by part.")
        return found

    @cached_property
    def _ranges(self) -> list[tuple[int, int]]:
        ends = [0, *row_ends(self.path, self._dialect.quote.encode(), PART_BYTES)]
        return list(pairwise(ends))

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._ranges)

    def _read(self, number: int, columns: Sequence[str] | None) -> Sheet:
        start, end = self._ranges[number]
        with parsing(self.path, "table of text"), self.path.open("rb") as file:
            file.seek(start)
            table = text_table(pa.BufferReader(file.read(end - start)), self.path, self._dialect)
            sheet = text_sheet(self.path, self._dialect, table, self.reading, has_first=number == 0)
        return sheet if number == 0 else replace(sheet, line_of=None)


def row_ends(path: Path, quote: bytes, block_bytes: int) -> Iterator[int]:
    """Places in a file of text behind which a row begins, about a block apart, and its end.

    A line ends a row unless it stands within quotes: there an odd number of quotes went before.
    """
    place = odd = 0
    is_more = False  # whether anything stands behind the last end that was given
    with path.open("rb") as file:
        while block := file.read(block_bytes):
            end = _last_row_end(block, quote, odd)
            if end is not None:
                yield place + end
                is_more = False
            is_more = is_more or bool(block[end or 0 :].strip())
            odd ^= block.count(quote) & 1
            place += len(block)
    if is_more:
        yield place


def _last_row_end(block: bytes, quote: bytes, odd: int) -> int | None:
    """Behind the last line of a block that ends outside quotes; ``odd``: whether the block begins within them."""
    end = block.rfind(b"\n")
    while end >= 0:
        if (odd + block.count(quote, 0, end)) % 2 == 0:
            return end + 1
        end = block.rfind(b"\n", 0, end)
    return None


def digest(files: Sequence[Parts]) -> str:
    """SHA-256 of the bytes of files, one after the other."""
    found = hashlib.sha256()
    for file in files:
        file.digest(found)
    return found.hexdigest()


def _identity(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError as error:
        raise DataError(f"{path} is gone: it was there when it was opened. Put it back, and go on.") from error
    return status.st_size, status.st_mtime_ns
