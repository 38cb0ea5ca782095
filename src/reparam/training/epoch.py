"""One epoch, compiled into one call."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from reparam.batch import Batch
from reparam.data import Schema
from reparam.model import Model
from reparam.networks.precision import in_precision
from reparam.objectives import IWAE, Objective
from reparam.training.binarization import drawn
from reparam.training.metrics import Sums, batch_sums
from reparam.training.order import (
    CALIBRATION_ROWS,
    Stored,
    calibrating,
    count_of,
    looked_up,
    padded_batches,
    visits,
)
from reparam.training.pace import Clock, averaged
from reparam.training.packing import packing
from reparam.training.recipe import Recipe
from reparam.training.state import TrainState
from reparam.training.visits import Local, Visited

JUDGING_DRAWS = 8


class Position(NamedTuple):
    """What a step changes: the weights and all that moves with them."""

    trained: Any
    moments: Any
    average: Any  # None where nothing is averaged
    local: Local | None
    stopped: Array  # () whether a step before left the finite numbers, and was not taken


@eqx.filter_jit
def train_epoch(
    state: TrainState,
    rows: Stored,
    key: PRNGKeyArray,
    learning_rate: Array,
    clock: Clock,
    *,
    objective: Objective,
    schema: Schema,
    recipe: Recipe,
    shares: Array | None = None,
    careful: bool = False,
) -> tuple[TrainState, Sums, Array]:
    """Visit every row ``recipe.passes`` times, each time in an order drawn from ``key``, one step per batch.

    Rows stay on the device as they are stored and become the model's values batch by batch. The last batch is filled
    up with rows of weight zero, so that one shape is compiled.

    Args:
        state: where to begin; with ``shares``, its weights and moments have a leading axis of copies.
        rows: as they are stored, shape (N, P), or laid in the order that ``key`` draws.
        key: orders and noise.
        learning_rate: before the schedule.
        clock: where the first step stands.
        objective: what is maximised.
        schema: what rows mean.
        recipe: how rows are visited, and how weights move.
        shares: 1 where a copy is trained on a row and 0 where it is not, shape (M, N); None for one model of all rows.
        careful: take no step that would leave the finite numbers, and none after it unless such steps are skipped; the
            same bits otherwise, and slower.

    Returns:
        The state after; sums for each batch, of copies those of the last; and whether all stayed finite, () or (M,), or
        of a ``careful`` epoch which steps were taken, (steps,) or (M, steps).
    """
    devices, visit, transformation = recipe.devices, recipe.visit, recipe.optimizer.transformation
    batches, weights, keys = visits(key, rows, recipe)
    batches, weights = devices.rows((batches, weights), axis=1)
    trained, fixed = eqx.partition(state.model, eqx.is_inexact_array)
    of_each = (lambda function: function) if shares is None else jax.vmap  # copies have a leading axis
    of_one = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[shares is not None :], leaf.dtype), trained)
    held = packing(of_one, recipe.optimizer)

    def loss(trained: Any, local: Any, visited: Visited, now: Objective, key: PRNGKeyArray) -> tuple[Array, Sums]:
        model = in_precision(eqx.combine(trained, fixed), recipe.precision)
        q = model.family.distribution(visit.raw(model, local, visited, key))
        terms = now(model, visited.batch, key, q=q)
        weight = visited.batch.weights
        sums = batch_sums(terms, q, weight)
        return -(weight @ terms.surrogate) / jnp.maximum(sums.rows, 1.0), sums

    def step(
        at: Position, this: tuple[Array, Array, Array, PRNGKeyArray], shares: Array | None
    ) -> tuple[Position, tuple[Sums, Array]]:
        taken, weight, number, key = this
        indices, stored = looked_up(rows, taken, len(weight))
        weight = weight if shares is None else weight * shares[indices]
        now_at = Clock(number, clock.steps_per_epoch, clock.total_steps)
        draw_key, own_key, key = jax.random.split(key, 3)
        visited = Visited(indices, seen_rows(stored, draw_key, schema, recipe, weight))
        now = objective.at(number, clock.steps_per_epoch)
        arrays = held.unpack(at.trained)
        local = visit.improve(eqx.combine(arrays, fixed), at.local, visited, own_key, now)
        gradient, sums = devices.weights(jax.grad(loss, has_aux=True)(arrays, local, visited, now, key))
        updates, moments = transformation.update(held.pack(gradient), at.moments, at.trained)
        rate = learning_rate * recipe.schedule.factor(now_at)
        updates = held.paced(updates)
        trained = jax.tree.map(lambda weight, update: weight + rate.astype(weight.dtype) * update, at.trained, updates)
        average = None if at.average is None else averaged(at.average, trained, recipe.averaging.coefficient(now_at))
        if not careful:
            return Position(trained, moments, average, local, at.stopped), (sums, at.stopped)
        taken = is_finite((sums.bound, trained, moments)) & ~at.stopped
        new, old = (trained, moments, average), (at.trained, at.moments, at.average)
        kept = jax.tree.map(lambda one, other: jnp.where(taken, one, other), new, old)
        sums = jax.tree.map(lambda one: jnp.where(taken, one, 0.0), sums)
        stopped = at.stopped | (~taken & (not recipe.skip))
        return Position(kept[0], kept[1], kept[2], local, stopped), (sums, taken)

    numbers = clock.step + jnp.arange(len(batches))
    average = None if state.average is None else eqx.filter(state.average, eqx.is_inexact_array)
    before = trained, state.moments, average
    packed: tuple[Any, Any, Any] = of_each(held.pack)(before)
    start = Position(*packed, state.local, jnp.zeros((), bool))
    steps = batches, weights, numbers, keys

    def finite(bounds: Array, end: Position) -> Array:
        return is_finite((bounds, end.trained, end.moments))

    if shares is None:
        end, (sums, taken) = jax.lax.scan(partial(step, shares=None), start, steps)
        taken = taken if careful else finite(sums.bound, end)
    else:  # copies within the scan: the other way round a step would be traced twice
        start = start._replace(stopped=jnp.zeros(len(shares), bool))
        of_copies = jax.vmap(step, in_axes=(0, None, 0))
        end, (every, taken) = jax.lax.scan(lambda at, this: of_copies(at, this, shares), start, steps)
        taken = taken.T if careful else jax.vmap(finite, in_axes=(1, 0))(every.bound, end)
        sums = jax.tree.map(lambda copies: copies[:, -1], every)
    sums, taken = devices.whole((sums, taken))
    moved = of_each(held.unpack_like)((end.trained, end.moments, end.average), before)
    trained, moments, average = devices.weights(moved)
    after = replace(
        state,
        model=eqx.combine(trained, fixed),
        moments=moments,
        average=None if average is None else eqx.combine(average, fixed),
        local=devices.rows(end.local),
    )
    return after, sums, taken


@eqx.filter_jit
def evaluate_epoch(
    model: Model,
    held_out: Local | None,
    rows: Array,
    key: PRNGKeyArray,
    *,
    objective: Objective,
    schema: Schema,
    recipe: Recipe,
) -> tuple[Local | None, Sums]:
    """The objective's terms over every row once, without training the model; the same key gives the same noise.

    Where rows own a q, those held out follow the weights first.
    """
    devices, visit = recipe.devices, recipe.visit
    numbers = padded_batches(jnp.arange(rows.shape[0]), min(recipe.batch_size, rows.shape[0]))
    batches, weights = devices.rows(numbers, axis=1)

    def step(local: Any, this: tuple[Array, Array, PRNGKeyArray]) -> tuple[Any, Sums]:
        indices, weight, key = this
        seen = Visited(indices, Batch.of_rows(rows[indices], schema, weight))
        own_key, key = jax.random.split(key)
        local = visit.improve(model, local, seen, own_key, objective)
        q = model.family.distribution(visit.raw(model, local, seen, key))
        terms = objective(model, seen.batch, key, q=q)
        return local, batch_sums(terms, q, weight)

    keys = jax.random.split(key, len(batches))
    followed, sums = jax.lax.scan(step, held_out, (batches, weights, keys))
    return devices.rows(followed), devices.whole(sums)


@eqx.filter_jit
def judge_copies(
    copies: Model, rows: Array, held_out: Array, key: PRNGKeyArray, *, schema: Schema, recipe: Recipe
) -> tuple[Array, Sums]:
    """The K-sample bound of each row under the copy that never saw it, K = ``JUDGING_DRAWS``; one key, one noise.

    Args:
        copies: their weights along a leading axis, those that leave rows out first.
        rows: as they are stored, shape (N, P).
        held_out: which rows each of them leaves out, shape (F, H), filled up with N.
        key: the noise.
        schema: what rows mean.
        recipe: how q is found.

    Returns:
        Bounds (F, H), nats of the model's values, of no meaning where there is no row; and sums for each batch.
    """
    trained, fixed = eqx.partition(copies, eqx.is_inexact_array)
    count, (parts, longest) = rows.shape[0], held_out.shape
    numbers = padded_batches(jnp.arange(longest), min(recipe.batch_size, longest))
    batches, filled = recipe.devices.rows(numbers, axis=1)
    keys = jax.random.split(key, len(batches))

    def judged(trained: Any, numbers: Array, this: tuple[Array, Array, PRNGKeyArray]) -> tuple[Array, Sums]:
        model = eqx.combine(trained, fixed)
        places, weight, key = this
        indices = numbers[places]
        weight = weight * (indices < count)
        draw_key, key = jax.random.split(key)
        batch = seen_rows(rows[jnp.minimum(indices, count - 1)], draw_key, schema, recipe, weight)
        q = model.family.distribution(recipe.visit.raw(model, None, Visited(indices, batch), key))
        terms = IWAE(JUDGING_DRAWS)(model, batch, key, q=q)
        return terms.bound, batch_sums(terms, q, weight)

    of_copies = jax.vmap(judged, in_axes=(0, 0, None))
    judges = jax.tree.map(lambda leaf: leaf[:parts], trained)
    _, (bounds, sums) = jax.lax.scan(
        lambda _, this: (None, of_copies(judges, held_out, this)), None, (batches, filled, keys)
    )

    def flattened(leaf: Array) -> Array:
        return leaf.reshape(leaf.shape[0] * leaf.shape[1], *leaf.shape[2:])  # a leaf of no values says no -1

    bounds = jnp.swapaxes(bounds, 0, 1).reshape(parts, -1)[:, :longest]
    return recipe.devices.whole((bounds, jax.tree.map(flattened, sums)))


@eqx.filter_jit
def calibrate(
    model: Model, local: Local | None, rows: Stored, key: PRNGKeyArray, *, schema: Schema, recipe: Recipe
) -> Model:
    """Set noise that has a maximum-likelihood value in closed form, by one draw of z for each of some thousand rows."""
    return _calibrated(model, local, rows, jnp.arange(count_of(rows)), key, schema, recipe)


@eqx.filter_jit
def calibrate_copies(
    copies: Model, rows: Stored, numbers: Array, key: PRNGKeyArray, *, schema: Schema, recipe: Recipe
) -> Model:
    """The same for copies, each by rows of its own, numbers (M, C); rows that are laid are for one that has all."""
    trained, fixed = eqx.partition(copies, eqx.is_inexact_array)

    def one(trained: Any, numbers: Array) -> Any:
        model = _calibrated(eqx.combine(trained, fixed), None, rows, numbers, key, schema, recipe)
        return eqx.filter(model, eqx.is_inexact_array)

    several: Model = eqx.combine(jax.vmap(one)(trained, numbers), fixed)
    return several


def _calibrated(  # noqa: PLR0917
    model: Model, local: Local | None, rows: Stored, numbers: Array, key: PRNGKeyArray, schema: Schema, recipe: Recipe
) -> Model:
    taken, draw_key, noise_key = calibrating(key, rows, numbers)
    chosen, stored = looked_up(rows, taken, min(CALIBRATION_ROWS, len(numbers)))
    visited = Visited(chosen, seen_rows(stored, draw_key, schema, recipe))
    z = model.family.distribution(recipe.visit.raw(model, local, visited, noise_key)).sample(noise_key)
    likelihood = model.likelihood.refit(model.decoded(z, visited.batch), visited.batch.x, visited.batch.observed)
    likelihood = recipe.devices.whole(likelihood)
    calibrated: Model = eqx.tree_at(lambda model: model.likelihood, model, likelihood)
    return calibrated


def is_finite(tree: Any) -> Array:
    """Whether every number of a PyTree is finite."""
    leaves = jax.tree.leaves(eqx.filter(tree, eqx.is_inexact_array))
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in leaves]))


def seen_rows(rows: Array, key: PRNGKeyArray, schema: Schema, recipe: Recipe, weight: Array | None = None) -> Batch:
    """Stored rows (B, P) as a batch; grey values drawn where each visit draws them."""
    batch = Batch.of_rows(rows, schema, weight)
    return replace(batch, x=drawn(batch.x, key)) if recipe.redraw else batch
