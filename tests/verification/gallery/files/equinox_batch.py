"""Equinox: a module that maps its parts over the batch and makes one loss of it, in methods of its own."""

import equinox as eqx
import jax
import jax.numpy as jnp


class VAE(eqx.Module):
    encoder: eqx.nn.MLP
    decoder: eqx.nn.MLP

    def __init__(self, features, latents, *, key):
        first, second = jax.random.split(key)
        self.encoder = eqx.nn.MLP(features, 2 * latents, 64, 2, key=first)
        self.decoder = eqx.nn.MLP(latents, features, 64, 2, key=second)

    def reparameterize(self, mu, logvar, key):
        return mu + jnp.exp(0.5 * logvar) * jax.random.normal(key, mu.shape)

    def loss(self, x, logits, mu, logvar):
        reconstruction = jnp.sum(jnp.logaddexp(0.0, logits) - x * logits, axis=-1)
        kl = -0.5 * jnp.sum(1 + logvar - mu**2 - jnp.exp(logvar), axis=-1)
        return jnp.mean(reconstruction) + jnp.mean(kl)
