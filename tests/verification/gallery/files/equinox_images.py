"""Equinox: a convolutional module of one image at a time, whose loss sums over channels and pixels apart."""

import equinox as eqx
import jax
import jax.numpy as jnp


class VAE(eqx.Module):
    encoder: eqx.nn.Conv2d
    decoder: eqx.nn.ConvTranspose2d

    def __init__(self, latents, *, key):
        first, second = jax.random.split(key)
        self.encoder = eqx.nn.Conv2d(1, 2 * latents, 28, key=first)
        self.decoder = eqx.nn.ConvTranspose2d(latents, 1, 28, key=second)

    def reparametrize(self, mu, logvar, key):
        return mu + jnp.exp(0.5 * logvar) * jax.random.normal(key, mu.shape)

    def minus_kl(self, mu, logvar):
        return 0.5 * jnp.sum(1 + logvar - mu**2 - jnp.exp(logvar))

    def elbo(self, logits, x, mu, logvar):
        pixels = jnp.sum(x * logits - jnp.logaddexp(0.0, logits), axis=0)
        return jnp.sum(pixels) + self.minus_kl(mu, logvar)
