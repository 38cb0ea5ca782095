"""Everything that resuming needs, as one PyTree."""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from reparam.model import Model
from reparam.training.adam import Adam, Moments

ADAM = Adam()


class TrainState(eqx.Module):
    """A position in training; a run that is stopped at an epoch and resumed from here ends with the same bytes."""

    model: Model
    moments: Moments
    key: PRNGKeyArray  # the root of every epoch's noise
    epoch: Array  # () int32, epochs done
    best_model: Model
    best_bound: Array  # () on the validation rows, nats
    stale_epochs: Array  # () int32, epochs since the best


class Local(NamedTuple):
    """q of each row, addressed by its number, and the moments of its own Adam; every leaf has the leading axis N."""

    raw: Array  # (N, R)
    moments: Moments


class MeanFieldState(eqx.Module):
    """A position in training, with the q of every row."""

    train: TrainState
    local: Local  # of the training rows
    held_out: Local  # of the validation rows, which may be none
    best_raw: tuple[Array, Array]  # of either, q's raw vectors that belong to the best weights

    @property
    def model(self) -> Model:
        """The newest weights."""
        return self.train.model

    @property
    def best_model(self) -> Model:
        """The weights to use."""
        return self.train.best_model

    @property
    def epoch(self) -> Array:
        """Epochs done."""
        return self.train.epoch

    @property
    def stale_epochs(self) -> Array:
        """Epochs since the best."""
        return self.train.stale_epochs


State = TrainState | MeanFieldState


def initial_state(model: Model, key: PRNGKeyArray) -> TrainState:
    """The state before the first epoch."""
    return TrainState(
        model=model,
        moments=ADAM.start(eqx.filter(model, eqx.is_inexact_array)),
        key=key,
        epoch=jnp.zeros((), jnp.int32),
        best_model=model,
        best_bound=jnp.full((), -jnp.inf, jnp.float32),
        stale_epochs=jnp.zeros((), jnp.int32),
    )


def initial_mean_field_state(model: Model, key: PRNGKeyArray, rows: int, validation_rows: int = 0) -> MeanFieldState:
    """The state before the first epoch: every q is N(0, I), or the nearest to it in the family."""
    local, held_out = _start(model, rows), _start(model, validation_rows)
    return MeanFieldState(initial_state(model, key), local, held_out, (local.raw, held_out.raw))


def advance(state: TrainState, model: Model, moments: Moments, validation_bound: float | None) -> TrainState:
    """The state after an epoch; without validation rows the newest model is the best."""
    better = validation_bound is None or validation_bound > float(state.best_bound)
    return TrainState(
        model=model,
        moments=moments,
        key=state.key,
        epoch=state.epoch + 1,
        best_model=model if better else state.best_model,
        best_bound=state.best_bound if validation_bound is None or not better else jnp.float32(validation_bound),
        stale_epochs=jnp.zeros_like(state.stale_epochs) if better else state.stale_epochs + 1,
    )


def epoch_key(state: TrainState) -> PRNGKeyArray:
    """The key of the epoch that comes next."""
    return jax.random.fold_in(state.key, state.epoch)


def _start(model: Model, count: int) -> Local:
    raw = jnp.tile(model.posterior.initial_raw(), (count, 1))
    moments = Moments(jnp.zeros_like(raw), jnp.zeros_like(raw), jnp.zeros(count, jnp.int32))
    return Local(raw, moments)
