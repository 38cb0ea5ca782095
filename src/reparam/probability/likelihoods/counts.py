"""Likelihoods of counts: 0, 1, 2 and so on."""

from __future__ import annotations

from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike
from numpyro.distributions import Distribution

from reparam.probability.distributions.counts import NegativeBinomialByMean, PoissonByMean, ZeroInflated
from reparam.probability.likelihoods.base import Likelihood, log_of_mean
from reparam.probability.numerics import softplus, tempered
from reparam.probability.supports import COUNTS, Support


class Counts(Likelihood):
    """Laws of counts whose first raw numbers are ln μ; concrete ones are final."""

    support: ClassVar[Support] = COUNTS

    def initial_raw(self, x_mean: ArrayLike, x_std: ArrayLike = 1.0) -> Array:
        """Return the logarithms of the means."""
        return log_of_mean(x_mean)


class Poisson(Counts):
    r"""Counts: :math:`\ln p(x|z) = \sum_j x_j \ln \mu_j - \mu_j - \ln x_j!`, raw: ln μ, (..., P).

    >>> round(Poisson(1).distribution(jnp.zeros(1)).log_prob(jnp.array([2.0])).item(), 4)
    -1.6931
    """

    name: ClassVar[str] = "poisson"

    def distribution(self, raw: ArrayLike) -> Distribution:
        """Return independent Poisson laws."""
        return PoissonByMean(tempered(raw)).to_event(1)


class NegativeBinomial(Counts):
    r"""Overdispersed counts, variance μ + μ²/r: raw ln μ, (..., P); one learned inverse dispersion r for each feature.

    Source: the mean–dispersion form of Lopez et al. (2018).

    >>> NegativeBinomial(3).raw_size, NegativeBinomial(3).log_inverse_dispersion.shape
    (3, (3,))
    """

    log_inverse_dispersion: Array
    name: ClassVar[str] = "negative_binomial"

    def __init__(self, event_size: int):
        self.event_size = event_size
        self.log_inverse_dispersion = jnp.zeros(event_size)

    def distribution(self, raw: ArrayLike) -> Distribution:
        """Return independent negative binomial laws."""
        return _negative_binomial(raw, self.log_inverse_dispersion).to_event(1)


class ZeroInflatedNegativeBinomial(Counts):
    r"""Overdispersed counts with dropout: zero with extra probability π; raw: ln μ, then the logits of π.

    One learned inverse dispersion for each feature. Source: Lopez et al. (2018).

    >>> ZeroInflatedNegativeBinomial(3).raw_size
    6
    """

    log_inverse_dispersion: Array
    name: ClassVar[str] = "zero_inflated_negative_binomial"

    def __init__(self, event_size: int):
        self.event_size = event_size
        self.log_inverse_dispersion = jnp.zeros(event_size)

    @property
    def raw_per_feature(self) -> int:
        """Mean and dropout."""
        return 2

    def distribution(self, raw: ArrayLike) -> Distribution:
        """Return independent zero-inflated negative binomial laws."""
        log_mean, gate_logits = self.blocks(raw)
        counts = _negative_binomial(log_mean, self.log_inverse_dispersion)
        return ZeroInflated(counts, gate_logits).to_event(1)

    def initial_raw(self, x_mean: ArrayLike, x_std: ArrayLike = 1.0) -> Array:
        """Return a dropout of 0.12 and the means that then give the data's."""
        gate_logits = jnp.full(self.event_size, -2.0)
        return jnp.concatenate([log_of_mean(x_mean) + softplus(gate_logits), gate_logits])


def _negative_binomial(log_mean: ArrayLike, log_inverse_dispersion: Array) -> NegativeBinomialByMean:
    return NegativeBinomialByMean(tempered(log_mean), tempered(log_inverse_dispersion))
