"""A model of networks that begins at a linear-Gaussian answer."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from numpy.typing import NDArray

from reparam.model import Model
from reparam.networks import Linear, Residual
from reparam.starts.linear import LinearGaussian


def begin_at(model: Model, start: LinearGaussian) -> Model:
    """The model with a linear path in encoder and decoder that gives the start's q(z|x) and p(x|z) exactly.

    The networks that were there become corrections that are zero at the start. A likelihood without learned noise for
    each feature keeps its own.

    Args:
        model: with a diagonal posterior; its networks take x (..., P) and z (..., K).
        start: of P features and K latents.
    """
    encoder_bias = jnp.concatenate(
        [_single(-start.mean @ start.posterior_map), model.posterior.scale.raw(_single(start.posterior_std))]
    )
    log_variance = np.zeros_like(start.posterior_map)
    encoder = _affine(np.concatenate([start.posterior_map, log_variance], axis=1), encoder_bias)
    decoder = _affine(start.loadings.T, _single(start.mean))
    begun: Model = eqx.tree_at(
        lambda tree: (tree.encoder, tree.decoder, tree.likelihood.log_scale),
        model,
        (
            Residual(encoder, model.encoder),
            Residual(decoder, model.decoder),
            _single(0.5 * np.log(start.noise)),
        ),
    )
    return begun


def _affine(weight: NDArray[np.float64], bias: Array) -> Linear:
    layer = object.__new__(Linear)
    object.__setattr__(layer, "weight", _single(weight))
    object.__setattr__(layer, "bias", bias)
    return layer


def _single(values: NDArray[np.float64]) -> Array:
    return jnp.asarray(values, jnp.float32)
