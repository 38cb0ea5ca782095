"""Networks: array → array, over any leading dimensions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray
from numpy.typing import NDArray

from reparam.errors import UnknownNameError

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "relu": jax.nn.relu,
    "tanh": jnp.tanh,
    "elu": jax.nn.elu,
    "gelu": jax.nn.gelu,
    "silu": jax.nn.silu,
    "softplus": jax.nn.softplus,
    "leaky_relu": jax.nn.leaky_relu,
    "sigmoid": jax.nn.sigmoid,
}


ONE_HOT_AT_MOST = 50


class Linear(eqx.Module):
    r"""An affine layer, :math:`x \mapsto xW + b`, W drawn by Glorot & Bengio (2010), Equation 16.

    >>> Linear(3, 2, jax.random.key(0))(jnp.ones((5, 3))).shape
    (5, 2)
    """

    weight: Array
    bias: Array

    def __init__(self, in_size: int, out_size: int, key: PRNGKeyArray):
        self.weight = jax.nn.initializers.glorot_uniform()(key, (in_size, out_size))
        self.bias = jnp.zeros(out_size)

    @classmethod
    def of(cls, weight: Array, bias: Array) -> Linear:
        """The layer of a known W (in, out) and b (out,)."""
        in_size, out_size = weight.shape
        layer = cls(in_size, out_size, jax.random.key(0))
        known: Linear = eqx.tree_at(lambda tree: (tree.weight, tree.bias), layer, (weight, bias))
        return known

    def __call__(self, x: Array) -> Array:
        """(..., in) → (..., out)."""
        return x @ self.weight + self.bias


class MLP(eqx.Module):
    """Affine layers with an activation between them; with no hidden layer it is one affine map.

    Args:
        sizes: widths from input to output, at least two of them.
        activation: a name in ``ACTIVATIONS``.
        key: the initial weights.
        output_bias: the last layer's bias at the start, shape (sizes[-1],): where training begins.
        output_gain: what the last layer's weights are multiplied by at the start, shape (sizes[-1],).

    Raises:
        UnknownNameError: the activation is unknown.

    >>> MLP((4, 8, 2), "relu", jax.random.key(0))(jnp.ones((5, 4))).shape
    (5, 2)
    """

    layers: tuple[Linear, ...]
    activation: str = eqx.field(static=True)

    def __init__(
        self,
        sizes: tuple[int, ...],
        activation: str,
        key: PRNGKeyArray,
        *,
        output_bias: Array | None = None,
        output_gain: Array | None = None,
    ):
        if activation not in ACTIVATIONS:
            raise UnknownNameError("activation", activation, ACTIVATIONS)
        keys = jax.random.split(key, len(sizes) - 1)
        layers = [Linear(i, o, k) for i, o, k in zip(sizes[:-1], sizes[1:], keys, strict=True)]
        if output_bias is not None:
            layers[-1] = eqx.tree_at(lambda layer: layer.bias, layers[-1], output_bias)
        if output_gain is not None:
            layers[-1] = eqx.tree_at(lambda layer: layer.weight, layers[-1], layers[-1].weight * output_gain)
        self.layers, self.activation = tuple(layers), activation

    def __call__(self, x: Array) -> Array:
        """(..., sizes[0]) → (..., sizes[-1])."""
        *hidden, last = self.layers
        rows = x.reshape(-1, x.shape[-1])  # XLA's matrix product is a fifth slower with more than one leading axis
        for layer in hidden:
            rows = ACTIVATIONS[self.activation](layer(rows))
        return last(rows).reshape(*x.shape[:-1], -1)


class Inputs(eqx.Module):
    r"""What an encoder takes of a row of several kinds of cells, side by side.

    Numbers as they are; counts as ln(1 + x); a code of L levels as L numbers, 1 where it is and 0 elsewhere, or, of
    many levels, as a learned vector for each; 0 in all of them where the cell is missing, and for each column that may
    miss cells an indicator, 1 where it does (Mattei & Frellsen 2019; Nazábal et al. 2020).

    Args:
        numbers: columns of numbers.
        counts: columns of counts.
        levels: of each column of codes, its number of levels.
        gaps: the columns that have an indicator.
        key: the learned vectors.

    >>> inputs = Inputs((0,), (), {1: 3}, (0, 1), jax.random.key(0))
    >>> inputs(jnp.array([0.0, 2.0]), jnp.array([False, True])).tolist(), inputs.size
    ([0.0, 0.0, 0.0, 1.0, 1.0, 0.0], 6)
    """

    numbers: tuple[int, ...] = eqx.field(static=True)
    counts: tuple[int, ...] = eqx.field(static=True)
    one_hot: tuple[tuple[int, int], ...] = eqx.field(static=True)
    embedded: tuple[int, ...] = eqx.field(static=True)
    gaps: tuple[int, ...] = eqx.field(static=True)
    vectors: tuple[Array, ...]

    def __init__(
        self,
        numbers: tuple[int, ...],
        counts: tuple[int, ...],
        levels: Mapping[int, int],
        gaps: tuple[int, ...],
        key: PRNGKeyArray,
    ):
        few = {column: count for column, count in levels.items() if count <= ONE_HOT_AT_MOST}
        many = {column: count for column, count in levels.items() if count > ONE_HOT_AT_MOST}
        self.numbers, self.counts, self.gaps = numbers, counts, gaps
        self.one_hot = tuple((column, code) for column, count in few.items() for code in range(count))
        self.embedded = tuple(many)
        keys = jax.random.split(key, max(len(many), 1))
        draw = jax.nn.initializers.normal(1.0)
        widths = [math.ceil(math.sqrt(count)) for count in many.values()]
        shapes = zip(many.values(), widths, strict=True)
        self.vectors = tuple(draw(key, shape) for key, shape in zip(keys, shapes, strict=False))

    @property
    def size(self) -> int:
        """F."""
        vectors = sum(vectors.shape[1] for vectors in self.vectors)
        return len(self.numbers) + len(self.counts) + len(self.one_hot) + vectors + len(self.gaps)

    @property
    def columns(self) -> frozenset[int]:
        """The columns that it takes."""
        return frozenset((*self.numbers, *self.counts, *(column for column, _ in self.one_hot), *self.embedded))

    def __call__(self, x: Array, observed: Array | None) -> Array:
        """(..., P) → (..., F)."""
        seen = jnp.ones(x.shape, bool) if observed is None else observed
        places, codes = np.array(self.one_hot, int).reshape(-1, 2).T
        parts = [
            _of(x, self.numbers),
            jnp.log1p(_of(x, self.counts)),
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


class Residual(eqx.Module):
    r"""An affine path beside a network, :math:`x \mapsto xW + b + f(x)`, whose f is zero at the start.

    Where the best affine map is known, training begins there and can only gain.

    Args:
        linear: the affine path.
        correction: f; its last layer is set to zero.

    >>> linear = Linear(3, 2, jax.random.key(0))
    >>> network = Residual(linear, MLP((3, 8, 2), "gelu", jax.random.key(1)))
    >>> bool(jnp.all(network(jnp.ones((5, 3))) == linear(jnp.ones((5, 3)))))
    True
    """

    linear: Linear
    correction: MLP

    def __init__(self, linear: Linear, correction: MLP):
        last = jax.tree.map(jnp.zeros_like, correction.layers[-1])
        self.linear = linear
        self.correction = eqx.tree_at(lambda network: network.layers[-1], correction, last)

    def __call__(self, x: Array) -> Array:
        """(..., in) → (..., out)."""
        return self.linear(x) + self.correction(x)
