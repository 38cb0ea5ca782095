"""K draws of z for each datum, and what the model says of them."""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import equinox as eqx
import jax
from jaxtyping import Array
from numpyro.distributions import Distribution

from reparam.model import Model
from reparam.probability.reparameterization import reparameterize_with_log_prob

Tree = TypeVar("Tree")

CHUNK_VALUES = 2**25
"""How many numbers the decoder's output may have at once: 128 MiB in single precision."""


class Draws(NamedTuple):
    """Log densities of K draws for each datum, in nats, each of shape (K, B)."""

    log_likelihood: Array  # ln p(x|z)
    log_prior: Array  # ln p(z)
    log_q: Array  # ln q(z|x)


def evaluate_draws(
    model: Model, x: Array, eps: Array, sampler: Distribution, density: Distribution | None = None
) -> Draws:
    """What the model says of z = g(sampler, eps).

    More draws than memory holds are taken chunk after chunk, and once more in the backward pass; the noise, and so the
    result, is the same.

    Args:
        model: p(x, z).
        x: data, shape (B, P).
        eps: noise of the sampler, shape (K, B, noise size).
        sampler: q(z|x), through which gradients reach z.
        density: q(z|x) again, through which gradients reach ln q(z|x); by default the sampler.
    """
    p = model.prior_distribution()

    def draws(eps: Array) -> Draws:
        z, log_q = reparameterize_with_log_prob(sampler, eps)
        if density is not None:
            log_q = with_gradient_of(density.log_prob(z), log_q)
        return Draws(model.decode(z).log_prob(x), p.log_prob(z), log_q)

    chunk = max(1, CHUNK_VALUES // x.size)
    if eps.shape[0] <= chunk:
        return draws(eps)
    chunked: Draws = jax.lax.map(jax.checkpoint(draws), eps, batch_size=chunk)
    return chunked


def with_gradient_of(differentiated: Array, value: Array) -> Array:
    """The second's value with the first's gradient: they are equal but for rounding."""
    return differentiated + jax.lax.stop_gradient(value - differentiated)


def detached(tree: Tree) -> Tree:
    """The same distribution, model or array as a constant: no gradient reaches its parameters."""
    stopped: Tree = jax.tree.map(lambda leaf: jax.lax.stop_gradient(leaf) if eqx.is_inexact_array(leaf) else leaf, tree)
    return stopped
