"""Data and a configuration → a fitted model, epoch by epoch."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from reparam.data import Dataset, Passes, Schema, Summary, Survey, blocks
from reparam.data.streaming.passes import rows_per_chunk
from reparam.devices.processes import share
from reparam.devices.use import in_use
from reparam.errors import DataError, ParameterError, ReparamWarning
from reparam.estimator.beginning import first_state
from reparam.estimator.columns import choose_for_table, likelihood_part
from reparam.estimator.compilation import keep_compiled
from reparam.estimator.conditions import given_places, without_density
from reparam.estimator.configuration import AUTO, Configuration
from reparam.estimator.likelihood import choose_likelihood, standardization
from reparam.estimator.memory import check_memory
from reparam.estimator.seeing import Data, counts, rows_in, schema_of, see, sha256, split_rows, taken
from reparam.evaluation.results import plain
from reparam.evaluation.rows import map_rows, row_keys, row_numbers
from reparam.inference import MeanField
from reparam.model import Model
from reparam.networks import HIDDEN, NARROW, Perceptron, choose_network
from reparam.probability.likelihoods import Likelihood
from reparam.training import Record, Rows, Streamed, Task, TrainState, fit
from reparam.training.binarization import above_half, drawn
from reparam.training.collapse import collapse_warning
from reparam.training.folds import FEW, Folds, one_held_out

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
        return _grey(rows, self.schema)

    def single(self, rows: NDArray[np.float32]) -> tuple[NDArray[np.float32], Schema]:
        """Rows in single precision as they are: a device shifts and scales them batch by batch, in that precision, too.

        That spares a pass over rows which are read over and over. It rounds the shift no further than a value of its
        size is rounded already, and else each value by its last digit.
        """
        return rows, self.schema


def begin(configuration: Configuration, data: Data) -> Fitted:
    """Choose what is to be chosen by the data, and build the untrained model.

    Args:
        configuration: the settings.
        data: rows in memory, or the survey of a stream.

    Raises:
        DataError: there are too few rows, or values that the likelihood gives no probability.
        ParameterError: a part does not fit the data.
    """
    keep_compiled()
    _check_stream(configuration, data)
    configuration, network_reason = with_network(configuration, data)
    seen = see(configuration, data)
    if seen.summary.constant:
        warnings.warn(_told_constant(seen.summary), ReparamWarning, stacklevel=3)
    schema = seen.schema
    likelihood, reason = configuration.likelihood, "chosen by the user"
    if isinstance(likelihood, str):
        likelihood, reason = (
            choose_likelihood(likelihood, seen.summary, binarize=configuration.binarize)
            if schema.table is None
            else choose_for_table(likelihood, schema.table)
        )
    check_memory(configuration, schema, likelihood, seen.total)
    if configuration.standardize == "auto" and configuration.binarize == "none":
        schema = standardization(schema, likelihood, seen.mean, seen.std)
    schema = without_density(schema, given_places(schema, configuration.condition))
    part, rows = likelihood_part(likelihood, schema), seen.rows if isinstance(data, Survey) else data.rows
    _check(part, _stored(rows, schema, configuration), schema.columns)
    start, state = first_state(configuration, schema, likelihood, seen)
    told = (likelihood, reason, start)
    return Fitted(configuration, schema, *told, state, (), sha256(data), network_reason=network_reason)


def with_network(configuration: Configuration, data: Data) -> tuple[Configuration, str]:
    """The configuration with networks that are chosen, and why they are.

    Raises:
        ParameterError: the data are not for the networks that are asked for.
    """
    schema, hidden = schema_of(data), configuration.hidden
    plain = schema.table is None and not len(configuration.condition)
    network, reason = choose_network(configuration.network, schema.event_shape, hidden=hidden, plain=plain)
    own = configuration.encoder is not None and configuration.decoder is not None
    chosen = replace(configuration, network="mlp" if own else network)
    if isinstance(hidden, str):
        few = rows_in(data) <= FEW and isinstance(chosen.architecture(), Perceptron)
        chosen = replace(chosen, hidden=NARROW if few else HIDDEN)
    return chosen, "given" if own else reason


def _check_stream(configuration: Configuration, data: Data) -> None:
    """Refuse what would need memory for every row of a stream."""
    if isinstance(data, Survey) and isinstance(configuration.inference_part(), MeanField):
        raise ParameterError(
            "inference='mean_field' keeps a q for every row, which data that are read part by part have no room for. "
            "Choose inference='amortized', or load the data whole."
        )


def resume(fitted: Fitted, configuration: Configuration, data: Data) -> Fitted:
    """A fitted model about to be trained further.

    Raises:
        ParameterError: the configuration differs in what training that goes on cannot change, or an earlier version
            divided the rows into other folds.
        DataError: the rows are not those that it was trained on.
    """
    configuration = continued(fitted, configuration)
    if sha256(data) != fitted.sha256:
        raise DataError(
            f"{schema_of(data).name} is not what the model was trained on: its values differ. Training goes on with "
            "the same rows; to train on others, fit anew (warm_start=False)."
        )
    _check_folds(fitted, configuration, data)
    return replace(fitted, configuration=configuration)


def _check_folds(fitted: Fitted, configuration: Configuration, data: Data) -> None:
    """Refuse to go on where earlier versions divided the rows into other folds."""
    folds = None if isinstance(data, Survey) else configuration.folds(counts(configuration, data)[0])
    judged = fitted.state.judged
    if folds is not None and judged is not None and folds.held_out.shape != judged.first.shape:
        parts, longest = judged.first.shape
        raise ParameterError(
            f"an earlier version began this training, with {parts} folds of {longest} rows, where there would be "
            f"{len(folds.held_out)} of {folds.held_out.shape[1]} now. It can be used as it is, and not trained "
            "further: fit anew (warm_start=False)."
        )


def continued(fitted: Fitted, configuration: Configuration) -> Configuration:
    """The settings with which a training goes on; what was left to the data stays what it was found to be.

    Raises:
        ParameterError: they differ in what training that goes on cannot change.
    """
    for name in ("network", "hidden"):
        if isinstance(getattr(configuration, name), str) and getattr(configuration, name) == AUTO:
            configuration = replace(configuration, **{name: getattr(fitted.configuration, name)})
    before, after = fitted.configuration.to_json(), configuration.to_json()
    for name in before:
        if before[name] != after[name] and name not in CONTINUED:
            raise ParameterError(
                f"The {name!r} parameter of VAE cannot change from {before[name]!r} to {after[name]!r} while training "
                f"goes on; the parameters of VAE {', '.join(CONTINUED)} can. Fit anew (warm_start=False) to change it."
            )
    if configuration.is_judged != (fitted.state.judged is not None):
        raise ParameterError(
            f"The 'epochs' parameter of VAE cannot change from {before['epochs']!r} to {after['epochs']!r} while "
            "training goes on: folds judge the one and not the other. Keep it, or fit anew (warm_start=False)."
        )
    return configuration


def train(fitted: Fitted, of: Task) -> Iterator[tuple[Fitted, Record]]:
    """Go on until the epochs are done or the held-out bound rises no more: what is fitted after each epoch.

    Args:
        fitted: where to begin.
        of: its :func:`task`.

    Raises:
        TrainingError: training left the finite numbers.
    """
    warned = False
    for record in fit(fitted.state, of):
        fitted = replace(fitted, state=record.state, history=(*fitted.history, history_line(record)))
        warned = warned or _warn_of_collapse(fitted, record, last=record.epoch == of.epochs)
        yield fitted, record


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


def task(fitted: Fitted, data: Data) -> Task:
    """What is maximised for a fitted model, over the rows it was begun with, by the devices that are in use."""
    configuration, total = fitted.configuration, counts(fitted.configuration, data)[0]
    rows: Rows | Streamed
    rows, held_out = _stream_rows(fitted, data) if isinstance(data, Survey) else _whole_rows(fitted, data)
    return Task(
        rows=rows,
        held_out=held_out,
        objective=configuration.objective_part(),
        recipe=replace(configuration.recipe(total), devices=in_use().devices),
        settings=configuration.settings(),
    )


def _whole_rows(fitted: Fitted, data: Dataset) -> tuple[Rows, Rows | Folds | None]:
    """Training rows on the device, and the rows or the folds that judge."""
    configuration = fitted.configuration
    train, held_out = split_rows(configuration, len(data.rows))
    redrawn = configuration.binarize == "dynamic"
    validation = None if held_out is None else _on_device(*fitted.stored(data.rows[held_out]))
    rows = _on_device(*(fitted.grey if redrawn else fitted.stored)(taken(data.rows, train)))
    return rows, configuration.folds(len(train)) or validation


def _stream_rows(fitted: Fitted, found: Survey) -> tuple[Streamed, Rows | Folds | None]:
    """The same of a stream, whose schema says of all chunks alike whether cells are missing."""
    configuration = fitted.configuration
    redrawn = configuration.binarize == "dynamic"
    kept = fitted.grey if redrawn else fitted.stored
    if configuration.binarize == "none" and fitted.schema.dtype == _default_float() == "float32":
        kept = fitted.single
    ends = fitted.schema.apply(np.stack([found.tally.low, found.tally.high]))
    is_sure = fitted.model.likelihood.holds_between(*ends)

    def prepared(rows: NDArray[Any]) -> NDArray[Any]:
        values, schema = kept(rows)
        if redrawn:  # what is checked are the zeros and ones that are drawn of grey values
            check_support(fitted, rows)
        elif not is_sure:
            _check(fitted.model.likelihood, ((block, schema) for block in blocks(values)), fitted.schema.columns)
        return values

    stored, schema = fitted.stored(found.held_out if len(found.held_out) else found.some)
    held_out = _on_device(stored, replace(schema, missing=fitted.schema.missing))
    some, of_chunks = kept(found.some)
    of_chunks = replace(of_chunks, missing=fitted.schema.missing)
    batch_size = configuration.recipe(found.training_rows).batch_size
    passes = Passes(found, rows_per_chunk(batch_size, some[:1].nbytes), prepared, share())
    judged = one_held_out(len(found.held_out)) if configuration.is_judged else held_out
    none = not len(found.held_out)
    return Streamed(passes, held_out, of_chunks), None if none else judged


def _on_device(rows: NDArray[Any], schema: Schema) -> Rows:
    return Rows(jax.device_put(rows), schema)


def check_support(fitted: Fitted, rows: NDArray[Any]) -> None:
    """Refuse rows to which the likelihood gives no probability.

    Raises:
        SupportError: a value lies outside its support.
    """
    _check(fitted.model.likelihood, _stored(rows, fitted.schema, fitted.configuration), fitted.schema.columns)


def _check(part: Likelihood, stored: Iterable[tuple[NDArray[Any], Schema]], names: Sequence[str] | None) -> None:
    """The same of rows as a device keeps them, one block after the other."""
    done = 0
    for block, schema in stored:
        part.check(schema.apply(block), first_row=done, missing=schema.missing, names=names)
        done += len(block)


def _stored(rows: NDArray[Any], schema: Schema, configuration: Configuration) -> Iterator[tuple[NDArray[Any], Schema]]:
    """Blocks of rows as a device keeps them, each with its schema."""
    for block in blocks(rows):
        yield binarized(*_grey(block, schema), configuration)


def _grey(rows: NDArray[Any], schema: Schema) -> tuple[NDArray[Any], Schema]:
    """Rows as a device keeps them before anything is binarised, and their schema."""
    schema = schema.of(rows)
    return schema.stored(rows, _default_float()), schema.on_device


def _default_float() -> str:
    """What a device keeps numbers in."""
    return str(jax.dtypes.canonicalize_dtype(float))


def _warn_of_collapse(fitted: Fitted, record: Record, *, last: bool) -> bool:
    """Whether all latents are dead, and a warning if so."""
    before = [line["kl"] for line in fitted.history[:-1]]
    text = collapse_warning(record.training, before, last=last)
    if text is not None:
        warnings.warn(f"epoch {record.epoch}: {text}", ReparamWarning, stacklevel=4)
    return text is not None


def _told_constant(summary: Summary) -> str:
    shown = ", ".join(summary.constant[:5]) + (", …" if len(summary.constant) > 5 else "")
    return f"{summary.name}: {len(summary.constant)} of {len(summary.columns)} columns are constant ({shown})."
