"""Likelihoods of real numbers: a location from the decoder, and noise."""

from __future__ import annotations

import contextlib
import math
from typing import ClassVar, Self

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike
from numpyro.distributions import Distribution

from reparam.errors import ParameterError
from reparam.probability.distributions.location_scale import LocationScale
from reparam.probability.distributions.log_normal import LogNormalByLog
from reparam.probability.likelihoods.base import Likelihood
from reparam.probability.numerics import TEMPERED_BEYOND, at_least_single, tempered
from reparam.probability.supports import POSITIVE, REALS, Support
from reparam.specification import positive_int, real_number

SMALLEST_START = 1e-3  # a constant column has no spread, and would start with a cliff
SMALLEST_VARIANCE = math.exp(-2.0 * TEMPERED_BEYOND)


class Gaussian(Likelihood):
    r"""Real numbers: :math:`x_j \sim \mathcal{N}(\mu_j, \sigma_j^2)`, raw: μ, (..., P), then ln σ with ``"decoder"``.

    ``noise``: ``"learned"`` (one σ), ``"per_dimension"`` (one for each feature), ``"decoder"`` (one for each number,
    raw (..., 2P)), ``"fixed:0.1"`` (σ = 0.1), or ``"optimal"`` (the maximum-likelihood σ of the decoder's errors, which
    :meth:`refit` sets and no gradient touches; Rybkin et al. 2021, Section 4.2).

    Raises:
        ParameterError: another noise, or a fixed σ that is not positive and finite.

    >>> Gaussian(3, "decoder").raw_size, Gaussian(3, "fixed:0.1").raw_size
    (6, 3)
    >>> round(Gaussian(2).distribution(jnp.zeros(2)).log_prob(jnp.zeros(2)).sum().item(), 4)
    -1.8379
    """

    noise: str = eqx.field(static=True)
    log_scale: Array | float | None  # a float where it is fixed, so that no optimiser takes it for a weight
    name: ClassVar[str] = "gaussian"
    support: ClassVar[Support] = REALS

    def __init__(self, event_size: int, noise: str = "learned"):
        self.event_size = positive_int("event_size", event_size, "the gaussian likelihood")
        kind, colon, std = str(noise).partition(":")
        self.noise = kind.replace("-", "_")
        match self.noise:
            case "learned" | "optimal" if not colon:
                self.log_scale = jnp.zeros(())
            case "per_dimension" if not colon:
                self.log_scale = jnp.zeros(event_size)
            case "decoder" if not colon:
                self.log_scale = None
            case "fixed":
                number: float | str = std
                with contextlib.suppress(ValueError):
                    number = float(std)
                self.log_scale = math.log(real_number("noise=fixed:σ", number, "the gaussian likelihood", above=0.0))
            case _:
                raise ParameterError(
                    "The 'noise' parameter of the gaussian likelihood must be 'learned', 'per_dimension', "
                    f"'decoder', 'optimal' or 'fixed:σ' with a number σ > 0. Got {noise!r} instead."
                )

    @property
    def raw_per_feature(self) -> int:
        """Two where the decoder gives the noise, else one."""
        return 2 if self.noise == "decoder" else 1

    def distribution(self, raw: ArrayLike) -> Distribution:
        """Return normal laws."""
        loc, *decoded = self.blocks(raw)
        return LocationScale(loc, log_scale=self._log_scale(decoded), event_dim=0)

    def initial_raw(self, x_mean: ArrayLike, x_std: ArrayLike = 1.0) -> Array:
        """Return the means, and ln σ at the data's spread where the decoder gives it."""
        mean = at_least_single(x_mean)
        log_std = jnp.broadcast_to(starting_log_scale(x_std), mean.shape)
        return jnp.concatenate([mean, log_std]) if self.noise == "decoder" else mean

    def started(self, x_std: ArrayLike) -> Self:
        """Return the likelihood with σ at the spread of the data; a fixed σ and the decoder's own stay."""
        if self.noise in ("fixed", "decoder"):
            return self
        start = starting_log_scale(x_std if self.noise == "per_dimension" else one_for_all(x_std))
        started: Self = eqx.tree_at(lambda tree: tree.log_scale, self, start)
        return started

    @property
    def refits(self) -> bool:
        """Whether the noise is "optimal"."""
        return self.noise == "optimal"

    def refit(self, raw: ArrayLike, x: ArrayLike, observed: ArrayLike | None = None) -> Self:
        r"""Set "optimal" noise to :math:`\sigma^2 = \frac{1}{NP} \sum (x - \mu)^2`; else return the likelihood itself.

        At the optimum the gradient through σ vanishes, so none is passed. σ stays above e^{−14}. The mean is that of
        what was seen.
        """
        if not self.refits:
            return self
        seen = None if observed is None else jnp.asarray(observed)
        variance = jnp.mean((at_least_single(x) - self.blocks(raw)[0]) ** 2, where=seen)
        log_scale = 0.5 * jnp.log(jnp.maximum(jax.lax.stop_gradient(variance), SMALLEST_VARIANCE))
        refitted: Self = eqx.tree_at(lambda likelihood: likelihood.log_scale, self, log_scale)
        return refitted

    def _log_scale(self, decoded: list[Array]) -> ArrayLike:
        """Return ln σ by the kind of noise: decoded, fixed, held against gradients, or learned."""
        if decoded:
            return tempered(decoded[0])
        if self.log_scale is None or isinstance(self.log_scale, float):
            return self.log_scale or 0.0
        return jax.lax.stop_gradient(self.log_scale) if self.noise == "optimal" else tempered(self.log_scale)


