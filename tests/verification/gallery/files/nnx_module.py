"""Flax nnx: the object holds its random streams."""

import jax
import jax.numpy as jnp
from flax import nnx


class VAE(nnx.Module):
    def __init__(self, din: int, latents: int, *, rngs: nnx.Rngs):
        self.encoder = nnx.Linear(din, 2 * latents, rngs=rngs)
        self.decoder = nnx.Linear(latents, din, rngs=rngs)
        self.rngs = rngs

    def __call__(self, x):
        mean, raw_std = jnp.split(self.encoder(x), 2, axis=-1)
        std = jnp.exp(raw_std)
        z = mean + std * jax.random.normal(self.rngs.noise(), mean.shape)
        return self.decoder(z), mean, std


def loss_fn(model, x):
    logits, mean, std = model(x)
    reconstruction = jnp.sum(jnp.logaddexp(0.0, logits) - x * logits, axis=-1)
    kl = jnp.sum(0.5 * (mean**2 + std**2 - 1) - jnp.log(std), axis=-1)
    return jnp.mean(reconstruction + kl)
