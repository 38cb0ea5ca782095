"""Training without an encoder: each row's q and the weights are optimised in turn.

A row's q, and the moments of its own Adam, are touched only when the row is visited. Rows held out have a q too, which
follows the weights; the weights never see them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from reparam.data import Schema
from reparam.errors import TrainingError
from reparam.inference import MeanField
from reparam.model import Model
from reparam.objectives import Objective
from reparam.training.adam import Moments
from reparam.training.epoch import CALIBRATION_ROWS, padded_batches, random_order
from reparam.training.fit import Record, Settings
from reparam.training.metrics import Sums, batch_sums, reduce_sums
from reparam.training.state import ADAM, Local, MeanFieldState, advance, epoch_key


class Batch(NamedTuple):
    """Rows by number, as the model sees them, and their weights: 0 for padding."""

    indices: Array  # (B,)
    x: Array  # (B, P)
    weight: Array  # (B,)


def fit_mean_field(
    state: MeanFieldState,
    rows: Array,
    schema: Schema,
    objective: Objective,
    settings: Settings,
    *,
    inference: MeanField,
    validation_rows: Array | None = None,
) -> Iterator[Record]:
    """Train as :func:`reparam.training.fit` does, but with a free q for each row.

    Yields:
        A record per epoch.

    Raises:
        TrainingError: the bound is no longer finite.
    """
    batch_size = min(settings.batch_size, rows.shape[0])
    steps = -(-rows.shape[0] // batch_size)
    rate = jnp.float32(settings.learning_rate)
    visit: Any = {"objective": objective, "schema": schema, "batch_size": batch_size, "inference": inference}
    while int(state.epoch) < settings.epochs and not (0 < settings.patience <= int(state.stale_epochs)):
        started = time.perf_counter()
        train = state.train
        train_key, calibration_key, validation_key = jax.random.split(epoch_key(train), 3)
        model = train.model
        if model.likelihood.refits:
            model = _calibrate(model, state.local.raw, rows, calibration_key, schema=schema)
        model, moments, local, sums = _train_epoch(
            model, train.moments, state.local, rows, train_key, learning_rate=rate, epoch=train.epoch, **visit
        )
        training = reduce_sums(sums)
        if not math.isfinite(training.bound):
            raise TrainingError(
                f"training diverged in epoch {int(train.epoch) + 1}: the bound is {training.bound}. Lower the learning "
                f"rate (now {settings.learning_rate:g}) or that of q (now {inference.learning_rate:g})."
            )
        validation, held_out = None, state.held_out
        if validation_rows is not None:
            held_out, held_out_sums = _follow_epoch(
                model, held_out, validation_rows, validation_key, epoch=train.epoch, **visit
            )
            validation = reduce_sums(held_out_sums)
        train = advance(train, model, moments, None if validation is None else validation.bound)
        best_raw = (local.raw, held_out.raw) if int(train.stale_epochs) == 0 else state.best_raw
        state = MeanFieldState(train, local, held_out, best_raw)
        weights = objective.at(train.epoch * steps - 1, steps).coefficients()
        yield Record(int(train.epoch), training, validation, time.perf_counter() - started, state, weights)


@eqx.filter_jit
def _train_epoch(
    model: Model,
    moments: Moments,
    local: Local,
    rows: Array,
    key: PRNGKeyArray,
    *,
    learning_rate: Array,
    epoch: Array,
    objective: Objective,
    schema: Schema,
    batch_size: int,
    inference: MeanField,
) -> tuple[Model, Moments, Local, Sums]:
    """Visit every row once: ``e_steps`` steps on the q of a batch's rows, then one step on the weights."""
    order_key, noise_key = jax.random.split(key)
    batches, weights = padded_batches(random_order(order_key, rows.shape[0]), batch_size)
    trained, fixed = eqx.partition(model, eqx.is_inexact_array)

    def loss(trained: Any, raw: Array, batch: Batch, now: Objective, key: PRNGKeyArray) -> tuple[Array, Sums]:
        model = eqx.combine(trained, fixed)
        _, x, weight = batch
        q = model.posterior.distribution(raw)
        terms = now(model, x, key, q=q, weight=weight)
        sums = batch_sums(terms, q, model.prior_distribution(), weight)
        return -(weight @ terms.surrogate) / sums.weight, sums

    def visit(carry: Any, at: tuple[Array, Array, Array, PRNGKeyArray]) -> tuple[Any, Sums]:
        trained, moments, local = carry
        indices, weight, step, key = at
        batch = Batch(indices, schema.apply(rows[indices]), weight)
        now = objective.at(step, len(batches))
        e_key, m_key = jax.random.split(key)
        local = e_steps(eqx.combine(trained, fixed), local, batch, e_key, objective=now, inference=inference)
        gradient, sums = jax.grad(loss, has_aux=True)(trained, local.raw[indices], batch, now, m_key)
        return (*ADAM.step(trained, gradient, moments, learning_rate), local), sums

    steps = epoch * len(batches) + jnp.arange(len(batches))
    keys = jax.random.split(noise_key, len(batches))
    (trained, moments, local), sums = jax.lax.scan(visit, (trained, moments, local), (batches, weights, steps, keys))
    return eqx.combine(trained, fixed), moments, local, sums


