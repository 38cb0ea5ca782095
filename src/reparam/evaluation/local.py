"""Per-row optimisation of q over all rows of an array, in the model's family or in another."""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray
from numpy.typing import NDArray
from numpyro.distributions import Distribution

from reparam.data import Schema
from reparam.evaluation.latents import moments
from reparam.evaluation.rows import CHUNK, Progress, draws_at_once, map_rows, row_keys
from reparam.inference import Found, Inference, Search, maximize
from reparam.inference.base import row_elbo
from reparam.inference.mean_field import find_locally
from reparam.model import Model
from reparam.probability.posteriors import POSTERIORS, Full, Posterior
from reparam.probability.priors import Encode, Prior
from reparam.probability.scales import Scale
from reparam.specification import build

JUDGED_DRAWS = 20  # times Search.judge_samples: of the ELBO that is reported


class LocalBound(NamedTuple):
    """The best q of each of N rows in a family: its ELBO by fresh draws, nats, and whether the search came to rest."""

    elbo: Any  # (N,)
    converged: Any  # (N,)


def find_rows(
    inference: Inference,
    model: Model,
    rows: NDArray[Any],
    schema: Schema,
    key: PRNGKeyArray,
    *,
    report: Progress | None = None,
) -> Found:
    """q of each row as the method finds it: raw vectors (N, R), and which rows converged (N,).

    Args:
        inference: the method.
        model: what it was trained with.
        rows: as stored, shape (N, P).
        schema: how stored rows become the model's values.
        key: the noise; each row has its own.
        report: called with the rows done and N.
    """
    chunk = rows_at_once(schema, Search())  # whatever N: not a bit of a row's q may depend on its neighbours
    found: Found = map_rows(
        lambda chunk: _found(inference, model, chunk, key, schema), rows, chunk=chunk, report=report
    )
    return found


def optimize_rows(
    model: Model,
    rows: NDArray[Any],
    schema: Schema,
    key: PRNGKeyArray,
    raw: NDArray[Any],
    *,
    search: Search,
    report: Progress | None = None,
) -> Found:
    """The q in the model's own family with the best ELBO of each row, from ``raw`` (N, R) on."""
    found: Found = map_rows(
        lambda chunk, raw: _optimized(model, chunk, raw, key, schema=schema, search=search),
        rows,
        raw,
        chunk=rows_at_once(schema, search, len(rows)),
        report=report,
    )
    return found


def optimize_family(
    model: Model,
    rows: NDArray[Any],
    schema: Schema,
    key: PRNGKeyArray,
    raw: NDArray[Any],
    *,
    search: Search,
    family: Posterior,
    report: Progress | None = None,
) -> LocalBound:
    """The best ELBO of each row over another family, whose weights, if it has any, are the row's own too.

    Args:
        model: p(x, z), and the family of ``raw``.
        rows: as stored, shape (N, P).
        schema: how stored rows become the model's values.
        key: the noise, and a family's first weights.
        raw: q of each row in the model's family, shape (N, R): the search starts at its moments.
        search: how far and how finely.
        family: of :func:`richer_family`.
        report: called with the rows done and N.

    Source: Cremer, Li & Duvenaud (2018), Section 5.2, whose local flows these are.
    """
    bound: LocalBound = map_rows(
        lambda chunk, raw: _optimized_family(model, family, chunk, raw, key, schema=schema, search=search),
        rows,
        raw,
        chunk=rows_at_once(schema, search, len(rows)),
        report=report,
    )
    return bound


def richer_family(name: str, model: Model) -> Posterior:
    """The family of a name in ``POSTERIORS``, with arguments behind a colon, over the model's latents.

    Raises:
        ParameterError: the family is unknown or refuses its arguments.
    """
    family: Posterior = build("family", POSTERIORS, name, model.posterior.latent_dim, key=jax.random.key(0))
    return family


def rows_at_once(schema: Schema, search: Search, count: int = CHUNK) -> int:
    """How many of ``count`` rows a search holds at a time: a power of two, so that few shapes are compiled."""
    most = max(1, min(CHUNK, draws_at_once(schema.size) // search.samples))
    return 1 << (min(most, count) - 1).bit_length()


@eqx.filter_jit
def _found(inference: Inference, model: Model, rows: Array, key: PRNGKeyArray, schema: Schema) -> Found:
    x = schema.apply(rows)
    return inference.find(model, x, row_keys(key, x))


@eqx.filter_jit
def _optimized(model: Model, rows: Array, raw: Array, key: PRNGKeyArray, *, schema: Schema, search: Search) -> Found:
    x = schema.apply(rows)
    return find_locally(model, x, row_keys(key, x), raw, search)


class _HeldPrior(Prior):
    """A prior that no longer asks for the encoder."""

    latent_dim: int = eqx.field(static=True)
    held: Distribution

    def distribution(self, encode: Encode | None = None) -> Distribution:
        return self.held


@eqx.filter_jit
def _optimized_family(
    model: Model, family: Posterior, rows: Array, raw: Array, key: PRNGKeyArray, *, schema: Schema, search: Search
) -> LocalBound:
    x = schema.apply(rows)
    keys = row_keys(key, x)
    weights, settings = eqx.partition(family, eqx.is_inexact_array)
    held = eqx.tree_at(lambda model: model.prior, model, _HeldPrior(family.latent_dim, model.prior_distribution()))
    start = jax.vmap(lambda mean, std: raw_at(family, mean, std))(*moments(model, raw, keys))
    own = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (len(x), *leaf.shape)), weights)

    def value(parameters: tuple[Any, Array], x: Array, key: PRNGKeyArray, samples: int) -> Array:
        weights, raw = parameters
        bent = eqx.tree_at(lambda model: model.posterior, held, eqx.combine(weights, settings))
        return row_elbo(bent, raw, x, key, samples)

    best, _, converged = maximize(value, (own, start), x, keys, search)

    def fresh(index: Array) -> Array:
        new = jax.vmap(lambda key: jax.random.fold_in(key, -1 - index))(keys)
        return jax.vmap(lambda best, x, key: value(best, x, key, search.judge_samples))(best, x, new)

    return LocalBound(jnp.mean(jax.lax.map(fresh, jnp.arange(JUDGED_DRAWS)), axis=0), converged)


def raw_at(family: Posterior, mean: Array, std: Array) -> Array:
    """The raw vector of N(mean, diag std²) in a family, (K,) and (K,) → (R,); of a flow, that of its base."""
    if isinstance(family, Full):
        return jnp.concatenate([mean, jnp.diag(std).ravel()])
    scale: Scale = family.scale  # type: ignore[attr-defined]  # every other family has one
    rest = family.raw_size - 2 * family.latent_dim
    return jnp.concatenate([mean, scale.raw(std), jnp.zeros(rest)])
