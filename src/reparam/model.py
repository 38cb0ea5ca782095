r"""The model: p(x, z) = p(x|z) p(z), and the encoder's q(z|x)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, PRNGKeyArray
from numpyro.distributions import Distribution

from reparam.batch import Batch
from reparam.data import Schema
from reparam.errors import ParameterError
from reparam.hierarchy import Hierarchy, build_encoder, build_posterior, build_prior, checked_layers
from reparam.networks import HIDDEN, MLP, NETWORKS, Architecture, Ends, Inputs, LogCounts
from reparam.probability.distributions.location_scale import LocationScale
from reparam.probability.likelihoods import LIKELIHOODS, Likelihood
from reparam.probability.likelihoods.counts import Overdispersed
from reparam.probability.numerics import tempered
from reparam.probability.posteriors import Posterior
from reparam.probability.priors import Prior, StandardNormal
from reparam.probability.scales import Scale
from reparam.specification import build

Network = Callable[[Array], Array]
"""An Equinox module from (..., in) to (..., out)."""


class Model(eqx.Module):
    r"""A variational autoencoder: two networks and three families.

    x → inputs → encoder → raw → posterior → q(z|x), and z → decoder → raw → likelihood → p(x|z). All leaves that are
    floating-point arrays are trained. ``inputs`` makes what the encoder takes of values and gaps; None where it takes
    the values themselves.

    Where columns are given rather than explained, ``given`` makes c of them: the decoder takes (z, c), ``shift`` maps c
    to the loc and ln σ of p(z|c), and ln p(x|z, c) is that of the other columns (Sohn, Lee & Yan 2015).

    Of several layers z holds all side by side; the first explains x, and c shifts the top one (``reparam.hierarchy``).
    """

    encoder: Network
    posterior: Posterior
    prior: Prior
    decoder: Network
    likelihood: Likelihood
    inputs: Inputs | None = None
    given: Inputs | None = None
    shift: Network | None = None

    @property
    def decoder_size(self) -> int:
        """How many numbers the decoder takes: of the layer of z that explains x, and c where columns are given."""
        return self._decoded + (0 if self.given is None else self.given.size)

    @property
    def _decoded(self) -> int:
        """How many latents the decoder takes; the likelihood takes those behind them."""
        return self.prior.layers[0] - self.likelihood.own_latents

    @property
    def family(self) -> Posterior:
        """The family of q, with what it takes of the prior."""
        return self.posterior.beside(self.prior)

    def raw(self, x: Array | Batch) -> Array:
        """The raw vector of q(z|x), (..., R), of data (..., P)."""
        return self.encoder(self.entering(Batch.of(x)))

    def encode(self, x: Array | Batch) -> Distribution:
        """q(z|x) of data (..., P): batch shape (...), event shape (K,)."""
        return self.family.distribution(self.raw(x))

    def laws(self, z: Array, batch: Batch | None = None) -> Distribution:
        """p(x_j|z) of every feature at latents (..., K): batch shape (..., P), no event.

        Raises:
            ParameterError: columns are given, and no batch says what they hold.
        """
        likelihood = self.likelihood.of_latents(z[..., self._decoded : self.prior.layers[0]])
        if batch is not None:
            likelihood = likelihood.of_datum(batch.x, batch.observed)
        return likelihood.distribution(self.decoded(z, batch))

    def decoded(self, z: Array, batch: Batch | None = None) -> Array:
        """The likelihood's raw numbers at latents (..., K), of which the lowest layer explains x: (..., raw_size)."""
        z = z[..., : self._decoded]
        if self.given is None:
            return self.decoder(z)
        told = self._told(batch)
        beside = jnp.broadcast_to(told, (*z.shape[:-1], told.shape[-1]))
        return self.decoder(jnp.concatenate([z, beside], axis=-1))

    def decode(self, z: Array, batch: Batch | None = None) -> Distribution:
        """p(x|z) of latents (..., K): batch shape (...), event shape (P,); cells that ``batch`` misses are left out."""
        return self._seen(z, batch).to_event(1)

    def log_likelihoods(self, z: Array, batch: Batch) -> Array:
        """Ln p(x_j|z) of every feature, nats, shape (..., P), at latents (..., K); 0 of what was not seen."""
        return jnp.asarray(self._seen(z, batch).log_prob(batch.x))

    def log_likelihood(self, z: Array, batch: Batch) -> Array:
        """Ln p(x|z) of what was seen, nats, shape (...), at latents (..., K)."""
        return jnp.asarray(self.decode(z, batch).log_prob(batch.x))

    def _seen(self, z: Array, batch: Batch | None) -> Distribution:
        laws, explained = self.laws(z, batch), self.explained(batch)
        return laws if explained is None else laws.mask(explained)

    def explained(self, batch: Batch | None) -> Array | None:
        """Which cells the bound counts, (..., P): those that were seen and are not given; None where it counts all."""
        observed = None if batch is None else batch.observed
        if self.given is None:
            return observed
        own = jnp.array([place not in self.given.columns for place in range(self.likelihood.event_size)])
        return own if observed is None else observed & own

    def prior_distribution(self, batch: Batch | None = None) -> Distribution:
        """p(z): batch shape (), event shape (K,); where columns are given p(z|c), batch shape (...).

        Raises:
            ParameterError: columns are given, and no batch says what they hold.
        """
        if self.shift is None:
            return self.prior.distribution(lambda entering: self.family.distribution(self.encoder(entering)))
        loc, log_scale = jnp.split(self.shift(self._told(batch)), 2, axis=-1)
        return self.prior.under(LocationScale(loc, log_scale=tempered(log_scale)))

    def prior_of(self) -> Callable[[Batch], Distribution]:
        """p(z|c) as a function of a datum; where nothing is given it is made once."""
        if self.shift is not None:
            return self.prior_distribution
        p = self.prior_distribution()
        return lambda datum: p

    def _told(self, batch: Batch | None) -> Array:
        """c, (..., C)."""
        if batch is None or self.given is None:
            raise ParameterError(
                "This model is conditional: it says nothing of x or z before its condition is given. Give rows, or the "
                "values of its columns (given={'column': value})."
            )
        return self.given(batch.x, batch.observed)

    def entering(self, batch: Batch) -> Array:
        """What the encoder takes, shape (..., F)."""
        return batch.x if self.inputs is None else self.inputs(batch.x, batch.observed)