@eqx.filter_jit
def _follow_epoch(
    model: Model,
    local: Local,
    rows: Array,
    key: PRNGKeyArray,
    *,
    epoch: Array,
    objective: Objective,
    schema: Schema,
    batch_size: int,
    inference: MeanField,
) -> tuple[Local, Sums]:
    """Let the q of rows held out follow the weights, ``e_steps`` steps each, and measure the bound."""
    batches, weights = padded_batches(jnp.arange(rows.shape[0]), min(batch_size, rows.shape[0]))
    now = objective.at(epoch * len(batches), len(batches))

    def visit(local: Local, at: tuple[Array, Array, PRNGKeyArray]) -> tuple[Local, Sums]:
        indices, weight, key = at
        x = schema.apply(rows[indices])
        e_key, bound_key = jax.random.split(key)
        batch = Batch(indices, x, weight)
        local = e_steps(model, local, batch, e_key, objective=now, inference=inference)
        q = model.posterior.distribution(local.raw[indices])
        terms = now(model, x, bound_key, q=q, weight=weight)
        return local, batch_sums(terms, q, model.prior_distribution(), weight)

    return jax.lax.scan(visit, local, (batches, weights, jax.random.split(key, len(batches))))


def e_steps(
    model: Model, local: Local, batch: Batch, key: PRNGKeyArray, *, objective: Objective, inference: MeanField
) -> Local:
    """Steps on the q of the batch's rows; those of weight 0, and all others, stay as they are."""
    indices, x, weight = batch

    def loss(raw: Array, key: PRNGKeyArray) -> Array:
        terms = objective(model, x, key, q=model.posterior.distribution(raw), weight=weight)
        return -jnp.sum(weight * terms.surrogate)

    def step(carry: Local, key: PRNGKeyArray) -> tuple[Local, None]:
        moved = jax.vmap(ADAM.step, in_axes=(0, 0, 0, None))(
            carry.raw, jax.grad(loss)(carry.raw, key), carry.moments, inference.learning_rate
        )
        return Local(*moved), None

    visited = jax.tree.map(lambda leaf: leaf[indices], local)
    moved, _ = jax.lax.scan(step, visited, jax.random.split(key, inference.e_steps))
    kept = jnp.where(weight > 0, indices, len(local.raw))  # out of bounds: dropped
    stored: Local = jax.tree.map(lambda leaf, new: leaf.at[kept].set(new, mode="drop"), local, moved)
    return stored


@eqx.filter_jit
def _calibrate(model: Model, raw: Array, rows: Array, key: PRNGKeyArray, *, schema: Schema) -> Model:
    """Set noise that has a maximum-likelihood value in closed form, by one draw of z for each of some thousand rows."""
    rows_key, noise_key = jax.random.split(key)
    chosen = random_order(rows_key, rows.shape[0])[:CALIBRATION_ROWS]
    z = model.posterior.distribution(raw[chosen]).sample(noise_key)
    likelihood = model.likelihood.refit(model.decoder(z), schema.apply(rows[chosen]))
    calibrated: Model = eqx.tree_at(lambda model: model.likelihood, model, likelihood)
    return calibrated
