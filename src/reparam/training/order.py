"""Which rows are visited when: drawn from a key, and the same however many devices and processes share the rows."""

from __future__ import annotations

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray
from numpy.typing import NDArray

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


def visits(key: PRNGKeyArray, rows: Stored, recipe: Recipe) -> tuple[Array, Array, PRNGKeyArray]:
    """What an epoch visits, drawn from its key.

    Returns:
        The row numbers of each batch, (S, B), or the rows that are laid for it, (S, C, P); weights (S, B); and keys.
    """
    order_key, noise_key = jax.random.split(key)
    if isinstance(rows, Laid):
        batches, weights = rows.rows, jnp.tile(weights_of(rows.total, recipe.batch_size), (recipe.passes, 1))
    else:
        batches, weights = repeated_batches(order_key, len(rows), recipe)
    return batches, weights, jax.random.split(noise_key, len(batches))


def calibrating(key: PRNGKeyArray, rows: Stored, numbers: Array) -> tuple[Array, PRNGKeyArray, PRNGKeyArray]:
    """By which of these rows noise is calibrated, or those that are laid for it; and keys of what is drawn for them."""
    rows_key, draw_key, noise_key = jax.random.split(key, 3)
    if isinstance(rows, Laid):
        return rows.rows[0], draw_key, noise_key
    return numbers[random_order(rows_key, len(numbers))[:CALIBRATION_ROWS]], draw_key, noise_key


def looked_up(rows: Stored, taken: Array, count: int) -> tuple[Array, Array]:
    """The numbers and the rows, (B,) and (B, P), of a step; rows that are laid have no numbers but their places."""
    if isinstance(rows, Laid):
        return jnp.arange(count), taken[:count]
    return taken, rows[taken]


def numbers_visited(key: PRNGKeyArray, count: int, recipe: Recipe) -> NDArray[np.int64]:
    """The row numbers of an epoch, (S, B), on the host: those of :func:`visits`, ten times as fast."""
    positions = np.arange(-(-count // recipe.batch_size) * recipe.batch_size) % count
    bits = np.asarray(_bits_of_orders(key, count, recipe.passes))
    return np.concatenate([_order(of_pass)[positions].reshape(-1, recipe.batch_size) for of_pass in bits])


def numbers_calibrating(key: PRNGKeyArray, count: int) -> NDArray[np.int64]:
    """The row numbers of :func:`calibrating`, as one step, (1, B), on the host."""
    return _order(np.asarray(_bits_calibrating(key, count)))[None, :CALIBRATION_ROWS]


@eqx.filter_jit
def _bits_of_orders(key: PRNGKeyArray, count: int, passes: int) -> Array:
    """What :func:`repeated_batches` sorts by, (passes, N)."""
    order_key, _ = jax.random.split(key)
    if passes == 1:
        return jax.random.bits(order_key, (1, count))
    return jax.vmap(lambda key: jax.random.bits(key, (count,)))(jax.random.split(order_key, passes))


@eqx.filter_jit
def _bits_calibrating(key: PRNGKeyArray, count: int) -> Array:
    rows_key, _, _ = jax.random.split(key, 3)
    return jax.random.bits(rows_key, (count,))


def _order(bits: NDArray[np.uint32]) -> NDArray[np.int64]:
    """The permutation that sorts them, the first of equal ones first: each with its number behind it."""
    numbered = bits.astype(np.uint64) << np.uint64(32) | np.arange(len(bits), dtype=np.uint64)
    return (np.sort(numbered) & np.uint64(2**32 - 1)).astype(np.int64)


def random_order(key: PRNGKeyArray, count: int) -> Array:
    """A permutation by one sort of random 32-bit numbers; half the time of jax.random.permutation, of two sorts."""
    return jax.lax.sort_key_val(jax.random.bits(key, (count,)), jnp.arange(count, dtype=jnp.int32))[1]


def padded_batches(order: Array, batch_size: int) -> tuple[Array, Array]:
    """Row numbers and weights, both (batches, B): the last batch is filled up from the first rows, at weight 0."""
    count = order.shape[0]
    weights = weights_of(count, batch_size)
    return order[jnp.arange(weights.size) % count].reshape(weights.shape), weights


def weights_of(count: int, batch_size: int) -> Array:
    """1 for each row of the batches, and 0 for what fills the last one up, (batches, B)."""
    batches = -(-count // batch_size)
    return (jnp.arange(batches * batch_size) < count).astype(float).reshape(batches, batch_size)


def repeated_batches(key: PRNGKeyArray, count: int, recipe: Recipe) -> tuple[Array, Array]:
    """Batches of every row, in an order of its own for each pass, one pass after the other: both (steps, B)."""
    if recipe.passes == 1:
        return padded_batches(random_order(key, count), recipe.batch_size)
    orders = jax.vmap(partial(random_order, count=count))(jax.random.split(key, recipe.passes))
    indices, weights = jax.vmap(partial(padded_batches, batch_size=recipe.batch_size))(orders)
    return indices.reshape(-1, recipe.batch_size), weights.reshape(-1, recipe.batch_size)
