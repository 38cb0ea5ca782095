"""Apply a compiled function to rows in chunks of one shape, each row with a key of its own.

A row's key is made of the caller's key and the row's own values, so what is said of a row does not depend on its
neighbours, its place, or how many rows there are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray
from numpy.typing import NDArray

CHUNK = 256

Progress = Callable[[int, int], None]


def map_rows(
    function: Callable[..., Any], *rows: NDArray[Any] | Array, chunk: int = CHUNK, report: Progress | None = None
) -> Any:
    """Apply ``function`` to chunks of rows and join what it gives.

    Args:
        function: chunks (chunk, ...), one of each array → a PyTree of arrays (chunk, ...).
        rows: arrays of N rows each, (N, ...); the last chunk is filled up by repeating the last row.
        chunk: rows in a chunk.
        report: called after each chunk with the rows done and N.

    Returns:
        A PyTree of NumPy arrays (N, ...).
    """
    parts, total = [], len(rows[0])
    for start in range(0, total, chunk):
        count = min(chunk, total - start)
        filled = [_filled(np.asarray(array[start : start + count]), chunk) for array in rows]
        parts.append(_first(count, function(*filled)))
        if report is not None:
            report(start + count, total)
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)


def _filled(part: NDArray[Any], chunk: int) -> Array:
    padding = ((0, chunk - len(part)), *((0, 0) for _ in part.shape[1:]))
    return jnp.asarray(np.pad(part, padding, mode="edge") if len(part) < chunk else part)


def _first(count: int, tree: Any) -> Any:
    return jax.tree.map(lambda leaf: np.asarray(leaf)[:count], tree)


def row_keys(key: PRNGKeyArray, x: Array) -> PRNGKeyArray:
    """A key for each row of x (N, P), from the values of the row: equal rows get equal keys."""
    bits = jax.lax.bitcast_convert_type(x.astype(jnp.float32) + 0.0, jnp.uint32)  # + 0.0 makes −0 and 0 one
    odd = 2 * jax.random.bits(jax.random.key(0), (x.shape[-1],)) + 1
    mixed = (bits ^ (bits >> 15)) * odd
    return jax.vmap(lambda number: jax.random.fold_in(key, number))(jnp.sum(mixed ^ (mixed >> 13), axis=-1))


def draws_at_once(size: int) -> int:
    """How many reconstructions of ``size`` values to hold at a time: what a CPU's cache takes, or an accelerator.

    On a CPU about a million values were measured fastest: larger activations leave the cache between layers.
    """
    return max(1, 2 ** (20 if jax.default_backend() == "cpu" else 26) // size)
