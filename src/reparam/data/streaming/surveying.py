"""Every row of a stream, seen once: how many, what values columns take, levels that the first judgement did not see."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyarrow import compute

from reparam.data.coding import as_text
from reparam.data.columns import Column
from reparam.data.inspection import Summary, Tally
from reparam.data.kinds import MOST_LEVELS, ordered_levels
from reparam.data.schema import Dataset, Schema
from reparam.data.sheets import Sheet
from reparam.data.streaming.drawing import Drawn, priorities
from reparam.data.streaming.opening import Stream
from reparam.data.tables import matched
from reparam.devices.processes import every
from reparam.devices.shares import ALONE, Share
from reparam.errors import DataError

MOST_HELD_OUT = 2_000
SAMPLED_ROWS = 20_000
SAMPLED_VALUES = 1 << 24
TALLIED = ("count", "low", "high", "mean", "square", "whole")

Report = Callable[[int, int], None]


@dataclass(frozen=True)
class Survey:
    """What one pass over a stream found.

    Args:
        stream: with its schema completed: every level, every range, whether cells are missing.
        rows: how many each part has.
        tally: of the columns, in stored units.
        held_out: rows drawn at random that no chunk has, shape (H, P).
        some: other rows drawn at random, shape (S, P).
        seed: what they were drawn by.
        threshold: a row is held out whose priority is at most this.
        held_out_parts: which part each row that is held out is of, (H,).
    """

    stream: Stream
    rows: tuple[int, ...]
    tally: Tally
    held_out: NDArray[Any]
    some: NDArray[Any]
    seed: int
    threshold: int
    held_out_parts: NDArray[np.int64]

    @property
    def training_rows(self) -> int:
        """How many rows are not held out."""
        return sum(self.rows) - len(self.held_out)

    @property
    def summary(self) -> Summary:
        """What a likelihood is chosen by."""
        return self.tally.summary(self.stream.schema)

    def dataset(self, rows: NDArray[Any]) -> Dataset:
        """Rows that were drawn, as a dataset."""
        return Dataset(rows, self.stream.schema.of(rows), judgement=self.stream.judgement)

    @cached_property
    def training_counts(self) -> NDArray[np.int64]:
        """How many rows of each part are not held out."""
        return np.asarray(self.rows) - np.bincount(self.held_out_parts, minlength=len(self.rows))

    def read(self, number: int) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """The rows of a part in stored units, and the numbers of those that are not held out."""
        rows = self.stream.read(number, before=sum(self.rows[:number])).rows
        if len(rows) != self.rows[number]:
            raise DataError(f"{self.stream.name}: part {number} has {len(rows)} rows, and had {self.rows[number]}.")
        return rows, np.flatnonzero(priorities(self.seed, number, len(rows)) > self.threshold)


def survey(
    stream: Stream,
    seed: int,
    *,
    held_out: int = MOST_HELD_OUT,
    known: bool = False,
    share: Share = ALONE,
    report: Report | None = None,
) -> Survey:
    """See every row of a stream once.

    Means and deviations of parts are joined exactly (Chan, Golub & LeVeque 1983). Each row has a random priority, and
    those with the lowest are held out: which they are depends on the seed and their place, and on nothing else.

    Args:
        stream: the source.
        seed: of the rows that are drawn.
        held_out: how many rows to hold out, at most a fifth of all.
        known: whether the schema is that of a model, so that what it does not know is refused.
        share: of the parts, that this process sees; what all of them saw is joined.
        report: called after each part with the parts done and all.

    Raises:
        DataError: a cell is no value of its column; the text says where.
    """
    seen = _Seen(stream, seed, held_out, known)
    for number in filter(share.has, range(len(stream.parts))):
        seen.add(number)
        if report is not None:
            report(number + 1, len(stream.parts))
    stream.tell_broken(sum(seen.rows))
    return (seen if share.count == 1 else seen.of_all(share)).finished()


class _Seen:
    """What has been seen of a stream so far."""

    def __init__(self, stream: Stream, seed: int, held_out: int, known: bool):
        self.stream, self.seed, self.most_held_out, self.known = stream, seed, held_out, known
        size = stream.schema.size
        self.tally = Tally.of(size)
        self.rows: list[int] = []
        most = held_out + max(2, min(SAMPLED_ROWS, SAMPLED_VALUES // size))
        self.drawn = Drawn(most, np.empty((0, size), stream.schema.dtype), seed)

    def add(self, number: int) -> None:
        """See a part."""
        found = self.stream.part(number, before=sum(self.rows))
        if not (found.rows if isinstance(found, Sheet) else len(found.array)):
            self.rows.append(0)
            return
        if isinstance(found, Sheet):
            self._learn_levels(found)
        rows = self.stream.rows(found).rows
        self.tally = self.tally.with_rows(rows, self.stream.schema)
        self.drawn.add(rows, number)
        self.rows.append(len(rows))

    def _learn_levels(self, sheet: Sheet) -> None:
        """Take the levels of a part that no part had before."""
        table = self.stream.schema.table
        if table is None or self.known or not any(column.is_coded for column in table):
            return
        columns = tuple(
            _with_levels(column, sheet.text(name), self.stream.name)
            for column, name in zip(table, matched(sheet, self.stream.schema), strict=True)
        )
        self.stream = replace(self.stream, schema=replace(self.stream.schema, table=columns))

    def of_all(self, share: Share) -> _Seen:
        """What all processes saw, joined in their order; each has it."""
        numbers = {name: getattr(self.tally, name) for name in TALLIED}
        said = {"rows": self.rows, "counts": self.tally.counts, "binary": self.tally.binary, "tallied": self.tally.rows}
        parts = every(numbers, {**said, "levels": self._levels})
        whole = _Seen(self.stream, self.seed, self.most_held_out, self.known)
        whole.rows = [0] * len(self.stream.parts)
        for index, (arrays, document) in enumerate(parts):
            whole.rows[index :: share.count] = document["rows"]
            flags = {name: document[name] for name in ("counts", "binary")}
            tally = Tally(rows=document["tallied"], **{name: arrays[name] for name in TALLIED}, **flags)
            whole.tally = whole.tally.joined(tally)
            whole._learn(document["levels"])
        for place, (ours, theirs) in enumerate(zip(whole._levels, self._levels, strict=True)):
            if theirs is not None:
                self._recode(place, [ours.index(level) for level in theirs])
        whole.drawn = self.drawn.of_all()
        return whole

    @property
    def _levels(self) -> list[Any]:
        """Of each column that is coded the levels it has so far, in the order of their codes; else None."""
        return [list(column.levels or ()) if column.is_coded else None for column in self.stream.schema.table or ()]

    def _learn(self, levels: Sequence[Any]) -> None:
        """Take the levels of each column that another process found."""
        table = self.stream.schema.table
        if table is None or self.known:
            return
        columns = tuple(
            column if theirs is None else _joined(column, theirs, self.stream.name)
            for column, theirs in zip(table, levels, strict=True)
        )
        self.stream = replace(self.stream, schema=replace(self.stream.schema, table=columns))

    def _recode(self, place: int, new: Sequence[Any] | NDArray[Any]) -> None:
        """Give the drawn rows the new code of each old one of a column; a missing cell stays one."""
        rows = self.drawn.lowest
        known = np.asarray([*new, np.nan], np.float64)  # so that there is one where no code is
        rows[:, place] = known[np.where(np.isnan(rows[:, place]), -1, rows[:, place]).astype(np.int64)]

    def finished(self) -> Survey:
        """Everything that was seen, levels in their order."""
        total = sum(self.rows)
        if total < 2:
            raise DataError(f"{self.stream.name} has {total} row: at least 2 are required to train.")
        schema, codes = (self.stream.schema, {}) if self.known else _completed(self.stream.schema, self.tally)
        for place, new in codes.items():
            self._recode(place, new)
        schema = replace(schema, missing=schema.missing or bool((self.tally.count < total).any()))
        count = min(self.most_held_out, total // 5)
        threshold = int(self.drawn.priorities[count - 1]) if count else -1
        held_out, some = self.drawn.lowest[:count], self.drawn.lowest[count:]
        of = self.drawn.parts[:count]
        found = replace(self.stream, schema=schema)
        return Survey(found, tuple(self.rows), self.tally, held_out, some, self.seed, threshold, of)


def _with_levels(column: Column, cells: Any, name: str) -> Column:
    """The column with the levels that these cells have besides its own, behind them."""
    if not column.is_coded:
        return column
    return _joined(column, compute.unique(as_text(cells, column.stored_as)).drop_null().to_pylist(), name)


def _joined(column: Column, levels: Sequence[str], name: str) -> Column:
    """The column with these levels besides its own, behind them."""
    together = tuple(dict.fromkeys((*(column.levels or ()), *levels)))
    return replace(column, levels=_few_enough(column, together, name))


def _few_enough(column: Column, levels: tuple[str, ...], name: str) -> tuple[str, ...]:
    if len(levels) > MOST_LEVELS:
        raise DataError(
            f"{name}: column {column.name!r} has more than {MOST_LEVELS:,} levels. --drop {column.name}, or say what "
            "it is with --column."
        )
    return levels


def _completed(schema: Schema, tally: Tally) -> tuple[Schema, dict[int, NDArray[np.float64]]]:
    """The schema by all rows, and of each column whose levels changed places the new code of each old one."""
    if schema.table is None:
        return schema, {}
    columns, codes = [], {}
    for place, column in enumerate(schema.table):
        whole, low, high = bool(tally.whole[place]), float(tally.low[place]), float(tally.high[place])
        _check_kind(column, whole, low, schema.name)
        missing = int(tally.rows - tally.count[place])
        if column.is_coded:
            levels = ordered_levels(column.levels or ())
            if levels != column.levels:
                codes[place] = np.asarray([levels.index(level) for level in column.levels or ()], np.float64)
            columns.append(replace(column, levels=levels, kind=_kind(column, levels), missing=missing))
            continue
        columns.append(replace(column, lower=low, upper=high, whole=column.whole and whole, missing=missing))
    return replace(schema, table=tuple(columns)), codes


def _kind(column: Column, levels: Sequence[str]) -> str:
    """Two levels that became more are categories."""
    return "categorical" if column.kind == "binary" and len(levels) > 2 else column.kind


def _check_kind(column: Column, whole: bool, low: float, name: str) -> None:
    """Refuse a column that all rows show to be another than some rows made it.

    Raises:
        DataError: counts that are fractions or below 0.
    """
    if column.kind == "count" and not (whole and low >= 0):
        raise DataError(
            f"{name}: column {column.name!r} was judged a count by some rows, but others hold "
            f"{'fractions' if low >= 0 else 'numbers below 0'}. Say --column {column.name}=gaussian."
        )
