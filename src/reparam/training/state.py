"""Everything that resuming needs, as one PyTree."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from reparam.devices.mesh import Devices
from reparam.model import Model
from reparam.training.pace import NoAverage
from reparam.training.recipe import Recipe
from reparam.training.visits import Local


class Judged(NamedTuple):
    """The bound of each row under the copy that never saw it, (F, H), nats of the model's values."""

    first: Array  # before the first epoch
    best: Array  # under the best weights


class TrainState(eqx.Module):
    """A position in training; a run that is stopped at an epoch and resumed from here ends with the same bytes.

    Rows own a q only where inference is mean-field: elsewhere ``local``, ``held_out`` and ``best_raw`` are None. Where
    folds judge, ``model``, ``moments`` and ``average`` are copies along a leading axis, and the last copy is used.
    """

    model: Model
    moments: Any  # the optimiser's
    average: Model | None  # of the weights, where they are averaged
    local: Local | None  # of the training rows
    held_out: Local | None  # of the validation rows, which may be none
    key: PRNGKeyArray  # the root of every epoch's noise
    epoch: Array  # () int32, epochs done
    best_model: Model
    best_raw: tuple[Array, Array] | None  # of training and validation rows, q that belongs to the best weights
    judged: Judged | None  # where folds judge
    best_bound: Array  # () on the validation rows, nats
    stale_epochs: Array  # () int32, epochs since the best

    @property
    def candidate(self) -> Model:
        """The weights that this epoch offers for use: their average, or the newest."""
        return self.model if self.average is None else self.average

    @property
    def offered(self) -> Model:
        """The same, of copies the last."""
        return self.candidate if self.judged is None else one_copy(self.candidate, -1)


def initial_state(
    model: Model, key: PRNGKeyArray, recipe: Recipe | None = None, *, rows: int = 0, held_out_rows: int = 0
) -> TrainState:
    """The state before the first epoch; ``rows`` are counted where each owns a q."""
    recipe = Recipe() if recipe is None else recipe
    local, held_out = recipe.visit.start(model, rows), recipe.visit.start(model, held_out_rows)
    return TrainState(
        model=model,
        moments=recipe.optimizer.transformation.init(eqx.filter(model, eqx.is_inexact_array)),
        average=None if isinstance(recipe.averaging, NoAverage) else model,
        local=local,
        held_out=held_out,
        key=key,
        epoch=jnp.zeros((), jnp.int32),
        best_model=model,
        best_raw=None if local is None or held_out is None else (local.raw, held_out.raw),
        judged=None,
        best_bound=jnp.full((), -jnp.inf),
        stale_epochs=jnp.zeros((), jnp.int32),
    )


def copied_state(copies: Model, key: PRNGKeyArray, recipe: Recipe, held_out: tuple[int, ...]) -> TrainState:
    """The state before the first epoch of copies, along the leading axis of their weights, that folds (F, H) judge."""
    nothing_yet = jnp.full(held_out, -jnp.inf)
    return TrainState(
        model=copies,
        moments=jax.vmap(recipe.optimizer.transformation.init)(eqx.filter(copies, eqx.is_inexact_array)),
        average=None if isinstance(recipe.averaging, NoAverage) else copies,
        local=None,
        held_out=None,
        key=key,
        epoch=jnp.zeros((), jnp.int32),
        best_model=one_copy(copies, -1),
        best_raw=None,
        judged=Judged(nothing_yet, nothing_yet),
        best_bound=jnp.full((), -jnp.inf),
        stale_epochs=jnp.zeros((), jnp.int32),
    )


@eqx.filter_jit
def one_copy(copies: Model, number: int) -> Model:
    """One model of several whose weights lie along a leading axis."""
    model: Model = jax.tree.map(lambda leaf: leaf[number] if eqx.is_inexact_array(leaf) else leaf, copies)
    return model


def advance(state: TrainState, validation_bound: float | None, better: bool) -> TrainState:
    """The state after an epoch, whose weights are the best from now on if they are ``better``."""
    raw = None if state.local is None or state.held_out is None else (state.local.raw, state.held_out.raw)
    best_model, best_raw = (state.offered, raw) if better else (state.best_model, state.best_raw)
    bound = (
        state.best_bound
        if validation_bound is None or not better
        else jax.device_put(np.asarray(validation_bound, state.best_bound.dtype))
    )
    stale = 0 if better else int(state.stale_epochs) + 1
    return replace(
        state,
        epoch=counted(int(state.epoch) + 1),
        best_model=best_model,
        best_raw=best_raw,
        best_bound=bound,
        stale_epochs=counted(stale),
    )


def spread(state: TrainState, devices: Devices) -> TrainState:
    """The state on the devices: of what rows own each has a share, of the weights all, or its share of wide layers."""
    if devices.count == 1:
        return state
    tables = lambda s: (s.local, s.held_out, s.best_raw)  # noqa: E731
    without = eqx.tree_at(tables, state, (None, None, None), is_leaf=lambda leaf: leaf is None)
    laid: TrainState = eqx.tree_at(
        tables, devices.spread_weights(without), devices.spread_rows(tables(state)), is_leaf=lambda leaf: leaf is None
    )
    return laid


def shapes_of(state: TrainState) -> TrainState:
    """The shapes of its arrays, before tables are filled up."""
    shapes: TrainState = eqx.filter_eval_shape(lambda: state)
    return shapes


def counted(number: int) -> Array:
    """A count of epochs as the state holds it; nothing is compiled for it."""
    count: Array = jax.device_put(np.asarray(number, np.int32))
    return count


def epoch_keys(state: TrainState) -> tuple[PRNGKeyArray, PRNGKeyArray]:
    """Keys of the epoch that comes next: of training, and of calibrating the noise of the data."""
    train, calibration = two_keys(state.key, state.epoch)
    return train, calibration


def order_seed(state: TrainState) -> int:
    """What the orders are drawn by in which chunks of rows are read."""
    return int(jax.random.bits(_fold_in(state.key, np.uint32(2**32 - 2))))


def validation_key(state: TrainState) -> PRNGKeyArray:
    """The same at every epoch, so that two epochs are compared on the same noise."""
    key: PRNGKeyArray = _fold_in(state.key, np.uint32(2**32 - 1))
    return key


_fold_in = jax.jit(jax.random.fold_in)


@jax.jit
def two_keys(key: PRNGKeyArray, number: Array) -> tuple[PRNGKeyArray, PRNGKeyArray]:
    """Two keys made of one and a number."""
    first, second = jax.random.split(jax.random.fold_in(key, number))
    return first, second
