"""Data and a configuration → a fitted model, epoch by epoch."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from reparam.data import Dataset, Schema, Summary, blocks, inspect, moments, split
from reparam.errors import DataError, ParameterError, ReparamWarning
from reparam.estimator.beginning import first_state
from reparam.estimator.columns import choose_for_table
from reparam.estimator.compilation import keep_compiled
from reparam.estimator.conditions import given_places, without_density
from reparam.estimator.configuration import AUTO, Configuration
from reparam.estimator.likelihood import choose_likelihood, standardization
from reparam.estimator.memory import check_memory
from reparam.evaluation.results import plain
from reparam.evaluation.rows import map_rows, row_keys, row_numbers
from reparam.model import Model
from reparam.networks import choose_network
from reparam.probability.likelihoods import Likelihood
from reparam.training import Record, Rows, Task, TrainState, fit
from reparam.training.binarization import above_half, drawn
from reparam.training.collapse import collapse_warning

CONTINUED = ("epochs", "patience", "learning_rate", "batch_size", "bound_samples")
"""The settings that a training which goes on may change."""


@dataclass(frozen=True)
class Fitted:
    """A trained model with all that its use needs: settings, units, weights, position, history.

    ``start`` says where the weights began: ``random``, or which linear model's answer it was. ``sha256`` is that of the
    rows it was trained on, by which training that goes on knows them. ``latent_path`` tells, where the data chose the
    number of latents, of every number that was tried; ``network_reason`` why networks are what they are.
    """

    configuration: Configuration
    schema: Schema
    likelihood: str | Likelihood
    likelihood_reason: str
    start: str
    state: TrainState
    history: tuple[dict[str, Any], ...]
    sha256: str
    latent_path: tuple[dict[str, Any], ...] = ()
    network_reason: str = ""

    @property
    def model(self) -> Model:
        """The weights to use."""
        return self.state.best_model

    def stored(self, rows: NDArray[Any]) -> tuple[NDArray[Any], Schema]:
        """Rows as a device keeps them, zeros and ones where grey values are binarised, and their schema."""
        return binarized(*self.grey(rows), self.configuration)

    def grey(self, rows: NDArray[Any]) -> tuple[NDArray[Any], Schema]:
        """The same before anything is binarised."""
        schema = self.schema.of(rows)
        return schema.stored(rows, str(jnp.zeros(()).dtype)), schema.on_device


def begin(configuration: Configuration, data: Dataset) -> Fitted:
    """Choose what is to be chosen by the data, and build the untrained model.

    Raises:
        DataError: there are too few rows, or values that the likelihood gives no probability.
        ParameterError: a part does not fit the data.
    """
    keep_compiled()
    if len(data.rows) < 2:
        raise DataError(f"{data.schema.name} has 1 row: at least 2 are required to train.")
    data = replace(data, schema=data.schema.of(data.rows))  # which says whether cells are missing
    configuration, network_reason = with_network(configuration, data.schema)
    summary = inspect(data)
    if summary.constant:
        warnings.warn(_told_constant(summary), ReparamWarning, stacklevel=3)
    likelihood, reason = configuration.likelihood, "chosen by the user"
    if isinstance(likelihood, str):
        table = data.schema.table
        likelihood, reason = (
            choose_likelihood(likelihood, summary, binarize=configuration.binarize)
            if table is None
            else choose_for_table(likelihood, table)
        )
    train, held_out = split_rows(configuration, len(data.rows))
    if len(train) < 2:
        raise DataError(
            f"{data.schema.name} leaves 1 row to train on: at least 2 are required. Give more rows, or hold out none "
            "(early_stopping=False)."
        )
    check_memory(configuration, data.schema, likelihood, len(train))
    mean, std = moments(data.rows[train])
    schema = data.schema
    if configuration.standardize == "auto" and configuration.binarize == "none":
        schema = standardization(schema, likelihood, mean, std)
    schema = without_density(schema, given_places(schema, configuration.condition))
    counts = {"held_out_rows": 0 if held_out is None else len(held_out)}
    start, state = first_state(configuration, schema, likelihood, data.rows[train], found=(mean, std), **counts)
    told = (likelihood, reason, start)
    started = Fitted(configuration, schema, *told, state, (), sha256(data), network_reason=network_reason)
    check_support(started, data.rows)
    return started


def with_network(configuration: Configuration, schema: Schema) -> tuple[Configuration, str]:
    """The configuration with networks that are chosen, and why they are.

    Raises:
        ParameterError: the data are not for the networks that are asked for.
    """
    plain = schema.table is None and not len(configuration.condition)
    hidden = tuple(configuration.hidden)
    network, reason = choose_network(configuration.network, schema.event_shape, hidden=hidden, plain=plain)
    own = configuration.encoder is not None and configuration.decoder is not None
    return replace(configuration, network="mlp" if own else network), "given" if own else reason


def resume(fitted: Fitted, configuration: Configuration, data: Dataset) -> Fitted:
    """A fitted model about to be trained further.

    Raises:
        ParameterError: the configuration differs in what training that goes on cannot change.
        DataError: the rows are not those that it was trained on.
    """
    if configuration.network == AUTO:
        configuration = replace(configuration, network=fitted.configuration.network)
    before, after = fitted.configuration.to_json(), configuration.to_json()
    changed = [name for name in before if before[name] != after[name] and name not in CONTINUED]
    if changed:
        name = changed[0]
        raise ParameterError(
            f"training that goes on cannot change {name} from {before[name]!r} to {after[name]!r}; it may change "
            f"{', '.join(CONTINUED)}. Fit anew (warm_start=False) to change it."
        )
    if sha256(data) != fitted.sha256:
        raise DataError(
            f"{data.schema.name} is not what the model was trained on: its values differ. Training goes on with the "
            "same rows; to train on others, fit anew (warm_start=False)."
        )
    if (configuration.folds(2) is None) != (fitted.state.judged is None):
        raise ParameterError(
            f"training that goes on cannot change epochs from {before['epochs']!r} to {after['epochs']!r}: folds judge "
            "the one and not the other. Keep it, or fit anew (warm_start=False)."
        )
    return replace(fitted, configuration=configuration)


def train(fitted: Fitted, data: Dataset) -> Iterator[tuple[Fitted, Record]]:
    """Go on until the epochs are done or the held-out bound rises no more: what is fitted after each epoch.

    Raises:
        TrainingError: training left the finite numbers.
    """
    warned = False
    for record in fit(fitted.state, _task(fitted, data)):
        fitted = replace(fitted, state=record.state, history=(*fitted.history, history_line(record)))
        warned = warned or _warn_of_collapse(fitted, record)
        yield fitted, record


def split_rows(configuration: Configuration, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64] | None]:
    """The numbers of the rows to train on and to validate on, or all and None."""
    if not configuration.early_stopping:
        return np.arange(count), None
    return split(count, configuration.validation_fraction, configuration.seed)


def sha256(data: Dataset) -> str:
    """SHA-256 of the rows as they came."""
    return hashlib.sha256(np.ascontiguousarray(data.rows).data).hexdigest()


def binarized(rows: NDArray[Any], schema: Schema, configuration: Configuration) -> tuple[NDArray[Any], Schema]:
    """Grey rows as zeros and ones by the configuration, each by noise of its own; others as they are.

    Raises:
        DataError: a value lies outside [0, 1].
    """
    if configuration.binarize == "none":
        return rows, schema
    for block in blocks(rows):
        values = schema.apply(block)
        if not (values.min() >= 0 and values.max() <= 1):
            raise DataError(
                f"{schema.name}: values from {values.min():g} to {values.max():g} cannot be binarised, for a "
                f"probability lies in [0, 1] (units {schema.units}). Rescale the data, or leave out 'binarize'."
            )

    def bits(chunk: jax.Array, numbers: jax.Array) -> jax.Array:
        x = schema.apply(chunk)
        if configuration.binarize == "threshold":
            return above_half(x).astype(jnp.uint8)
        keys = row_keys(configuration.key("binarization"), numbers)
        return jax.vmap(drawn)(x, keys).astype(jnp.uint8)

    ones = np.asarray(map_rows(jax.jit(bits), rows, row_numbers(rows)))
    return ones, replace(schema, dtype="uint8", shift=0.0, scale=1.0, unit=1.0, units="x")


def history_line(record: Record) -> dict[str, Any]:
    """An epoch as values that JSON knows: what is not finite is None. ``kept``: its weights were the best yet."""
    line = {
        "epoch": record.epoch,
        **record.training.to_json(),
        "coefficients": dict(record.coefficients),
        "validation": None if record.validation is None else record.validation.to_json(),
        "kept": int(record.state.stale_epochs) == 0,
    }
    return dict(plain(line))


def _task(fitted: Fitted, data: Dataset) -> Task:
    configuration = fitted.configuration
    train, held_out = split_rows(configuration, len(data.rows))
    redrawn = configuration.binarize == "dynamic"
    validation = None if held_out is None else _on_device(*fitted.stored(data.rows[held_out]))
    return Task(
        rows=_on_device(*(fitted.grey if redrawn else fitted.stored)(data.rows[train])),
        held_out=configuration.folds(len(train)) or validation,
        objective=configuration.objective_part(),
        recipe=configuration.recipe(len(train)),
        settings=configuration.settings(),
    )


def _on_device(rows: NDArray[Any], schema: Schema) -> Rows:
    return Rows(jnp.asarray(rows), schema)


def check_support(fitted: Fitted, rows: NDArray[Any]) -> None:
    """Refuse rows to which the likelihood gives no probability.

    Raises:
        SupportError: a value lies outside its support.
    """
    done = 0
    for block in blocks(rows):
        kept, schema = fitted.stored(block)
        fitted.model.likelihood.check(schema.apply(kept), first_row=done, missing=schema.missing)
        done += len(block)


def _warn_of_collapse(fitted: Fitted, record: Record) -> bool:
    """Whether all latents are dead, and a warning if so."""
    before = [line["kl"] for line in fitted.history[:-1]]
    text = collapse_warning(record.training, before, last=record.epoch == fitted.configuration.most_epochs)
    if text is not None:
        warnings.warn(f"epoch {record.epoch}: {text}", ReparamWarning, stacklevel=4)
    return text is not None


def _told_constant(summary: Summary) -> str:
    shown = ", ".join(summary.constant[:5]) + (", …" if len(summary.constant) > 5 else "")
    return f"{summary.name}: {len(summary.constant)} of {len(summary.columns)} columns are constant ({shown})."