class Statistics(NamedTuple):
    """What a fresh model takes from the data, as the model sees them.

    Args:
        mean: of each column, shape (P,): it sets the decoder's output bias.
        std: of each column, shape (P,): it sets the noise.
        rows: some of the rows in random order, shape (N, P), NaN where a cell is missing: they start the pseudo-inputs
            of a VampPrior, and say how often each level of a table stands.
        inputs: what the encoder takes of a row; None where it takes the values themselves.
        given: what decoder and prior take of a row's given columns; None where all are explained.
        shape: of one datum; nothing where it is but P numbers.
    """

    mean: ArrayLike
    std: ArrayLike
    rows: Array
    inputs: Inputs | None = None
    given: Inputs | None = None
    shape: tuple[int, ...] = ()

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
    latent_dim: int | Sequence[int],
    posterior: str | Posterior = "diagonal",
    scale: str | Scale = "log_variance",
    prior: str | Prior = "standard_normal",
    likelihood: str | Likelihood = "gaussian",
    network: str | Architecture = "mlp",
    hidden: tuple[int, ...] = HIDDEN,
    activation: str = "gelu",
    encoder: Network | None = None,
    decoder: Network | None = None,
) -> Model:
    """Put a model together.

    Args:
        data: what they say of where to begin.
        key: everything random.
        latent_dim: K, or that of each layer, the one next to the data first.
        posterior: a name in ``POSTERIORS``, with arguments behind a colon, or one's own; of several layers one in
            ``HIERARCHIES``.
        scale: a name in ``SCALES``; a posterior that comes as an object has its own.
        prior: a name in ``PRIORS``, or one's own.
        likelihood: a name in ``LIKELIHOODS``, or one's own.
        network: how encoder and decoder are built: a name in ``NETWORKS``, or one's own.
        hidden: widths of an MLP's hidden layers in the encoder; the decoder has them in reverse.
        activation: a name in ``ACTIVATIONS``.
        encoder: an Equinox module (..., F) → (..., raw_size of the posterior), in the place of the named one; F is P
            where the data have no ``inputs``.
        decoder: an Equinox module (..., K) → (..., raw_size of the likelihood), in the place of the named one; it takes
            the lowest layer alone.
    """
    layers = checked_layers(latent_dim)
    keys = dict(zip(("encoder", "posterior", "prior", "decoder"), jax.random.split(key, 4), strict=True))
    mean, std = jnp.asarray(data.mean, float), jnp.asarray(data.std, float)
    size = mean.shape[0]
    between: Any = {"scale": scale, "hidden": hidden, "activation": activation}
    q = build_posterior(layers, posterior, key=keys["posterior"], **between)
    inputs, entering = data.inputs, data.rows
    if inputs is not None:
        seen = ~jnp.isnan(data.rows)
        entering = inputs(jnp.where(seen, data.rows, 0.0), seen)
    p_z = build_prior(layers, prior, pseudo_inputs=entering, key=keys["prior"], **between)
    p_x = build("likelihood", LIKELIHOODS, likelihood, size)
    for part, found in (("posterior", q.latent_dim), ("prior", p_z.latent_dim)):
        _check_size(f"the {part}'s latent_dim", found, sum(layers), "latent_dim of the model")
    _check_size("the likelihood's event_size", p_x.event_size, size, "features of the data")
    p_x = p_x.started(std).told(data.rows)
    shift = None if data.given is None else _shift(data.given, p_z, hidden, activation, keys["prior"])
    decoded = layers[0] - p_x.own_latents + (0 if data.given is None else data.given.size)
    architecture, shape = build("network", NETWORKS, network), data.shape or (size,)
    if encoder is None:
        ends = Ends(shape, entering.shape[1], q.raw_size, q.initial_raw(), q.initial_gain())
        encoder = build_encoder(q, architecture, ends, activation, hidden, keys["encoder"])
        if inputs is None and isinstance(p_x, Overdispersed) and p_x.library != "none":
            encoder = LogCounts(encoder, levelled=p_x.library == "observed")
    if decoder is None:
        ends = Ends(shape, decoded, p_x.raw_size, p_x.begin_raw(mean, std, data.rows))
        decoder = architecture.decoder(ends, activation, hidden, keys["decoder"])
    check_network("encoder", encoder, entering.shape[1], q.raw_size, "the posterior's raw vector")
    check_network("decoder", decoder, decoded, p_x.raw_size, "the likelihood's raw vector")
    return Model(encoder, q, p_z, decoder, p_x, inputs, data.given, shift)


def _shift(given: Inputs, prior: Prior, hidden: tuple[int, ...], activation: str, key: PRNGKeyArray) -> Network:
    """The network from c to loc and ln σ of p(z|c), or of its top layer: N(0, I) at the start, as deep as the encoder.

    Raises:
        ParameterError: the prior is another than N(0, I).
    """
    if not isinstance(prior, StandardNormal | Hierarchy):
        raise ParameterError(
            f"given columns need prior='standard_normal', to shift and scale it. Got {type(prior).__name__} instead."
        )
    size = 2 * prior.layers[-1]
    return MLP((given.size, *hidden, size), activation, key, output_gain=jnp.zeros(size))


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
    fields = dict(vars(schema))
    numbers = tuple(np.asarray(fields.pop(name)) for name in AFFINE)
    return numbers, tuple(fields.items())


def _unflatten(rest: tuple[Any, ...], numbers: tuple[Any, ...]) -> Schema:
    return Schema(**dict(rest), **dict(zip(AFFINE, numbers, strict=True)))


AFFINE = ("shift", "scale", "unit")


# Shift and scale are numbers to a compiled program: one serves every fold of the same table.
jax.tree_util.register_pytree_node(Schema, _flatten, _unflatten)
