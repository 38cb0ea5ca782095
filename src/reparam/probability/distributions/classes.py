"""Laws of values from a finite set: bits, codes, the 256 levels of an 8-bit image."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, PRNGKeyArray
from numpyro.distributions import Distribution, constraints

from reparam.probability.numerics import at_least_single, log_sigmoid, softplus
from reparam.probability.supports import GREYS, LEVELS, Support, codes, guarded

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
    r"""Categorical by its logits: :math:`\ln p(k) = a_k - \ln \sum_j e^{a_j}`, k in {0, …, K − 1}.

    numpyro's own indexes with k and so refuses codes stored as floats, which data are; here a select takes the place
    of the index. ``logits``: (..., K); k and log_prob: (...).

    >>> round(CategoricalLogits(jnp.array([0.0, jnp.log(3.0)])).log_prob(1.0).item(), 4)
    -0.2877
    """

    arg_constraints: ClassVar = {"logits": constraints.real_vector}

    def __init__(self, logits: ArrayLike, *, validate_args: bool | None = False):
        self.logits = at_least_single(logits)
        super().__init__(self.logits.shape[:-1], validate_args=validate_args)

    @property
    def support(self) -> Support:
        """The codes 0 … K − 1."""
        return codes(self.logits.shape[-1])

    @property
    def codes(self) -> Array:
        """All codes, (K,)."""
        return jnp.arange(self.logits.shape[-1], dtype=self.logits.dtype)

    @guarded
    def log_prob(self, value: Array) -> Array:
        """Return ln p(k) in nats."""
        chosen = value[..., None] == self.codes
        return jnp.sum(jnp.where(chosen, jax.nn.log_softmax(self.logits), 0.0), axis=-1)

    def sample(self, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draw codes of shape (*sample_shape, ...), in the logits' dtype."""
        return jax.random.categorical(key, self.logits, shape=self.shape(sample_shape)).astype(self.logits.dtype)

    @property
    def probs(self) -> Array:
        """The probability of each code, (..., K)."""
        return jax.nn.softmax(self.logits)

    @property
    def mode(self) -> Array:
        """The most probable code: what to show where the order of the codes means nothing."""
        return jnp.argmax(self.logits, axis=-1).astype(self.logits.dtype)

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
