"""Likelihoods of values between 0 and 1."""

from __future__ import annotations

from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike
from numpyro.distributions import Distribution

from reparam.probability.distributions.interval import BetaByMean, ContinuousBernoulliLogits
from reparam.probability.likelihoods.base import Likelihood
from reparam.probability.numerics import at_least_single, logit, tempered
from reparam.probability.supports import OPEN_UNIT, UNIT, Support


class ContinuousBernoulli(Likelihood):
    r"""Grey values in [0, 1]: :math:`\ln p(x|z) = \sum_j \ln C(\lambda_j) + x_j \eta_j + \ln(1 - \lambda_j)`.

    Raw: the logits η of λ, (..., P); the mean is not λ. Source: Loaiza-Ganem & Cunningham (2019).

    >>> ContinuousBernoulli(2).distribution(jnp.zeros(2)).log_prob(jnp.array([0.2, 0.9])).item()
    0.0
    """

    name: ClassVar[str] = "continuous_bernoulli"
    support: ClassVar[Support] = UNIT

    def distribution(self, raw: ArrayLike) -> Distribution:
        """Return independent continuous Bernoulli laws of the logits."""
        return ContinuousBernoulliLogits(at_least_single(raw)).to_event(1)

    def initial_raw(self, x_mean: ArrayLike, x_std: ArrayLike = 1.0) -> Array:
        """Return the logits whose law has the means, between −50 and 50, read off a grid."""
        grid = jnp.linspace(-50.0, 50.0, 2001)
        return jnp.interp(at_least_single(x_mean), ContinuousBernoulliLogits(grid).mean, grid)


class Beta(Likelihood):
    r"""Values in (0, 1): :math:`x_j \sim \mathrm{Beta}(m_j \phi_j, (1 - m_j) \phi_j)`, raw: logits of m, ln φ.

    >>> round(Beta(1).distribution(jnp.array([0.0, jnp.log(2.0)])).log_prob(jnp.array([0.3])).item(), 4)
    0.0
    """

    name: ClassVar[str] = "beta"
    support: ClassVar[Support] = OPEN_UNIT

    @property
    def raw_per_feature(self) -> int:
        """Mean and precision."""
        return 2

    def distribution(self, raw: ArrayLike) -> Distribution:
        """Return independent beta laws."""
        mean_logits, log_precision = tempered(self.blocks(raw))
        return BetaByMean(mean_logits, log_precision).to_event(1)

    def initial_raw(self, x_mean: ArrayLike, x_std: ArrayLike = 1.0) -> Array:
        """Return the means and φ = 2, the uniform law where the mean is ½."""
        mean_logits = logit(x_mean)
        return jnp.concatenate([mean_logits, jnp.full_like(mean_logits, jnp.log(2.0))])
