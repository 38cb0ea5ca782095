"""Passes over a stream in chunks: parts in a random order, their rows joined into chunks of one size."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from reparam.data.streaming.surveying import Survey

Item = TypeVar("Item")
CHUNK_BYTES = 1 << 26


@dataclass(frozen=True)
class Passes:
    """The training rows of a stream, pass after pass.

    In each pass the parts, and the rows of each, come in another random order, which the seed and the number of the
    pass tell; a chunk has rows of as many parts as it can hold. The next chunk is read while one is used.

    Args:
        survey: of the stream.
        chunk_rows: rows in a chunk; the last of a pass may have fewer.
        prepare: rows in stored units → rows as a device keeps them.
    """

    survey: Survey
    chunk_rows: int
    prepare: Callable[[NDArray[Any]], NDArray[Any]]

    @property
    def training_rows(self) -> int:
        """How many rows a pass has."""
        return self.survey.training_rows

    def chunks(self, first: int, seed: int) -> Generator[NDArray[Any], None, None]:
        """The chunks of every pass, from that number on, counted from the first chunk of the first pass."""
        number, skipped = divmod(first, -(-self.training_rows // self.chunk_rows))
        return ahead(self._from(number, skipped, seed))

    def _from(self, number: int, skipped: int, seed: int) -> Generator[NDArray[Any], None, None]:
        for this in count(number):
            yield from self._pass((seed, this), skipped * self.chunk_rows)
            skipped = 0

    def _pass(self, seed: tuple[int, int], skipped_rows: int) -> Iterator[NDArray[Any]]:
        """The chunks of one pass behind so many rows; of parts that are skipped only the priorities are drawn."""
        waiting: list[NDArray[Any]] = []
        waits = 0
        for number in np.random.default_rng(seed).permutation(len(self.survey.rows)).tolist():
            if skipped_rows and skipped_rows >= (there := self.survey.training_count(number)):
                skipped_rows -= there
                continue
            rows = self.survey.training(number)
            if not len(rows):
                continue
            order = np.random.default_rng((*seed, number)).permutation(len(rows))
            rows = self.prepare(rows[order[skipped_rows:]])
            skipped_rows = 0
            while waits + len(rows) >= self.chunk_rows:
                taken = self.chunk_rows - waits
                yield np.concatenate([*waiting, rows[:taken]])
                rows, waiting, waits = rows[taken:], [], 0
            waiting, waits = [*waiting, rows.copy()], waits + len(rows)  # a view would keep the whole part
        if waits:
            yield np.concatenate(waiting)


def rows_per_chunk(batch_size: int, row_bytes: int) -> int:
    """Whole batches of as many bytes as a chunk may have, at least one.

    >>> rows_per_chunk(128, 400)
    167680
    """
    return batch_size * max(1, CHUNK_BYTES // (row_bytes * batch_size))


def ahead(items: Generator[Item, None, None]) -> Generator[Item, None, None]:
    """The same items, each of which is made in a thread while the one before it is used.

    >>> list(ahead(number**2 for number in range(4)))
    [0, 1, 4, 9]
    """
    end = object()
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, items, end)
        while (item := coming.result()) is not end:
            coming = thread.submit(next, items, end)
            yield item  # type: ignore[misc]
