"""The judgement of a table as lines: for people who inspect it, and before it is trained on."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reparam.data import Column, Judgement, Schema

COLUMNS_SHOWN = 40
NAMES_SHOWN = 8
HEAD = ("column", "kind", "range or levels", "missing", "likelihood", "shown to the model", "because")
WIDEST = 34
NARROWEST = 24  # of the reasons: on narrower screens lines may run over


def judged_lines(judgement: Judgement | None, schema: Schema, rows: int) -> Iterator[str]:
    """A table's columns by kind, one line each kind, what is left out and why, and remarks; nothing of other data."""
    if judgement is None:
        return
    if schema.table is not None:
        kinds = sorted(schema.table, key=lambda column: (column.likelihood, column.kind))
        for (likelihood, kind), columns in groupby(kinds, key=lambda column: (column.likelihood, column.kind)):
            yield f"  {kind} ({likelihood}): {listed([column.name for column in columns])}"
        for column in judgement.left_out[:NAMES_SHOWN]:
            yield f"  left out: {column.name}, {column.kind} ({column.reason})"
        if len(judgement.left_out) > NAMES_SHOWN:
            yield f"  left out: {len(judgement.left_out) - NAMES_SHOWN:,} more ('reparam inspect --json' tells all)"
        yield from _holes(schema.table, rows)
    for remark in judgement.remarks:
        yield f"  note: {remark}"


def table_lines(judgement: Judgement, rows: int) -> Iterator[str]:
    """Every column of a table, a line each: kind, range, missing cells, likelihood, coding, and the reason."""
    from reparam.data import coding, span

    head: tuple[str, ...] = HEAD
    shown = judgement.columns[:COLUMNS_SHOWN]
    lines = [_cells(column, span(column), coding(column), rows) for column in shown]
    if judgement.plain:  # one likelihood explains all, and is told above
        lines = [(*line[:4], line[6]) for line in lines]
        head = (*head[:4], head[6])
    widths = [min(WIDEST, max(len(line[place]) for line in (head, *lines))) for place in range(len(head) - 1)]
    for line in (head, *lines):
        yield from _wrapped(line, widths)
    if len(judgement.columns) > len(shown):
        yield f"  … and {len(judgement.columns) - len(shown):,} more columns (--json tells all)"


def _cells(column: Column, told: str, coding: str, rows: int) -> tuple[str, ...]:
    likelihood = column.likelihood or "–"
    return column.name, column.kind, told, _share(column.missing, rows), likelihood, coding, column.reason


def _wrapped(line: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    """A line of cells, the last broken into as many lines as it needs."""
    cells = [_short(cell, width).ljust(width) for cell, width in zip(line, widths, strict=False)]
    cells[3] = cells[3].strip().rjust(widths[3])
    start = "  " + "  ".join(cells) + "  "
    room = max(NARROWEST, shutil.get_terminal_size((150, 24)).columns - len(start))
    first, *rest = textwrap.wrap(line[-1], room) or [""]
    yield (start + first).rstrip()
    yield from (" " * len(start) + more for more in rest)


def _short(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _share(missing: int, rows: int) -> str:
    return f"{missing:,} ({missing / rows:.1%})" if missing else "0"


def _holes(columns: Sequence[Column], rows: int) -> Iterator[str]:
    missing = sum(column.missing for column in columns)
    if missing:
        holed = [column.name for column in columns if column.missing]
        share = missing / (rows * len(columns))
        yield f"  missing: {missing:,} cells ({share:.1%}), in {listed(holed)}; out of the bound"


def listed(names: Sequence[str]) -> str:
    """The first of some names, and how many more there are.

    >>> listed("abc"), listed("abcdefghijkl")
    ('a, b, c', 'a, b, c, d, e, f, g, h and 4 more')
    """
    more = len(names) - NAMES_SHOWN
    return ", ".join(names[:NAMES_SHOWN]) + (f" and {more:,} more" if more > 0 else "")
