"""Codes: the moments of q(z|x), draws of it, and draws of the prior."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array, PRNGKeyArray
from numpy.typing import NDArray

from reparam.data import Schema
from reparam.evaluation.rows import map_rows, row_keys
from reparam.evaluation.weights import encoded
from reparam.model import Model
from reparam.probability.reparameterization import draw_noise, reparameterize

MOMENT_SAMPLES = 256


def posterior_moments(
    model: Model, rows: NDArray[Any], schema: Schema, key: PRNGKeyArray, *, raw: NDArray[Any] | None = None
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Mean and standard deviation of q(z|x) of each row, both (N, K); by 256 draws where no closed form exists.

    ``raw``, shape (N, R), is q of each row; by default the encoder's.
    """
    raw = encoded(model, rows, schema) if raw is None else raw
    moments: tuple[NDArray[Any], NDArray[Any]] = map_rows(
        lambda chunk, raw: _moments(model, chunk, raw, key, schema), rows, raw
    )
    return moments


def posterior_draws(
    model: Model, rows: NDArray[Any], schema: Schema, key: PRNGKeyArray, *, raw: NDArray[Any] | None = None
) -> NDArray[Any]:
    """One draw of q(z|x) for each row, shape (N, K); ``raw`` as in :func:`posterior_moments`."""
    raw = encoded(model, rows, schema) if raw is None else raw
    draws: NDArray[Any] = map_rows(lambda chunk, raw: _draws(model, chunk, raw, key, schema), rows, raw)
    return draws


def draw_prior(model: Model, key: PRNGKeyArray, count: int, temperature: float = 1.0) -> Array:
    """Draws of p(z), shape (count, K), with the noise ε scaled by ``temperature``: 0 gives the most typical points.

    A mixture keeps its weights: a component is drawn, then its noise is scaled.
    """
    p = model.prior_distribution()
    if not isinstance(p, dist.MixtureSameFamily):
        return jnp.asarray(reparameterize(p, temperature * draw_noise(p, key, (count,))))
    component_key, noise_key = jax.random.split(key)
    chosen = p.mixing_distribution.sample(component_key, (count,))
    components = p.component_distribution
    draws = reparameterize(components, temperature * draw_noise(components, noise_key, (count,)))
    taken: Array = jnp.take_along_axis(draws, chosen[:, None, None], axis=1)[:, 0]
    return taken


def moments(model: Model, raw: Array, keys: PRNGKeyArray) -> tuple[Array, Array]:
    """Mean and standard deviation of q, both (N, K), of raw vectors (N, R); a key for each row's draws."""
    q = model.posterior.distribution(raw)
    try:
        return jnp.asarray(q.mean), jnp.sqrt(q.variance)
    except NotImplementedError:
        of_row = model.posterior.distribution
        draws = jax.vmap(lambda raw, key: of_row(raw).sample(key, (MOMENT_SAMPLES,)))(raw, keys)
        return jnp.mean(draws, axis=1), jnp.std(draws, axis=1, ddof=1)


@eqx.filter_jit
def _moments(model: Model, rows: Array, raw: Array, key: PRNGKeyArray, schema: Schema) -> tuple[Array, Array]:
    return moments(model, raw, row_keys(key, schema.apply(rows)))


@eqx.filter_jit
def _draws(model: Model, rows: Array, raw: Array, key: PRNGKeyArray, schema: Schema) -> Array:
    keys = row_keys(key, schema.apply(rows))
    draws: Array = jax.vmap(lambda raw, key: model.posterior.distribution(raw).sample(key))(raw, keys)
    return draws
