"""A sampler and a log-density, whose difference from the prior's is the KL on average."""

# reparam: PARTS = sample, kl
import numpy as np


def gaussian_log_density(x, mean, log_std):
    return np.sum(-0.5 * ((x - mean) / np.exp(log_std)) ** 2 - log_std - 0.5 * np.log(2 * np.pi), axis=-1)


def draw_latents(mean, log_std, rs):
    return rs.randn(*mean.shape) * np.exp(log_std) + mean
