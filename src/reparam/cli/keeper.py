"""What is trained, kept: now and then, at the end, and when a signal says so."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from reparam.cli.options import tell
from reparam.errors import ParameterError, RunError
from reparam.estimator import Fitted, keeping
from reparam.runs import ForeignRunError, Place, write_run

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class Every:
    """How often a checkpoint is written: after so many epochs, or so many seconds.

    >>> Every.of("10"), Every.of("2m")
    (Every(epochs=10, seconds=None), Every(epochs=None, seconds=120.0))
    """

    epochs: int | None = None
    seconds: float | None = 30.0

    @classmethod
    def of(cls, text: str) -> Every:
        """As a user writes it.

        Raises:
            ParameterError: it is no positive number with s, m, h or nothing behind it.
        """
        number, unit = (text[:-1], text[-1]) if text[-1:] in UNITS else (text, "")
        try:
            found = cls(None, float(number) * UNITS[unit]) if unit else cls(int(number), None)
        except ValueError:
            found = cls(0, 0.0)
        if not 0 < (found.epochs or found.seconds or 0) <= 10**9:
            raise ParameterError(
                "--checkpoint-every must be a number of epochs, such as 10, or a time, such as 30s or 5m. "
                f"Got {text!r} instead."
            )
        return found

    def is_due(self, epochs: int, seconds: float) -> bool:
        """Whether a checkpoint is due so long after the last one."""
        return epochs >= self.epochs if self.epochs is not None else seconds >= (self.seconds or 0.0)


class Keeper:
    """The newest of what is trained, and the place where it is kept.

    Args:
        place: where; None for a process that leaves it to the first.
        shown: the same as the user named it.
        source: what ``data.json`` says of the rows.
        every: how often.
        begun: what training begins with.
    """

    def __init__(self, place: Place | None, shown: Path, source: Mapping[str, Any], every: Every, begun: Fitted):
        self.place, self.shown, self.source, self.every, self.newest = place, shown, source, every, begun
        self._kept: Fitted | None = None
        self._saved, self._saved_at, self._complained = len(begun.history), time.monotonic(), False
        self._one_at_a_time = threading.Lock()

    def note(self, fitted: Fitted) -> None:
        """An epoch is done: keep it if that is due; where it cannot be kept, say so once and go on."""
        self.newest = fitted
        if not self.every.is_due(len(fitted.history) - self._saved, time.monotonic() - self._saved_at):
            return
        try:
            self._write()
        except RunError as error:
            self._saved_at = time.monotonic()
            if not self._complained:
                tell(f"reparam: warning: {error} Training goes on; the run there stands after epoch {self._saved}.")
            self._complained = True

    def save(self) -> None:
        """Write the run for the last time; beside its place, if that was taken by somebody else.

        Raises:
            RunError: it cannot be written, and the checkpoint before it is kept; or it stands beside its place.
        """
        try:
            self._write()
        except ForeignRunError as error:
            name = self.shown.name
            beside = next(path for n in count(2) if not (path := self.shown.with_name(f"{name}-{n}")).exists())
            write_run(beside, keeping.as_run(self.newest, self.source))
            raise RunError(f"{error} What is trained is kept in {beside}.") from error

    def _write(self) -> None:
        """Write the run as it stands, unless nothing was trained."""
        with self._one_at_a_time:
            fitted = self.newest
            if self.place is not None and fitted.history and fitted is not self._kept:
                self.place.write(keeping.as_run(fitted, self.source))
                self._kept, self._saved, self._saved_at = fitted, len(fitted.history), time.monotonic()
