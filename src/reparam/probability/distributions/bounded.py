"""Laws of bounded values: bits, codes, the 256 levels of an 8-bit image, numbers between 0 and 1."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, PRNGKeyArray
from numpyro.distributions import Distribution, constraints

from reparam.probability.numerics import at_least_single, log_minus_linear, log_sigmoid, softplus, stirling_correction
from reparam.probability.supports import GREYS, LEVELS, OPEN_UNIT, UNIT, Support, codes, guarded

SERIES_BELOW = 0.5
COUNT = 256
STEP = 1.0 / (COUNT - 1)


class BernoulliLogits(Distribution):
    r"""Bernoulli by its logits a: :math:`\ln p(x) = x a - \ln(1 + e^a)`, x in {0, 1}; shapes (...).

    Between 0 and 1 the formula stands as a cross-entropy, which is no log-probability.

    numpyro's own guards against infinite logits with selects, and takes a tenth to a fifth more time for value and
    gradient on 128 × 784 pixels. A network's logits are finite, and here the gradient is the plain x − sigmoid(a).

    >>> BernoulliLogits(jnp.array([-1e4, 1e4])).log_prob(jnp.ones(2)).tolist()
    [-10000.0, 0.0]
    """

    arg_constraints: ClassVar = {"logits": constraints.real}
    support = GREYS

    def __init__(self, logits: ArrayLike, *, validate_args: bool | None = False):
        self.logits = at_least_single(logits)
        super().__init__(self.logits.shape, validate_args=validate_args)

    @guarded
    def log_prob(self, value: Array) -> Array:
        """Return ln p(x) in nats."""
        return value * self.logits - softplus(self.logits)

    def sample(self, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draw zeros and ones of shape (*sample_shape, ...), in the logits' dtype."""
        return jax.random.bernoulli(key, self.mean, self.shape(sample_shape)).astype(self.logits.dtype)

    @property
    def mean(self) -> Array:
        """P(x = 1)."""
        return jax.nn.sigmoid(self.logits)

    @property
    def variance(self) -> Array:
        """P(x = 1) P(x = 0)."""
        return jax.nn.sigmoid(self.logits) * jax.nn.sigmoid(-self.logits)


