"""Which rows are visited when: drawn from a key, and the same however many devices and processes share the rows."""

from __future__ import annotations

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from reparam.training.recipe import Recipe

CALIBRATION_ROWS = 4096


class Laid(eqx.Module):
    """Rows in the order of their visits, each on the device that visits it: nothing is looked up by number.

    Args:
        rows: as they are stored, shape (S, C, P): for each step those of its batch, behind them what has no meaning.
        total: how many different rows there are.
    """

    rows: Array
    total: int = eqx.field(static=True)


Stored = Array | Laid
"""Rows as they are stored, (N, P), on every device that looks them up by number; or as they are visited."""


def count_of(rows: Stored) -> int:
    """How many rows there are."""
    return rows.total if isinstance(rows, Laid) else int(rows.shape[0])


def along(rows: Stored) -> Array | None:
    """What lies along the steps of an epoch: of rows that are laid those of each step, (S, C, P)."""
    return rows.rows if isinstance(rows, Laid) else None


def of_step(rows: Stored, indices: Array, laid: Array | None) -> Array:
    """The rows of a step, (B, P): by their numbers, (B,), or the first of those that are laid for it, (C, P)."""
    return laid[: len(indices)] if isinstance(rows, Laid) and laid is not None else rows[indices]  # type: ignore[index]


def visits(key: PRNGKeyArray, count: int, recipe: Recipe) -> tuple[Array, Array, PRNGKeyArray]:
    """What an epoch visits, drawn from its key: row numbers and weights of each batch, (steps, B), and its key."""
    order_key, noise_key = jax.random.split(key)
    batches, weights = repeated_batches(order_key, count, recipe)
    return batches, weights, jax.random.split(noise_key, len(batches))


def calibrating(key: PRNGKeyArray, count: int) -> tuple[Array, PRNGKeyArray, PRNGKeyArray]:
    """The numbers of the rows by which noise is calibrated, and keys of what is drawn for them."""
    rows_key, draw_key, noise_key = jax.random.split(key, 3)
    return random_order(rows_key, count)[:CALIBRATION_ROWS], draw_key, noise_key


@eqx.filter_jit
def numbers_visited(key: PRNGKeyArray, count: int, recipe: Recipe) -> Array:
    """The row numbers of :func:`visits`, (steps, B)."""
    return visits(key, count, recipe)[0]


@eqx.filter_jit
def numbers_calibrating(key: PRNGKeyArray, count: int) -> Array:
    """The row numbers of :func:`calibrating`, as one step, (1, B)."""
    return calibrating(key, count)[0][None]


def random_order(key: PRNGKeyArray, count: int) -> Array:
    """A permutation by one sort of random 32-bit numbers; half the time of jax.random.permutation, of two sorts."""
    return jax.lax.sort_key_val(jax.random.bits(key, (count,)), jnp.arange(count, dtype=jnp.int32))[1]


def padded_batches(order: Array, batch_size: int) -> tuple[Array, Array]:
    """Row numbers and weights, both (batches, B): the last batch is filled up from the first rows, at weight 0."""
    count = order.shape[0]
    batches = -(-count // batch_size)
    positions = jnp.arange(batches * batch_size)
    indices = order[positions % count]
    weights = (positions < count).astype(float)
    return indices.reshape(batches, batch_size), weights.reshape(batches, batch_size)


def repeated_batches(key: PRNGKeyArray, count: int, recipe: Recipe) -> tuple[Array, Array]:
    """Batches of every row, in an order of its own for each pass, one pass after the other: both (steps, B)."""
    if recipe.passes == 1:
        return padded_batches(random_order(key, count), recipe.batch_size)
    orders = jax.vmap(partial(random_order, count=count))(jax.random.split(key, recipe.passes))
    indices, weights = jax.vmap(partial(padded_batches, batch_size=recipe.batch_size))(orders)
    return indices.reshape(-1, recipe.batch_size), weights.reshape(-1, recipe.batch_size)
