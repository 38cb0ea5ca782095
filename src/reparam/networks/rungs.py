"""A network that says something at several depths."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from reparam.networks.layers import ACTIVATIONS, MLP, Linear, NamedNetwork


class Rungs(NamedNetwork):
    r"""Features :math:`d_1(x), d_2(d_1), \dots`, each with an affine map of its own to numbers, side by side.

    Source: Sønderby et al. (2016), Section 2.

    Args:
        trunk: x → d₁, whose last activation is still to come.
        widths: of the features d₁, d₂ and so on; between them stands one layer less than ``depth``.
        sizes: how many numbers each gives.
        depth: affine layers from each to the next.
        activation: a name in ``ACTIVATIONS``.
        key: the initial weights.
        bias: of all numbers at the start.

    >>> keys = jax.random.split(jax.random.key(0))
    >>> network = Rungs(MLP((6, 8), "tanh", keys[0]), (8, 4), (3, 2), 1, "tanh", keys[1], jnp.zeros(5))
    >>> network(jnp.ones((7, 6))).shape
    (7, 5)
    """

    trunk: NamedNetwork
    steps: tuple[MLP, ...]
    heads: tuple[Linear, ...]

    def __init__(  # noqa: PLR0917
        self,
        trunk: NamedNetwork,
        widths: Sequence[int],
        sizes: Sequence[int],
        depth: int,
        activation: str,
        key: PRNGKeyArray,
        bias: Array,
    ):
        keys = jax.random.split(key, 2 * len(widths))
        between = zip(widths[:-1], widths[1:], keys[len(widths) :], strict=False)
        self.trunk = trunk
        self.steps = tuple(MLP((narrow, *(wide,) * depth), activation, key) for narrow, wide, key in between)
        raw = [Linear(width, size, key) for width, size, key in zip(widths, sizes, keys, strict=False)]
        biases = jnp.split(bias, [sum(sizes[: place + 1]) for place in range(len(sizes) - 1)])
        self.heads = tuple(Linear.of(head.weight, own) for head, own in zip(raw, biases, strict=True))

    @property
    def in_size(self) -> int:
        """Of the trunk."""
        return self.trunk.in_size

    @property
    def last(self) -> Linear:
        """The deepest map to numbers."""
        return self.heads[-1]

    @property
    def held(self) -> int:
        """What the trunk and the steps make, and the features themselves."""
        features = sum(int(head.weight.shape[-2]) for head in self.heads)
        return self.trunk.held + features + sum(step.held for step in self.steps)

    def __call__(self, x: Array) -> Array:
        """(..., in) → (..., Σ sizes)."""
        activate = ACTIVATIONS[self.steps[0].activation]
        features = [activate(self.trunk(x))]
        for step in self.steps:
            features.append(activate(step(features[-1])))
        return jnp.concatenate([head(d) for head, d in zip(self.heads, features, strict=True)], axis=-1)
