"""What is known of data before a model is built: of rows in memory, or of a stream that was surveyed."""

from __future__ import annotations

import hashlib
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reparam.data import Dataset, Judgement, Schema, Stream, Summary, Survey, inspect, moments, split
from reparam.data import survey as survey_stream
from reparam.data.streaming.digesting import Digest
from reparam.data.streaming.surveying import MOST_HELD_OUT
from reparam.devices.processes import first, share
from reparam.errors import DataError
from reparam.estimator.configuration import Configuration
from reparam.training.folds import Folds, one_held_out

Data = Dataset | Survey


@dataclass(frozen=True)
class Seen:
    """The facts that a model's choices rest on.

    Args:
        schema: of the rows as they are stored.
        summary: ranges and kinds of values.
        total: how many rows are trained on.
        held_out: how many are held out.
        mean: of each column of the training rows in stored units, (P,).
        std: likewise.
        rows: the training rows, or some of them, (S, P).
        folds: by which training is told to stop, or None.
        shares: which of ``rows`` each copy of the model is trained on, (M, S); None where there are no copies.
    """

    schema: Schema
    summary: Summary
    total: int
    held_out: int
    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    rows: NDArray[Any]
    folds: Folds | None
    shares: NDArray[np.bool_] | None


def see(configuration: Configuration, data: Data) -> Seen:
    """Look at rows in memory, or take what a survey saw.

    Raises:
        DataError: there are too few rows.
    """
    return _survey_seen(configuration, data) if isinstance(data, Survey) else _rows_seen(configuration, data)


def split_rows(configuration: Configuration, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64] | None]:
    """The numbers of the rows to train on and to validate on, or all and None."""
    if not configuration.early_stopping:
        return np.arange(count), None
    return split(count, configuration.validation_fraction, configuration.seed)


def taken(rows: NDArray[Any], numbers: NDArray[np.int64]) -> NDArray[Any]:
    """The rows of these numbers, which rise; where they are all, the rows themselves, of which a copy may be large."""
    return rows if len(numbers) == len(rows) else rows[numbers]


def counts(configuration: Configuration, data: Data) -> tuple[int, int]:
    """How many rows are trained on, and how many are held out."""
    if isinstance(data, Survey):
        return data.training_rows, len(data.held_out)
    train, held_out = split_rows(configuration, len(data.rows))
    return len(train), 0 if held_out is None else len(held_out)


def survey(opened: Stream, configuration: Configuration, *, known: bool = False, report: Any = None) -> Survey:
    """One pass over a stream, by the seed of a configuration, with rows held out where it needs them."""
    held_out = MOST_HELD_OUT if configuration.is_judged or configuration.early_stopping else 0
    digest = Digest(opened.files)
    with digest.meanwhile() if share().leads else nullcontext():
        found = survey_stream(opened, configuration.seed, held_out=held_out, known=known, share=share(), report=report)
    return replace(found, stream=replace(found.stream, digest=digest))


def rows_in(data: Data) -> int:
    """How many rows there are, held-out ones among them."""
    return sum(data.rows) if isinstance(data, Survey) else len(data.rows)


def schema_of(data: Data) -> Schema:
    """What a row means."""
    return data.stream.schema if isinstance(data, Survey) else data.schema


def judgement_of(data: Data) -> Judgement | None:
    """What the table was found to be that the rows come from."""
    return data.stream.judgement if isinstance(data, Survey) else data.judgement


def sha256(data: Data) -> str:
    """SHA-256 of the rows as they came; of a stream that of the bytes of its files."""
    if isinstance(data, Survey):
        return str(first(data.stream.sha256 if share().leads else None))
    return hashlib.sha256(np.ascontiguousarray(data.rows).data).hexdigest()


def _rows_seen(configuration: Configuration, data: Dataset) -> Seen:
    if len(data.rows) < 2:
        raise DataError(f"{data.schema.name} has 1 row: at least 2 are required to train.")
    data = replace(data, schema=data.schema.of(data.rows))  # which says whether cells are missing
    numbers, held_out = split_rows(configuration, len(data.rows))
    if len(numbers) < 2:
        raise DataError(
            f"{data.schema.name} leaves 1 row to train on: at least 2 are required. Give more rows, or hold out none "
            "(early_stopping=False)."
        )
    rows, folds = taken(data.rows, numbers), configuration.folds(len(numbers))
    shares = None if folds is None else folds.weights(len(rows)) > 0
    beside = 0 if held_out is None else len(held_out)
    return Seen(data.schema, inspect(data), len(rows), beside, *moments(rows), rows, folds, shares)


def _survey_seen(configuration: Configuration, found: Survey) -> Seen:
    """Of a stream the moments are those of all rows; folds are the rows that were held out, which no chunk has."""
    folds = one_held_out(len(found.held_out)) if configuration.is_judged and len(found.held_out) else None
    shares = None if folds is None else np.ones((1, len(found.some)), bool)
    tally, schema = found.tally, found.stream.schema
    about = (found.training_rows, len(found.held_out), tally.mean, tally.std, found.some, folds, shares)
    return Seen(schema, found.summary, *about)
