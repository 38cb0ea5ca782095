"""Networks: array → array, over any leading dimensions."""

from __future__ import annotations

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

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
    """x."""

    def __call__(self, x: Array, observed: Array | None) -> Array:
        return x


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
