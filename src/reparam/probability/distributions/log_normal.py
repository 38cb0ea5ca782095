"""Positive numbers whose logarithms are normal."""

from __future__ import annotations

from typing import ClassVar

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array, ArrayLike, PRNGKeyArray
from numpyro.distributions import Distribution, constraints

from reparam.probability.numerics import at_least_single, saturated_exp
from reparam.probability.supports import POSITIVE, guarded


class LogNormalByLog(Distribution):
    r"""Log-normal by μ and ln σ: :math:`\ln p(x) = \ln \mathcal N(\ln x; \mu, \sigma^2) - \ln x`; shapes (...).

    numpyro's own takes σ, whose logarithm it takes again, and gives no −∞ outside the support.

    >>> round(LogNormalByLog(0.0, 0.0).log_prob(1.0).item(), 4)
    -0.9189
    """

    arg_constraints: ClassVar = {"loc": constraints.real, "log_scale": constraints.real}
    support = POSITIVE
    pytree_data_fields = ("loc", "log_scale")

    def __init__(self, loc: ArrayLike, log_scale: ArrayLike, *, validate_args: bool | None = False):
        self.loc, self.log_scale = jnp.broadcast_arrays(at_least_single(loc), at_least_single(log_scale))
        super().__init__(self.loc.shape, validate_args=validate_args)

    @guarded
    def log_prob(self, value: Array) -> Array:
        """Return ln p(x) in nats."""
        log_x = jnp.log(value)
        noise = (log_x - self.loc) * saturated_exp(-self.log_scale)
        return jnp.asarray(dist.Normal().log_prob(noise)) - self.log_scale - log_x

    def sample(self, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draw positive numbers of shape (*sample_shape, ...)."""
        noise = jax.random.normal(key, self.shape(sample_shape), self.loc.dtype)
        return saturated_exp(self.loc + saturated_exp(self.log_scale) * noise)

    @property
    def mean(self) -> Array:
        """e^{μ + σ²/2}."""
        return saturated_exp(self.loc + 0.5 * saturated_exp(2.0 * self.log_scale))

    @property
    def variance(self) -> Array:
        """(e^{σ²} − 1) times the mean's square."""
        return jnp.expm1(saturated_exp(2.0 * self.log_scale)) * self.mean**2
