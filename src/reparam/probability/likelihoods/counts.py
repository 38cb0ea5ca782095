"""Likelihoods of counts: 0, 1, 2 and so on."""

from __future__ import annotations

from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array, ArrayLike
from numpy.typing import NDArray
from numpyro.distributions import Distribution

from reparam.probability.distributions import negative_binomial
from reparam.probability.distributions.special_functions import softplus
from reparam.probability.likelihoods.base import Likelihood, Mask, is_count, log_of_mean, tempered

COUNTS = "the whole numbers 0, 1, 2, …"


class Poisson(Likelihood):
    r"""Counts: :math:`\ln p(x|z) = \sum_j x_j \ln \mu_j - \mu_j - \ln x_j!`, raw: ln μ, (..., P).

    >>> round(Poisson(1).distribution(jnp.zeros(1)).log_prob(jnp.array([2.0])).item(), 4)
    -1.6931
    """

    event_size: int = eqx.field(static=True)
    name: ClassVar[str] = "poisson"
    support: ClassVar[str] = COUNTS
    discrete: ClassVar[bool] = True

    def distribution(self, raw: ArrayLike) -> Distribution:
        """Return independent Poisson laws."""
        return dist.Poisson(jnp.exp(tempered(raw)), validate_args=False).to_event(1)

    def inside(self, x: NDArray[Any]) -> Mask:
        """A whole number from 0 on."""
        return is_count(x)

    def initial_raw(self, x_mean: ArrayLike, x_std: ArrayLike = 1.0) -> Array:
        """Return the logarithms of the means."""
        return log_of_mean(x_mean)


class NegativeBinomial(Likelihood):
    r"""Overdispersed counts, variance μ + μ²/r: raw ln μ, (..., P); one learned inverse dispersion r for each feature.

    Source: the mean–dispersion form of Lopez et al. (2018).

    >>> NegativeBinomial(3).raw_size, NegativeBinomial(3).log_inverse_dispersion.shape
    (3, (3,))
    """

    event_size: int = eqx.field(static=True)
    log_inverse_dispersion: Array
    name: ClassVar[str] = "negative_binomial"
    support: ClassVar[str] = COUNTS
    discrete: ClassVar[bool] = True

    def __init__(self, event_size: int):
        self.event_size = event_size
        self.log_inverse_dispersion = jnp.zeros(event_size, jnp.float32)

    def distribution(self, raw: ArrayLike) -> Distribution:
        """Return independent negative binomial laws."""
        return _negative_binomial(raw, self.log_inverse_dispersion).to_event(1)

    def inside(self, x: NDArray[Any]) -> Mask:
        """A whole number from 0 on."""
        return is_count(x)

    def initial_raw(self, x_mean: ArrayLike, x_std: ArrayLike = 1.0) -> Array:
        """Return the logarithms of the means."""
        return log_of_mean(x_mean)


class ZeroInflatedNegativeBinomial(Likelihood):
    r"""Overdispersed counts with dropout: zero with extra probability π; raw: ln μ, then the logits of π.

    One learned inverse dispersion for each feature. Source: Lopez et al. (2018).

    >>> ZeroInflatedNegativeBinomial(3).raw_size
    6
    """

    event_size: int = eqx.field(static=True)
    log_inverse_dispersion: Array
    name: ClassVar[str] = "zero_inflated_negative_binomial"
    support: ClassVar[str] = COUNTS
    discrete: ClassVar[bool] = True

    def __init__(self, event_size: int):
        self.event_size = event_size
        self.log_inverse_dispersion = jnp.zeros(event_size, jnp.float32)

    @property
    def raw_per_feature(self) -> int:
        """Mean and dropout."""
        return 2

    def distribution(self, raw: ArrayLike) -> Distribution:
        """Return independent zero-inflated negative binomial laws."""
        log_mean, gate_logits = self.blocks(raw)
        counts = _negative_binomial(log_mean, self.log_inverse_dispersion)
        return negative_binomial.ZeroInflated(counts, gate_logits).to_event(1)

    def inside(self, x: NDArray[Any]) -> Mask:
        """A whole number from 0 on."""
        return is_count(x)

    def initial_raw(self, x_mean: ArrayLike, x_std: ArrayLike = 1.0) -> Array:
        """Return a dropout of 0.12 and the means that then give the data's."""
        gate_logits = jnp.full(self.event_size, -2.0)
        return jnp.concatenate([log_of_mean(x_mean) + softplus(gate_logits), gate_logits])


def _negative_binomial(log_mean: ArrayLike, log_inverse_dispersion: Array) -> negative_binomial.NegativeBinomial:
    return negative_binomial.NegativeBinomial(tempered(log_mean), tempered(log_inverse_dispersion))
