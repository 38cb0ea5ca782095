"""Likelihoods of counts: 0, 1, 2 and so on."""

from __future__ import annotations

from typing import ClassVar, Self

import equinox as eqx
import jax.numpy as jnp
from jax.nn import log_softmax
from jaxtyping import Array, ArrayLike
from numpyro.distributions import Distribution

from reparam.errors import ParameterError
from reparam.probability.distributions.counts import NegativeBinomialByMean, PoissonByMean, ZeroInflated
from reparam.probability.likelihoods.base import Likelihood
from reparam.probability.numerics import at_least_single, softplus, tempered
from reparam.probability.supports import COUNTS, Support
from reparam.specification import requirement

LIBRARIES = ("latent", "observed")


class Counts(Likelihood):
    """Laws of counts whose first raw numbers are ln μ; concrete ones are final."""

    support: ClassVar[Support] = COUNTS

    def initial_raw(self, x_mean: ArrayLike, x_std: ArrayLike = 1.0) -> Array:
        """Return the logarithms of the means, with those of all-zero columns held at 0.001."""
        return jnp.log(jnp.maximum(at_least_single(x_mean), 1e-3))


class Poisson(Counts):
    r"""Counts: :math:`\ln p(x|z) = \sum_j x_j \ln \mu_j - \mu_j - \ln x_j!`, raw: ln μ, (..., P).

    >>> round(Poisson(1).distribution(jnp.zeros(1)).log_prob(jnp.array([2.0])).item(), 4)
    -1.6931
    """

    name: ClassVar[str] = "poisson"

    def distribution(self, raw: ArrayLike) -> Distribution:
        """Return Poisson laws."""
        return PoissonByMean(tempered(raw))


class Overdispersed(Counts):
    r"""Laws with one learned inverse dispersion r for each feature; concrete ones are final.

    ``library``: ``"latent"``, how deep a row was counted is one of the things that z explains, or ``"observed"``: it is
    the row's sum ℓ, which is given, :math:`\mu = \ell\, \mathrm{softmax}(raw)`, and a density is ln p(x|ℓ). Where no
    row is known its depth is Σ e^raw, at the start the mean. Source: the library size of Lopez et al. (2018).

    Raises:
        ParameterError: another library.
    """

    log_inverse_dispersion: Array
    library: str = eqx.field(static=True)
    depth: Array | None

    def __init__(self, event_size: int, library: str = "latent"):
        self.event_size, self.log_inverse_dispersion = event_size, jnp.zeros(event_size)
        self.library, self.depth = str(library), None
        if library not in LIBRARIES:
            raise ParameterError(requirement("library", f"the {self.name} likelihood", "latent or observed", library))

    def of_datum(self, x: Array, observed: Array | None) -> Self:
        """Return the likelihood of rows that were counted as deep as these, of what was seen."""
        if self.library == "latent":
            return self
        depth = jnp.sum(x, axis=-1, keepdims=True, where=None if observed is None else observed)
        told: Self = eqx.tree_at(
            lambda tree: tree.depth, self, jnp.maximum(depth, 1.0), is_leaf=lambda leaf: leaf is None
        )
        return told

    def counted(self, log_mean: ArrayLike) -> NegativeBinomialByMean:
        """Return negative binomial laws."""
        levelled = tempered(log_mean)
        if self.depth is not None:
            levelled = jnp.log(self.depth) + log_softmax(levelled)
        return NegativeBinomialByMean(levelled, tempered(self.log_inverse_dispersion))


class NegativeBinomial(Overdispersed):
    r"""Overdispersed counts, variance μ + μ²/r: raw ln μ, (..., P); one learned inverse dispersion r for each feature.

    Source: the mean–dispersion form of Lopez et al. (2018).

    >>> NegativeBinomial(3).raw_size, NegativeBinomial(3).log_inverse_dispersion.shape
    (3, (3,))
    """

    name: ClassVar[str] = "negative_binomial"

    def distribution(self, raw: ArrayLike) -> Distribution:
        """Return negative binomial laws."""
        return self.counted(raw)


class ZeroInflatedNegativeBinomial(Overdispersed):
    r"""Overdispersed counts with dropout: zero with extra probability π; raw: ln μ, then the logits of π.

    One learned inverse dispersion for each feature. Source: Lopez et al. (2018).

    >>> ZeroInflatedNegativeBinomial(3).raw_size
    6
    """

    name: ClassVar[str] = "zero_inflated_negative_binomial"
    raw_per_feature: ClassVar[int] = 2

    def distribution(self, raw: ArrayLike) -> Distribution:
        """Return zero-inflated negative binomial laws."""
        log_mean, gate_logits = self.blocks(raw)
        return ZeroInflated(self.counted(log_mean), gate_logits)

    def initial_raw(self, x_mean: ArrayLike, x_std: ArrayLike = 1.0) -> Array:
        """Return a dropout of 0.12 and the means that then give the data's."""
        gate_logits = jnp.full(self.event_size, -2.0)
        return jnp.concatenate([super().initial_raw(x_mean) + softplus(gate_logits), gate_logits])
