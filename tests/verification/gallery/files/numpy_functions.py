"""A sampler and one joint loss on NumPy arrays, their arguments in an order of their own."""

import numpy as np


def reparametrise(log_var, mu, rng):
    return mu + np.exp(0.5 * log_var) * rng.standard_normal(mu.shape)


def vae_loss(target, reconstruction, log_var, mu):
    cross_entropy = -np.sum(target * np.log(reconstruction) + (1 - target) * np.log(1 - reconstruction), axis=-1)
    divergence = -0.5 * np.sum(1 + log_var - mu**2 - np.exp(log_var), axis=-1)
    return {"divergence": divergence.mean(), "loss": np.mean(cross_entropy + divergence)}
