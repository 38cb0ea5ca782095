"""A model of networks that begins at a linear answer."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from numpy.typing import NDArray

from reparam.errors import ParameterError
from reparam.model import Model
from reparam.networks import MLP, Linear, Residual
from reparam.probability.likelihoods import Likelihood
from reparam.probability.likelihoods.counts import NegativeBinomial, Poisson
from reparam.probability.likelihoods.real import Gaussian
from reparam.probability.posteriors import Full, Posterior
from reparam.starts.linear import LinearGaussian
from reparam.starts.linked import LinkedStart


class LogCounts(eqx.Module):
    """A network that sees counts as ln(1 + x): counts are skewed, and a linear map of them follows the largest.

    >>> LogCounts(Linear.of(2.0 * jnp.eye(1), jnp.zeros(1)))(jnp.expm1(jnp.ones((1, 1)))).round(4).tolist()
    [[2.0]]
    """

    network: Any

    def __call__(self, x: Array) -> Array:
        """(..., P) → (..., out)."""
        out: Array = self.network(jnp.log1p(x))
        return out


def begin_at(model: Model, start: LinearGaussian | LinkedStart) -> Model:
    """The model with linear paths in encoder and decoder that give the start's q(z|x) and p(x|z).

    The networks that were there become corrections that are zero at the start. For a ``LinearGaussian``, a Gaussian
    likelihood and any family of q but a flow the start is exact: p(x, z) / q(z|x) = p(x) for every z.

    Args:
        model: its networks are MLPs that take x (..., P) and z (..., K).
        start: of P features and K latents.

    Raises:
        ParameterError: the likelihood is not of the start's kind.
    """
    begun: Model = eqx.tree_at(
        lambda tree: (tree.encoder, tree.decoder, tree.likelihood),
        model,
        (_encoder(model, start), _decoder(model, start), _likelihood(model.likelihood, start)),
    )
    return begun


def _encoder(model: Model, start: LinearGaussian | LinkedStart) -> Any:
    tail = _raw_of_std(model.posterior, start.posterior_std)
    weight = np.pad(start.posterior_map, ((0, 0), (0, len(tail))))
    network = Residual(
        _affine(weight, jnp.concatenate([_single(start.posterior_intercept), tail])), _mlp(model.encoder)
    )
    return LogCounts(network) if isinstance(model.likelihood, Poisson | NegativeBinomial) else network


def _decoder(model: Model, start: LinearGaussian | LinkedStart) -> Residual:
    weight, bias = start.loadings.T, _single(start.intercept)
    if model.likelihood.raw_per_feature == 2:  # a Gaussian whose decoder gives ln σ
        weight = np.pad(weight, ((0, 0), (0, len(bias))))
        bias = jnp.concatenate([bias, _log_std(start)])
    return Residual(_affine(weight, bias), _mlp(model.decoder))


def _likelihood(likelihood: Likelihood, start: LinearGaussian | LinkedStart) -> Likelihood:
    """With its own noise at the start's."""
    if isinstance(likelihood, Gaussian) != isinstance(start, LinearGaussian):
        raise ParameterError(f"a {type(start).__name__} is no start for the {likelihood.name} likelihood.")
    if isinstance(start, LinkedStart):
        if not isinstance(likelihood, NegativeBinomial):
            return likelihood
        dispersed: Likelihood = eqx.tree_at(
            lambda tree: tree.log_inverse_dispersion, likelihood, _single(np.log(start.inverse_dispersion))
        )
        return dispersed
    return likelihood.started(jnp.exp(_log_std(start)))


def _raw_of_std(posterior: Posterior, std: NDArray[np.float64]) -> Array:
    """The raw numbers behind loc that give N(loc, diag std²)."""
    if isinstance(posterior, Full):
        return jnp.diag(_single(std)).ravel()
    rest = posterior.raw_size - 2 * posterior.latent_dim
    return jnp.concatenate([posterior.scale.raw(_single(std)), jnp.zeros(rest)])  # type: ignore[attr-defined]


def _log_std(start: LinearGaussian | LinkedStart) -> Array:
    return _single(0.5 * np.log(start.noise)) if isinstance(start, LinearGaussian) else jnp.zeros(0)


def _affine(weight: NDArray[np.float64], bias: Array) -> Linear:
    return Linear.of(_single(weight), bias)


def _mlp(network: Any) -> MLP:
    if not isinstance(network, MLP):
        raise ParameterError(f"a start needs an MLP to build upon. Got {type(network).__name__} instead.")
    return network


def _single(values: NDArray[np.float64]) -> Array:
    return jnp.asarray(values, jnp.float32)
