"""Laws of counts by their mean: Poisson, negative binomial, and either with extra zeros."""

from __future__ import annotations

from typing import ClassVar

import jax
import jax.numpy as jnp
from jax.scipy.special import gammaln
from jaxtyping import Array, ArrayLike, PRNGKeyArray
from numpyro.distributions import Distribution, constraints

from reparam.errors import ParameterError
from reparam.probability.numerics import at_least_single, log_sigmoid, softplus, stirling_correction
from reparam.probability.supports import COUNTS, guarded

LARGEST_RATE = 2e9  # jax.random.poisson counts in 32 bits


class PoissonByMean(Distribution):
    r"""Poisson by ln μ: :math:`\ln p(x) = x \ln \mu - \mu - \ln x!`; shapes (...).

    numpyro's own takes μ, whose logarithm it takes again.

    >>> round(PoissonByMean(0.0).log_prob(2.0).item(), 4)
    -1.6931
    """

    arg_constraints: ClassVar = {"log_mean": constraints.real}
    support = COUNTS

    def __init__(self, log_mean: ArrayLike, *, validate_args: bool | None = False):
        self.log_mean = at_least_single(log_mean)
        super().__init__(self.log_mean.shape, validate_args=validate_args)

    @guarded
    def log_prob(self, value: Array) -> Array:
        """Return ln p(x) in nats."""
        return value * self.log_mean - self.mean - gammaln(value + 1.0)

    def sample(self, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draw counts of shape (*sample_shape, ...), of a rate that stops at 2·10⁹."""
        rate = jnp.minimum(self.mean, LARGEST_RATE)
        return jax.random.poisson(key, rate, self.shape(sample_shape)).astype(self.log_mean.dtype)

    @property
    def mean(self) -> Array:
        """μ."""
        return jnp.exp(self.log_mean)

    @property
    def variance(self) -> Array:
        """μ."""
        return self.mean


class NegativeBinomialByMean(Distribution):
    r"""Negative binomial by ln μ and ln r: mean μ, inverse dispersion r, variance μ + μ²/r; shapes (...).

    .. math:: p(x) = \frac{\Gamma(x + r)}{\Gamma(r)\, x!} \Bigl(\frac{r}{r + \mu}\Bigr)^r
        \Bigl(\frac{\mu}{r + \mu}\Bigr)^x

    Computed with Stirling's correction c, which takes out what cancels as r → ∞ and the law becomes Poisson,

    .. math:: \ln p(x) = (x + r) \ln\frac{r + x}{r + \mu} - \tfrac12 \ln(1 + x/r) - x + x \ln \mu - \ln x!
        + c(x + r) - c(r)

    numpyro's own subtracts gamma functions of r, and is off by 0.4 nats at r = 10⁷ in single precision.
    Rounding leaves an error of about 10⁻⁷ x ln x. Source of the form by mean: Hilbe (2011), Section 8.2.

    >>> round(NegativeBinomialByMean(jnp.log(2.0), 23.0).log_prob(2).item(), 4)  # r = 10^10: Poisson
    -1.3069
    """

    arg_constraints: ClassVar = {"log_mean": constraints.real, "log_inverse_dispersion": constraints.real}
    support = COUNTS

    def __init__(self, log_mean: ArrayLike, log_inverse_dispersion: ArrayLike, *, validate_args: bool | None = False):
        self.log_inverse_dispersion = at_least_single(
            log_inverse_dispersion
        )  # as it came: its terms cost once a feature
        shape = jnp.broadcast_shapes(jnp.shape(log_mean), self.log_inverse_dispersion.shape)
        self.log_mean = jnp.broadcast_to(at_least_single(log_mean), shape)
        super().__init__(shape, validate_args=validate_args)

    @guarded
    def log_prob(self, value: Array) -> Array:
        """Return ln p(x) in nats."""
        x, log_r = value, self.log_inverse_dispersion
        r, log_growth = jnp.exp(log_r), jnp.log1p(x * jnp.exp(-log_r))
        power = (x + r) * self._log_ratio(x, log_growth) - 0.5 * log_growth - x + x * self.log_mean
        correction = stirling_correction(log_r + log_growth) - stirling_correction(log_r)
        return power - gammaln(x + 1.0) + correction

    def _log_ratio(self, x: Array, log_growth: Array) -> Array:
        """ln (r + x)/(r + μ), given ln (r + x)/r; near zero through the relative difference."""
        difference = (x - self.mean) / (jnp.exp(self.log_inverse_dispersion) + self.mean)
        near = jnp.abs(difference) < 0.5
        far = log_growth - softplus(self.log_mean - self.log_inverse_dispersion)
        return jnp.where(near, jnp.log1p(jnp.where(near, difference, 0.0)), far)

    def sample(self, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draw counts of shape (*sample_shape, ...): Poisson with a gamma rate, which stops at 2·10⁹."""
        gamma_key, poisson_key = jax.random.split(key)
        shape, log_r = self.shape(sample_shape), self.log_inverse_dispersion
        log_gamma = jax.random.loggamma(gamma_key, jnp.exp(log_r), shape)
        rate = jnp.minimum(jnp.exp(log_gamma - log_r + self.log_mean), LARGEST_RATE)
        return jax.random.poisson(poisson_key, rate, shape).astype(self.log_mean.dtype)

    @property
    def mean(self) -> Array:
        """μ."""
        return jnp.exp(self.log_mean)

    @property
    def variance(self) -> Array:
        """μ + μ²/r."""
        return self.mean + jnp.exp(2.0 * self.log_mean - self.log_inverse_dispersion)


class ZeroInflated(Distribution):
    r"""Counts that are zero with extra probability π = sigmoid(gate logits): dropout on top of ``base``.

    .. math:: p(0) = \pi + (1 - \pi)\, p_b(0), \qquad p(x) = (1 - \pi)\, p_b(x), \quad x > 0

    numpyro's own adds the gate's logits and takes them away again, which costs digits where they are large.
    ``gate_logits`` has the batch shape of ``base``. Source: Lopez et al. (2018), Methods.

    Raises:
        ParameterError: it has another.

    >>> round(ZeroInflated(NegativeBinomialByMean(0.0, 0.0), 0.0).log_prob(0).item(), 4)  # ln ¾
    -0.2877
    """

    arg_constraints: ClassVar = {"gate_logits": constraints.real}
    support = COUNTS
    pytree_data_fields = ("base", "gate_logits")

    def __init__(self, base: Distribution, gate_logits: ArrayLike, *, validate_args: bool | None = False):
        self.base, self.gate_logits = base, at_least_single(gate_logits)
        if self.gate_logits.shape != base.batch_shape:
            raise ParameterError(
                f"The 'gate_logits' parameter of ZeroInflated must have its base's batch shape, {base.batch_shape}. "
                f"Got {self.gate_logits.shape}."
            )
        super().__init__(base.batch_shape, validate_args=validate_args)

    @guarded
    def log_prob(self, value: Array) -> Array:
        """Return ln p(x) in nats."""
        counted = self.base.log_prob(value) - softplus(self.gate_logits)
        dropped = log_sigmoid(self.gate_logits)
        return jnp.where(value == 0, jnp.logaddexp(dropped, counted), counted)

    def sample(self, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draw counts of shape (*sample_shape, ...)."""
        gate_key, base_key = jax.random.split(key)
        dropped = jax.random.bernoulli(gate_key, jax.nn.sigmoid(self.gate_logits), self.shape(sample_shape))
        counts = jnp.asarray(self.base.sample(base_key, sample_shape))
        return jnp.where(dropped, jnp.zeros_like(counts), counts)

    @property
    def mean(self) -> Array:
        """(1 − π) times the base's mean."""
        return jnp.asarray(jax.nn.sigmoid(-self.gate_logits) * self.base.mean)

    @property
    def variance(self) -> Array:
        """(1 − π)(σ² + π μ²) of the base's σ² and μ."""
        pi = jax.nn.sigmoid(self.gate_logits)
        return jnp.asarray((1.0 - pi) * (self.base.variance + pi * self.base.mean**2))
