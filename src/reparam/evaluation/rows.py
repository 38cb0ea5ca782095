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


def map_rows(function: Callable[[Array], Any], rows: NDArray[Any] | Array, chunk: int = CHUNK) -> Any:
    """Apply ``function`` to chunks of rows and join what it gives.

    Args:
        function: a chunk (chunk, P) → a PyTree of arrays (chunk, ...).
        rows: shape (N, P); the last chunk is filled up by repeating its last row.
        chunk: rows in a chunk.

    Returns:
        A PyTree of NumPy arrays (N, ...).
    """
    parts = []
    for start in range(0, len(rows), chunk):
        part = rows[start : start + chunk]
        filled = np.pad(np.asarray(part), ((0, chunk - len(part)), (0, 0)), mode="edge")
        parts.append(_first(len(part), function(jnp.asarray(filled))))
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)


def _first(count: int, tree: Any) -> Any:
    return jax.tree.map(lambda leaf: np.asarray(leaf)[:count], tree)


def row_keys(key: PRNGKeyArray, x: Array) -> PRNGKeyArray:
    """A key for each row of x (N, P), from the values of the row: equal rows get equal keys."""
    bits = jax.lax.bitcast_convert_type(x.astype(jnp.float32) + 0.0, jnp.uint32)  # + 0.0 makes −0 and 0 one
    odd = 2 * jax.random.bits(jax.random.key(0), (x.shape[-1],)) + 1
    mixed = (bits ^ (bits >> 15)) * odd
    return jax.vmap(lambda number: jax.random.fold_in(key, number))(jnp.sum(mixed ^ (mixed >> 13), axis=-1))
