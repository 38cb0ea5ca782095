"""What ``reparam train`` does: begin or resume, train, keep."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from reparam.cli.options import answer, tell
from reparam.cli.progress import progress
from reparam.cli.sources import Source, fingerprint
from reparam.data import Dataset, split
from reparam.errors import DataError, ParameterError
from reparam.estimator import VAE, load
from reparam.runs import check_place
from reparam.training import Record

SAVE_SECONDS = 30.0
STDERR = 2
RESUMABLE = ("epochs", "patience", "learning_rate", "batch_size", "bound_samples")


@dataclass(frozen=True)
class Job:
    """A prepared estimator, its data, and the place where it is kept."""

    vae: VAE
    dataset: Dataset
    source: Source
    place: Path

    def save(self) -> None:
        """Write the run as it stands."""
        self.vae.save(self.place, overwrite=True, data=self.source.to_json(self.dataset))


def begin(place: Path, data: str, parameters: Mapping[str, Any], reading: Mapping[str, Any], *, overwrite: bool) -> Job:
    """Check everything, then read the data and build an untrained model; nothing is written."""
    check_place(place, overwrite=overwrite)
    vae = VAE(**{"early_stopping": True, **parameters})
    vae.check_parameters()
    source = Source(data, **reading)
    dataset = source.load()
    return Job(vae.prepare(dataset), dataset, source, place)


def resume(place: Path, data: str, parameters: Mapping[str, Any], reading: Mapping[str, Any]) -> Job:
    """Open a run and its data again, to go on where it stopped."""
    vae = load(place)
    stored = Source.from_json(vae.source_)
    _check_resumable(place, {**vae.get_params(deep=False), **vars(stored)}, {**parameters, **reading})
    vae.set_params(**parameters)
    vae.check_parameters()
    source = replace(stored, data=data)
    dataset = source.load()
    if dataset.schema.event_shape != vae.schema_.event_shape or fingerprint(dataset) != vae.source_["sha256"]:
        raise DataError(f"{data} is not what {place} was trained on: its values differ. Resume with the same data.")
    return Job(vae, replace(dataset, schema=vae.schema_), source, place)


def _check_resumable(place: Path, stored: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    for name, value in given.items():
        if name not in RESUMABLE and value != stored[name]:
            raise ParameterError(
                f"{place} was trained with {name} = {stored[name]!r}, which --resume cannot change to {value!r}; "
                f"it may change {', '.join(RESUMABLE)}. Leave it out, or train another run."
            )


def run(job: Job, *, as_json: bool) -> None:
    """Train to the end, an interrupt, or the epoch after which nothing improves; keep the run and tell what it is.

    Raises:
        KeyboardInterrupt: training was broken into before its first epoch was done; nothing is written.
    """
    vae, begun = job.vae, time.monotonic()
    training_rows, validation_rows = _counts(job)
    _introduce(job, training_rows, validation_rows)
    with deferred_interrupt() as interrupted:
        saved = time.monotonic()
        with progress(vae.epochs, training_rows) as show:

            def report(record: Record) -> None:
                nonlocal saved
                show(record)
                if interrupted():
                    raise KeyboardInterrupt
                if time.monotonic() - saved >= SAVE_SECONDS:
                    job.save()
                    saved = time.monotonic()

            vae.fit_dataset(job.dataset, report=report, resume=True)
        if not vae.history_:
            raise KeyboardInterrupt
        job.save()
    document = _summary(job, training_rows, validation_rows, time.monotonic() - begun)
    tell(_outcome(document, vae.epochs))
    if as_json:
        answer(document)


def _counts(job: Job) -> tuple[int, int]:
    """How many rows are trained on, and how many are held out."""
    rows = len(job.dataset.rows)
    if not job.vae.early_stopping:
        return rows, 0
    train, held_out = split(rows, job.vae.validation_fraction, job.vae.seed_)
    return len(train), len(held_out)


def _introduce(job: Job, training_rows: int, validation_rows: int) -> None:
    vae, schema = job.vae, job.vae.schema_
    shape = " × ".join(map(str, schema.event_shape))
    held_out = f", {validation_rows:,} held out" if validation_rows else ""
    tell(f"{schema.name}: rows of {shape}, seen as {schema.units}; {training_rows:,} to train on{held_out}")
    tell(f"likelihood: {vae.likelihood_} ({vae.likelihood_reason_})")
    if vae.history_:
        tell(f"resuming {job.place} after epoch {vae.n_iter_}")


def _summary(job: Job, training_rows: int, validation_rows: int, seconds: float) -> dict[str, Any]:
    """The run in plain values; quantities are those of the weights that are kept, in nats per datum."""
    vae = job.vae
    best = _best(vae.history_)
    return {
        "run": str(job.place),
        "data": vae.schema_.name,
        "training_rows": training_rows,
        "validation_rows": validation_rows,
        "likelihood": vae.likelihood_,
        "likelihood_reason": vae.likelihood_reason_,
        "epochs": vae.n_iter_,
        "best_epoch": best["epoch"],
        "stopped": _stopped(vae),
        "seconds": round(seconds, 3),
        "training": {name: value for name, value in best.items() if name not in ("epoch", "validation")},
        "validation": best["validation"],
    }


def _stopped(vae: VAE) -> str:
    if vae.interrupted_:
        return "interrupted"
    return "epochs" if vae.n_iter_ >= vae.epochs else "early"


def _best(history: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The epoch whose weights are kept: the best on held-out rows, or the newest where none are held out."""
    if history[-1]["validation"] is None:
        return history[-1]
    return max(history, key=lambda line: float(line["validation"]["bound"]))


def _outcome(document: Mapping[str, Any], epochs: int) -> str:
    """One sentence on how training ended, and which weights are kept."""
    done, best = document["epochs"], document["best_epoch"]
    at = f"after epoch {done} of {epochs}"
    ends = {
        "epochs": f"trained {done} epochs",
        "early": f"stopped early {at}: the held-out bound rose no more",
        "interrupted": f"interrupted {at}; what is trained is kept, and --resume continues it",
    }
    measured = document["validation"] or document["training"]
    where = "on held-out rows" if document["validation"] else "in training"
    kept = f"kept the weights of epoch {best}, bound {measured['bound']:.2f} nats per datum {where}"
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
