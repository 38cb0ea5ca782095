"""Likelihoods of bounded values: bits, codes, 8-bit levels, numbers between 0 and 1."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike
from numpy.typing import NDArray
from numpyro.distributions import Distribution

from reparam.errors import ReparamWarning
from reparam.probability.distributions.bounded import (
    BernoulliLogits,
    BetaByMean,
    CategoricalLogits,
    ContinuousBernoulliLogits,
    LogisticLevels,
)
from reparam.probability.likelihoods.base import Likelihood
from reparam.probability.numerics import at_least_single, logit, tempered
from reparam.probability.supports import BITS, GREYS, LEVELS, OPEN_UNIT, UNIT, Support, codes
from reparam.specification import positive_int


class Bernoulli(Likelihood):
    r"""Bits: :math:`\ln p(x|z) = \sum_j x_j a_j - \ln(1 + e^{a_j})`, raw: the logits a, (..., P).

    Grey values between 0 and 1 pass with a warning: the sum is then a cross-entropy and no log-likelihood.

    >>> round(Bernoulli(2).distribution(jnp.zeros(2)).log_prob(jnp.array([0.0, 1.0])).sum().item(), 4)
    -1.3863
    """

    name: ClassVar[str] = "bernoulli"
    support: ClassVar[Support] = GREYS

    def distribution(self, raw: ArrayLike) -> Distribution:
        """Return Bernoulli laws of the logits."""
        return BernoulliLogits(at_least_single(raw))

    def check(
        self, x: NDArray[Any], *, first_row: int = 0, missing: bool = False, names: Sequence[str] | None = None
    ) -> None:
        """Refuse values outside [0, 1], and warn of grey ones.

        Raises:
            DataError: there are not P features.
            SupportError: a value lies outside [0, 1].

        Warns:
            ReparamWarning: a value lies strictly between 0 and 1.
        """
        super().check(x, first_row=first_row, missing=missing, names=names)
        grey = ~BITS(x) & ~np.isnan(x)
        if grey.any():
            warnings.warn(
                f"{grey.sum()} of {grey.size} values lie strictly between 0 and 1, where the bernoulli "
                "likelihood has no normalising constant: its bound is then no log-likelihood. "
                "Use likelihood 'continuous_bernoulli', or binarise the data.",
                ReparamWarning,
                stacklevel=2,
            )

    def initial_raw(self, x_mean: ArrayLike, x_std: ArrayLike = 1.0) -> Array:
        """Return the logits of the means."""
        return logit(x_mean)


class Categorical(Likelihood):
    r"""Codes 0 … K − 1, stored as numbers: :math:`\ln p(k|z) = a_k - \ln \sum_j e^{a_j}`, raw: K blocks of logits.

    Where codes are shown to the model by another scale, as pixels are, that of two neighbours is the ``step``.

    >>> likelihood = Categorical(2, 10)
    >>> likelihood.raw_size, likelihood.distribution(jnp.zeros(20)).mode.tolist()
    (20, [0.0, 0.0])
    """

    categories: int = eqx.field(static=True)
    step: float = eqx.field(static=True, default=1.0)
    name: ClassVar[str] = "categorical"

    def __check_init__(self) -> None:
        positive_int("categories", self.categories, "the categorical likelihood")

    @property
    def support(self) -> Support:
        """The codes 0 … K − 1, times the step."""
        return codes(self.categories, self.step)

    @property
    def raw_per_feature(self) -> int:
        """One logit for each code."""
        return self.categories

    def distribution(self, raw: ArrayLike) -> Distribution:
        """Return categorical laws of the logits."""
        return CategoricalLogits(jnp.moveaxis(self.blocks(raw), 0, -1), self.step)

    def initial_raw(self, x_mean: ArrayLike, x_std: ArrayLike = 1.0) -> Array:
        """Return equal logits: the mean of codes says little of their frequencies."""
        return jnp.zeros(self.raw_size)


class DiscretizedLogistic(Likelihood):
    r"""8-bit images as levels k/255: a mixture of ``components`` logistics, cut into 256 bins.

    Raw: 3K blocks of P; K of the weights' logits, K of μ, K of ln s.
    Source: Salimans et al. (2017).

    >>> DiscretizedLogistic(2, 5).raw_size
    30
    """

    components: int = eqx.field(static=True, default=5)
    name: ClassVar[str] = "discretized_logistic"
    support: ClassVar[Support] = LEVELS

    def __check_init__(self) -> None:
        positive_int("components", self.components, "the discretized_logistic likelihood")

    @property
    def raw_per_feature(self) -> int:
        """Weight, location and scale of each component."""
        return 3 * self.components

    def distribution(self, raw: ArrayLike) -> Distribution:
        """Return mixtures of discretised logistics."""
        logits, loc, log_scale = jnp.split(jnp.moveaxis(self.blocks(raw), 0, -1), 3, axis=-1)
        return LogisticLevels(logits, loc, tempered(log_scale))

    def initial_raw(self, x_mean: ArrayLike, x_std: ArrayLike = 1.0) -> Array:
        """Return equal weights, locations spread about the means so that no two components are alike, s = e^{−2}."""
        mean = at_least_single(x_mean)
        loc = mean + jnp.linspace(-0.25, 0.25, self.components)[:, None] * (self.components > 1)
        return jnp.concatenate([jnp.zeros(loc.size), loc.ravel(), jnp.full(loc.size, -2.0)])


class ContinuousBernoulli(Likelihood):
    r"""Grey values in [0, 1]: :math:`\ln p(x|z) = \sum_j \ln C(\lambda_j) + x_j \eta_j + \ln(1 - \lambda_j)`.

    Raw: the logits η of λ, (..., P); the mean is not λ. Source: Loaiza-Ganem & Cunningham (2019).

    >>> ContinuousBernoulli(2).distribution(jnp.zeros(2)).log_prob(jnp.array([0.2, 0.9])).tolist()
    [0.0, 0.0]
    """

    name: ClassVar[str] = "continuous_bernoulli"
    support: ClassVar[Support] = UNIT

    def distribution(self, raw: ArrayLike) -> Distribution:
        """Return continuous Bernoulli laws of the logits."""
        return ContinuousBernoulliLogits(at_least_single(raw))

    def initial_raw(self, x_mean: ArrayLike, x_std: ArrayLike = 1.0) -> Array:
        """Return the logits whose law has the means, between −50 and 50, read off a grid."""
        grid = jnp.linspace(-50.0, 50.0, 2001)
        return jnp.interp(at_least_single(x_mean), ContinuousBernoulliLogits(grid).mean, grid)


class Beta(Likelihood):
    r"""Values in (0, 1): :math:`x_j \sim \mathrm{Beta}(m_j \phi_j, (1 - m_j) \phi_j)`, raw: logits of m, ln φ.

    >>> abs(round(Beta(1).distribution(jnp.array([0.0, jnp.log(2.0)])).log_prob(jnp.array([0.3])).item(), 4))
    0.0
    """

    name: ClassVar[str] = "beta"
    raw_per_feature: ClassVar[int] = 2
    support: ClassVar[Support] = OPEN_UNIT

    def distribution(self, raw: ArrayLike) -> Distribution:
        """Return beta laws."""
        mean_logits, log_precision = tempered(self.blocks(raw))
        return BetaByMean(mean_logits, log_precision)

    def initial_raw(self, x_mean: ArrayLike, x_std: ArrayLike = 1.0) -> Array:
        """Return the means and φ = 2, the uniform law where the mean is ½."""
        mean_logits = logit(x_mean)
        return jnp.concatenate([mean_logits, jnp.full_like(mean_logits, jnp.log(2.0))])
