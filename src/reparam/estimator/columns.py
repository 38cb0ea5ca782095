"""What a table's columns decide: its likelihood, what its encoder takes, and how numbers are shown to the model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from reparam.data import Column, Schema
from reparam.errors import ParameterError
from reparam.networks import Inputs
from reparam.probability.likelihoods import LIKELIHOODS, Likelihood, table_of
from reparam.probability.likelihoods.bounded import Categorical
from reparam.probability.likelihoods.counts import Counts
from reparam.probability.supports import POSITIVE, REALS
from reparam.specification import build

TABLE = "table"
SMALLEST_SPREAD = 1e-30


def choose_for_table(likelihood: str, table: tuple[Column, ...]) -> tuple[str, str]:
    """The likelihood of a table, and why: ``auto`` takes that of each column.

    Raises:
        ParameterError: one likelihood is named for all columns, and some hold codes of levels.

    >>> choose_for_table("auto", (Column("age", "count", "poisson"), Column("sex", "binary", "bernoulli", ("f", "m"))))
    ('table', '1 column poisson, 1 bernoulli')
    """
    coded = [column.name for column in table if column.is_coded]
    if likelihood != "auto":
        if coded:
            raise ParameterError(
                f"likelihood {likelihood!r} is to explain every column, but {coded[0]!r} holds levels. "
                "Leave it at 'auto', and say of a column how it is to be explained."
            )
        return likelihood, "chosen by the user"
    if {column.likelihood for column in table} == {"gaussian"}:
        return "gaussian:per_dimension", "every column holds numbers"
    counted = Counter(column.likelihood for column in table).most_common()
    (name, count), *others = counted
    first = f"{count} column{'s' if count > 1 else ''} {name}"
    return TABLE, ", ".join([first, *(f"{count} {name}" for name, count in others)])


def likelihood_part(likelihood: str | Likelihood, schema: Schema) -> Likelihood:
    """The likelihood of a name, of a table by its columns, of codes in the scale in which the model sees them."""
    if likelihood == TABLE and schema.table is not None:
        return table_of([(column.likelihood, len(column.levels or ())) for column in schema.table])
    part: Likelihood = build("likelihood", LIKELIHOODS, likelihood, schema.size)
    if isinstance(likelihood, str) and isinstance(part, Categorical) and schema.is_compact:
        return Categorical(part.event_size, part.categories, 1.0 / float(np.max(schema.scale)))
    return part


def encoder_inputs(schema: Schema, likelihood: Likelihood, key: jax.Array) -> Inputs | None:
    """What the encoder takes of a row; None where it is the values themselves."""
    inputs = inputs_of(schema, likelihood, range(schema.size), key)
    return None if len(inputs.numbers) == inputs.size else inputs


def inputs_of(schema: Schema, likelihood: Likelihood, places: Iterable[int], key: jax.Array) -> Inputs:
    """What a network takes of some columns of a row.

    Args:
        schema: of the rows that are trained on: a column that misses cells there has an indicator.
        likelihood: of the rows.
        places: the columns.
        key: learned vectors of columns with many levels.
    """
    columns = {place: None if schema.table is None else schema.table[place] for place in places}
    levels = {place: len(column.levels or ()) for place, column in columns.items() if column and column.kind in LEVELS}
    of_table = schema.table is not None
    counts = tuple(place for place in columns if of_table and isinstance(likelihood.part_at(place), Counts))
    gaps = tuple(place for place, column in columns.items() if (column.missing if column else schema.missing))
    positive = tuple(place for place in columns if of_table and likelihood.part_at(place).support is POSITIVE)
    numbers = tuple(place for place in columns if place not in {*counts, *positive, *levels})
    return Inputs(numbers, counts, levels, gaps, key, positive=positive)


LEVELS = ("categorical", "ordinal")
"""The kinds of columns whose codes are no numbers to an encoder; yes or no is 1 or 0 as it stands."""


def varies(mean: NDArray[Any], std: NDArray[Any]) -> NDArray[np.bool_]:
    """Which columns are not constant: sums in double precision may leave a constant one a rounding error."""
    return np.asarray(std > SMALLEST_SPREAD + 1e-12 * np.abs(mean))


def standardized_table(schema: Schema, likelihood: Likelihood, mean: NDArray[Any], std: NDArray[Any]) -> Schema:
    """The schema with real numbers shifted and scaled by their column's mean and deviation, positive ones by its mean.

    Others stay as they are.

    Args:
        schema: of a table.
        likelihood: of the table.
        mean: of each column of the training rows in stored units, shape (P,).
        std: likewise; of a constant column 0.
    """
    supports = [likelihood.part_at(place).support for place in range(schema.size)]
    real, positive = (np.array([support is kind for support in supports]) for kind in (REALS, POSITIVE))
    shift, scale = np.where(real, mean, 0.0), np.where(real & varies(mean, std), std, np.where(positive, mean, 1.0))
    return schema.standardized(tuple(shift.tolist()), tuple(scale.tolist()))
