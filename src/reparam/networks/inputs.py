"""What an encoder takes of a row of several kinds of cells."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray
from numpy.typing import NDArray

ONE_HOT_AT_MOST = 50


class Inputs(eqx.Module):
    r"""What an encoder takes of a row of several kinds of cells, side by side.

    Numbers as they are, positive ones as ln x; counts as ln(1 + x); a code of L levels as L numbers, 1 where it is and
    0 elsewhere, or, of many levels, as a learned vector for each; 0 in all of them where the cell is missing, and for
    each column that may miss cells an indicator, 1 where it does (Mattei & Frellsen 2019; Nazábal et al. 2020).

    Args:
        numbers: columns of numbers.
        counts: columns of counts.
        levels: of each column of codes, its number of levels.
        gaps: the columns that have an indicator.
        key: the learned vectors.
        positive: columns of positive numbers.

    >>> inputs = Inputs((0,), (), {1: 3}, (0, 1), jax.random.key(0))
    >>> inputs(jnp.array([0.0, 2.0]), jnp.array([False, True])).tolist(), inputs.size
    ([0.0, 0.0, 0.0, 1.0, 1.0, 0.0], 6)
    """

    numbers: tuple[int, ...] = eqx.field(static=True)
    counts: tuple[int, ...] = eqx.field(static=True)
    one_hot: tuple[tuple[int, int], ...] = eqx.field(static=True)
    embedded: tuple[int, ...] = eqx.field(static=True)
    gaps: tuple[int, ...] = eqx.field(static=True)
    positive: tuple[int, ...] = eqx.field(static=True)
    vectors: tuple[Array, ...]

    def __init__(
        self,
        numbers: tuple[int, ...],
        counts: tuple[int, ...],
        levels: Mapping[int, int],
        gaps: tuple[int, ...],
        key: PRNGKeyArray,
        *,
        positive: tuple[int, ...] = (),
    ):
        few = {column: count for column, count in levels.items() if count <= ONE_HOT_AT_MOST}
        many = {column: count for column, count in levels.items() if count > ONE_HOT_AT_MOST}
        self.numbers, self.counts, self.positive, self.gaps = numbers, counts, positive, gaps
        self.one_hot = tuple((column, code) for column, count in few.items() for code in range(count))
        self.embedded = tuple(many)
        keys = jax.random.split(key, len(many)) if many else ()
        draw = jax.nn.initializers.normal(1.0)
        widths = [math.ceil(math.sqrt(count)) for count in many.values()]
        shapes = zip(many.values(), widths, strict=True)
        self.vectors = tuple(draw(key, shape) for key, shape in zip(keys, shapes, strict=False))

    @property
    def size(self) -> int:
        """F."""
        vectors = sum(vectors.shape[1] for vectors in self.vectors)
        numbers = (*self.numbers, *self.counts, *self.positive)
        return len(numbers) + len(self.one_hot) + vectors + len(self.gaps)

    @property
    def columns(self) -> frozenset[int]:
        """The columns that it takes."""
        coded = (*(column for column, _ in self.one_hot), *self.embedded)
        return frozenset((*self.numbers, *self.counts, *self.positive, *coded))

    def __call__(self, x: Array, observed: Array | None) -> Array:
        """(..., P) → (..., F)."""
        seen = jnp.ones(x.shape, bool) if observed is None else observed
        places, codes = np.array(self.one_hot, int).reshape(-1, 2).T
        parts = [
            _of(x, self.numbers),
            jnp.log1p(_of(x, self.counts)),
            jnp.log(jnp.where(_of(seen, self.positive), _of(x, self.positive), 1.0)),
            ((_of(x, places) == codes) & _of(seen, places)).astype(x.dtype),
            *(
                self._embedded(x, seen, column, vectors)
                for column, vectors in zip(self.embedded, self.vectors, strict=True)
            ),
            (~_of(seen, self.gaps)).astype(x.dtype),
        ]
        return jnp.concatenate(parts, axis=-1)

    def _embedded(self, x: Array, seen: Array, column: int, vectors: Array) -> Array:
        return jnp.where(seen[..., column, None], vectors[x[..., column].astype(int)], 0.0)


def _of(values: Array, columns: Sequence[int] | NDArray[np.intp]) -> Array:
    return values[..., np.array(columns, int)]
