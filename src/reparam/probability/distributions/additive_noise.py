"""Observation noise about a location, its scale carried as a logarithm."""

from __future__ import annotations

from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, PRNGKeyArray
from numpyro.distributions import Distribution, constraints


class AdditiveNoise(Distribution):  # type: ignore[misc]
    r"""The scalar law of :math:`x = \mu + s\,\epsilon`, with ε from a standard Normal, Laplace or StudentT.

    .. math:: \ln p(x) = \ln p_\epsilon\bigl((x - \mu) e^{-\ln s}\bigr) - \ln s

    numpyro's families take s itself, so that a learned ln s would be exponentiated and its logarithm taken again.

    Args:
        base: the distribution of ε, a scalar.
        loc: μ; broadcasts with ``log_scale`` to (...).
        log_scale: ln s.

    >>> from numpyro.distributions import Normal
    >>> round(AdditiveNoise(Normal(), 0.0, -20.0).log_prob(0.0).item(), 3)
    19.081
    """

    arg_constraints: ClassVar = {"loc": constraints.real, "log_scale": constraints.real}
    support = constraints.real
    pytree_data_fields = ("base", "loc", "log_scale")

    def __init__(
        self,
        base: Distribution,
        loc: ArrayLike,
        log_scale: ArrayLike,
        *,
        validate_args: bool | None = False,
    ):
        self.base, self.loc, self.log_scale = base, jnp.asarray(loc), jnp.asarray(log_scale)
        shape = jnp.broadcast_shapes(self.loc.shape, self.log_scale.shape)
        super().__init__(shape, validate_args=validate_args)

    def log_prob(self, value: ArrayLike) -> Array:
        """Return ln p(x) in nats."""
        eps = (jnp.asarray(value) - self.loc) * jnp.exp(-self.log_scale)
        return jnp.asarray(self.base.log_prob(eps) - self.log_scale)

    def sample(self, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draw x of shape (*sample_shape, ...)."""
        eps = self.base.sample(key, self.shape(sample_shape))
        return jnp.asarray(self.loc + jnp.exp(self.log_scale) * eps)

    @property
    def mean(self) -> Array:
        """μ, for the bases are symmetric: the median where a Student-t has no mean."""
        return jnp.broadcast_to(self.loc, self.batch_shape)

    @property
    def variance(self) -> Array:
        """s² times the base's variance, infinite or NaN where that is."""
        return jnp.broadcast_to(jnp.exp(2.0 * self.log_scale) * self.base.variance, self.batch_shape)
