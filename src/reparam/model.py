r"""The model: p(x, z) = p(x|z) p(z), and the encoder's q(z|x)."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray
from numpyro.distributions import Distribution

from reparam.networks import MLP
from reparam.probability.likelihoods import LIKELIHOODS, Likelihood
from reparam.probability.posteriors import POSTERIORS, Posterior
from reparam.probability.priors import PRIORS, Prior
from reparam.specification import build


class Model(eqx.Module):
    r"""A variational autoencoder: two networks and three families.

    x → encoder → raw → posterior → q(z|x), and z → decoder → raw → likelihood → p(x|z). All leaves that are
    floating-point arrays are trained.
    """

    encoder: MLP
    posterior: Posterior
    prior: Prior
    decoder: MLP
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


def build_model(
    x: Array,
    key: PRNGKeyArray,
    *,
    latent_dim: int,
    posterior: str = "diagonal",
    scale: str = "log_variance",
    prior: str = "standard_normal",
    likelihood: str = "gaussian",
    hidden: tuple[int, ...] = (400,),
    activation: str = "relu",
) -> Model:
    """A fresh model for data like ``x``: parts by name, weights by ``key``, output bias and noise by the data.

    Args:
        x: rows of training data as the model sees them, shape (N, P): their mean sets the decoder's output bias, their
            spread the noise, and drawn rows start the pseudo-inputs of a VampPrior.
        key: everything random.
        latent_dim: K.
        posterior: a name in ``POSTERIORS``, with arguments behind a colon.
        scale: a name in ``SCALES``.
        prior: a name in ``PRIORS``.
        likelihood: a name in ``LIKELIHOODS``.
        hidden: widths of the encoder's hidden layers; the decoder has them in reverse.
        activation: a name in ``ACTIVATIONS``.

    Raises:
        ParameterError: a part is unknown, or refuses its arguments.

    >>> model = build_model(jnp.zeros((4, 6)), jax.random.key(0), latent_dim=2, hidden=(8,))
    >>> model.decode(model.encode(jnp.zeros((3, 6))).mean).event_shape
    (6,)
    """
    keys = dict(zip(("encoder", "posterior", "prior", "decoder", "rows"), jax.random.split(key, 5), strict=True))
    rows, size = x.shape
    q = build("posterior", POSTERIORS, posterior, latent_dim, scale=scale, key=keys["posterior"])
    x_mean, x_std = jnp.mean(x, axis=0), jnp.std(x, axis=0)
    p_x = build("likelihood", LIKELIHOODS, likelihood, size).started(x_std)
    chosen = jax.random.permutation(keys["rows"], rows)
    p_z = build("prior", PRIORS, prior, latent_dim, pseudo_inputs=x[chosen], key=keys["prior"])
    return Model(
        encoder=MLP(
            (size, *hidden, q.raw_size),
            activation,
            keys["encoder"],
            output_bias=q.initial_raw(),
            output_gain=q.initial_gain(),
        ),
        posterior=q,
        prior=p_z,
        decoder=MLP(
            (latent_dim, *hidden[::-1], p_x.raw_size),
            activation,
            keys["decoder"],
            output_bias=p_x.initial_raw(x_mean, x_std),
        ),
        likelihood=p_x,
    )
