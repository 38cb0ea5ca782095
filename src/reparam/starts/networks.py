"""A model of networks that begins at a linear answer."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike

from reparam.errors import ParameterError
from reparam.model import Model
from reparam.networks import Linear, LogCounts, NamedNetwork, Residual
from reparam.probability.likelihoods import Likelihood
from reparam.probability.likelihoods.counts import NegativeBinomial, Poisson
from reparam.probability.posteriors import Full, Posterior
from reparam.starts.linear import Start


def begin_at(model: Model, start: Start) -> Model:
    """The model with linear paths in encoder and decoder that give the start's q(z|x) and p(x|z); may be traced.

    The networks that were there become corrections that are zero at the start. From a ``LinearGaussian``, with a
    Gaussian likelihood and any family of q but a flow, the start is exact: p(x, z) / q(z|x) = p(x) for every z.

    Args:
        model: its networks have names and take x (..., P) and z (..., K); its likelihood is the one of the start.
        start: of P features and K latents.

    Raises:
        ParameterError: a network is one's own.
    """
    seen = model.encoder.network if isinstance(model.encoder, LogCounts) else model.encoder
    correction = _named(seen)
    encoder = Residual(_encoder_path(model.posterior, start, correction.in_size), correction)
    counts = isinstance(model.likelihood, Poisson | NegativeBinomial)
    levelled = getattr(model.likelihood, "library", "none") == "observed"
    begun: Model = eqx.tree_at(
        lambda tree: (tree.encoder, tree.decoder, tree.likelihood),
        model,
        (
            LogCounts(encoder, levelled=levelled) if counts else encoder,
            Residual(_decoder_path(model.likelihood, start), _named(model.decoder)),
            _with_noise(model.likelihood, start),
        ),
    )
    return begun


def _encoder_path(posterior: Posterior, start: Start, size: int) -> Linear:
    """Of ``size`` numbers, the first P of which are values and the rest tell of gaps."""
    tail, known = _raw_of_std(posterior, _default(start.posterior_std)), _default(start.posterior_map)
    weight = jnp.pad(known, ((0, size - len(known)), (0, len(tail))))
    return Linear.of(weight, jnp.concatenate([_default(start.posterior_intercept), tail]))


def _decoder_path(likelihood: Likelihood, start: Start) -> Linear:
    weight, bias = _default(start.loadings).T, _default(start.intercept)
    if likelihood.raw_per_feature == 2 and start.noise is not None:  # a Gaussian whose decoder gives ln σ
        weight = jnp.pad(weight, ((0, 0), (0, len(bias))))
        bias = jnp.concatenate([bias, jnp.log(_default(start.noise))])
    return Linear.of(weight, bias)


def _with_noise(likelihood: Likelihood, start: Start) -> Likelihood:
    if start.noise is None:
        return likelihood
    if isinstance(likelihood, NegativeBinomial):
        log_noise = jnp.log(_default(start.noise))
        dispersed: Likelihood = eqx.tree_at(lambda tree: tree.log_inverse_dispersion, likelihood, log_noise)
        return dispersed
    return likelihood.started(_default(start.noise))


def _raw_of_std(posterior: Posterior, std: Array) -> Array:
    """The raw numbers behind loc that give N(loc, diag std²)."""
    if isinstance(posterior, Full):
        return jnp.diag(std).ravel()
    rest = posterior.raw_size - 2 * posterior.latent_dim
    return jnp.concatenate([posterior.scale.raw(std), jnp.zeros(rest)])  # type: ignore[attr-defined]


def _named(network: Any) -> NamedNetwork:
    if not isinstance(network, NamedNetwork):
        raise ParameterError(f"a start needs a network that has a name. Got {type(network).__name__} instead.")
    return network


def _default(values: ArrayLike) -> Array:
    return jnp.asarray(values, float)
