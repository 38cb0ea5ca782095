"""Passes over a stream in chunks: parts in a random order, their rows joined into chunks of one size."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from reparam.data.streaming.surveying import Survey
from reparam.devices.processes import ALONE, Share, joined

Item = TypeVar("Item")
CHUNK_BYTES = 1 << 26


class Piece(NamedTuple):
    """Rows of one part in a chunk: which process read them, how many they are, and, if it is this one, they."""

    reader: int
    size: int
    rows: NDArray[Any] | None

    def split(self, count: int) -> tuple[Piece, Piece]:
        """The first so many rows, and the others."""
        here = (None, None) if self.rows is None else (self.rows[:count], self.rows[count:])
        return Piece(self.reader, count, here[0]), Piece(self.reader, self.size - count, here[1])


@dataclass(frozen=True)
class Passes:
    """The training rows of a stream, pass after pass.

    In each pass the parts, and the rows of each, come in another random order, which the seed and the number of the
    pass tell; a chunk has rows of as many parts as it can hold. The next chunk is read while one is used. Of several
    processes each reads a share of the parts and has the whole chunk: its rows, and their order, are those of one.

    Args:
        survey: of the stream.
        chunk_rows: rows in a chunk; the last of a pass may have fewer.
        prepare: rows in stored units → rows as a device keeps them.
        share: of the parts, that this process reads.
    """

    survey: Survey
    chunk_rows: int
    prepare: Callable[[NDArray[Any]], NDArray[Any]]
    share: Share = ALONE

    @property
    def training_rows(self) -> int:
        """How many rows a pass has."""
        return self.survey.training_rows

    def chunks(self, first: int, seed: int) -> Generator[NDArray[Any], None, None]:
        """The chunks of every pass, from that number on, counted from the first chunk of the first pass."""
        number, skipped = divmod(first, -(-self.training_rows // self.chunk_rows))
        with closing(ahead(self._from(number, skipped, seed))) as chunks:
            for pieces in chunks:
                yield self._whole(pieces)

    def _whole(self, pieces: list[Piece]) -> NDArray[Any]:
        """The rows of a chunk, those that other processes read among them."""
        own = [piece.rows for piece in pieces if piece.rows is not None]
        if self.share.count == 1:
            return np.concatenate(own)
        like = self.prepare(self.survey.some[:1])
        every, readers = joined(np.concatenate([like[:0], *own])), np.asarray([piece.reader for piece in pieces])
        counts = np.asarray([piece.size for piece in pieces])
        sent = np.argsort(readers, kind="stable")  # the pieces as they come: those of the first reader, in their order
        ends = np.empty(len(pieces), np.int64)
        ends[sent] = np.cumsum(counts[sent])
        return np.concatenate([every[end - count : end] for end, count in zip(ends, counts, strict=True)])

    def _from(self, number: int, skipped: int, seed: int) -> Generator[list[Piece], None, None]:
        for this in count(number):
            yield from self._pass((seed, this), skipped * self.chunk_rows)
            skipped = 0

    def _pass(self, seed: tuple[int, int], skipped_rows: int) -> Iterator[list[Piece]]:
        """The chunks of one pass behind so many rows; of parts that are skipped only the priorities are drawn."""
        waiting: list[Piece] = []
        waits = 0
        for place, number in enumerate(np.random.default_rng(seed).permutation(len(self.survey.rows)).tolist()):
            there = self.survey.training_count(number)
            if skipped_rows and skipped_rows >= there:
                skipped_rows -= there
                continue
            if not there:
                continue
            rows = self._part(seed, number, skipped_rows) if self.share.has(place) else None
            piece = Piece(place % self.share.count, there - skipped_rows, rows)
            skipped_rows = 0
            while waits + piece.size >= self.chunk_rows:
                taken, piece = piece.split(self.chunk_rows - waits)
                yield [*waiting, taken]
                waiting, waits = [], 0
            kept = None if piece.rows is None else piece.rows.copy()  # a view would keep the whole part
            waiting, waits = [*waiting, piece._replace(rows=kept)], waits + piece.size
        if waits:
            yield waiting

    def _part(self, seed: tuple[int, int], number: int, skipped_rows: int) -> NDArray[Any]:
        """The rows of a part in their order in this pass, behind so many."""
        rows = self.survey.training(number)
        order = np.random.default_rng((*seed, number)).permutation(len(rows))
        return self.prepare(rows[order[skipped_rows:]])


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
