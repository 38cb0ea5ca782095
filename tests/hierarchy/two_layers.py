r"""A linear-Gaussian model of two layers, of which everything is known in closed form.

z₂ ~ N(0, 1), z₁ | z₂ ~ N(a z₂ + m, s²), x | z₁ ~ N(w z₁ + b, σ² I): x is Gaussian, and so is p(z₁, z₂ | x), which
either way of inference can give.
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import multivariate_normal

from reparam.model import Model, build_model

SLOPE, MEAN, SPREAD = 1.5, 0.3, 0.7  # a, m, s
WEIGHT, CENTRE, SIGMA = np.array([0.8, -1.1]), np.array([0.2, -0.4]), 0.5  # w, b, σ
VARIANCE = SLOPE**2 + SPREAD**2  # of z₁


def log_evidence(x: np.ndarray) -> np.ndarray:
    """ln p(x), (N,)."""
    covariance = VARIANCE * np.outer(WEIGHT, WEIGHT) + SIGMA**2 * np.eye(2)
    return multivariate_normal(CENTRE + MEAN * WEIGHT, covariance).logpdf(x)


def rows(count: int, seed: int = 0) -> np.ndarray:
    """Draws of x, (count, 2)."""
    rng = np.random.default_rng(seed)
    z = MEAN + np.sqrt(VARIANCE) * rng.normal(size=(count, 1))
    return (z * WEIGHT + CENTRE + SIGMA * rng.normal(size=(count, 2))).astype(np.float32)


def posterior_means(x: np.ndarray) -> np.ndarray:
    """E[z₁|x] and E[z₂|x], (N, 2)."""
    squared = WEIGHT @ WEIGHT
    gain = VARIANCE / (VARIANCE + SIGMA**2 / squared)
    first = gain * ((x - CENTRE) @ WEIGHT / squared - MEAN)
    return np.stack([first + MEAN, SLOPE / VARIANCE * first], axis=1)


def exact_model(posterior: str) -> Model:
    """The model with its true weights, whose q is the posterior itself."""
    x = jnp.zeros((2, 2))
    fixed = f"gaussian:fixed:{SIGMA}"
    parts = {"latent_dim": (1, 1), "posterior": posterior, "likelihood": fixed, "hidden": ()}
    model = eqx.filter_jit(build_model)(x, jax.random.key(0), **parts)
    model = _with(model, lambda m: m.prior.links[0].network, [[SLOPE, 0.0]], [MEAN, np.log(SPREAD**2)])
    model = _with(model, lambda m: m.decoder, WEIGHT[None], CENTRE)
    squared = WEIGHT @ WEIGHT
    evidence, noise = WEIGHT / squared, SIGMA**2 / squared  # of x for z₁: evidence · (x − b), and its variance
    if posterior == "bottom_up":
        gain = VARIANCE / (VARIANCE + noise)
        loc, offset = gain * evidence, (1 - gain) * MEAN - gain * evidence @ CENTRE
        encoder = np.stack([loc, [0, 0]], axis=1), [offset, np.log(gain * noise)]
        up = SLOPE / VARIANCE
        link = [[up, 0.0]], [-up * MEAN, np.log(SPREAD**2 / VARIANCE)]
        model = _with(model, lambda m: m.posterior.links[0].network, *link)
    else:
        gain = SLOPE / (VARIANCE + noise)
        offsets = [-evidence @ CENTRE, -gain * (evidence @ CENTRE + MEAN)]
        logs = [np.log(noise), np.log1p(-gain * SLOPE)]
        weight = np.stack([evidence, [0, 0], gain * evidence, [0, 0]], axis=1)
        encoder = weight, [offsets[0], logs[0], offsets[1], logs[1]]
    return _with(model, lambda m: m.encoder, *encoder)


def in_other_units(model: Model, factor: float) -> Model:
    """The exact upward model with z₁ told in other units, numbers ``factor`` times as large: the same p(x)."""
    log = 2 * np.log(factor)
    loc, log_variance = np.array([factor, 1.0]), np.array([0.0, log])
    for network in (lambda m: m.prior.links[0].network, lambda m: m.encoder):
        layer = network(model).layers[0]
        model = _with(model, network, layer.weight * loc, layer.bias * loc + log_variance)
    for network in (lambda m: m.posterior.links[0].network, lambda m: m.decoder):
        layer = network(model).layers[0]
        model = _with(model, network, layer.weight / factor, layer.bias)
    return model


def _with(model: Model, network, weight, bias) -> Model:
    leaves = lambda m: (network(m).layers[0].weight, network(m).layers[0].bias)  # noqa: E731
    return eqx.tree_at(leaves, model, (jnp.asarray(weight, float), jnp.asarray(bias, float)))
