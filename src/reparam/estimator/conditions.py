"""Columns that a model is given and does not explain: where they stand, what they hold, how they come back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from reparam.batch import Batch
from reparam.data import Column, Schema
from reparam.data.arrays import column_name
from reparam.data.coding import encode
from reparam.errors import ParameterError, UnknownNameError
from reparam.specification import shown

if TYPE_CHECKING:
    from reparam.estimator.fitting import Fitted


def told_rows(fitted: Fitted, given: Mapping[str, Any] | None, count: int) -> NDArray[Any] | None:
    """Rows (count, P) that tell the columns of the condition, or None where there is no condition.

    Raises:
        ParameterError: what is given is not what the model is to be given.
    """
    row = given_row(fitted.schema, fitted.configuration.condition, given)
    return np.tile(row, (count, 1)) if len(fitted.configuration.condition) else None


def told_batch(fitted: Fitted, told: NDArray[Any] | None) -> Batch | None:
    """The same as the model sees them."""
    if told is None:
        return None
    rows, schema = fitted.stored(told)
    return Batch.of_rows(jnp.asarray(rows), schema)


def as_told(fitted: Fitted, rows: NDArray[Any], told: NDArray[Any] | None) -> NDArray[Any]:
    """Rows in stored units with the columns of the condition as they were told."""
    if told is None or not len(fitted.configuration.condition):
        return rows
    places = given_places(fitted.schema, fitted.configuration.condition)
    return np.where(np.isin(np.arange(rows.shape[1]), places), told, rows)


def given_places(schema: Schema, names: Sequence[str]) -> tuple[int, ...]:
    """Where the columns stand that a model is given.

    Raises:
        ParameterError: there is no such column, or no other one is left.
    """
    known = [column_name(schema.columns, place) for place in range(schema.size)]
    for name in names:
        if name not in known:
            raise UnknownNameError("column of the condition", name, known)
    if len({*names}) >= schema.size:
        raise ParameterError("the condition names every column: one at least is required that is to be explained.")
    return tuple(place for place, name in enumerate(known) if name in names)


def given_row(schema: Schema, condition: Sequence[str], given: Mapping[str, Any] | None) -> NDArray[np.float64]:
    """One row, (P,), of what is given; NaN in every other column.

    Raises:
        ParameterError: a column of the condition is not given, another is, or the value is none of the column.
    """
    named, said = sorted(condition), dict(given or {})
    if sorted(said) != named:
        shown = ", ".join(named) or "nothing, for it was trained without a condition"
        got = ", ".join(sorted(said)) or "nothing"
        how = "" if said or not named else " (given={'column': value})"
        raise ParameterError(f"this model is to be given {shown}{how}. Got {got} instead.")
    row = np.full(schema.size, np.nan)
    for place in given_places(schema, condition) if condition else ():
        name = column_name(schema.columns, place)
        row[place] = _value(schema, place, name, said[name])
    return row


def _value(schema: Schema, place: int, name: str, value: Any) -> float:
    column = Column(name, "real", "gaussian") if schema.table is None else schema.table[place]
    numbers, unknown = encode(pa.array([str(value)]), column)
    if len(unknown) or np.isnan(numbers[0]):
        levels = f": one of {', '.join(column.levels[:20])}" if column.levels else ""
        raise ParameterError(f"{name} cannot be {shown(value)}; it is {column.kind}{levels}.")
    return float(numbers[0])


def without_density(schema: Schema, places: Sequence[int]) -> Schema:
    """The schema whose units are the model's in columns that are given: no density of theirs is told."""
    unit, scale = (np.broadcast_to(np.asarray(v, np.float64), (schema.size,)) for v in (schema.unit, schema.scale))
    units = np.where(np.isin(np.arange(schema.size), places), scale, unit)
    return replace(schema, unit=tuple(units.tolist())) if len(places) else schema
