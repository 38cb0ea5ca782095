"""The training driver: one flat function that yields records; the caller prints, plots and saves."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from reparam.data import Schema
from reparam.errors import TrainingError
from reparam.model import Model
from reparam.objectives import Objective
from reparam.training.epoch import calibrate, evaluate_epoch, train_epoch
from reparam.training.faults import fault
from reparam.training.metrics import Metrics, reduce_sums
from reparam.training.recipe import Recipe, Settings
from reparam.training.state import TrainState, advance, epoch_keys, validation_key


@dataclass(frozen=True)
class Record:
    """One epoch: its number from 1, means over the training and the validation rows, seconds, and the state after.

    ``coefficients`` are those of the objective at the epoch's last step; the means know none but 1.
    """

    epoch: int
    training: Metrics
    validation: Metrics | None
    seconds: float
    state: TrainState
    coefficients: Mapping[str, float]


class Rows(NamedTuple):
    """Rows as they are stored, shape (N, P), and how they become the model's values."""

    stored: Array
    schema: Schema


@dataclass(frozen=True)
class Task:
    """What is maximised over which rows, and how.

    Args:
        rows: training rows.
        held_out: validation rows, or None; the bound on them decides which weights are best.
        objective: what is maximised.
        recipe: how rows are visited, and how weights move.
        settings: epochs, learning rate, patience.
    """

    rows: Rows
    held_out: Rows | None
    objective: Objective
    recipe: Recipe
    settings: Settings

    @property
    def steps_per_epoch(self) -> int:
        """How many batches the training rows make."""
        return -(-len(self.rows.stored) // self.recipe.batch_size)

    def is_over(self, state: TrainState) -> bool:
        """Whether the epochs are done, or the validation bound rises no more."""
        waited = 0 < self.settings.patience <= int(state.stale_epochs)
        return int(state.epoch) >= self.settings.epochs or waited


def fit(state: TrainState, task: Task) -> Iterator[Record]:
    """Train from ``state`` until the epochs are done or the validation bound stops rising.

    Args:
        state: where to begin; a saved one continues as if it had never stopped.
        task: what to maximise, over which rows, and how.

    Yields:
        A record per epoch.

    Raises:
        TrainingError: the bound or a weight is no longer finite, or the validation bound never was.
    """
    while not task.is_over(state):
        started = time.perf_counter()
        train_key, calibration_key = epoch_keys(state)
        state, training = _train(state, task, train_key)
        state = _calibrated(state, task, calibration_key)
        state, validation = _validate(state, task)
        last = (int(state.epoch) + 1) * task.steps_per_epoch - 1
        state = advance(state, None if validation is None else validation.bound)
        if validation is not None and task.is_over(state) and not math.isfinite(float(state.best_bound)):
            raise TrainingError(
                f"the bound on held-out rows was not finite in any of {int(state.epoch)} epochs, so no weights can be "
                "chosen by it. Hold out none (early_stopping=False), or choose another posterior or likelihood."
            )
        coefficients = task.objective.at(jnp.asarray(last), task.steps_per_epoch).coefficients()
        yield Record(int(state.epoch), training, validation, time.perf_counter() - started, state, coefficients)


def _train(state: TrainState, task: Task, key: Array) -> tuple[TrainState, Metrics]:
    total_steps = jnp.asarray(task.settings.epochs * task.steps_per_epoch)
    rate = jnp.asarray(task.settings.learning_rate, float)
    stored, schema = task.rows
    after, sums, taken = train_epoch(
        state, stored, key, rate, total_steps, objective=task.objective, schema=schema, recipe=task.recipe
    )
    missed = np.flatnonzero(~np.asarray(taken))
    if len(missed) and (not task.recipe.skip or len(missed) == len(taken)):
        told = fault(after, task.rows, key, int(missed[0]), objective=task.objective, recipe=task.recipe)
        raise TrainingError(
            f"training diverged in epoch {int(state.epoch) + 1}, step {missed[0] + 1} of {len(taken)}: {told}. Lower "
            f"the learning rate (now {task.settings.learning_rate:g}), limit the gradient (clip_norm), or rescale the "
            "data: values far beyond ±10 train badly. on_nonfinite='skip' leaves such steps out."
        )
    metrics = replace(reduce_sums(sums).in_units(schema.log_volume), skipped=len(missed))
    if not math.isfinite(metrics.bound):
        raise TrainingError(
            f"training diverged in epoch {int(state.epoch) + 1}: the bound is {metrics.bound}, for "
            f"{metrics.without_density} rows have no density. Lower the learning rate (now "
            f"{task.settings.learning_rate:g}), or choose another posterior."
        )
    return after, metrics


def _calibrated(state: TrainState, task: Task, key: Array) -> TrainState:
    """The noise of the data refitted to the weights as they are now, so that none is used an epoch late."""
    if not state.model.likelihood.refits:
        return state
    stored, schema = task.rows

    def refitted(model: Model) -> Model:
        return calibrate(model, state.local, stored, key, schema=schema, recipe=task.recipe)

    model, average = refitted(state.model), None if state.average is None else refitted(state.average)
    calibrated: TrainState = eqx.tree_at(
        lambda s: (s.model, s.average), state, (model, average), is_leaf=lambda leaf: leaf is None
    )
    return calibrated


def _validate(state: TrainState, task: Task) -> tuple[TrainState, Metrics | None]:
    """The bound on held-out rows by the coefficients that training has reached, and the q that those rows own."""
    if task.held_out is None:
        return state, None
    now = task.objective.at((state.epoch + 1) * task.steps_per_epoch - 1, task.steps_per_epoch)
    stored, schema = task.held_out
    followed, sums = evaluate_epoch(
        state.candidate,
        state.held_out,
        stored,
        validation_key(state),
        objective=now,
        schema=schema,
        recipe=task.recipe,
    )
    after: TrainState = eqx.tree_at(lambda s: s.held_out, state, followed, is_leaf=lambda leaf: leaf is None)
    return after, reduce_sums(sums).in_units(schema.log_volume)
