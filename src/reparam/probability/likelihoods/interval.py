"""Likelihoods of values between 0 and 1."""

from __future__ import annotations

from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike
from numpy.typing import NDArray
from numpyro.distributions import Distribution

from reparam.probability.distributions import beta, continuous_bernoulli
from reparam.probability.likelihoods.base import Likelihood, Mask, is_unit, logit, tempered
from reparam.probability.scales import at_least_single


class ContinuousBernoulli(Likelihood):
    r"""Grey values in [0, 1]: :math:`\ln p(x|z) = \sum_j \ln C(\lambda_j) + x_j \eta_j + \ln(1 - \lambda_j)`.

    Raw: the logits η of λ, (..., P); the mean is not λ. Source: Loaiza-Ganem & Cunningham (2019).

    >>> ContinuousBernoulli(2).distribution(jnp.zeros(2)).log_prob(jnp.array([0.2, 0.9])).item()
    0.0
    """

    event_size: int = eqx.field(static=True)
    name: ClassVar[str] = "continuous_bernoulli"
    support: ClassVar[str] = "[0, 1]"
    discrete: ClassVar[bool] = False

    def distribution(self, raw: ArrayLike) -> Distribution:
        """Return independent continuous Bernoulli laws of the logits."""
        return continuous_bernoulli.ContinuousBernoulli(at_least_single(raw)).to_event(1)

    def inside(self, x: NDArray[Any]) -> Mask:
        """In [0, 1]."""
        return is_unit(x)

    def initial_raw(self, x_mean: ArrayLike, x_std: ArrayLike = 1.0) -> Array:
        """Return the logits whose law has the means, between −50 and 50, read off a grid."""
        grid = jnp.linspace(-50.0, 50.0, 2001)
        return jnp.interp(at_least_single(x_mean), continuous_bernoulli.ContinuousBernoulli(grid).mean, grid)


class Beta(Likelihood):
    r"""Values in (0, 1): :math:`x_j \sim \mathrm{Beta}(m_j \phi_j, (1 - m_j) \phi_j)`, raw: logits of m, ln φ.

    >>> round(Beta(1).distribution(jnp.array([0.0, jnp.log(2.0)])).log_prob(jnp.array([0.3])).item(), 4)
    0.0
    """

    event_size: int = eqx.field(static=True)
    name: ClassVar[str] = "beta"
    support: ClassVar[str] = "the open interval (0, 1)"
    discrete: ClassVar[bool] = False

    @property
    def raw_per_feature(self) -> int:
        """Mean and precision."""
        return 2

    def distribution(self, raw: ArrayLike) -> Distribution:
        """Return independent beta laws."""
        mean_logits, log_precision = tempered(self.blocks(raw))
        return beta.Beta(mean_logits, log_precision).to_event(1)

    def inside(self, x: NDArray[Any]) -> Mask:
        """Strictly between 0 and 1."""
        return np.asarray((x > 0) & (x < 1))

    def initial_raw(self, x_mean: ArrayLike, x_std: ArrayLike = 1.0) -> Array:
        """Return the means and φ = 2, the uniform law where the mean is ½."""
        mean_logits = logit(at_least_single(x_mean))
        return jnp.concatenate([mean_logits, jnp.full_like(mean_logits, jnp.log(2.0))])
