"""Laws of values between 0 and 1."""

from __future__ import annotations

import math
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, PRNGKeyArray
from numpyro.distributions import Distribution, constraints

from reparam.probability.numerics import at_least_single, log_minus_linear, log_sigmoid, stirling_correction
from reparam.probability.supports import OPEN_UNIT, UNIT, guarded

SERIES_BELOW = 0.5


class ContinuousBernoulliLogits(Distribution):
    r"""Continuous Bernoulli by its logits η = ln λ − ln(1 − λ); shapes (...).

    .. math:: p(x) = C(\lambda)\, \lambda^x (1 - \lambda)^{1 - x} = \frac{\eta}{e^\eta - 1}\, e^{\eta x},
        \qquad 0 \le x \le 1

    At λ = ½ the constant is 0/0, and it is a power series there; far out it is written by |η|, so that nothing
    overflows. numpyro has no such family. Source: Loaiza-Ganem & Cunningham (2019), Eqs. 4–6.

    >>> ContinuousBernoulliLogits(jnp.array([0.0, 1e4])).log_prob(jnp.ones(2)).round(2).tolist()
    [0.0, 9.210000038146973]
    """

    arg_constraints: ClassVar = {"logits": constraints.real}
    support = UNIT

    def __init__(self, logits: ArrayLike, *, validate_args: bool | None = False):
        self.logits = at_least_single(logits)
        super().__init__(self.logits.shape, validate_args=validate_args)

    @guarded
    def log_prob(self, value: Array) -> Array:
        """Return ln p(x) in nats: η x − max(η, 0) + ln(|η| / (1 − e^{−|η|}))."""
        small, near, far = _split(self.logits)
        distance = jnp.abs(far)
        log_constant = jnp.where(
            small,
            -near / 2 - near**2 / 24 + near**4 / 2880 - near**6 / 181440 + near**8 / 9676800 - near**10 / 479001600,
            jnp.log(distance) - jnp.log(-jnp.expm1(-distance)) - jnp.maximum(far, 0.0),
        )
        return value * self.logits + log_constant

    def icdf(self, quantile: ArrayLike) -> Array:
        """Return x with P(X ≤ x) = u: ln(1 + u (e^η − 1)) / η, measured from the end that η favours."""
        quantile, distance = jnp.asarray(quantile), jnp.maximum(jnp.abs(self.logits), 1e-6)
        favours_one = self.logits > 0
        tail = jnp.where(favours_one, 1.0 - quantile, quantile)
        x = -jnp.log1p(tail * jnp.expm1(-distance)) / distance
        return jnp.clip(jnp.where(favours_one, 1.0 - x, x), 0.0, 1.0)

    def sample(self, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draw x of shape (*sample_shape, ...) through the inverse of the distribution function."""
        return self.icdf(jax.random.uniform(key, self.shape(sample_shape), self.logits.dtype))

    @property
    def mean(self) -> Array:
        """1/(1 − e^{−η}) − 1/η."""
        small, near, far = _split(self.logits)
        series = 0.5 + near / 12 - near**3 / 720 + near**5 / 30240 - near**7 / 1209600 + near**9 / 47900160
        return jnp.where(small, series, 1.0 / -jnp.expm1(-far) - 1.0 / far)

    @property
    def variance(self) -> Array:
        """1/η² − 1/(4 sinh²(η/2))."""
        small, near, far = _split(self.logits)
        decay = jnp.exp(-jnp.abs(far))
        series = 1 / 12 - near**2 / 240 + near**4 / 6048 - near**6 / 172800 + near**8 / 5322240
        return jnp.where(small, series, 1.0 / far**2 - decay / (1.0 - decay) ** 2)


def _split(logits: Array) -> tuple[Array, Array, Array]:
    """Whether the series holds, and the logits for each of its sides, harmless on the other."""
    small = jnp.abs(logits) < SERIES_BELOW
    return small, jnp.where(small, logits, 0.0), jnp.where(small, 1.0, logits)


class BetaByMean(Distribution):
    r"""Beta by its mean m = sigmoid(a) and precision φ: α = m φ, β = (1 − m) φ, variance m (1 − m)/(1 + φ).

    With u = (x − m)/m, v = (m − x)/(1 − m) and Stirling's correction c,

    .. math:: \ln p(x) = \alpha [\ln(1 + u) - u] + \beta [\ln(1 + v) - v]
        + \tfrac12 \ln \frac{\phi\, m (1 - m)}{2 \pi} - \ln x (1 - x) + c(\phi) - c(\alpha) - c(\beta)

    which is the textbook density with what cancels taken out (α u + β v = 0). numpyro's own subtracts gamma
    functions that are as large as φ, and is off by 0.6 nats at φ = 10⁶ in single precision; this one by 10⁻⁴.
    Mean–precision form: Ferrari & Cribari-Neto (2004), Eq. 4. Shapes: all broadcast to (...).

    >>> round(BetaByMean(0.0, jnp.log(2.0)).log_prob(0.3).item(), 4)  # uniform
    0.0
    """

    arg_constraints: ClassVar = {"mean_logits": constraints.real, "log_precision": constraints.real}
    support = OPEN_UNIT

    def __init__(self, mean_logits: ArrayLike, log_precision: ArrayLike, *, validate_args: bool | None = False):
        self.mean_logits, self.log_precision = jnp.broadcast_arrays(
            at_least_single(mean_logits), at_least_single(log_precision)
        )
        super().__init__(self.mean_logits.shape, validate_args=validate_args)

    @guarded
    def log_prob(self, value: Array) -> Array:
        """Return ln p(x) in nats."""
        x, a = value, self.mean_logits
        log_mean, log_rest = log_sigmoid(a), log_sigmoid(-a)
        log_alpha, log_beta = self.log_precision + log_mean, self.log_precision + log_rest
        log_x, log_1_x = jnp.log(x), jnp.log1p(-x)
        error = jnp.where(a > 0, jax.nn.sigmoid(-a) - (1.0 - x), x - jax.nn.sigmoid(a))
        deviance = jnp.exp(log_alpha) * log_minus_linear(error / jax.nn.sigmoid(a), log_x - log_mean)
        deviance += jnp.exp(log_beta) * log_minus_linear(-error / jax.nn.sigmoid(-a), log_1_x - log_rest)
        volume = 0.5 * (self.log_precision + log_mean + log_rest - math.log(2.0 * math.pi)) - log_x - log_1_x
        correction = stirling_correction(self.log_precision)
        return deviance + volume + correction - stirling_correction(log_alpha) - stirling_correction(log_beta)

    def sample(self, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draw x of shape (*sample_shape, ...), held inside (0, 1), where rounding may reach an end."""
        precision = jnp.exp(self.log_precision)
        alpha, beta = precision * self.mean, precision * jax.nn.sigmoid(-self.mean_logits)
        limits = jnp.finfo(alpha.dtype)
        draws = jax.random.beta(key, alpha, beta, self.shape(sample_shape), alpha.dtype)
        return jnp.clip(draws, limits.tiny, 1.0 - limits.epsneg)

    @property
    def mean(self) -> Array:
        """Sigmoid of the mean's logits."""
        return jax.nn.sigmoid(self.mean_logits)

    @property
    def variance(self) -> Array:
        """m (1 − m)/(1 + φ)."""
        return self.mean * jax.nn.sigmoid(-self.mean_logits) * jax.nn.sigmoid(-self.log_precision)
