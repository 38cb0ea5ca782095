"""What ``reparam train`` does: begin or resume, train, keep."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from signal import SIGTERM
from typing import Any

from reparam.cli.judgement import judged_lines
from reparam.cli.keeper import Every, Keeper
from reparam.cli.options import answer, option, parts_done, tell
from reparam.cli.progress import Show, progress
from reparam.cli.sources import Source, is_large, reading_of
from reparam.data import Dataset
from reparam.devices.processes import any_of, first, is_of_messages, share
from reparam.ending import ending_in_order
from reparam.errors import DataError, ParameterError, TrainingError
from reparam.estimator import Configuration, Fitted, fitting, keeping
from reparam.estimator.latents import choose_latents
from reparam.estimator.seeing import Data, judgement_of
from reparam.estimator.seeing import counts as rows_of
from reparam.runs import Place, check_room, reserve
from reparam.training import Task

JUDGED = {"left out in turn": "on rows left out in turn", "held out": "on held-out rows", "training": "in training"}
NOT_MEANS = ("epoch", "validation", "kept")


@dataclass(frozen=True)
class Job:
    """A model about to be trained, its data, and the place where it is kept."""

    fitted: Fitted
    data: Data
    source: Source
    shown: Path
    place: Place | None  # of several processes the first has it


@contextmanager
def held(path: Path, **how: bool) -> Iterator[Place | None]:
    """The place of the run, which of several processes the first holds for all; they go on when it does."""
    if share().leads:
        with reserve(path, **how) as place:
            first(None)
            yield place
    else:
        first(None)
        yield None


@contextmanager
def begin(
    path: Path,
    data: str,
    parameters: Mapping[str, Any],
    reading: Mapping[str, Any],
    *,
    overwrite: bool,
    streamed: bool | None = None,
) -> Iterator[Job]:
    """Check everything and hold the place, then read the data and build an untrained model; nothing is written."""
    configuration = Configuration(**{"early_stopping": True, **parameters})
    with held(path, overwrite=overwrite) as place:
        said = replace(reading_of(reading), given=tuple(configuration.condition))
        streamed = first(is_large(data, said) if streamed is None else streamed)
        source = Source(data, said, streamed=streamed)
        found = source.survey(configuration, report=parts_done("surveyed")) if source.streamed else source.load()
        configuration, trials = choose_latents(configuration, found, tell)
        path_of_latents = tuple(trial.to_json() for trial in trials)
        begun = replace(fitting.begin(configuration, found), latent_path=path_of_latents)
        yield Job(begun, found, source, path, place)


@contextmanager
def resume(path: Path, data: str | None, parameters: Mapping[str, Any], reading: Mapping[str, Any]) -> Iterator[Job]:
    """Hold a run, and open it and its data again, to go on where it stopped; without DATA its own."""
    with held(path, resume=True) as place:
        run = keeping.opened(path)
        stored = Source.from_json(run.source_)
        asked = reading_of(reading).to_json()
        for name, value in asked.items():
            if value != stored.reading.to_json().get(name):
                raise ParameterError(
                    f"--resume cannot change how {path} reads its data: leave out {option(name)}, or train another run."
                )
        fitted = run.fitted_
        configuration = fitting.continued(fitted, Configuration(**{**vars(fitted.configuration), **parameters}))
        source = stored if data is None else replace(stored, data=data)
        found: Data = (
            source.survey(configuration, fitted.schema, report=parts_done("surveyed"))
            if source.streamed
            else source.load_as(fitted.schema)
        )
        yield Job(fitting.resume(fitted, configuration, found), found, source, path, place)


def run(job: Job, *, every: Every, log_every: int | None = None, quiet: bool = False, as_json: bool = False) -> int:
    """Train to the end, a signal, or the epoch after which nothing improves; keep the run and tell what it is.

    Returns:
        The exit code: 0, or 128 and the number of the signal.

    Raises:
        KeyboardInterrupt: training was broken into before its first epoch was done; nothing is written.
    """
    configuration = job.fitted.configuration
    begun, of = time.monotonic(), fitting.task(job.fitted, job.data)
    source = job.source.to_json(job.data)
    keeping.documents(job.fitted, source)  # what cannot be kept is told before training
    if job.place is not None:
        check_room(job.place, keeping.size_of(job.fitted))
    counts = rows_of(configuration, job.data)
    visited = of.recipe.passes * min(counts[0], of.rows.chunk_rows)
    if not quiet:
        _introduce(job, *counts)
    keeper = Keeper(job.place, job.shown, source, every, job.fitted)
    shown = progress(of.epochs, visited, log_every, quiet=quiet)
    with ending_in_order(keeper.save) as signals:
        try:
            stopped = _train(of, keeper, shown, signals)
        except (TrainingError, DataError):  # the latter of a stream whose files are gone, or are others
            keeper.save()  # the weights of the last whole epoch, which are finite
            raise
        except (RuntimeError, ValueError) as error:
            if is_of_messages(error):
                keeper.save()
            raise
        if not keeper.newest.history:
            raise KeyboardInterrupt
        keeper.save()
        any_of(False)  # nobody leaves before the first has written
    document = _summary(keeper, counts, time.monotonic() - begun, stopped)
    if not quiet:
        tell(_outcome(document, of.epochs))
    if as_json:
        answer(document)
    return 128 + (signals[0] if signals else SIGTERM) if stopped == "interrupted" else 0


def _train(of: Task, keeper: Keeper, shown: AbstractContextManager[Show], signals: Sequence[int]) -> str:
    """What ended training; what is trained is kept now and then on the way."""
    with shown as show:
        for reached, record in fitting.train(keeper.newest, of):
            keeper.note(reached)
            show(record)
            if any_of(bool(signals)):
                return "interrupted"
    return "epochs" if int(keeper.newest.state.epoch) >= of.epochs else "early"


def _introduce(job: Job, training_rows: int, validation_rows: int) -> None:
    fitted, schema = job.fitted, job.fitted.schema
    shape = " × ".join(map(str, schema.event_shape))
    held_out = f", {validation_rows:,} held out" if validation_rows else ""
    tell(f"{schema.name}: rows of {shape}, densities of {schema.units}; {training_rows:,} to train on{held_out}")
    for line in judged_lines(judgement_of(job.data), schema, training_rows + validation_rows):
        tell(line)
    for remark in job.data.remarks if isinstance(job.data, Dataset) else job.data.stream.remarks:
        tell(f"  note: {remark}")
    tell(f"likelihood: {fitted.likelihood} ({fitted.likelihood_reason})")
    configuration, architecture = fitted.configuration, fitted.configuration.architecture()
    if architecture is not None and len(schema.event_shape) > 1:  # of rows without height and width it is no judgement
        layers = architecture.told(schema.event_shape, configuration.widths)
        tell(f"network: {configuration.network} of {layers} ({fitted.network_reason})")
    if fitted.start != "random":
        tell(f"start: {fitted.start}")
    for trial in fitted.latent_path:
        if trial["chosen"]:
            told = f"{trial['behind']:.3f} ± {trial['standard_error']:.3f} nats behind the best that was tried"
            tell(f"latents: {trial['latent_dim']}, the fewest within one standard error ({told})")
    if fitted.history:
        tell(f"resuming {job.shown} after epoch {len(fitted.history)}")


def _summary(keeper: Keeper, counts: tuple[int, int], seconds: float, stopped: str) -> dict[str, Any]:
    """The run in plain values; quantities are those of the weights that are kept, in nats per datum."""
    fitted = keeper.newest
    best = _best(fitted.history)
    return {
        "run": str(keeper.shown),
        "data": fitted.schema.name,
        "training_rows": counts[0],
        "validation_rows": counts[1],
        "likelihood": fitted.likelihood,
        "likelihood_reason": fitted.likelihood_reason,
        "network": fitted.configuration.network,
        "network_reason": fitted.network_reason,
        "start": fitted.start,
        "latent_dim": fitted.configuration.latents,
        "latent_path": list(fitted.latent_path),
        "judged_on": _judged_on(fitted),
        "epochs": len(fitted.history),
        "best_epoch": 0 if best is None else best["epoch"],
        "stopped": stopped,
        "seconds": round(seconds, 3),
        "training": None if best is None else {name: best[name] for name in best if name not in NOT_MEANS},
        "validation": {"bound": float(fitted.state.best_bound)} if best is None else best["validation"],
    }


def _judged_on(fitted: Fitted) -> str:
    """The rows by which weights were chosen, and of which ``validation`` tells; one of ``JUDGED``."""
    if fitted.state.judged is not None:
        return "left out in turn"
    return "held out" if fitted.configuration.early_stopping else "training"


def _best(history: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The epoch whose weights are kept; None where no epoch gained on where training began."""
    return next((line for line in reversed(history) if line["kept"]), None)


def _outcome(document: Mapping[str, Any], epochs: int) -> str:
    """One sentence on how training ended, and which weights are kept."""
    done, best = document["epochs"], document["best_epoch"]
    at = f"after epoch {done} of {epochs}"
    ends = {
        "epochs": f"trained {done} epochs",
        "early": f"stopped early {at}: the bound on rows left out rose no more",
        "interrupted": f"interrupted {at}; what is trained is kept, and --resume continues it",
    }
    measured = document["validation"] or document["training"]
    where = JUDGED[document["judged_on"]]
    weights = f"the weights of epoch {best}" if best else "what training began at, on which no epoch gained"
    kept = f"kept {weights}, bound {measured['bound']:.2f} nats per datum {where}"
    return f"{ends[document['stopped']]}; {kept}: {document['run']}"
