"""What a dataset looks like: what a likelihood is chosen by, and what `reparam inspect` tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reparam.data.arrays import column_name
from reparam.data.schema import Dataset, Schema
from reparam.data.statistics import blocks


@dataclass(frozen=True)
class ColumnSummary:
    """One column in stored units; NaN is left out, and all figures are NaN where nothing is present."""

    name: str
    minimum: float
    maximum: float
    mean: float
    std: float
    missing: int

    @property
    def constant(self) -> bool:
        """Whether no two present values differ."""
        return not self.minimum < self.maximum


@dataclass(frozen=True)
class Summary:
    """What `inspect` found.

    `minimum`, `maximum` and the columns are in stored units; `model_minimum` and `model_maximum` are in
    `units`, what the model sees. `binary`: every value of the model is 0 or 1. `counts`: every value of
    the model is a whole number ≥ 0. `unit_interval`: every value of the model lies in [0, 1]. `image`:
    a datum has height and width.
    """

    name: str
    rows: int
    event_shape: tuple[int, ...]
    dtype: str
    units: str
    minimum: float
    maximum: float
    model_minimum: float
    model_maximum: float
    missing: int
    binary: bool
    counts: bool
    columns: tuple[ColumnSummary, ...]
    labels: int | None

    @property
    def unit_interval(self) -> bool:
        """Whether every value of the model lies in [0, 1]."""
        return self.model_minimum >= 0 and self.model_maximum <= 1

    @property
    def image(self) -> bool:
        """Whether a datum has height and width."""
        return len(self.event_shape) >= 2

    @property
    def constant(self) -> tuple[str, ...]:
        """The names of the columns in which no two present values differ."""
        return tuple(column.name for column in self.columns if column.constant)


@dataclass(frozen=True)
class Tally:
    """What is known of P columns in stored units from the rows seen so far; NaN is left out.

    Means and sums of squares of two sets of rows are joined exactly (Chan, Golub & LeVeque 1983, Equation 2.1).

    Args:
        rows: how many were seen.
        count: how many values each column has, (P,).
        low: the smallest of each, (P,), NaN where there is none.
        high: the largest.
        mean: of each.
        square: Σ (x − mean)² of each.
        whole: whether all are whole numbers.
        counts: whether every value of the model is a whole number ≥ 0.
        binary: whether every value of the model is 0 or 1.
    """

    rows: int
    count: NDArray[np.int64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    mean: NDArray[np.float64]
    square: NDArray[np.float64]
    whole: NDArray[np.bool_]
    counts: bool = True
    binary: bool = True

    @classmethod
    def of(cls, size: int) -> Tally:
        """Of no rows."""
        nothing, nowhere = np.zeros(size), np.full(size, np.nan)
        return cls(0, np.zeros(size, np.int64), nowhere, nowhere, nothing, nothing, np.ones(size, bool))

    def with_rows(self, rows: NDArray[Any], schema: Schema) -> Tally:
        """The same with more rows, (N, P), whose model's values the schema tells.

        >>> rows = np.array([[1.0, 5.0], [3.0, np.nan], [5.0, 6.0]])
        >>> tally = Tally.of(2).with_rows(rows[:1], Schema("x", (2,))).with_rows(rows[1:], Schema("x", (2,)))
        >>> tally.mean.tolist(), tally.std.round(4).tolist(), tally.count.tolist()
        ([3.0, 5.5], [1.633, 0.5], [3, 2])
        """
        tally = self
        for block in blocks(rows):
            tally = tally._with_block(block, schema)
        return tally

    def _with_block(self, block: NDArray[Any], schema: Schema) -> Tally:
        """More rows; of what no column or no value is any more nothing is asked."""
        missing = np.isnan(block)
        new = len(block) - missing.sum(axis=0)
        gaps = bool(missing.any())
        values = (np.where(missing, 0.0, block) if gaps else block).astype(np.float64)
        mean = values.sum(axis=0) / np.maximum(new, 1)
        apart = (values - mean) ** 2
        square = np.sum(apart, axis=0, where=~missing) if gaps else np.sum(apart, axis=0)
        model = schema.apply(block) if self.counts or self.binary else block
        return self.joined(
            Tally(
                rows=len(block),
                count=new,
                low=np.fmin.reduce(block),
                high=np.fmax.reduce(block),
                mean=mean,
                square=square,
                whole=((block == np.rint(block)) | missing).all(axis=0) if self.whole.any() else self.whole,
                counts=self.counts and bool(((model >= 0) & (model == np.rint(model)) | missing).all()),
                binary=self.binary and bool(((model == 0) | (model == 1) | missing).all()),
            )
        )

    def joined(self, other: Tally) -> Tally:
        """Of the rows of both (Chan, Golub & LeVeque 1983).

        >>> rows, schema = np.array([[1.0], [3.0], [8.0]]), Schema("x", (1,))
        >>> Tally.of(1).with_rows(rows[:2], schema).joined(Tally.of(1).with_rows(rows[2:], schema)).mean.tolist()
        [4.0]
        """
        total = self.count + other.count
        share, apart = other.count / np.maximum(total, 1), other.mean - self.mean
        return Tally(
            rows=self.rows + other.rows,
            count=total,
            low=np.fmin(self.low, other.low),
            high=np.fmax(self.high, other.high),
            mean=self.mean + apart * share,
            square=self.square + other.square + apart**2 * self.count * share,
            whole=self.whole & other.whole,
            counts=self.counts and other.counts,
            binary=self.binary and other.binary,
        )

    @property
    def std(self) -> NDArray[np.float64]:
        """The deviations, divisor the number of values."""
        return np.sqrt(self.square / np.maximum(self.count, 1))

    def summary(self, schema: Schema, labels: int | None = None) -> Summary:
        """What it says of rows of a schema that have so many different labels."""
        ends = np.stack([self.low, self.high])
        minimum, maximum = _extremes(ends)
        model_low, model_high = _extremes(schema.apply(ends.astype(schema.dtype)))
        empty = self.count == 0
        figures = np.stack([self.low, self.high, *(np.where(empty, np.nan, x) for x in (self.mean, self.std))])
        columns = tuple(
            ColumnSummary(column_name(schema.columns, place), low, high, mean, std, int(self.rows - self.count[place]))
            for place, (low, high, mean, std) in enumerate(figures.T.tolist())
        )
        return Summary(
            name=schema.name,
            rows=self.rows,
            event_shape=schema.event_shape,
            dtype=schema.dtype,
            units=schema.units,
            minimum=minimum,
            maximum=maximum,
            model_minimum=model_low,
            model_maximum=model_high,
            missing=sum(column.missing for column in columns),
            binary=self.binary,
            counts=self.counts,
            columns=columns,
            labels=labels,
        )


def inspect(data: Dataset) -> Summary:
    """Look at every value once: ranges, missing values, constant columns, whether binary or counts.

    >>> from reparam.data import load
    >>> summary = inspect(load("digits"))
    >>> summary.maximum, summary.model_maximum, summary.unit_interval, summary.binary
    (16.0, 1.0, True, False)
    >>> len(summary.constant)
    3
    """
    labels = None if data.labels is None else len(np.unique(data.labels))
    return Tally.of(data.schema.size).with_rows(data.rows, data.schema).summary(data.schema, labels)


def _extremes(values: NDArray[Any]) -> tuple[float, float]:
    """The smallest and the largest of the values present."""
    return float(np.fmin.reduce(values, axis=None)), float(np.fmax.reduce(values, axis=None))
