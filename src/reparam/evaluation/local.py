"""Per-row optimisation of q over all rows of an array, in the model's family or in another."""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray
from numpy.typing import NDArray
from numpyro.distributions import Distribution

from reparam.batch import Batch
from reparam.data import Schema
from reparam.evaluation.latents import moments
from reparam.evaluation.rows import Progress, map_rows, no_numbers, row_keys, row_numbers, rows_of_draws
from reparam.evaluation.weights import less
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
    """The best q of each of N rows in a family: its ELBO by fresh draws, in nats, and whether the search ended."""

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
    """q of each row as the method finds it: raw vectors (N, R), and which rows converged (N,); equal rows, equal q.

    Args:
        inference: the method.
        model: what it was trained with.
        rows: as stored, shape (N, P).
        schema: how stored rows become the model's values.
        key: the noise of a search, which a row's values set apart.
        report: called with the rows done and N.
    """

    def find(chunk: Array, numbers: Array) -> Found:
        return _found(inference, model, chunk, numbers, key, schema=schema)

    found: Found
    if inference.samples == 0:
        found = map_rows(find, rows, no_numbers(rows), report=report)
    else:  # one shape whatever N: not a bit of a row's q may depend on its neighbours
        chunk = searched_at_once(model, inference.samples)
        numbers = row_numbers(rows, occurrences=False)
        found = map_rows(find, rows, numbers, chunk=chunk, one_shape=True, report=report)
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
        lambda chunk, raw, numbers: _optimized(model, chunk, raw, row_keys(key, numbers), schema=schema, search=search),
        rows,
        raw,
        row_numbers(rows),
        chunk=searched_at_once(model, search.samples),
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
        lambda chunk, raw, numbers: _optimized_family(
            model, family, chunk, raw, row_keys(key, numbers), schema=schema, search=search
        ),
        rows,
        raw,
        row_numbers(rows),
        chunk=searched_at_once(model, search.samples),
        report=report,
    )
    return bound._replace(elbo=less(bound.elbo, schema.log_volume_of(rows)))


def richer_family(name: str, model: Model) -> Posterior:
    """The family of a name in ``POSTERIORS``, with arguments behind a colon, over the model's latents.

    Raises:
        ParameterError: the family is unknown or refuses its arguments.
    """
    family: Posterior = build("family", POSTERIORS, name, model.posterior.latent_dim, key=jax.random.key(0))
    return family


def searched_at_once(model: Model, samples: int) -> int:
    """How many rows a search of so many draws per step holds at a time: a power of two, as few as one."""
    return 1 << (rows_of_draws(model, samples).bit_length() - 1)


@eqx.filter_jit
def _found(
    inference: Inference, model: Model, rows: Array, numbers: Array, key: PRNGKeyArray, *, schema: Schema
) -> Found:
    return inference.find(model, Batch.of_rows(rows, schema), row_keys(key, numbers))


@eqx.filter_jit
def _optimized(model: Model, rows: Array, raw: Array, keys: PRNGKeyArray, *, schema: Schema, search: Search) -> Found:
    return find_locally(model, Batch.of_rows(rows, schema), keys, raw, search)


class _HeldPrior(Prior):
    """A prior that no longer asks for the encoder."""

    latent_dim: int = eqx.field(static=True)
    sizes: tuple[int, ...] = eqx.field(static=True)
    held: Distribution

    @property
    def layers(self) -> tuple[int, ...]:
        return self.sizes

    def distribution(self, encode: Encode | None = None) -> Distribution:
        return self.held


@eqx.filter_jit
def _optimized_family(
    model: Model, family: Posterior, rows: Array, raw: Array, keys: PRNGKeyArray, *, schema: Schema, search: Search
) -> LocalBound:
    batch = Batch.of_rows(rows, schema)
    weights, settings = eqx.partition(family, eqx.is_inexact_array)
    held = model
    if model.given is None:
        prior = _HeldPrior(family.latent_dim, model.prior.layers, model.prior_distribution())
        held = eqx.tree_at(lambda model: model.prior, model, prior)
    start = jax.vmap(lambda mean, std: raw_at(family, mean, std))(*moments(model.family, raw, keys))
    own = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (len(raw), *leaf.shape)), weights)

    def value(parameters: tuple[Any, Array], datum: Batch, key: PRNGKeyArray, samples: int) -> Array:
        weights, raw = parameters
        bent = eqx.tree_at(lambda model: model.posterior, held, eqx.combine(weights, settings))
        return row_elbo(bent, raw, datum, key, samples)

    end = maximize(value, (own, start), batch, keys, search)

    def fresh(index: Array) -> Array:
        new = jax.vmap(lambda key: jax.random.fold_in(key, -1 - index))(keys)
        return jax.vmap(lambda own, datum, key: value(own, datum, key, search.judge_samples))(
            end.parameters, batch, new
        )

    return LocalBound(jnp.mean(jax.lax.map(fresh, jnp.arange(JUDGED_DRAWS)), axis=0), end.converged)


def raw_at(family: Posterior, mean: Array, std: Array) -> Array:
    """The raw vector of N(mean, diag std²) in a family, (K,) and (K,) → (R,); of a flow, that of its base."""
    if isinstance(family, Full):
        return jnp.concatenate([mean, jnp.diag(std).ravel()])
    scale: Scale = family.scale  # type: ignore[attr-defined]  # every other family has one
    rest = family.raw_size - 2 * family.latent_dim
    return jnp.concatenate([mean, scale.raw(std), jnp.zeros(rest)])
