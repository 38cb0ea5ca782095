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

LIBRARIES = ("none", "latent", "observed")
LEAST_SPREAD = 0.01
"""Of ln ℓ at the start, where all rows are as deep."""


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

    How deep a row was counted, its library ℓ, is by ``library``

    ============  ======================================================================================
    ``none``      no number of its own: it is one of the things that all of z explains, ln μ = raw
    ``latent``    that of the last latent, :math:`\ln \ell = m + s z_K`, :math:`\mu = \ell\, \mathrm{softmax}(raw)`:
                  log-normal where p(z) is N(0, I); m and s are learned and begin at the rows' log sums
    ``observed``  the row's sum, which is given, :math:`\mu = \ell\, \mathrm{softmax}(raw)`: a density is ln p(x|ℓ)
    ============  ======================================================================================

    Where ℓ is not known it is Σ e^raw, at the start the mean. Source: the library size of Lopez et al. (2018).

    Raises:
        ParameterError: another library.
    """

    log_inverse_dispersion: Array
    library: str = eqx.field(static=True)
    log_library: Array | None
    log_depth: Array | None

    def __init__(self, event_size: int, library: str = "none"):
        self.event_size, self.log_inverse_dispersion = event_size, jnp.zeros(event_size)
        self.library, self.log_depth = str(library), None
        self.log_library = jnp.zeros(2) if library == "latent" else None  # m and ln s
        if library not in LIBRARIES:
            raise ParameterError(
                requirement("library", f"the {self.name} likelihood", "none, latent or observed", library)
            )

    def of_datum(self, x: Array, observed: Array | None) -> Self:
        """Return the likelihood of rows that were counted as deep as these, of what was seen, if that is given."""
        if self.library != "observed":
            return self
        depth = jnp.sum(x, axis=-1, keepdims=True, where=None if observed is None else observed)
        return self._as_deep(jnp.log(jnp.maximum(depth, 1.0)))

    @property
    def own_latents(self) -> int:
        """One, where it says how deep a row was counted."""
        return int(self.library == "latent")

    def of_latents(self, z: Array) -> Self:
        """Return the likelihood of rows counted as deep as the latent says, (..., 1)."""
        if self.log_library is None:
            return self
        loc, log_scale = self.log_library
        return self._as_deep(tempered(loc + jnp.exp(tempered(log_scale)) * z))

    def told(self, rows: ArrayLike) -> Self:
        """Return the likelihood whose m and s are the mean and deviation of the rows' log sums."""
        if self.log_library is None:
            return self
        depths = jnp.log(jnp.maximum(jnp.nansum(jnp.asarray(rows), axis=1), 1.0))
        known = jnp.stack([jnp.mean(depths), jnp.log(jnp.maximum(jnp.std(depths), LEAST_SPREAD))])
        begun: Self = eqx.tree_at(lambda tree: tree.log_library, self, known)
        return begun

    def counted(self, log_mean: ArrayLike) -> NegativeBinomialByMean:
        """Return negative binomial laws."""
        levelled = tempered(log_mean)
        if self.log_depth is not None:
            levelled = self.log_depth + log_softmax(levelled)
        return NegativeBinomialByMean(levelled, tempered(self.log_inverse_dispersion))

    def _as_deep(self, log_depth: Array) -> Self:
        deep: Self = eqx.tree_at(lambda tree: tree.log_depth, self, log_depth, is_leaf=lambda leaf: leaf is None)
        return deep


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
