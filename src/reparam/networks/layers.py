"""Affine layers, networks of them, and what every network that has a name shares."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from math import prod
from typing import TypeVar

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


Tree = TypeVar("Tree")


class Linear(eqx.Module):
    r"""An affine layer, :math:`x \mapsto xW + b`, W drawn by Glorot & Bengio (2010), Equation 16; of no x it is b.

    >>> Linear(3, 2, jax.random.key(0))(jnp.ones((5, 3))).shape
    (5, 2)
    """

    weight: Array
    bias: Array

    def __init__(self, in_size: int, out_size: int, key: PRNGKeyArray):
        drawn = jax.nn.initializers.glorot_uniform() if in_size else jax.nn.initializers.zeros
        self.weight = drawn(key, (in_size, out_size))
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


class NamedNetwork(eqx.Module):
    """A network of a name in ``NETWORKS``: rows (..., in_size) → (..., out)."""

    @property
    @abstractmethod
    def in_size(self) -> int:
        """How many numbers it takes of a row."""

    @property
    @abstractmethod
    def last(self) -> eqx.Module:
        """The affine layer that gives its output: where training may begin."""

    @property
    @abstractmethod
    def held(self) -> int:
        """How many values it makes of a row on the way: what a gradient keeps in memory."""

    @property
    def pace_of_path(self) -> float:
        """What the steps of an affine path beside it are multiplied by."""
        return 1.0

    @abstractmethod
    def __call__(self, x: Array) -> Array:
        """(..., in_size) → (..., out)."""


class MLP(NamedNetwork):
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
        check_activation(activation)
        keys = jax.random.split(key, len(sizes) - 1)
        *hidden, last = [Linear(i, o, k) for i, o, k in zip(sizes[:-1], sizes[1:], keys, strict=True)]
        self.layers, self.activation = (*hidden, begun(last, output_bias, output_gain)), activation

    @property
    def in_size(self) -> int:
        """Of the first layer."""
        return int(self.layers[0].weight.shape[-2])

    @property
    def last(self) -> Linear:
        """The last layer."""
        return self.layers[-1]

    @property
    def held(self) -> int:
        """The widths between input and output."""
        return sum(int(layer.weight.shape[-1]) for layer in self.layers[:-1])

    def __call__(self, x: Array) -> Array:
        """(..., sizes[0]) → (..., sizes[-1])."""
        *hidden, last = self.layers
        rows = x.reshape(prod(x.shape[:-1]), x.shape[-1])  # XLA's product is a fifth slower with several leading axes
        for layer in hidden:
            rows = ACTIVATIONS[self.activation](layer(rows))
        return last(rows).reshape(*x.shape[:-1], -1)


def begun(layer: Linear, bias: Array | None, gain: Array | None) -> Linear:
    """A last layer where training begins: its bias given, its weights multiplied by a gain for each output."""
    weight = layer.weight if gain is None else layer.weight * gain
    return Linear.of(weight, layer.bias if bias is None else bias)


def check_activation(name: str) -> None:
    """Refuse what is no name in ``ACTIVATIONS``.

    Raises:
        UnknownNameError: it is not.
    """
    if name not in ACTIVATIONS:
        raise UnknownNameError("activation", name, ACTIVATIONS)


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
    correction: NamedNetwork

    def __init__(self, linear: Linear, correction: NamedNetwork):
        self.linear = linear
        self.correction = eqx.tree_at(lambda network: network.last, correction, replace_fn=silenced)

    def __call__(self, x: Array) -> Array:
        """(..., in) → (..., out)."""
        return self.linear(x) + self.correction(x)

    def paced(self) -> Residual:
        """The same as an update of weights: that of the path's W is multiplied by the network's ``pace_of_path``."""
        pace = self.correction.pace_of_path
        if pace == 1.0:
            return self
        slower: Residual = eqx.tree_at(lambda update: update.linear.weight, self, replace_fn=lambda step: pace * step)
        return slower


def paced(updates: Tree) -> Tree:
    """Updates of weights, in which each affine path beside a network goes at that network's pace for it."""

    def of(part: object) -> object:
        return part.paced() if isinstance(part, Residual) else part

    slower: Tree = jax.tree.map(of, updates, is_leaf=lambda part: isinstance(part, Residual))
    return slower


class LogCounts(eqx.Module):
    """A network that sees counts as ln(1 + x): counts are skewed, and a linear map of them follows the largest.

    Args:
        network: what takes them.
        levelled: see them as ln(1 + 10⁴ x/ℓ), ℓ the sum of the row, which then says nothing of how deep it was counted.

    >>> LogCounts(Linear.of(2.0 * jnp.eye(1), jnp.zeros(1)))(jnp.expm1(jnp.ones((1, 1)))).round(4).tolist()
    [[2.0]]
    """

    network: Callable[[Array], Array]
    levelled: bool = eqx.field(static=True, default=False)

    def __call__(self, x: Array) -> Array:
        """(..., P) → (..., out)."""
        level = 1e4 / jnp.maximum(jnp.sum(x, axis=-1, keepdims=True), 1.0) if self.levelled else 1.0
        return self.network(jnp.log1p(level * x))


def silenced(layer: eqx.Module) -> eqx.Module:
    """A layer whose output is zero, and which learns at once."""
    quiet: eqx.Module = jax.tree.map(jnp.zeros_like, layer)
    return quiet
