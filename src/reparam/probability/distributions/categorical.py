"""The categorical distribution over codes 0 … K − 1 that are stored as numbers."""

from __future__ import annotations

from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, PRNGKeyArray
from numpyro.distributions import Distribution, constraints

from reparam.probability.numerics import at_least_single
from reparam.probability.supports import Support, codes, guarded


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
