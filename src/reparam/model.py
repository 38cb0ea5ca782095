r"""The model: p(x, z) = p(x|z) p(z), and the encoder's q(z|x)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, PRNGKeyArray
from numpyro.distributions import Distribution

from reparam.data import Schema
from reparam.errors import ParameterError
from reparam.networks import MLP
from reparam.probability.likelihoods import LIKELIHOODS, Likelihood
from reparam.probability.posteriors import POSTERIORS, Posterior
from reparam.probability.priors import PRIORS, Prior
from reparam.probability.scales import Scale
from reparam.specification import build

Network = Callable[[Array], Array]
"""An Equinox module from (..., in) to (..., out)."""


class Model(eqx.Module):
    r"""A variational autoencoder: two networks and three families.

    x → encoder → raw → posterior → q(z|x), and z → decoder → raw → likelihood → p(x|z). All leaves that are
    floating-point arrays are trained.
    """

    encoder: Network
    posterior: Posterior
    prior: Prior
    decoder: Network
    likelihood: Likelihood

    def encode(self, x: Array) -> Distribution:
        """q(z|x) of data (..., P): batch shape (...), event shape (K,)."""
        return self.posterior.distribution(self.encoder(x))

    def decode(self, z: Array) -> Distribution:
        """p(x|z) of latents (..., K): batch shape (...), event shape (P,)."""
        return self.likelihood.distribution(self.decoder(z))

    def prior_distribution(self) -> Distribution:
        """p(z): batch shape (), event shape (K,)."""
        return self.prior.distribution(self.encode)


class Statistics(NamedTuple):
    """What a fresh model takes from the data, as the model sees them.

    Args:
        mean: of each column, shape (P,): it sets the decoder's output bias.
        std: of each column, shape (P,): it sets the noise.
        rows: some of the rows in random order, shape (N, P): they start the pseudo-inputs of a VampPrior.
    """

    mean: ArrayLike
    std: ArrayLike
    rows: Array

    @classmethod
    def of(cls, x: Array, key: PRNGKeyArray) -> Statistics:
        """What rows (N, P) say."""
        return cls(jnp.mean(x, axis=0), jnp.std(x, axis=0), x[jax.random.permutation(key, x.shape[0])])


def build_model(x: Array | Statistics, key: PRNGKeyArray, **parts: Any) -> Model:
    """A fresh model for data like ``x``: parts by name or as objects, weights by ``key``, start by the data.

    Args:
        x: rows of training data as the model sees them, shape (N, P), or what is to be known of them.
        key: everything random.
        parts: arguments of :func:`assemble`.

    Raises:
        ParameterError: a part is unknown, refuses its arguments, or does not fit the others.

    >>> model = build_model(jnp.zeros((4, 6)), jax.random.key(0), latent_dim=2, hidden=(8,))
    >>> model.decode(model.encode(jnp.zeros((3, 6))).mean).event_shape
    (6,)
    """
    rows_key, key = jax.random.split(key)
    return assemble(x if isinstance(x, Statistics) else Statistics.of(x, rows_key), key, **parts)


def assemble(
    data: Statistics,
    key: PRNGKeyArray,
    *,
    latent_dim: int,
    posterior: str | Posterior = "diagonal",
    scale: str | Scale = "log_variance",
    prior: str | Prior = "standard_normal",
    likelihood: str | Likelihood = "gaussian",
    hidden: tuple[int, ...] = (400,),
    activation: str = "relu",
    encoder: Network | None = None,
    decoder: Network | None = None,
) -> Model:
    """Put a model together.

    Args:
        data: what they say of where to begin.
        key: everything random.
        latent_dim: K.
        posterior: a name in ``POSTERIORS``, with arguments behind a colon, or one's own.
        scale: a name in ``SCALES``; a posterior that comes as an object has its own.
        prior: a name in ``PRIORS``, or one's own.
        likelihood: a name in ``LIKELIHOODS``, or one's own.
        hidden: widths of the encoder's hidden layers; the decoder has them in reverse.
        activation: a name in ``ACTIVATIONS``.
        encoder: an Equinox module (..., P) → (..., raw_size of the posterior), in the place of an MLP.
        decoder: an Equinox module (..., K) → (..., raw_size of the likelihood), in the place of an MLP.
    """
    keys = dict(zip(("encoder", "posterior", "prior", "decoder"), jax.random.split(key, 4), strict=True))
    mean, std = jnp.asarray(data.mean, float), jnp.asarray(data.std, float)
    size = mean.shape[0]
    q = build("posterior", POSTERIORS, posterior, latent_dim, scale=scale, key=keys["posterior"])
    p_z = build("prior", PRIORS, prior, latent_dim, pseudo_inputs=data.rows, key=keys["prior"])
    p_x = build("likelihood", LIKELIHOODS, likelihood, size)
    for part, found, required in (("posterior", q.latent_dim, latent_dim), ("prior", p_z.latent_dim, latent_dim)):
        _check_size(f"the {part}'s latent_dim", found, required, "latent_dim of the model")
    _check_size("the likelihood's event_size", p_x.event_size, size, "features of the data")
    p_x = p_x.started(std)
    if encoder is None:
        widths, shape = (size, *hidden, q.raw_size), {"output_bias": q.initial_raw(), "output_gain": q.initial_gain()}
        encoder = MLP(widths, activation, keys["encoder"], **shape)
    if decoder is None:
        widths = (latent_dim, *hidden[::-1], p_x.raw_size)
        decoder = MLP(widths, activation, keys["decoder"], output_bias=p_x.initial_raw(mean, std))
    check_network("encoder", encoder, size, q.raw_size, "the posterior's raw vector")
    check_network("decoder", decoder, latent_dim, p_x.raw_size, "the likelihood's raw vector")
    return Model(encoder, q, p_z, decoder, p_x)


def check_network(name: str, network: Network, size: int, required: int, what: str) -> None:
    """Refuse a network that does not map (2, size) to (2, required).

    Raises:
        ParameterError: it does not, or fails.
    """
    try:
        found = eqx.filter_eval_shape(network, jax.ShapeDtypeStruct((2, size), jnp.zeros(()).dtype)).shape
    except Exception as error:  # one's own code raises whatever it raises
        raise ParameterError(
            f"The {name!r} must map an array (..., {size}) to (..., {required}), {what}; on one of shape (2, {size}) "
            f"it raised {type(error).__name__}: {error}."
        ) from error
    if found != (2, required):
        raise ParameterError(
            f"The {name!r} must map an array (..., {size}) to (..., {required}), {what}. "
            f"Got {found} for one of shape (2, {size}) instead."
        )


def _check_size(what: str, found: int, required: int, of: str) -> None:
    if found != required:
        raise ParameterError(f"{what} is {found}, but the {of} is {required}: they must be equal.")


def _flatten(schema: Schema) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    numbers = tuple(np.asarray(number) for number in (schema.shift, schema.scale, schema.unit))
    return numbers, (schema.name, schema.event_shape, schema.dtype, schema.columns, schema.units)


def _unflatten(names: tuple[Any, ...], numbers: tuple[Any, ...]) -> Schema:
    (name, event_shape, dtype, columns, units), (shift, scale, unit) = names, numbers
    return Schema(name, event_shape, dtype, columns, shift, scale, units, unit)


# Shift and scale are numbers to a compiled program: one serves every fold of the same table.
jax.tree_util.register_pytree_node(Schema, _flatten, _unflatten)
