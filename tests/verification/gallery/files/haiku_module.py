"""Haiku: the key comes out of the transform; σ in the module, σ² in the loss."""

import haiku as hk
import jax
import jax.numpy as jnp


class VAE(hk.Module):
    def __call__(self, x):
        mean, log_stddev = jnp.split(hk.Linear(40)(x), 2, axis=-1)
        stddev = jnp.exp(log_stddev)
        z = mean + stddev * jax.random.normal(hk.next_rng_key(), mean.shape)
        return hk.Linear(x.shape[-1])(z), mean, jnp.square(stddev)


def main():
    @hk.transform
    def model(x):
        return VAE()(x)

    def loss_fn(params, rng_key, batch):
        logits, mean, var = model.apply(params, rng_key, batch)
        reconstruction = jnp.sum(jnp.logaddexp(0.0, logits) - batch * logits, axis=-1)
        kl = 0.5 * jnp.sum(var + mean**2 - 1.0 - jnp.log(var), axis=-1)
        return jnp.mean(reconstruction + kl)

    return jax.grad(loss_fn)
