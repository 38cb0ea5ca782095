"""The training driver: one flat function that yields records; the caller prints, plots and saves."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import numpy as np
from jaxtyping import Array
from numpy.typing import NDArray

from reparam.errors import TrainingError
from reparam.model import Model
from reparam.objectives import Objective
from reparam.training.epoch import calibrate, calibrate_copies, evaluate_epoch, judge_copies, train_epoch
from reparam.training.faults import Step, fault
from reparam.training.folds import Folds, is_gain, numbers_seen
from reparam.training.metrics import Metrics, reduce_sums
from reparam.training.pace import Clock
from reparam.training.recipe import Recipe, Settings
from reparam.training.rows import Dealt, Rows, Streamed
from reparam.training.state import (
    Judged,
    TrainState,
    advance,
    epoch_keys,
    one_copy,
    order_seed,
    shapes_of,
    spread,
    validation_key,
)


@dataclass(frozen=True)
class Record:
    """One epoch: its number from 1, means over the training and the validation rows, seconds, and the state after.

    Of rows that come in chunks it is one chunk. ``coefficients`` are those of the objective at the last step; the means
    know none but 1.
    """

    epoch: int
    training: Metrics
    validation: Metrics | None
    seconds: float
    state: TrainState
    coefficients: Mapping[str, float]


@dataclass(frozen=True)
class Task:
    """What is maximised over which rows, and how.

    Args:
        rows: training rows.
        held_out: validation rows, or folds of the rows that are judged, or None; the bound on them decides which
            weights are best.
        objective: what is maximised.
        recipe: how rows are visited, and how weights move.
        settings: passes over the rows, learning rate, patience.
    """

    rows: Rows | Streamed
    held_out: Rows | Folds | None
    objective: Objective
    recipe: Recipe
    settings: Settings

    @property
    def chunks(self) -> int:
        """How many chunks the training rows come in."""
        return -(-self.rows.total // self.rows.chunk_rows)

    @property
    def steps_per_epoch(self) -> int:
        """How many batches all training rows make, as often as they are visited in a row."""
        return self.recipe.passes * -(-self.rows.total // self.recipe.batch_size)

    @property
    def epochs(self) -> int:
        """How many there are at most: of chunks, where rows come in chunks."""
        return self.settings.epochs * self.chunks

    def first_step(self, epoch: int) -> int:
        """The number of the first step of an epoch, counted from 0: of a chunk, where rows come in chunks."""
        whole, part = divmod(epoch, self.chunks)
        return whole * self.steps_per_epoch + part * (self.rows.chunk_rows // self.recipe.batch_size)

    def clock(self, epoch: int) -> Clock:
        """Where that step stands."""
        counts = (self.first_step(epoch), self.steps_per_epoch, self.settings.epochs * self.steps_per_epoch)
        return Clock(*(jax.device_put(np.asarray(count, np.int32)) for count in counts))

    @property
    def folds(self) -> Folds | None:
        """What each copy leaves out, where copies are trained."""
        return self.held_out if isinstance(self.held_out, Folds) else None

    def shares(self, rows: Rows | Dealt) -> NDArray[np.float32] | None:
        """Where copies are trained, the weight of each row of a chunk for each; chunks hold none that is left out."""
        if self.folds is None:
            return None
        if isinstance(self.rows, Rows):
            return self.folds.weights(rows.total)
        return np.ones((self.folds.copies, rows.total), np.float32)

    def spread(self) -> Task:
        """The same with the rows that judge on every device."""
        held_out = self.held_out.on(self.recipe.devices) if isinstance(self.held_out, Rows) else self.held_out
        return replace(self, held_out=held_out)

    def is_over(self, state: TrainState) -> bool:
        """Whether the epochs are done, or the validation bound rises no more: of chunks, whether folds judge them."""
        patience = self.settings.patience * (1 if self.folds else self.chunks)
        waited = 0 < patience <= int(state.stale_epochs)
        return int(state.epoch) >= self.epochs or waited


def fit(state: TrainState, task: Task) -> Iterator[Record]:
    """Train from ``state`` until the epochs are done or the validation bound stops rising.

    Args:
        state: where to begin; a saved one continues as if it had never stopped.
        task: what to maximise, over which rows, and how.

    Yields:
        A record per epoch, or per chunk where rows come in chunks.

    Raises:
        TrainingError: the bound or a weight is no longer finite, or the validation bound never was.
    """
    whole, devices = shapes_of(state), task.recipe.devices
    task, state = task.spread(), spread(state, devices)
    if task.folds is not None and int(state.epoch) == 0:
        state = _judged_start(state, task, task.folds)
    if task.is_over(state):
        return
    for rows in task.rows.chunks(int(state.epoch), partial(order_seed, state), devices):
        started, number = time.perf_counter(), int(state.epoch)
        train_key, calibration_key = epoch_keys(state)
        state, training = _train(state, task, rows, train_key)
        state = _calibrated(state, task, rows, calibration_key)
        better, validation, state = _validate(state, task)
        state = spread(advance(state, None if validation is None else validation.bound, better), devices)
        over = task.is_over(state)
        if validation is not None and over and not math.isfinite(float(state.best_bound)):
            raise TrainingError(
                f"the bound on held-out rows was not finite in any of {int(state.epoch)} epochs, so no weights can be "
                "chosen by it. Hold out none (early_stopping=False), or choose another posterior or likelihood."
            )
        coefficients = task.objective.at(task.first_step(number + 1) - 1, task.steps_per_epoch).coefficients()
        seconds, kept = time.perf_counter() - started, devices.gathered(state, whole)
        yield Record(number + 1, training, validation, seconds, kept, coefficients)
        if over:
            return


def _train(state: TrainState, task: Task, rows: Rows | Dealt, key: Array) -> tuple[TrainState, Metrics]:
    rate, clock = jax.device_put(np.float64(task.settings.learning_rate)), task.clock(int(state.epoch))
    shares = None if (weights := task.shares(rows)) is None else jax.device_put(weights)
    how: Any = {"objective": task.objective, "schema": rows.schema, "recipe": task.recipe, "shares": shares}
    visited = rows.visited(key, task.recipe)
    after, sums, taken = train_epoch(state, visited, key, rate, clock, **how, careful=task.recipe.skip)
    if not (task.recipe.skip or np.asarray(taken).all()):  # the same epoch again, to see which step it was
        after, sums, taken = train_epoch(state, visited, key, rate, clock, **how, careful=True)
    missed = np.argwhere(~np.atleast_2d(taken).T)  # steps, and by which copies
    skipped = len(np.unique(missed[:, 0]))
    if len(missed) and (not task.recipe.skip or skipped == np.shape(taken)[-1]):
        where = (int(missed[0, 1]), int(missed[0, 0]))
        raise TrainingError(_told_fault(after, task, rows, key, where))
    metrics = replace(reduce_sums(sums).in_units(rows.log_volume), skipped=skipped)
    if not math.isfinite(metrics.bound):
        raise TrainingError(
            f"training diverged in epoch {int(state.epoch) + 1}: the bound is {metrics.bound}, for "
            f"{metrics.without_density} rows have no density. Lower the learning rate (now "
            f"{task.settings.learning_rate:g}), or choose another posterior."
        )
    return after, metrics


def _told_fault(after: TrainState, task: Task, rows: Rows | Dealt, key: Array, where: tuple[int, int]) -> str:
    """What a copy's step out of the finite numbers was, and how that is mended."""
    copy, step = where
    after, key = task.recipe.devices.gathered((after, key), (after, key))
    shares, number = task.shares(rows), int(after.epoch)
    model, weights = (
        (after.model, None) if shares is None else (one_copy(after.model, copy), jax.device_put(shares[copy]))
    )
    objective = task.objective.at(task.first_step(number) + step, task.steps_per_epoch)
    at = Step(step, key, task.recipe, objective, weights)
    steps = task.recipe.passes * -(-rows.total // task.recipe.batch_size)
    return (
        f"training diverged in epoch {number + 1}, step {step + 1} of {steps}: "
        f"{fault(model, after.local, rows, at)}. Lower the learning rate (now "
        f"{task.settings.learning_rate:g}), limit the gradient (clip_norm), or rescale the data: values far beyond ±10 "
        "train badly. on_nonfinite='skip' leaves such steps out."
    )


def _calibrated(state: TrainState, task: Task, rows: Rows | Dealt, key: Array) -> TrainState:
    """The noise of the data refitted to the weights as they are now, so that none is used an epoch late."""
    if not state.model.likelihood.refits:
        return state
    stored, schema, shares = rows.calibrating(key), rows.schema, task.shares(rows)

    def refitted(model: Model) -> Model:
        if shares is None:
            return calibrate(model, state.local, stored, key, schema=schema, recipe=task.recipe)
        numbers = jax.device_put(numbers_seen(shares))
        return calibrate_copies(model, stored, numbers, key, schema=schema, recipe=task.recipe)

    model, average = refitted(state.model), None if state.average is None else refitted(state.average)
    return replace(state, model=model, average=average)


def _validate(state: TrainState, task: Task) -> tuple[bool, Metrics | None, TrainState]:
    """Whether these are the best weights yet, the means by which that is judged, and what the judged rows own."""
    if task.held_out is None:
        return True, None, state
    if isinstance(task.held_out, Folds):
        return _judge(state, task, task.held_out)
    now = task.objective.at(task.first_step(int(state.epoch) + 1) - 1, task.steps_per_epoch)
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
    metrics = reduce_sums(sums).in_units(task.held_out.log_volume)
    return metrics.bound > float(state.best_bound), metrics, replace(state, held_out=followed)


def _judge(state: TrainState, task: Task, folds: Folds) -> tuple[bool, Metrics, TrainState]:
    """The same by folds: each row is judged by the copy that never saw it.

    Better is what is best yet, and gains on where training began by more than the gain's own standard error.
    """
    bounds, metrics = _judgement(state, task, folds)
    there = np.asarray(folds.held_out) < task.rows.judged.total
    first = state.judged.first  # type: ignore[union-attr]
    gained = is_gain(*(np.asarray(rows, np.float64)[there] for rows in (bounds, first)))
    better = gained and metrics.bound > float(state.best_bound)
    return better, metrics, replace(state, judged=Judged(first, bounds)) if better else state


def _judged_start(state: TrainState, task: Task, folds: Folds) -> TrainState:
    """The state before the first epoch, with the bound of where it begins: training has to gain on that."""
    bounds, metrics = _judgement(state, task, folds)
    bound = jax.device_put(np.asarray(metrics.bound, state.best_bound.dtype))
    return replace(state, best_bound=bound, judged=Judged(bounds, bounds))


def _judgement(state: TrainState, task: Task, folds: Folds) -> tuple[Array, Metrics]:
    """The bound of each row under the copy that never saw it, and the means over all rows."""
    judged, key, held_out = task.rows.judged, validation_key(state), jax.device_put(folds.held_out)
    bounds, sums = judge_copies(state.candidate, judged.stored, held_out, key, schema=judged.schema, recipe=task.recipe)
    return bounds, reduce_sums(sums).in_units(judged.log_volume)
