"""Broken variational autoencoders in JAX: each class has one mistake seen in public code."""

import jax
import jax.numpy as jnp
from correct_jax import ExplicitNoise, Key


class FixedKey(ExplicitNoise):
    """A key made inside the sampler: the same noise for ever."""

    FAILS = ("sampler-location-scale",)

    @staticmethod
    def sample(mean, raw):
        return mean + jnp.exp(0.5 * raw) * jax.random.normal(jax.random.PRNGKey(0), mean.shape)


class StopGradient(ExplicitNoise):
    """The gradient stopped at the sample, as for a score function."""

    FAILS = ("gradient-reaches-encoder",)

    @staticmethod
    def sample(mean, raw, eps):
        return jax.lax.stop_gradient(mean + jnp.exp(0.5 * raw) * eps)


class StopGradientInLoss(ExplicitNoise):
    """The gradient stopped in front of the KL inside the loss."""

    FAILS = ("gradient-reaches-encoder",)

    @staticmethod
    def loss(x, mean, raw, decoded):
        return jnp.mean(
            ExplicitNoise.reconstruction_loss(x, decoded) + ExplicitNoise.kl(mean, jax.lax.stop_gradient(raw))
        )


class KeyPerLatentForgotten(Key):
    """Noise of shape (N, 1)."""

    FAILS = ("sampler-location-scale",)

    @staticmethod
    def sample(mean, raw, key):
        return mean + jax.nn.softplus(raw) * jax.random.normal(key, (mean.shape[0], 1))


class MeanOverFeatures(ExplicitNoise):
    """optax's loss averaged over pixels and batch, the KL summed over latents."""

    FAILS = ("reconstruction-sums-over-features",)
    loss = None

    @staticmethod
    def reconstruction_loss(x, decoded):
        return jnp.mean(jnp.logaddexp(0, decoded) - x * decoded)


class UnstableBound(ExplicitNoise):
    """exp before log."""

    FAILS = ("bound-stable",)

    @staticmethod
    def bound(log_w):
        return jnp.log(jnp.mean(jnp.exp(log_w), axis=1))
