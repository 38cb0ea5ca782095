"""Flax linen: a key first, a loss on vectors that is mapped over the batch."""

import jax
import jax.numpy as jnp
from flax import linen as nn


def reparameterize(rng, mean, logvar):
    std = jnp.exp(0.5 * logvar)
    return mean + std * jax.random.normal(rng, logvar.shape)


@jax.vmap
def kl_divergence(mean, logvar):
    return -0.5 * jnp.sum(1 + logvar - jnp.square(mean) - jnp.exp(logvar))


@jax.vmap
def binary_cross_entropy_with_logits(logits, labels):
    return jnp.sum(jnp.logaddexp(0.0, logits) - labels * logits)


class VAE(nn.Module):
    latents: int = 20

    @nn.compact
    def __call__(self, x, rng):
        h = nn.relu(nn.Dense(64)(x))
        mean, logvar = nn.Dense(self.latents)(h), nn.Dense(self.latents)(h)
        return nn.Dense(784)(reparameterize(rng, mean, logvar)), mean, logvar


def train_step(state, batch, rng):
    def loss_fn(params):
        recon_x, mean, logvar = VAE().apply({"params": params}, batch, rng)
        reconstruction = binary_cross_entropy_with_logits(recon_x, batch).mean()
        kl = kl_divergence(mean, logvar).mean()
        return reconstruction + kl

    return state.apply_gradients(grads=jax.grad(loss_fn)(state.params))
