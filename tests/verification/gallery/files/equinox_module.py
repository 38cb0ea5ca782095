"""An Equinox module with its noise inside, and the loss inside of another function."""

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

    def __call__(self, x, key):
        mu, logvar = jnp.split(self.encoder(x), 2)
        std = jnp.exp(0.5 * logvar)
        z = mu + std * jax.random.normal(key, mu.shape)
        return self.decoder(z), mu, logvar


@eqx.filter_jit
def step(model, batch, key):
    def loss_fn(model):
        logits, mu, logvar = jax.vmap(model)(batch, jax.random.split(key, len(batch)))
        reconstruction = jnp.sum(jnp.logaddexp(0.0, logits) - batch * logits, axis=-1)
        kl = -0.5 * jnp.sum(1 + logvar - mu**2 - jnp.exp(logvar), axis=-1)
        return jnp.mean(reconstruction + kl)

    return eqx.filter_value_and_grad(loss_fn)(model)
