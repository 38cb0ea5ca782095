"""Where a table of text may be cut: behind rows, whose last line does not end within quotes."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator

from reparam.data.dialect import Dialect
from reparam.data.places import Place

COUNTED_BYTES = 1 << 22


def row_ends(path: Place, dialect: Dialect, block_bytes: int) -> Iterator[int]:
    """Places in a file of text behind which a row begins, about a block apart, and its end."""
    row, place, rest = _row(dialect), 0, b""  # rest: what begins at the place, a row that is cut off
    with path.open("rb") as file:
        while block := file.read(max(block_bytes, len(rest))):  # a row that is open to the end is not seen too often
            rest += block
            begin = end = len(codecs.BOM_UTF8) if place == 0 and rest.startswith(codecs.BOM_UTF8) else 0
            while found := row.match(rest, end):
                end = found.end()
            if end > begin:
                place, rest = place + end, rest[end:]
                yield place
    if rest.strip():
        yield place + len(rest)


def lines_before(path: Place, place: int) -> int:
    """How many lines end in a file before a place."""
    with path.open("rb") as file:
        return sum(file.read(min(COUNTED_BYTES, place - at)).count(b"\n") for at in range(0, place, COUNTED_BYTES))


def _row(dialect: Dialect) -> re.Pattern[bytes]:
    """A row with its end. A quote opens a cell as its first character alone, and one that is doubled does not close it.

    Without possessive quantifiers: those of Python 3.11.2 take too much.
    """
    quote, delimiter = (re.escape(mark).encode() for mark in (dialect.quote, dialect.delimiter))
    quoted = b"%b[^%b]*(?:%b%b[^%b]*)*%b(?!%b)" % ((quote,) * 7)
    cell = b"(?:%b|(?!%b))[^\r\n%b]*" % (quoted, quote, delimiter)
    return re.compile(b"%b(?:%b%b)*(?:\r?\n|\r(?=[^\n]))" % (cell, delimiter, cell))
