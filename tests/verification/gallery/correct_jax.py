"""Correct variational autoencoders in JAX."""

import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp


class ExplicitNoise:
    """ε is an argument, everything compiled."""

    SCALE = "log_variance"

    @staticmethod
    @jax.jit
    def sample(mean, raw, eps):
        return mean + jnp.exp(0.5 * raw) * eps

    @staticmethod
    @jax.jit
    def kl(mean, raw):
        return 0.5 * jnp.sum(mean**2 + jnp.exp(raw) - 1 - raw, axis=-1)

    @staticmethod
    @jax.jit
    def reconstruction_loss(x, decoded):
        return -jnp.sum(x * jax.nn.log_sigmoid(decoded) + (1 - x) * jax.nn.log_sigmoid(-decoded), axis=-1)

    @staticmethod
    @jax.jit
    def loss(x, mean, raw, decoded):
        cross_entropy = jnp.sum(jnp.logaddexp(0, decoded) - x * decoded, axis=-1)
        return jnp.mean(cross_entropy + 0.5 * jnp.sum(mean**2 + jnp.exp(raw) - 1 - raw, axis=-1))

    @staticmethod
    @jax.jit
    def bound(log_w):
        return logsumexp(log_w, axis=1) - jnp.log(log_w.shape[1])


class Key(ExplicitNoise):
    """The sampler takes a key; σ = softplus(raw)."""

    SCALE = "softplus"
    loss = None

    @staticmethod
    def sample(mean, raw, key):
        return mean + jax.nn.softplus(raw) * jax.random.normal(key, mean.shape)

    @staticmethod
    def kl(mean, raw):
        std = jax.nn.softplus(raw)
        return jnp.sum(0.5 * (mean**2 + std**2 - 1) - jnp.log(std), axis=-1)
