"""A batch of data: values, which of them were seen, and what is padding."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from reparam.data import Schema


class Batch(eqx.Module):
    """What is known of B data, or, without the leading axis, of one; what is None costs nothing when compiled.

    Args:
        x: values as the model sees them, shape (B, P); 0 in a missing cell.
        observed: which cells were seen, shape (B, P); None where all were.
        weight: of each datum, shape (B,), 1 or 0 for padding; None where all count.

    >>> batch = Batch(jnp.zeros((3, 2)))
    >>> len(batch), batch.observed, batch.weights.tolist()
    (3, None, [1.0, 1.0, 1.0])
    """

    x: Array
    observed: Array | None = None
    weight: Array | None = None

    @classmethod
    def of(cls, x: Array | Batch) -> Batch:
        """A batch as it is; an array as one without gaps or padding."""
        return x if isinstance(x, Batch) else cls(x)

    @classmethod
    def of_rows(cls, rows: Array, schema: Schema, weight: Array | None = None) -> Batch:
        """Stored rows, shape (B, P), as the model sees them: NaN, a missing cell, is told by ``observed``.

        Args:
            rows: as :meth:`Schema.stored` gives them.
            schema: of such rows; what it says of missing cells decides what is compiled.
            weight: of each datum.

        >>> rows, schema = jnp.array([[1.0, jnp.nan]]), Schema("x", (2,), missing=True)
        >>> batch = Batch.of_rows(rows, schema)
        >>> batch.x.tolist(), batch.observed.tolist()
        ([[1.0, 0.0]], [[True, False]])
        """
        x = schema.apply(rows)
        if not schema.missing:
            return cls(x, weight=weight)
        observed = ~jnp.isnan(x)
        return cls(jnp.where(observed, x, 0.0), observed, weight=weight)

    def __len__(self) -> int:
        return len(self.x)

    @property
    def weights(self) -> Array:
        """The weight of each datum, (B,)."""
        return jnp.ones(len(self.x)) if self.weight is None else self.weight

    @property
    def alone(self) -> Batch:
        """One datum, (P,), as a batch of one, (1, P)."""
        lifted: Batch = jax.tree.map(lambda leaf: leaf[None], self)
        return lifted
