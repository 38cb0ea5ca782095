"""What a dataset looks like: what a likelihood is chosen by, and what `reparam inspect` tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reparam.data.arrays import column_name
from reparam.data.schema import Dataset
from reparam.data.statistics import blocks, moments


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


def inspect(data: Dataset) -> Summary:
    """Look at every value once: ranges, missing values, constant columns, whether binary or counts.

    >>> from reparam.data import load
    >>> summary = inspect(load("digits"))
    >>> summary.maximum, summary.model_maximum, summary.unit_interval, summary.binary
    (16.0, 1.0, True, False)
    >>> len(summary.constant)
    3
    """
    rows, schema = data.rows, data.schema
    low, high = np.fmin.reduce(rows), np.fmax.reduce(rows)
    model_low, model_high = _extremes(schema.apply(np.stack([low, high])))
    minimum, maximum = _extremes(np.stack([low, high]))
    columns = _columns(data, low, high)
    return Summary(
        name=schema.name,
        rows=len(rows),
        event_shape=schema.event_shape,
        dtype=schema.dtype,
        units=schema.units,
        minimum=minimum,
        maximum=maximum,
        model_minimum=model_low,
        model_maximum=model_high,
        missing=sum(column.missing for column in columns),
        binary=model_low >= 0 and model_high <= 1 and _every(data, lambda values: (values == 0) | (values == 1)),
        counts=model_low >= 0 and _every(data, lambda values: values == np.rint(values)),
        columns=columns,
        labels=None if data.labels is None else len(np.unique(data.labels)),
    )


def _extremes(values: NDArray[Any]) -> tuple[float, float]:
    """The smallest and the largest of the values present."""
    return float(np.fmin.reduce(values, axis=None)), float(np.fmax.reduce(values, axis=None))


def _every(data: Dataset, test: Any) -> bool:
    """Whether every value of the model that is present passes; stops at the first block where one fails."""
    model_blocks = (data.schema.apply(block) for block in blocks(data.rows))
    return all(bool((test(values) | np.isnan(values)).all()) for values in model_blocks)


def _columns(data: Dataset, low: NDArray[Any], high: NDArray[Any]) -> tuple[ColumnSummary, ...]:
    mean, std = moments(data.rows)
    missing = sum(np.isnan(block).sum(axis=0) for block in blocks(data.rows))
    empty = missing == len(data.rows)
    figures = np.stack([low, high, np.where(empty, np.nan, mean), np.where(empty, np.nan, std)])
    return tuple(
        ColumnSummary(column_name(data.schema.columns, index), low_, high_, mean_, std_, int(missing[index]))
        for index, (low_, high_, mean_, std_) in enumerate(figures.T.tolist())
    )
