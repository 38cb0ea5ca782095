"""What ``reparam train`` does: begin or resume, train, keep."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from reparam.cli.judgement import judged_lines
from reparam.cli.options import answer, tell
from reparam.cli.progress import Show, progress
from reparam.cli.sources import Source, reading_of
from reparam.data import Dataset
from reparam.errors import ParameterError
from reparam.estimator import Configuration, Fitted, fitting, keeping, load
from reparam.estimator.latents import choose_latents
from reparam.runs import check_place

SAVE_SECONDS = 30.0
STDERR = 2
NOT_MEANS = ("epoch", "validation", "kept")


@dataclass(frozen=True)
class Job:
    """A model about to be trained, its data, and the place where it is kept."""

    fitted: Fitted
    dataset: Dataset
    source: Source
    place: Path

    def save(self, fitted: Fitted) -> None:
        """Write the run as it stands."""
        keeping.save(fitted, self.place, overwrite=True, source=self.source.to_json(self.dataset))


def begin(place: Path, data: str, parameters: Mapping[str, Any], reading: Mapping[str, Any], *, overwrite: bool) -> Job:
    """Check everything, then read the data and build an untrained model; nothing is written."""
    check_place(place, overwrite=overwrite)
    configuration = Configuration(**{"early_stopping": True, **parameters})
    source = Source(data, reading_of(reading))
    dataset = source.load()
    configuration, trials = choose_latents(configuration, dataset, tell)
    fitted = replace(fitting.begin(configuration, dataset), latent_path=tuple(trial.to_json() for trial in trials))
    return Job(fitted, dataset, source, place)


def resume(place: Path, data: str, parameters: Mapping[str, Any], reading: Mapping[str, Any]) -> Job:
    """Open a run and its data again, to go on where it stopped."""
    vae = load(place)
    stored = Source.from_json(vae.source_)
    asked = reading_of(reading).to_json()
    for name, value in asked.items():
        before = stored.reading.to_json().get(name)
        if value != before:
            raise ParameterError(
                f"{place} was trained with {name} = {before!r}, which --resume cannot change to {value!r}. Leave it "
                "out, or train another run."
            )
    fitted = vae.fitted_
    configuration = Configuration(**{**vars(fitted.configuration), **parameters})
    source = replace(stored, data=data)
    dataset = replace(source.load(), schema=fitted.schema)
    return Job(fitting.resume(fitted, configuration, dataset), dataset, source, place)


def run(job: Job, *, as_json: bool) -> None:
    """Train to the end, an interrupt, or the epoch after which nothing improves; keep the run and tell what it is.

    Raises:
        KeyboardInterrupt: training was broken into before its first epoch was done; nothing is written.
    """
    begun, epochs = time.monotonic(), job.fitted.configuration.most_epochs
    train, held_out = fitting.split_rows(job.fitted.configuration, len(job.dataset.rows))
    counts = len(train), 0 if held_out is None else len(held_out)
    _introduce(job, *counts)
    with deferred_interrupt() as interrupted:
        reached, stopped = _train(
            job, progress(epochs, counts[0] * job.fitted.configuration.recipe(counts[0]).passes), interrupted
        )
        if not reached.history:
            raise KeyboardInterrupt
        job.save(reached)
    document = _summary(job, reached, counts, time.monotonic() - begun, stopped)
    tell(_outcome(document, epochs))
    if as_json:
        answer(document)


def _train(job: Job, shown: AbstractContextManager[Show], interrupted: Callable[[], bool]) -> tuple[Fitted, str]:
    """What is fitted at the end, and what ended it; the run is saved now and then on the way."""
    reached, saved = job.fitted, time.monotonic()
    try:
        with shown as show:
            for reached, record in fitting.train(job.fitted, job.dataset):
                show(record)
                if interrupted():
                    return reached, "interrupted"
                if time.monotonic() - saved >= SAVE_SECONDS:
                    job.save(reached)
                    saved = time.monotonic()
    except KeyboardInterrupt:  # asked for a second time
        return reached, "interrupted"
    return reached, "epochs" if int(reached.state.epoch) >= reached.configuration.most_epochs else "early"


def _introduce(job: Job, training_rows: int, validation_rows: int) -> None:
    fitted, schema = job.fitted, job.fitted.schema
    shape = " × ".join(map(str, schema.event_shape))
    held_out = f", {validation_rows:,} held out" if validation_rows else ""
    tell(f"{schema.name}: rows of {shape}, densities of {schema.units}; {training_rows:,} to train on{held_out}")
    for line in judged_lines(job.dataset):
        tell(line)
    tell(f"likelihood: {fitted.likelihood} ({fitted.likelihood_reason})")
    if fitted.start != "random":
        tell(f"start: {fitted.start}")
    for trial in fitted.latent_path:
        if trial["chosen"]:
            told = f"{trial['behind']:.3f} ± {trial['standard_error']:.3f} nats behind the best that was tried"
            tell(f"latents: {trial['latent_dim']}, the fewest within one standard error ({told})")
    if fitted.history:
        tell(f"resuming {job.place} after epoch {len(fitted.history)}")


def _summary(job: Job, fitted: Fitted, counts: tuple[int, int], seconds: float, stopped: str) -> dict[str, Any]:
    """The run in plain values; quantities are those of the weights that are kept, in nats per datum."""
    best = _best(fitted.history)
    return {
        "run": str(job.place),
        "data": fitted.schema.name,
        "training_rows": counts[0],
        "validation_rows": counts[1],
        "likelihood": fitted.likelihood,
        "likelihood_reason": fitted.likelihood_reason,
        "start": fitted.start,
        "latent_dim": fitted.configuration.latents,
        "latent_path": list(fitted.latent_path),
        "epochs": len(fitted.history),
        "best_epoch": 0 if best is None else best["epoch"],
        "stopped": stopped,
        "seconds": round(seconds, 3),
        "training": None if best is None else {name: best[name] for name in best if name not in NOT_MEANS},
        "validation": {"bound": float(fitted.state.best_bound)} if best is None else best["validation"],
    }


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
    where = "on held-out rows" if document["validation"] else "in training"
    weights = f"the weights of epoch {best}" if best else "what training began at, on which no epoch gained"
    kept = f"kept {weights}, bound {measured['bound']:.2f} nats per datum {where}"
    return f"{ends[document['stopped']]}; {kept}: {document['run']}"


@contextmanager
def deferred_interrupt() -> Iterator[Callable[[], bool]]:
    """Ctrl-C is noted and asked for after an epoch, so that none is lost half-way; a second one breaks in at once."""
    asked: list[int] = []

    def note(number: int, frame: Any) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        asked.append(number)
        # print would fail if the signal came in the middle of another print
        os.write(STDERR, b"stopping after this epoch; Ctrl-C again stops at once\n")

    before = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(asked)
    finally:
        signal.signal(signal.SIGINT, before)
