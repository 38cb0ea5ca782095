"""Everything that resuming needs, as one PyTree."""

from __future__ import annotations

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
