"""The rows that are trained on, chunk by chunk: all of them at once where they fit, or as they come from a stream."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import repeat
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array

from reparam.data import Passes, Schema
from reparam.devices.mesh import Devices


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

    def on(self, devices: Devices) -> Rows:
        """The same on all of these devices: each takes from them what it needs of a batch."""
        return self._replace(stored=devices.spread(self.stored))

    def chunks(self, first: int, seed: Callable[[], int], devices: Devices) -> Iterator[Rows]:
        """Themselves, for ever."""
        return repeat(self.on(devices))


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

    def chunks(self, first: int, seed: Callable[[], int], devices: Devices) -> Iterator[Rows]:
        """The chunks from that number on, each on the devices when its turn has come."""
        with closing(self.passes.chunks(first, seed())) as chunks:
            for stored in chunks:
                yield Rows(jax.device_put(stored), self.schema).on(devices)
