"""Codes: the moments of q(z|x), draws of it, and draws of the model."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, PRNGKeyArray
from numpy.typing import NDArray
from numpyro.distributions import Distribution

from reparam.batch import Batch
from reparam.data import Schema
from reparam.evaluation.rows import map_rows, no_numbers, row_keys, row_numbers, rows_at_once
from reparam.evaluation.weights import encoded
from reparam.model import Model
from reparam.probability.distributions.chain import Chain
from reparam.probability.posteriors import Posterior
from reparam.probability.reparameterization import draw_noise, reparameterize

MOMENT_SAMPLES = 256


def posterior_moments(
    model: Model, rows: NDArray[Any], schema: Schema, key: PRNGKeyArray, *, raw: NDArray[Any] | None = None
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Mean and standard deviation of q(z|x) of each row, both (N, K); by 256 draws where no closed form exists.

    ``raw``, shape (N, R), is q of each row; by default the encoder's. Equal rows have equal moments.
    """
    raw = encoded(model, rows, schema) if raw is None else raw
    family = model.family
    closed = has_moments(family, raw)
    numbers = no_numbers(rows) if closed else row_numbers(rows, occurrences=False)
    chunk = rows_at_once(raw.shape[1]) if closed else None
    found: tuple[NDArray[Any], NDArray[Any]] = map_rows(
        lambda raw, numbers: _moments(family, raw, numbers, key), raw, numbers, chunk=chunk
    )
    return found


def posterior_draws(
    model: Model, rows: NDArray[Any], schema: Schema, key: PRNGKeyArray, *, raw: NDArray[Any] | None = None
) -> NDArray[Any]:
    """One draw of q(z|x) for each row, shape (N, K); ``raw`` as in :func:`posterior_moments`."""
    raw = encoded(model, rows, schema) if raw is None else raw
    draws: NDArray[Any] = map_rows(lambda raw, numbers: _draws(model.family, raw, numbers, key), raw, row_numbers(rows))
    return draws


def draw_prior(
    model: Model, key: PRNGKeyArray, count: int, temperature: float = 1.0, given: Batch | None = None
) -> Array:
    """Draws of p(z), shape (count, K), with the noise ε scaled by ``temperature``: 0 gives the most typical points.

    Of a conditional model one draw of p(z|c) for each of ``count`` data that are ``given``.

    A mixture keeps its weights: a component is drawn, then its noise is scaled.
    """
    draws: Array = _prior_draws(model, key, count, jax.device_put(np.float64(temperature)), given)
    return draws


@eqx.filter_jit
def _prior_draws(model: Model, key: PRNGKeyArray, count: int, temperature: Array, given: Batch | None) -> Array:
    if model.shift is not None:
        p = model.prior_distribution(given)
        return jnp.asarray(reparameterize(p, temperature * draw_noise(p, key)))
    p = model.prior_distribution()
    if not isinstance(p, dist.MixtureSameFamily):
        return jnp.asarray(reparameterize(p, temperature * draw_noise(p, key, (count,))))
    component_key, noise_key = jax.random.split(key)
    chosen = p.mixing_distribution.sample(component_key, (count,))
    components = p.component_distribution
    draws = reparameterize(components, temperature * draw_noise(components, noise_key, (count,)))
    taken: Array = jnp.take_along_axis(draws, chosen[:, None, None], axis=1)[:, 0]
    return taken


def draw_data(model: Model, z: NDArray[Any] | Array, key: PRNGKeyArray, given: Batch | None = None) -> NDArray[Any]:
    """One draw of p(x|z) for each code z (N, K), as the model sees data, shape (N, P); memory does not grow with N."""
    numbers, leaves = np.arange(len(z), dtype=np.uint32), jax.tree.leaves(given)
    structure = jax.tree.structure(given)

    def draw(z: Array, index: Array, *told: Array) -> Array:
        return _data(model, z, index, key, jax.tree.unflatten(structure, told))

    draws: NDArray[Any] = map_rows(draw, z, numbers, *leaves)
    return draws


def decoded(model: Model, z: NDArray[Any] | Array, given: Batch | None = None) -> NDArray[Any]:
    """What each code z (N, K) stands for, as the model sees data, (N, P): means, and a table's likeliest levels."""
    structure = jax.tree.structure(given)
    centres = map_rows(
        lambda z, *told: _centre(model, z, jax.tree.unflatten(structure, told)), z, *jax.tree.leaves(given)
    )
    return np.asarray(centres)


def has_moments(family: Posterior, raw: NDArray[Any] | Array) -> bool:
    """Whether the mean of q is a closed form."""
    try:
        jax.eval_shape(lambda raw: _closed_moments(family, raw), raw[:1])
    except NotImplementedError:
        return False
    return True


def moments(family: Posterior, raw: Array, keys: PRNGKeyArray) -> tuple[Array, Array]:
    """Mean and standard deviation of q, both (N, K), of raw vectors (N, R); a key for each row's draws."""
    if has_moments(family, raw):
        return _closed_moments(family, raw)
    means, stds = jax.vmap(lambda raw, key: _drawn_moments(family.distribution(raw), key))(raw, keys)
    return means, stds


def _drawn_moments(q: Distribution, key: PRNGKeyArray) -> tuple[Array, Array]:
    """Mean and standard deviation of q by draws, (K,); of a chain by those of each layer given what was drawn."""
    draws = q.sample(key, (MOMENT_SAMPLES,))
    if not isinstance(q, Chain):
        return jnp.mean(draws, axis=0), jnp.std(draws, axis=0, ddof=1)
    means, variances = q.moments_given(draws)
    return jnp.mean(means, axis=0), jnp.sqrt(jnp.mean(variances, axis=0) + jnp.var(means, axis=0))


@eqx.filter_jit
def _closed_moments(family: Posterior, raw: Array) -> tuple[Array, Array]:
    q = family.distribution(raw)
    return jnp.asarray(q.mean), jnp.sqrt(q.variance)


@eqx.filter_jit
def _moments(family: Posterior, raw: Array, numbers: Array, key: PRNGKeyArray) -> tuple[Array, Array]:
    return moments(family, raw, row_keys(key, numbers))


@eqx.filter_jit
def _draws(family: Posterior, raw: Array, numbers: Array, key: PRNGKeyArray) -> Array:
    draws: Array = jax.vmap(lambda raw, key: family.distribution(raw).sample(key))(raw, row_keys(key, numbers))
    return draws


@eqx.filter_jit
def _data(model: Model, z: Array, index: Array, key: PRNGKeyArray, given: Batch | None) -> Array:
    keys = jax.vmap(lambda index: jax.random.fold_in(key, index))(index)
    draws: Array = jax.vmap(lambda z, key, datum: model.laws(z, datum).sample(key))(z, keys, given)
    return draws


@eqx.filter_jit
def _centre(model: Model, z: Array, given: Batch | None) -> Array:
    return model.likelihood.centre(model.likelihood.expectation(model.laws(z, given)))