class CategoricalLogits(Distribution):
    r"""Categorical by its logits: :math:`\ln p(k s) = a_k - \ln \sum_j e^{a_j}`, k in {0, …, K − 1}, s the ``step``.

    numpyro's own indexes with k and so refuses codes stored as floats, which data are; here a select takes the place
    of the index. ``logits``: (..., K); k and log_prob: (...).

    >>> round(CategoricalLogits(jnp.array([0.0, jnp.log(3.0)])).log_prob(1.0).item(), 4)
    -0.2877
    """

    arg_constraints: ClassVar = {"logits": constraints.real_vector}

    pytree_data_fields = ("logits",)
    pytree_aux_fields = ("step",)

    def __init__(self, logits: ArrayLike, step: float = 1.0, *, validate_args: bool | None = False):
        self.logits, self.step = at_least_single(logits), step
        super().__init__(self.logits.shape[:-1], validate_args=validate_args)

    @property
    def support(self) -> Support:
        """The codes 0 … K − 1, times the step."""
        return codes(self.logits.shape[-1], self.step)

    @property
    def codes(self) -> Array:
        """All codes times the step, (K,)."""
        return jnp.arange(self.logits.shape[-1], dtype=self.logits.dtype) * self.step

    @guarded
    def log_prob(self, value: Array) -> Array:
        """Return ln p(k) in nats."""
        chosen = abs(value[..., None] - self.codes) < 0.5 * self.step
        return jnp.sum(jnp.where(chosen, jax.nn.log_softmax(self.logits), 0.0), axis=-1)

    def sample(self, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draw codes of shape (*sample_shape, ...), in the logits' dtype."""
        return self.codes[jax.random.categorical(key, self.logits, shape=self.shape(sample_shape))]

    @property
    def probs(self) -> Array:
        """The probability of each code, (..., K)."""
        return jax.nn.softmax(self.logits)

    @property
    def mode(self) -> Array:
        """The most probable code: what to show where the order of the codes means nothing."""
        return self.codes[jnp.argmax(self.logits, axis=-1)]

    @property
    def mean(self) -> Array:
        """The mean of the codes as numbers."""
        return jnp.sum(self.probs * self.codes, axis=-1)

    @property
    def variance(self) -> Array:
        """The variance of the codes as numbers."""
        return jnp.sum(self.probs * (self.codes - self.mean[..., None]) ** 2, axis=-1)


class LogisticLevels(Distribution):
    r"""A mixture of K logistics on 8-bit levels x = k/255; the first and the last bin take in the tails.

    With σ the logistic function and bins :math:`x \pm \tfrac{1}{510}`,

    .. math:: p(x) = \sum_{i=1}^K \pi_i \bigl[\sigma(b_i) - \sigma(a_i)\bigr], \qquad
        a_i, b_i = (x \mp \tfrac{1}{510} - \mu_i) / s_i

    The difference is never formed: :math:`\sigma(b) - \sigma(a) = \sigma(b)\,\sigma(-a)\,(1 - e^{a - b})` holds
    exactly, keeps its digits however far out the bin lies, and needs none of the thresholds of the published code.
    Source: Salimans et al. (2017), Eqs. 1–2, there on [−1, 1].

    Args:
        logits: of the K weights, (..., K).
        loc: μ, (..., K).
        log_scale: ln s, (..., K).

    >>> levels = jnp.arange(256) / 255
    >>> law = LogisticLevels(jnp.zeros(1), jnp.array([0.4]), jnp.array([-3.0]))
    >>> round(jnp.exp(law.log_prob(levels)).sum().item(), 4)
    1.0
    """

    arg_constraints: ClassVar = {
        "logits": constraints.real_vector,
        "loc": constraints.real_vector,
        "log_scale": constraints.real_vector,
    }
    support = LEVELS

    def __init__(self, logits: ArrayLike, loc: ArrayLike, log_scale: ArrayLike, *, validate_args: bool | None = False):
        self.logits, self.loc, self.log_scale = jnp.broadcast_arrays(*map(at_least_single, (logits, loc, log_scale)))
        super().__init__(self.logits.shape[:-1], validate_args=validate_args)

    @guarded
    def log_prob(self, value: Array) -> Array:
        """Return ln p(x) in nats; x is taken to its nearest level."""
        level = jnp.round(value / STEP)[..., None]
        above = log_sigmoid(-self._standardized(level - 0.5))
        below = log_sigmoid(self._standardized(level + 0.5))
        width = STEP * jnp.exp(-self.log_scale)
        inside = above + below + jnp.log(-jnp.expm1(-width))
        component = jnp.where(level <= 0, below, jnp.where(level >= COUNT - 1, above, inside))
        return jax.nn.logsumexp(jax.nn.log_softmax(self.logits) + component, axis=-1)

    def sample(self, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draw levels of shape (*sample_shape, ...)."""
        choice_key, noise_key = jax.random.split(key)
        shape = self.shape(sample_shape)
        choice = jax.random.categorical(choice_key, self.logits, shape=shape)[..., None]
        loc, log_scale = (self._component(parameter, choice) for parameter in (self.loc, self.log_scale))
        x = loc + jnp.exp(log_scale) * jax.random.logistic(noise_key, shape, loc.dtype)
        return jnp.clip(jnp.round(x / STEP), 0, COUNT - 1) * STEP

    @property
    def mean(self) -> Array:
        """The sum of P(X ≥ k/255)/255 over k = 1 … 255."""
        return self._tail_sum(lambda level: STEP)

    @property
    def variance(self) -> Array:
        """E[X²] − E[X]², the former by the same sum with weights (2k − 1)/255²."""
        return jnp.maximum(self._tail_sum(lambda level: (2.0 * level - 1.0) * STEP**2) - self.mean**2, 0.0)

    def _standardized(self, level: Array) -> Array:
        """(x − μ)/s of a level, (..., K)."""
        return (level * STEP - self.loc) * jnp.exp(-self.log_scale)

    def _component(self, parameter: Array, choice: Array) -> Array:
        """The parameter of the chosen component."""
        parameter = jnp.broadcast_to(parameter, choice.shape[:-1] + parameter.shape[-1:])
        return jnp.take_along_axis(parameter, choice, axis=-1)[..., 0]

    def _tail_sum(self, weight: Callable[[Array], ArrayLike]) -> Array:
        """Σ weight(k) P(X ≥ k/255), one level at a time, so that memory stays that of the parameters."""
        weights = jax.nn.softmax(self.logits)

        def add(level: Array, total: Array) -> Array:
            tail = jnp.sum(weights * jax.nn.sigmoid(-self._standardized(level - 0.5)), axis=-1)
            return total + weight(level) * tail

        total: Array = jax.lax.fori_loop(1, COUNT, add, jnp.zeros(self.batch_shape, self.loc.dtype))
        return total


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

    >>> abs(round(BetaByMean(0.0, jnp.log(2.0)).log_prob(0.3).item(), 4))  # uniform
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
