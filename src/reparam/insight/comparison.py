"""Several runs on the same rows: what was set differently, and what that did, with the error of the difference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reparam.data import Schema
from reparam.errors import DataError
from reparam.evaluation.results import Estimate, mean_of
from reparam.insight.session import Session

QUANTITIES = ("bound", "elbo", "reconstruction", "kl")


@dataclass(frozen=True)
class Compared:
    """One run: means over the rows, nats, and their differences from the first run, each with its own error.

    ``differences`` is None for the first run, and where densities are in other units than the first run's.
    """

    name: str
    settings: dict[str, Any]
    means: dict[str, Estimate]
    differences: dict[str, Estimate] | None
    active_units: int
    parameters: int
    epochs: int


@dataclass(frozen=True)
class Comparison:
    """Runs on the same rows.

    Attributes:
        runs: in the order given; the first is what the others are compared with.
        differing: names of the settings that are not the same in all.
        rows: how many.
        samples: K of the bound.
        source: what the rows are.
        notes: what a reader must know.
    """

    runs: tuple[Compared, ...]
    differing: tuple[str, ...]
    rows: int
    samples: int
    source: str
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values; a mean is its value and standard error."""
        return {
            "data": self.source,
            "rows": self.rows,
            "samples": self.samples,
            "differing": list(self.differing),
            "runs": [_run_json(run, self.differing) for run in self.runs],
            "warnings": list(self.notes),
        }


def compare(sessions: Sequence[Session], *, samples: int, seed: int = 0) -> Comparison:
    """Measure runs on the rows of the first session.

    Every quantity is taken row by row, and a difference is the mean of the rows' differences: its standard error
    s(a − b)/√N knows that both runs found the same rows hard. Rows are seen with the same seed by every run.

    Raises:
        DataError: the runs take data of another shape, or hold other rows.
    """
    first = sessions[0]
    for other in sessions[1:]:
        if other.data.rows.shape != first.data.rows.shape:
            raise DataError(
                f"{other.name} takes rows of shape {other.schema.event_shape}, {first.name} of "
                f"{first.schema.event_shape}: only runs of the same data can be compared."
            )
    measured = [_rowwise(session, seed, samples) for session in sessions]
    settings = [session.parameters for session in sessions]
    notes, runs = [], []
    for session, rowwise, own in zip(sessions, measured, settings, strict=True):
        reason = None if session is first else incomparable(first, session)
        if reason is not None:
            notes.append(f"{session.name} is not compared: {reason}.")
        paired = session is not first and reason is None
        codes = session.codes.mean
        runs.append(
            Compared(
                name=session.name,
                settings={name: _plain(value) for name, value in own.items()},
                means={name: mean_of(rowwise[name]) for name in QUANTITIES},
                differences={n: mean_of(rowwise[n] - measured[0][n]) for n in QUANTITIES} if paired else None,
                active_units=int(np.sum(np.var(codes, axis=0, dtype=np.float64) > 0.01)),
                parameters=count_parameters(session),
                epochs=len(session.history),
            )
        )
    return Comparison(tuple(runs), differing(settings), first.rows, samples, first.source, tuple(notes))


def differing(settings: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    """The names whose values are not the same in all.

    >>> differing([{"a": 1, "b": 2}, {"a": 1, "b": 3}])
    ('b',)
    """
    names = dict.fromkeys(name for own in settings for name in own)
    return tuple(name for name in names if len({repr(_plain(own.get(name))) for own in settings}) > 1)


def incomparable(first: Session, other: Session) -> str | None:
    """Why the densities of two runs cannot be subtracted, or None."""
    given = [", ".join(session.vae.fitted_.configuration.condition) or "nothing" for session in (other, first)]
    if given[0] != given[1]:
        return f"it is given {given[0]} and explains the rest, {first.name} is given {given[1]}"
    if _units(first.schema) != _units(other.schema):
        return f"its densities are of {other.schema.units}, those of {first.name} of {first.schema.units}"
    if first.model.likelihood.discrete != other.model.likelihood.discrete:
        return "one of the two gives probabilities of discrete values, the other densities"
    return None


def count_parameters(session: Session) -> int:
    """How many numbers were trained."""
    import equinox as eqx
    import jax

    return sum(leaf.size for leaf in jax.tree.leaves(session.model) if eqx.is_inexact_array(leaf))


def _rowwise(session: Session, seed: int, samples: int) -> dict[str, NDArray[np.float64]]:
    found = session.bounds(np.arange(session.rows), seed, samples)
    reconstruction, kl = np.asarray(found.reconstruction, np.float64), np.asarray(found.kl, np.float64)
    return {
        "bound": np.asarray(found.bound, np.float64),
        "elbo": reconstruction - kl,
        "reconstruction": reconstruction,
        "kl": kl,
    }


def _units(schema: Schema) -> tuple[Any, ...]:
    return schema.units, schema.unit


def _run_json(run: Compared, names: Sequence[str]) -> dict[str, Any]:
    means = {name: mean._asdict() for name, mean in run.means.items()}
    differences = None if run.differences is None else {name: mean._asdict() for name, mean in run.differences.items()}
    return {
        "run": run.name,
        "settings": {name: run.settings.get(name) for name in names},
        **means,
        "differences": differences,
        "active_units": run.active_units,
        "parameters": run.parameters,
        "epochs": run.epochs,
    }


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    return list(value) if isinstance(value, tuple | list) else value
