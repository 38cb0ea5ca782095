"""Layers of latents, each a diagonal Gaussian given the layer that is drawn before it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar, TypeVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, PRNGKeyArray
from numpyro.distributions import constraints

from reparam.probability.distributions.location_scale import LocationScale
from reparam.probability.reparameterization import (
    Reparameterized,
    checked_noise,
    draw_noise,
    reparameterize,
    reparameterize_with_log_prob,
)

Part = TypeVar("Part")
Link = Callable[[Array], LocationScale]
"""A draw of a layer (..., K) → the law of the layer that is drawn after it."""


class Chain(Reparameterized):
    r"""Layers side by side, :math:`z = (z_1, \dots, z_L)`, z₁ next to the data.

    Upward :math:`\ln q(z) = \ln q(z_1) + \sum_l \ln q(z_{l+1}|z_l)`, downward
    :math:`\ln q(z) = \ln q(z_L) + \sum_l \ln q(z_l|z_{l+1})`. No moment of it has a closed form.

    Args:
        first: the law of the layer that is drawn first, batch shape B.
        links: from each layer to the law of the next, in the order in which they are drawn.
        layers: :math:`K_1, \dots, K_L`.
        upward: whether z₁ is drawn first, or z_L.

    >>> first, link = LocationScale(jnp.zeros(2)), lambda z: LocationScale(jnp.sum(z, axis=-1, keepdims=True))
    >>> q = Chain(first, (link,), (2, 1), upward=True)
    >>> q.event_shape, round(q.log_prob(jnp.array([1.0, 2.0, 3.0])).item(), 4)  # −½(1² + 2² + (3 − 3)²) − 3/2 ln 2π
    ((3,), -5.2568)
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}
    support = constraints.real_vector
    pytree_data_fields = ("first", "links")
    pytree_aux_fields = ("layers", "upward")

    def __init__(
        self,
        first: LocationScale,
        links: Sequence[Link],
        layers: tuple[int, ...],
        *,
        upward: bool,
        validate_args: bool | None = None,
    ):
        self.first, self.links, self.layers, self.upward = first, tuple(links), layers, upward
        super().__init__(first.batch_shape, (sum(layers),), validate_args=validate_args)

    def split(self, z: Array) -> list[Array]:
        """z_1, …, z_L of z (..., K)."""
        return split_layers(z, self.layers)

    def laws(self, z: ArrayLike) -> list[LocationScale]:
        """The law of each layer, z₁'s first, given what of z (..., K) was drawn before it."""
        drawn = self._ordered(self.split(jnp.asarray(z)))
        laws = [self.first, *(link(before) for link, before in zip(self.links, drawn, strict=False))]
        return self._ordered(laws)

    def moments_given(self, z: ArrayLike) -> tuple[Array, Array]:
        """Mean and variance of each latent given what of z (..., K) was drawn before it, both (..., K)."""
        z = jnp.asarray(z)
        pairs = list(zip(self.laws(z), self.split(z), strict=True))
        mean, variance = (
            jnp.concatenate([jnp.broadcast_to(getattr(law, name), part.shape) for law, part in pairs], axis=-1)
            for name in ("mean", "variance")
        )
        return mean, variance

    def log_prob(self, value: ArrayLike) -> Array:
        """Return ln q(z) in nats, shape (...)."""
        z = jnp.asarray(value)
        return sum((law.log_prob(part) for law, part in zip(self.laws(z), self.split(z), strict=True)), jnp.zeros(()))

    def drawn(self, eps: Array) -> tuple[Array, Array]:
        """z = g(ε) layer by layer, (..., K), and ln q(z) from ε itself, (...)."""
        steps = list(self._steps(self._ordered(self.split(eps))))
        z = self._ordered([z for z, _ in steps])
        return jnp.concatenate(z, axis=-1), sum((log_q for _, log_q in steps), jnp.zeros(()))

    def _steps(self, noise: list[Array]) -> Iterator[tuple[Array, Array]]:
        law = self.first
        for eps, link in zip(noise, (*self.links, None), strict=True):
            z, log_q = reparameterize_with_log_prob(law, eps)
            yield z, log_q
            law = law if link is None else link(z)

    def _ordered(self, parts: list[Part]) -> list[Part]:
        """From the order of the layers to that of drawing, or back."""
        return parts if self.upward else parts[::-1]


def layer_places(layers: Sequence[int]) -> list[slice]:
    """Where each layer's latents stand among the K of all.

    >>> layer_places((2, 1))
    [slice(0, 2, None), slice(2, 3, None)]
    """
    ends = np.cumsum(layers).tolist()
    return [slice(end - size, end) for size, end in zip(layers, ends, strict=True)]


def split_layers(values: Array, layers: Sequence[int]) -> list[Array]:
    """The layers' shares of the last axis, (..., K) → (..., K_1), …, (..., K_L).

    >>> [part.tolist() for part in split_layers(jnp.arange(3.0), (2, 1))]
    [[0.0, 1.0], [2.0]]
    """
    return [values[..., place] for place in layer_places(layers)]


def layer_sums(values: Array, layers: Sequence[int]) -> Array:
    """Sums over each layer's latents, (..., K) → (..., L).

    >>> layer_sums(jnp.array([1.0, 2.0, 4.0]), (2, 1)).tolist()
    [3.0, 4.0]
    """
    return jnp.stack([jnp.sum(part, axis=-1) for part in split_layers(values, layers)], axis=-1)


@reparameterize.register
def _(q: Chain, eps: ArrayLike) -> Array:
    return q.drawn(checked_noise(q, eps))[0]


@draw_noise.register
def _(q: Chain, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()) -> Array:
    whole = LocationScale(jnp.zeros(q.shape(), q.first.loc.dtype))
    return draw_noise(whole, key, sample_shape)


@reparameterize_with_log_prob.register
def _(q: Chain, eps: Array) -> tuple[Array, Array]:
    return q.drawn(checked_noise(q, eps))
