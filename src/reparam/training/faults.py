"""What of a step left the finite numbers: its term, rows and column, or its layer."""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray
from numpy.typing import NDArray

from reparam.data import Schema
from reparam.data.arrays import column_name
from reparam.model import Model
from reparam.networks.precision import in_precision
from reparam.objectives import Objective
from reparam.training.epoch import seen_rows
from reparam.training.order import visits
from reparam.training.recipe import Recipe
from reparam.training.rows import Dealt, Rows
from reparam.training.tensors import not_finite
from reparam.training.visits import Local, Visited

ROWS_SHOWN = 5


class Step(NamedTuple):
    """A step: its number in the epoch, whose key it is, how and what for; of a copy the weight of each row, (N,)."""

    step: int
    key: PRNGKeyArray
    recipe: Recipe
    objective: Objective
    shares: Array | None = None


def fault(model: Model, local: Local | None, rows: Rows | Dealt, at: Step) -> str:
    """Take the step that was not taken again, with the weights before it, and tell what is not finite.

    Args:
        model: with the weights before the step.
        local: what rows own.
        rows: that are trained on.
        at: the step.
    """
    recipe, schema = at.recipe, rows.schema
    batches, weights, keys = visits(at.key, jnp.zeros(rows.total), recipe)
    draw, _, noise = jax.random.split(keys[at.step], 3)
    indices, weight = batches[at.step], weights[at.step]
    weight = weight if at.shares is None else weight * at.shares[indices]
    batch = seen_rows(jax.device_put(rows.at(indices)), draw, schema, recipe, weight)
    trained, fixed = eqx.partition(model, eqx.is_inexact_array)

    def loss(trained: Any) -> tuple[Array, Any]:
        model = in_precision(eqx.combine(trained, fixed), recipe.precision)
        q = model.family.distribution(recipe.visit.raw(model, local, Visited(indices, batch), noise))
        terms = at.objective(model, batch, noise, q=q)
        return -(weight @ terms.surrogate), terms

    gradient, terms = jax.grad(loss, has_aux=True)(trained)
    seen = np.asarray(weight) > 0
    numbers, values = np.asarray(indices)[seen], np.asarray(batch.x)[seen]
    for name in ("reconstruction", "kl", "bound", "surrogate"):
        wrong = ~np.isfinite(np.asarray(getattr(terms, name)))[seen]
        if wrong.any():
            return f"the {name} of {_rows(numbers[wrong])} is not finite{_column(values[wrong], schema)}"
    layer = not_finite(gradient)
    if layer is not None:
        return f"the gradient of {layer} is not finite{_column(values, schema)}"
    return f"a weight is not finite after the step{_column(values, schema)}"


def _rows(numbers: NDArray[Any]) -> str:
    shown = ", ".join(map(str, numbers[:ROWS_SHOWN])) + (", …" if len(numbers) > ROWS_SHOWN else "")
    return f"training row {shown}" if len(numbers) == 1 else f"{len(numbers):,} training rows ({shown})"


def _column(values: NDArray[Any], schema: Schema) -> str:
    """Where the largest value of these rows stands, as the model sees it."""
    row, column = np.unravel_index(np.argmax(np.abs(values)), values.shape)
    name = f"column {column_name(schema.columns, int(column))!r}"
    return f"; the largest value there is {values[row, column]:.3g}, in {name}"
