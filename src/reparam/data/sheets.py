"""A table as it was read: cells by column, in the types that they came in, before anything is judged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import compute

from reparam.data.arrays import column_name
from reparam.data.cells import Cells, beyond_exact, understood, without_missing
from reparam.data.coding import encode
from reparam.data.columns import Column
from reparam.errors import DataError, UnknownNameError

FLOAT_NAMES = {"double": "float64", "float": "float32", "halffloat": "float16"}
LINES_COUNTED = 200_000  # a line further down is told by its row: counting lines takes seconds


@dataclass(frozen=True)
class Sheet:
    """A table and what is known of how it was written.

    Args:
        source: what errors call it.
        table: an Arrow table, its columns named differently.
        named: whether it names its columns; else they are ``column_0`` and so on.
        is_text: whether cells are text that is yet to be understood.
        missing: cells of text that mean: not known.
        delimiter: what separated the cells of text; where it is no comma, a comma in a cell stands before decimals.
        line_of: the line of a row, where rows stand on lines.
        remarks: what a user should know of how it was read.
        first: the number of its first row, where it is a part of a larger table.
        kinds: the kinds of columns that are known before any cell is looked at.
    """

    source: str
    table: Any
    named: bool = True
    is_text: bool = False
    missing: tuple[str, ...] = ()
    delimiter: str = ","
    line_of: Callable[[int], int] | None = None
    remarks: tuple[str, ...] = ()
    first: int = 0
    kinds: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of its columns."""
        return tuple(self.table.column_names)

    @property
    def rows(self) -> int:
        """How many there are."""
        return int(self.table.num_rows)

    def select(self, names: Sequence[str]) -> Sheet:
        """The table with these columns alone."""
        return replace(self, table=self.table.select(list(names)))

    def raw(self, name: str) -> Any:
        """The cells of a column as they came, in one piece; NaN is null."""
        chunks = self.table[name].chunks
        cells = pa.concat_arrays(chunks) if chunks else pa.array([], self.table.schema.field(name).type)
        return compute.if_else(compute.is_nan(cells), None, cells) if pa.types.is_floating(cells.type) else cells

    def text(self, name: str) -> Any:
        """The cells of a table of text, null where they say that nothing is known; other cells as they came."""
        return without_missing(self.raw(name), self.missing) if self.is_text else self.raw(name)

    def cells(self, name: str) -> Cells:
        """The cells of a column, understood."""
        if self.is_text:
            return understood(self.raw(name), self.missing, comma_is_free=self.delimiter != ",")
        raw = self.raw(name)
        if pa.types.is_integer(raw.type) and len(raw) > raw.null_count and beyond_exact(raw):
            return Cells(raw.cast(pa.string()), str(raw.type), "whole numbers beyond 2^53")
        return Cells(raw, FLOAT_NAMES.get(str(raw.type), str(raw.type)))

    def place(self, row: int, name: str) -> str:
        """Where a cell stands, for a person."""
        return f"{self.where(row)}, column {name!r}"

    def where(self, row: int) -> str:
        """The line of a row, or its number from 0 where it has none."""
        far = self.line_of is None or row > LINES_COUNTED
        return f"row {self.first + row}" if far else f"line {self.line_of(row)}"  # type: ignore[misc]

    def require(self, name: str, what: str = "column") -> str:
        """The name itself, if the table has such a column.

        Raises:
            DataError: it has none.
        """
        if name not in self.names:
            raise DataError(f"{self.source}: {UnknownNameError(what, name, self.names)}")
        return name

    def encoded(
        self, columns: Sequence[Column], values: Sequence[Any], *, unknown: str = "refuse"
    ) -> NDArray[np.float64]:
        """Rows of float64, shape (N, P), of the cells of P columns; a level that is new is refused, or missing.

        Raises:
            DataError: a cell is no value of its column; the text says where.
        """
        rows = np.empty((self.rows, len(columns)))
        for target, column, cells in zip(rows.T, columns, values, strict=True):
            target[:], bad = encode(cells, column)
            if len(bad) and not (column.is_coded and unknown == "missing"):
                self._refuse(column, cells, bad)
            infinite = np.flatnonzero(np.isinf(target))
            if len(infinite):
                raise DataError(
                    f"{self.source}: {self.place(int(infinite[0]), column.name)} is infinite. Mend that cell."
                )
        return rows

    def _refuse(self, column: Column, cells: Any, bad: NDArray[np.int64]) -> NoReturn:
        first = int(bad[0])
        shown, more = _short(cells[first].as_py()), f" ({len(bad):,} such cells)" if len(bad) > 1 else ""
        what, mend = _fault(column)
        raise DataError(f"{self.source}: {self.place(first, column.name)} holds {shown}, {what}{more}. {mend}")


def refuse_mixture(sheet: Sheet, name: str, cells: Cells) -> NoReturn:
    """Raise the DataError that names the cell which keeps a column from being numbers.

    Raises:
        DataError: always.
    """
    first, values = cells.bad[0], cells.values
    others = len(values) - values.null_count - len(cells.bad)
    shown = _short(values[first].as_py())
    more = f" ({len(cells.bad):,} such cells)" if len(cells.bad) > 1 else ""
    raise DataError(
        f"{sheet.source}: {sheet.place(first, name)} holds {shown}, but {others:,} other cells of that column hold "
        f"numbers{more}. Mend it; or say --missing {shown} if nothing is known there, or --column "
        f"{name}=categorical if these are names."
    )


def check_names(source: str, names: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names of a header, ``column_3`` where there is none, and what is to be said of that.

    Raises:
        DataError: two columns have one name.
    """
    doubled = [name for name, count in Counter(names).items() if count > 1 and name]
    if doubled:
        places = ", ".join(str(place) for place, name in enumerate(names) if name == doubled[0])
        raise DataError(
            f"{source} has more than one column called {', '.join(map(repr, doubled))} (columns {places}, counted from "
            "0); rename them, or say --no-header if the first row is data."
        )
    empty = [place for place, name in enumerate(names) if not name]
    named = tuple(name or column_name(None, place) for place, name in enumerate(names))
    if len(set(named)) < len(named):
        raise DataError(f"{source}: column {empty[0]} (counted from 0) has no name in the header. Name it.")
    told = [
        f"column {place} (counted from 0) has no name in the header, and is called {named[place]!r}" for place in empty
    ]
    return named, tuple(told[:1] if len(told) < 2 else [f"{len(told)} columns have no name in the header; {told[0]}"])


def _fault(column: Column) -> tuple[str, str]:
    if column.is_coded:
        known = column.levels or ()
        levels = ", ".join(map(repr, known[:6])) + (", …" if len(known) > 6 else "")
        mend = "Mend it, or say --unknown missing to take new levels for missing cells."
        return f"which is none of the {len(known)} levels of that column: {levels}", mend
    what = "a date as the others are written" if column.kind == "date" else "a number that double precision holds"
    return f"which is not {what}", "Mend it; or say --missing with that text if nothing is known there."


def _short(cell: Any) -> str:
    text = str(cell)
    return repr(text if len(text) <= 40 else text[:39] + "…")
