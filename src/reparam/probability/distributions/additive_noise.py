"""Observation noise about a location, its scale carried as a logarithm."""

from __future__ import annotations

from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, PRNGKeyArray
from numpyro.distributions import Distribution, constraints

from reparam.probability.distributions.location_scale import BASES


class AdditiveNoise(Distribution):
    r"""The law of a scalar :math:`x = \mu + s\,\epsilon` with standard noise ε; shapes broadcast to (...).

    .. math:: \ln p(x) = \ln p_\epsilon\bigl((x - \mu) e^{-\ln s}\bigr) - \ln s

    numpyro's families take s itself, so that a learned ln s would be exponentiated and its logarithm taken again.

    Args:
        loc: μ.
        log_scale: ln s.
        base: the distribution of ε: ``normal``, ``laplace``, ``logistic`` or ``student_t``.
        df: degrees of freedom of the Student-t base.

    >>> round(AdditiveNoise(0.0, -20.0).log_prob(0.0).item(), 3)
    19.081
    """

    arg_constraints: ClassVar = {"loc": constraints.real, "log_scale": constraints.real}
    support = constraints.real
    pytree_data_fields = ("loc", "log_scale")
    pytree_aux_fields = ("base", "df")

    def __init__(
        self,
        loc: ArrayLike,
        log_scale: ArrayLike,
        *,
        base: str = "normal",
        df: float = 5.0,
        validate_args: bool | None = False,
    ):
        self.loc, self.log_scale = jnp.asarray(loc), jnp.asarray(log_scale)
        self.base, self.df = base, df
        shape = jnp.broadcast_shapes(self.loc.shape, self.log_scale.shape)
        super().__init__(shape, validate_args=validate_args)

    @property
    def standard(self) -> Distribution:
        """The distribution of ε."""
        return BASES[self.base](self.df)

    def log_prob(self, value: ArrayLike) -> Array:
        """Return ln p(x) in nats."""
        eps = (jnp.asarray(value) - self.loc) * jnp.exp(-self.log_scale)
        return jnp.asarray(self.standard.log_prob(eps) - self.log_scale)

    def sample(self, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draw x of shape (*sample_shape, ...)."""
        eps = self.standard.sample(key, self.shape(sample_shape))
        return jnp.asarray(self.loc + jnp.exp(self.log_scale) * eps)

    @property
    def mean(self) -> Array:
        """μ, for the bases are symmetric: the median where a Student-t has no mean."""
        return jnp.broadcast_to(self.loc, self.batch_shape)

    @property
    def variance(self) -> Array:
        """s² times the base's variance, infinite or NaN where that is."""
        return jnp.broadcast_to(jnp.exp(2.0 * self.log_scale) * self.standard.variance, self.batch_shape)
