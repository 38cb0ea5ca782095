"""The rows that are trained on, chunk by chunk: all of them at once where they fit, or as they come from a stream."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import repeat
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array, PRNGKeyArray
from numpy.typing import NDArray

from reparam.data import Passes, Schema
from reparam.devices.dealing import Held
from reparam.devices.mesh import Devices, numbers_of
from reparam.devices.processes import every
from reparam.training.order import Laid, Stored, numbers_calibrating, numbers_visited
from reparam.training.recipe import Recipe


class Rows(NamedTuple):
    """Rows as they are stored, shape (N, P), and how they become the model's values: one chunk, ever the same."""

    stored: Array
    schema: Schema

    @property
    def log_volume(self) -> float:
        """What ln p of a row, as the model sees it, exceeds ln p in units by, nats: the mean over rows."""
        return float(np.mean(self.schema.log_volume_of(np.asarray(self.stored))))

    @property
    def total(self) -> int:
        """N."""
        return len(self.stored)

    @property
    def chunk_rows(self) -> int:
        """How many rows a chunk has, of which the last may have fewer."""
        return len(self.stored)

    @property
    def judged(self) -> Rows:
        """The rows that folds number."""
        return self

    def visited(self, key: PRNGKeyArray, recipe: Recipe) -> Stored:
        """What an epoch of that key takes its batches from."""
        return self.stored

    def calibrating(self, key: PRNGKeyArray) -> Stored:
        """What noise is calibrated by."""
        return self.stored

    def at(self, numbers: Array) -> NDArray[np.generic]:
        """The rows of these numbers, (B, P)."""
        rows: NDArray[np.generic] = np.asarray(self.stored)[np.asarray(numbers)]
        return rows

    def on(self, devices: Devices) -> Rows:
        """The same on all of these devices: each takes from them what it needs of a batch."""
        return self._replace(stored=devices.spread(self.stored))

    def chunks(self, first: int, seed: Callable[[], int], devices: Devices) -> Iterator[Rows]:
        """Themselves, for ever."""
        return repeat(self.on(devices))


class Dealt(NamedTuple):
    """A chunk of which each process has the rows that it read, and each device is given those that it visits."""

    held: Held
    schema: Schema
    devices: Devices

    @property
    def total(self) -> int:
        """How many rows all processes have."""
        return int(self.held.sizes.sum())

    @property
    def log_volume(self) -> float:
        """As that of :class:`Rows`: sums and counts of all processes."""
        own = self.held.own
        volume = float(np.sum(np.broadcast_to(self.schema.log_volume_of(own), len(own)))) if len(own) else 0.0
        return float(sum(theirs for _, theirs in every({}, volume))) / self.total

    def visited(self, key: PRNGKeyArray, recipe: Recipe) -> Stored:
        """The rows of an epoch of that key, in the order of their visits."""
        return self._laid(numbers_visited(key, self.total, recipe))

    def calibrating(self, key: PRNGKeyArray) -> Stored:
        """The rows by which noise is calibrated."""
        return self._laid(numbers_calibrating(key, self.total))

    def at(self, numbers: Array) -> NDArray[np.generic]:
        """The rows of these numbers, (B, P), for every process."""
        rows: NDArray[np.generic] = numbers_of(self._laid(np.asarray(numbers)[None]).rows)[0, : len(numbers)]
        return rows

    def _laid(self, numbers: NDArray[np.int64]) -> Laid:
        return Laid(self.held.dealt(numbers, self.devices), self.total)


class Streamed(NamedTuple):
    """Training rows that are read anew in every pass, and the held-out rows that folds number, which stay in memory.

    Args:
        passes: give the chunks as a device keeps them, in an order of each pass's own.
        held_out: rows that no chunk has.
        schema: of the rows as a device keeps them.
    """

    passes: Passes
    held_out: Rows
    schema: Schema

    @property
    def total(self) -> int:
        """How many rows a pass visits."""
        return self.passes.training_rows

    @property
    def chunk_rows(self) -> int:
        """How many rows a chunk has, of which the last may have fewer."""
        return self.passes.chunk_rows

    @property
    def judged(self) -> Rows:
        """The rows that folds number."""
        return self.held_out

    def chunks(self, first: int, seed: Callable[[], int], devices: Devices) -> Iterator[Rows | Dealt]:
        """The chunks from that number on, each on the devices when its turn has come."""
        with closing(self.passes.chunks(first, seed())) as chunks:
            for chunk in chunks:
                if self.passes.share.count > 1:
                    yield Dealt(Held(chunk.own, chunk.readers, chunk.sizes), self.schema, devices)
                else:  # which looks rows up on its devices more quickly than it could deal them out
                    yield Rows(jax.device_put(chunk.own), self.schema).on(devices)