class OneScale(Likelihood):
    """Laws about μ, raw: μ, with one learned scale for all features; concrete ones are final."""

    log_scale: Array
    support: ClassVar[Support] = REALS

    def about(self, raw: ArrayLike, base: str, df: float = 5.0) -> Distribution:
        """Return laws of a base of ``LocationScale`` about the decoder's locations."""
        loc, log_scale = at_least_single(raw), tempered(self.log_scale)
        return LocationScale(loc, log_scale=log_scale, base=base, df=df, event_dim=0)

    def initial_raw(self, x_mean: ArrayLike, x_std: ArrayLike = 1.0) -> Array:
        """Return the means."""
        return at_least_single(x_mean)

    def started(self, x_std: ArrayLike) -> Self:
        """Return the likelihood with its scale at the spread of the data."""
        started: Self = eqx.tree_at(lambda tree: tree.log_scale, self, starting_log_scale(one_for_all(x_std)))
        return started


class Laplace(OneScale):
    r"""Real numbers with outliers: :math:`\ln p(x|z) = \sum_j -|x_j - \mu_j|/b - \ln 2b`, raw: μ; one learned b.

    >>> round(Laplace(1).distribution(jnp.zeros(1)).log_prob(jnp.zeros(1)).item(), 4)
    -0.6931
    """

    name: ClassVar[str] = "laplace"

    def __init__(self, event_size: int):
        self.event_size, self.log_scale = event_size, jnp.zeros(())

    def distribution(self, raw: ArrayLike) -> Distribution:
        """Return Laplace laws."""
        return self.about(raw, "laplace")


class StudentT(OneScale):
    r"""Real numbers with gross outliers: Student's t of ``df`` degrees of freedom about μ; raw: μ; one learned scale.

    Raises:
        ParameterError: ``df`` is not positive and finite.

    >>> round(StudentT(1, 1).distribution(jnp.zeros(1)).log_prob(jnp.zeros(1)).item(), 4)  # Cauchy: −ln π
    -1.1447
    """

    df: float = eqx.field(static=True)
    name: ClassVar[str] = "student_t"

    def __init__(self, event_size: int, df: float = 4.0):
        self.event_size, self.log_scale = event_size, jnp.zeros(())
        self.df = real_number("df", df, "the student_t likelihood", above=0.0)

    def distribution(self, raw: ArrayLike) -> Distribution:
        """Return Student-t laws."""
        return self.about(raw, "student_t", self.df)


class LogNormal(Likelihood):
    r"""Positive numbers: :math:`\ln x_j \sim \mathcal{N}(\mu_j, \sigma_j^2)`, raw: μ, (..., P); one learned σ for each.

    Values are best seen in units of their mean: σ begins at what a mean of 1 and the deviation of the data say.

    >>> round(LogNormal(1).distribution(jnp.zeros(1)).log_prob(jnp.ones(1)).item(), 4)
    -0.9189
    """

    log_scale: Array
    name: ClassVar[str] = "log_normal"
    support: ClassVar[Support] = POSITIVE

    def __init__(self, event_size: int):
        self.event_size, self.log_scale = event_size, jnp.zeros(event_size)

    def distribution(self, raw: ArrayLike) -> Distribution:
        """Return log-normal laws."""
        return LogNormalByLog(raw, tempered(self.log_scale))

    def initial_raw(self, x_mean: ArrayLike, x_std: ArrayLike = 1.0) -> Array:
        """Return the μ that give the means: ln E x − σ²/2."""
        mean = jnp.maximum(at_least_single(x_mean), SMALLEST_START)
        return jnp.log(mean) - 0.5 * jnp.exp(2.0 * tempered(self.log_scale))

    def started(self, x_std: ArrayLike) -> Self:
        """Return the likelihood with σ² = ln(1 + s²), that of numbers of mean 1 and deviation s."""
        variance = jnp.log1p(jnp.maximum(at_least_single(x_std), SMALLEST_START) ** 2)
        started: Self = eqx.tree_at(lambda tree: tree.log_scale, self, 0.5 * jnp.log(variance))
        return started


def starting_log_scale(x_std: ArrayLike) -> Array:
    """Ln of the data's spread, (P,): before training all of it is noise."""
    return jnp.log(jnp.maximum(at_least_single(x_std), SMALLEST_START))


def one_for_all(x_std: ArrayLike) -> Array:
    """The root mean square of deviations (P,)."""
    return jnp.sqrt(jnp.mean(at_least_single(x_std) ** 2))
