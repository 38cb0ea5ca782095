"""Models whose bounds and gradients have closed forms: x|z ~ N(Wz + b, s² I), z ~ N(0, I), q affine in x."""

from __future__ import annotations

from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats
from jax import Array

from reparam.batch import Batch
from reparam.model import Model, build_model
from reparam.objectives import Objective, Terms

quick_jit = partial(eqx.filter_jit, compiler_options={"xla_backend_optimization_level": 0})
"""Compiled without optimisation: these functions run once and are small, so that compiling is what takes time."""


def linear_model(
    latent_dim: int, size: int | None = None, *, noise: float = 1.0, posterior: str = "diagonal", seed: int = 0
) -> Model:
    """A fresh linear model of ``size`` features, by default as many as latents."""
    likelihood = f"gaussian:fixed:{noise}"
    return fresh_model(
        size or latent_dim, seed, latent_dim=latent_dim, posterior=posterior, likelihood=likelihood, hidden=()
    )


@quick_jit
def fresh_model(size: int, seed: int, **parts: Any) -> Model:
    """A fresh model of ``size`` features, built by one program instead of a hundred."""
    return build_model(jnp.zeros((2, size)), jax.random.key(seed, impl="rbg"), **parts)


def denoiser(dimension: int, variance: float = 0.5, shift: float = 0.0) -> Model:
    """x = z + ε with z, ε ~ N(0, I), so p(z|x) = N(x/2, I/2); and q(z|x) = N(x/2 + shift, variance I)."""
    eye = np.eye(dimension)
    weight = np.concatenate([eye / 2, np.zeros((dimension, dimension))], axis=1)
    bias = np.concatenate([np.full(dimension, shift), np.full(dimension, np.log(variance))])
    return with_weights(linear_model(dimension), weight, bias, eye, np.zeros(dimension))


def with_weights(model: Model, *weights: np.ndarray[Any, Any]) -> Model:
    """Set encoder weight and bias, decoder weight and bias."""
    return eqx.tree_at(leaves, model, tuple(map(jnp.asarray, weights)))


def leaves(model: Model) -> tuple[Array, ...]:
    encoder, decoder = model.encoder.layers[0], model.decoder.layers[0]
    return encoder.weight, encoder.bias, decoder.weight, decoder.bias


def log_evidence(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """ln p(x) of the denoiser: N(0, 2I)."""
    return scipy.stats.norm.logpdf(x, scale=np.sqrt(2.0)).sum(axis=-1)


@quick_jit
def evaluate(objective: Objective, model: Model, x: Array, key: Array, weight: Array | None = None) -> Terms:
    """The objective's terms, compiled."""
    return objective(model, Batch(x, weight=weight), key)


def surrogate_gradient(objective: Objective, model: Model, x: Array, key: Array) -> Model:
    """The gradient of the mean surrogate, as a model."""
    return eqx.filter_grad(lambda model: jnp.mean(objective(model, x, key).surrogate))(model)


gradient_of = quick_jit(surrogate_gradient)
"""The same, compiled."""
