"""How a table of text is written: its encoding, what separates and quotes its cells, whether it has a header."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

from reparam.data.places import Place
from reparam.data.reading import MISSING, Reading
from reparam.errors import DataError

SEPARATORS = (",", ";", "\t", "|")
SAMPLED_ROWS = 200
MOST_CHARACTERS = 2**31 - 1
BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)*|[.,]\d+)([eE][+-]?\d+)?|[+-]?(nan|inf|infinity)", re.IGNORECASE)
DATE = re.compile(r"\d{1,4}([-/.])\d{1,2}\1\d{1,4}([T ]\d{1,2}:\d{2}.*)?")


@dataclass(frozen=True)
class Dialect:
    """What a file of text does not say of itself.

    Args:
        delimiter: between cells.
        quote: around a cell that holds delimiters, or line ends.
        encoding: a name that Python knows.
        header: whether the first row names the columns.
        first: the cells of the first row, spaces around them taken away.
    """

    delimiter: str
    quote: str
    encoding: str
    header: bool
    first: tuple[str, ...]


def recognise(path: Place, reading: Reading) -> Dialect:
    """The dialect of a file: what the user says, else what its first rows show.

    Raises:
        DataError: the file holds no rows.
    """
    encoding = _encoding(path)
    with text_of(path, encoding) as file:
        lines = [line for line in itertools.islice(file, SAMPLED_ROWS) if line.strip("\r\n")]
    if not lines:
        raise DataError(f"{path} holds no rows; at least one is required.")
    quote = reading.quote or '"'
    delimiter = reading.delimiter or _delimiter(path, lines, quote)
    rows = [[cell.strip() for cell in row] for row in _records(lines, delimiter, quote)]
    header = _has_header(rows) if reading.header is None else reading.header
    return Dialect(delimiter, quote, encoding, header, tuple(rows[0]))


@contextmanager
def bytes_of(path: Place) -> Iterator[BinaryIO]:
    """The file's bytes, inflated where it is gzipped."""
    with path.open("rb") as file:
        if not path.name.lower().endswith(".gz"):
            yield file
            return
        with gzip.open(file) as inflated:
            yield inflated  # type: ignore[misc]


@contextmanager
def text_of(path: Place, encoding: str) -> Iterator[io.TextIOBase]:
    """The file's text; bytes that are none show as U+FFFD."""
    with bytes_of(path) as file:
        yield io.TextIOWrapper(file, encoding, errors="replace", newline="")


def records(path: Place, dialect: Dialect, *, strict: bool = False) -> Iterator[tuple[int, list[str]]]:
    """The rows of a file, as :func:`records_of` its text."""
    with text_of(path, dialect.encoding) as file:
        yield from records_of(file, dialect, strict=strict)


def records_of(text: Iterable[str], dialect: Dialect, *, strict: bool = False) -> Iterator[tuple[int, list[str]]]:
    """Every row that is not blank with the number of the line where it ends, slowly: to say where a fault stands.

    Raises:
        csv.Error: ``strict``, and a quoted cell does not end where its quote does.
    """
    reader = csv.reader(text, delimiter=dialect.delimiter, quotechar=dialect.quote, strict=strict)
    while (cells := _next(reader)) is not None:
        if cells:
            yield reader.line_num, cells


def _next(rows: Iterator[list[str]]) -> list[str] | None:
    """The limit is back before anybody goes on with the row: who stops at it may never come for the next."""
    with _long_cells():
        return next(rows, None)


@contextmanager
def _long_cells() -> Iterator[None]:
    """Let cells be as long as they are: Python's readers have one limit, of the whole process, which is put back."""
    before = csv.field_size_limit(MOST_CHARACTERS)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def line_of(path: Place, dialect: Dialect, row: int) -> int:
    """The line, from 1, on which a row ends; rows count from 0 behind the header."""
    skipped = row + dialect.header
    return next(line for number, (line, _) in enumerate(records(path, dialect)) if number == skipped)


def undecodable_line(path: Place) -> tuple[int, bytes] | None:
    """The first line that is not UTF-8, and its first byte that is not."""
    with text_of(path, "latin-1") as file:  # a letter for every byte: what stands far away cannot be asked for lines
        for number, line in enumerate(file, 1):
            try:
                line.encode("latin-1").decode()
            except UnicodeDecodeError as error:
                return number, error.object[error.start : error.start + 1]
    return None


def is_number(cell: str) -> bool:
    """Whether a cell reads as a number, with a point or a comma before its decimals."""
    return NUMBER.fullmatch(cell.strip()) is not None


def _encoding(path: Place) -> str:
    with bytes_of(path) as file:
        start = file.read(4)
    return next((name for mark, name in BOMS if start.startswith(mark)), "utf-8")


def _records(lines: Sequence[str], delimiter: str, quote: str) -> list[list[str]]:
    with _long_cells():
        return [row for row in csv.reader(lines, delimiter=delimiter, quotechar=quote) if row]


def _delimiter(path: Place, lines: Sequence[str], quote: str) -> str:
    """What splits the lines into equally many cells that hold no other separator; the decimal comma is none."""
    present = [mark for mark in SEPARATORS if mark in lines[0] and len(_records(lines, mark, quote)[0]) > 1]
    if "\t" in present and path.name.lower().endswith((".tsv", ".tsv.gz")):
        return "\t"
    return max(present, key=lambda mark: _likeness(_records(lines, mark, quote), mark), default=",")


def _likeness(rows: Sequence[Sequence[str]], delimiter: str) -> float:
    """The share of rows of the commonest length, times the share of cells that hold no other separator."""
    lengths = Counter(len(row) for row in rows)
    others = [mark for mark in SEPARATORS if mark != delimiter]
    cells = [cell for row in rows for cell in row]
    clean = sum(is_number(cell) or not any(mark in cell for mark in others) for cell in cells)
    return max(lengths.values()) / len(rows) * clean / max(len(cells), 1)


def _has_header(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row names columns: numbers below a text say so; numbers in it, or its cells again, deny it."""
    first, *rest = rows
    if all(map(_is_value, first)):
        return False
    below = [[row[place] for row in rest if len(row) > place] for place in range(len(first))]
    pairs = [
        (name, [cell for cell in column if cell not in MISSING]) for name, column in zip(first, below, strict=True)
    ]
    if any(not _is_value(name) and sum(map(_is_value, column)) > len(column) / 2 for name, column in pairs):
        return True
    again = any(_is_value(name) or name in column for name, column in pairs if name not in MISSING and column)
    return not again and len(set(first)) == len(first)


def _is_value(cell: str) -> bool:
    """Whether no column would be called so: a number, a date, or nothing."""
    return cell in MISSING or is_number(cell) or DATE.fullmatch(cell) is not None
