"""Likelihoods of values from a finite set: bits, codes, 8-bit levels."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike
from numpy.typing import NDArray
from numpyro.distributions import Distribution

from reparam.errors import ReparamWarning
from reparam.probability.distributions import bernoulli, categorical, discretized_logistic
from reparam.probability.likelihoods.base import Likelihood, Mask, is_binary, is_unit, logit, tempered
from reparam.probability.scales import at_least_single
from reparam.specification import positive_int


class Bernoulli(Likelihood):
    r"""Bits: :math:`\ln p(x|z) = \sum_j x_j a_j - \ln(1 + e^{a_j})`, raw: the logits a, (..., P).

    Grey values between 0 and 1 pass with a warning: the sum is then a cross-entropy and no log-likelihood.

    >>> round(Bernoulli(2).distribution(jnp.zeros(2)).log_prob(jnp.array([0.0, 1.0])).item(), 4)
    -1.3863
    """

    event_size: int = eqx.field(static=True)
    name: ClassVar[str] = "bernoulli"
    support: ClassVar[str] = "{0, 1}, or greys between"
    discrete: ClassVar[bool] = True

    def distribution(self, raw: ArrayLike) -> Distribution:
        """Return independent Bernoulli laws of the logits."""
        return bernoulli.Bernoulli(at_least_single(raw)).to_event(1)

    def inside(self, x: NDArray[Any]) -> Mask:
        """In [0, 1]."""
        return is_unit(x)

    def check(self, x: NDArray[Any]) -> None:
        """Refuse values outside [0, 1], and warn of grey ones.

        Raises:
            DataError: there are not P features.
            SupportError: a value lies outside [0, 1].

        Warns:
            ReparamWarning: a value lies strictly between 0 and 1.
        """
        super().check(x)
        grey = ~is_binary(np.asarray(x))
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
        return logit(at_least_single(x_mean))


class Categorical(Likelihood):
    r"""Codes 0 … K − 1, stored as numbers: :math:`\ln p(k|z) = a_k - \ln \sum_j e^{a_j}`, raw: K blocks of logits.

    >>> likelihood = Categorical(2, 10)
    >>> likelihood.raw_size, likelihood.distribution(jnp.zeros(20)).base_dist.mode.tolist()
    (20, [0.0, 0.0])
    """

    event_size: int = eqx.field(static=True)
    categories: int = eqx.field(static=True)
    name: ClassVar[str] = "categorical"
    support: ClassVar[str] = "the codes 0 … K − 1"
    discrete: ClassVar[bool] = True

    def __check_init__(self) -> None:
        positive_int("categories", self.categories, "the categorical likelihood")

    @property
    def raw_per_feature(self) -> int:
        """One logit for each code."""
        return self.categories

    def distribution(self, raw: ArrayLike) -> Distribution:
        """Return independent categorical laws of the logits."""
        return categorical.Categorical(jnp.moveaxis(self.blocks(raw), 0, -1)).to_event(1)

    def inside(self, x: NDArray[Any]) -> Mask:
        """A whole number from 0 to K − 1."""
        return np.isin(x, np.arange(self.categories))

    def support_in_words(self) -> str:
        """Return the codes with K filled in."""
        return f"{self.support} with K = {self.categories} categories"

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

    event_size: int = eqx.field(static=True)
    components: int = eqx.field(static=True, default=5)
    name: ClassVar[str] = "discretized_logistic"
    support: ClassVar[str] = "the 8-bit levels {0, 1/255, …, 1}"
    discrete: ClassVar[bool] = True

    def __check_init__(self) -> None:
        positive_int("components", self.components, "the discretized_logistic likelihood")

    @property
    def raw_per_feature(self) -> int:
        """Weight, location and scale of each component."""
        return 3 * self.components

    def distribution(self, raw: ArrayLike) -> Distribution:
        """Return independent mixtures of discretised logistics."""
        logits, loc, log_scale = jnp.split(jnp.moveaxis(self.blocks(raw), 0, -1), 3, axis=-1)
        return discretized_logistic.DiscretizedLogistic(logits, loc, tempered(log_scale)).to_event(1)

    def inside(self, x: NDArray[Any]) -> Mask:
        """A whole number of 255ths in [0, 1], up to rounding."""
        level = np.asarray(x, dtype=np.float64) * (discretized_logistic.LEVELS - 1)
        precision = np.finfo(x.dtype).eps if np.issubdtype(x.dtype, np.floating) else 0.0
        whole = np.abs(level - np.round(level)) <= np.maximum(1e-3, level * precision)
        return np.asarray(is_unit(x) & whole)

    def initial_raw(self, x_mean: ArrayLike, x_std: ArrayLike = 1.0) -> Array:
        """Return equal weights, locations spread about the means so that no two components are alike, s = e^{−2}."""
        mean = at_least_single(x_mean)
        loc = mean + jnp.linspace(-0.25, 0.25, self.components)[:, None] * (self.components > 1)
        return jnp.concatenate([jnp.zeros(loc.size), loc.ravel(), jnp.full(loc.size, -2.0)])
