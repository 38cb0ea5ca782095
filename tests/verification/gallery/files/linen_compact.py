"""Flax linen in one compact call: the module asks for its keys, the loss is a function."""

import jax
import jax.numpy as jnp
from flax import linen as nn


class VAE(nn.Module):
    latent_dim: int = 8

    @nn.compact
    def __call__(self, x, deterministic=False):
        h = nn.relu(nn.Dense(64)(x))
        mu = nn.Dense(self.latent_dim)(h)
        logvar = nn.Dense(self.latent_dim)(h)
        if deterministic:
            z = mu
        else:
            std = jnp.exp(0.5 * logvar)
            z = mu + std * jax.random.normal(self.make_rng("sampling"), logvar.shape)
        return nn.Dense(784)(z), mu, logvar


def minus_kl(mu, logvar):
    return 0.5 * jnp.sum(1 + logvar - mu**2 - jnp.exp(logvar), axis=-1)


def elbo(logits, x, mu, logvar):
    log_likelihood = jnp.sum(x * logits - jnp.logaddexp(0.0, logits), axis=-1)
    return jnp.mean(log_likelihood + minus_kl(mu, logvar))
