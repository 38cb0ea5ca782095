"""The training loop: one flat function that yields records; the caller prints, plots and saves."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array

from reparam.data import Schema
from reparam.errors import TrainingError
from reparam.inference import AMORTIZED, Inference
from reparam.objectives import Objective
from reparam.training.epoch import calibrate, evaluate_epoch, train_epoch
from reparam.training.metrics import Metrics, reduce_sums
from reparam.training.state import State, TrainState, advance, epoch_key


@dataclass(frozen=True)
class Settings:
    """How long and how fast to train; ``patience`` counts epochs without a better validation bound, 0 for ever."""

    epochs: int
    batch_size: int
    learning_rate: float
    patience: int = 0


@dataclass(frozen=True)
class Record:
    """One epoch: its number from 1, means over the training and the validation rows, seconds, and the state after.

    ``weights`` are those of the objective at the epoch's last step; the means know no weight but 1.
    """

    epoch: int
    training: Metrics
    validation: Metrics | None
    seconds: float
    state: State
    weights: Mapping[str, float]


def fit(
    state: TrainState,
    rows: Array,
    schema: Schema,
    objective: Objective,
    settings: Settings,
    *,
    validation_rows: Array | None = None,
    inference: Inference = AMORTIZED,
) -> Iterator[Record]:
    """Train from ``state`` until the epochs are done or the validation bound stops rising.

    Args:
        state: where to begin; a saved one continues as if it had never stopped.
        rows: training rows as stored, shape (N, P).
        schema: how stored rows become the model's values.
        objective: what to maximise.
        settings: epochs, batch size, step size, patience.
        validation_rows: held-out rows, shape (M, P); the bound on them decides which weights are best.
        inference: how q of a batch is found.

    Yields:
        A record per epoch.

    Raises:
        TrainingError: the bound is no longer finite.
    """
    batch_size = min(settings.batch_size, rows.shape[0])
    steps = -(-rows.shape[0] // batch_size)
    rate = jnp.float32(settings.learning_rate)
    while int(state.epoch) < settings.epochs and not (0 < settings.patience <= int(state.stale_epochs)):
        started = time.perf_counter()
        train_key, calibration_key = jax.random.split(epoch_key(state))
        model = state.model
        if model.likelihood.refits:
            model = calibrate(model, rows, calibration_key, schema=schema, inference=inference)
        model, moments, sums = train_epoch(
            model,
            state.moments,
            rows,
            train_key,
            rate,
            epoch=state.epoch,
            objective=objective,
            schema=schema,
            batch_size=batch_size,
            inference=inference,
        )
        training = reduce_sums(sums)
        if not math.isfinite(training.bound):
            raise TrainingError(
                f"training diverged in epoch {int(state.epoch) + 1}: the bound is {training.bound}. Lower the learning "
                f"rate (now {settings.learning_rate:g}), or rescale the data: values far beyond ±10 train badly."
            )
        validation = None
        if validation_rows is not None:
            validation = reduce_sums(
                evaluate_epoch(
                    model,
                    validation_rows,
                    state.key,
                    objective=objective,
                    schema=schema,
                    batch_size=batch_size,
                    inference=inference,
                )
            )
        state = advance(state, model, moments, None if validation is None else validation.bound)
        weights = objective.at(state.epoch * steps - 1, steps).coefficients()
        yield Record(int(state.epoch), training, validation, time.perf_counter() - started, state, weights)
