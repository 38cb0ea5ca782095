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
from reparam.devices.shares import ALONE, Share

Item = TypeVar("Item")
CHUNK_BYTES = 1 << 26


class Piece(NamedTuple):
    """Rows of one part in a chunk: which process reads them, how many they are, and, if it is this one, they."""

    reader: int
    size: int
    rows: NDArray[Any] | None

    def split(self, count: int) -> tuple[Piece, Piece]:
        """The first so many rows, and the others."""
        here = (None, None) if self.rows is None else (self.rows[:count], self.rows[count:])
        return Piece(self.reader, count, here[0]), Piece(self.reader, self.size - count, here[1])


@dataclass(frozen=True)
class Chunk:
    """Rows that are trained on together: those that this process read, and who read each of all.

    Args:
        own: of this process, in their order, shape (n, P).
        readers: the process that read each piece of the chunk, in the order of the pieces, (pieces,).
        sizes: how many rows each piece has.
    """

    own: NDArray[Any]
    readers: NDArray[np.int64]
    sizes: NDArray[np.int64]

    def __len__(self) -> int:
        return int(self.sizes.sum())


@dataclass(frozen=True)
class Passes:
    """The training rows of a stream, pass after pass.

    In each pass the parts, and the rows of each, come in another random order, which the seed and the number of the
    pass tell; a chunk has rows of as many parts as it can hold. The next chunk is read while one is used. Of several
    processes each reads a share of the parts, and has their rows; which chunk has which rows does not depend on that.

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

    def chunks(self, first: int, seed: int) -> Generator[Chunk, None, None]:
        """The chunks of every pass, from that number on, counted from the first chunk of the first pass."""
        number, skipped = divmod(first, -(-self.training_rows // self.chunk_rows))
        with closing(ahead(self._from(number, skipped, seed))) as chunks:
            yield from chunks

    def _from(self, number: int, skipped: int, seed: int) -> Generator[Chunk, None, None]:
        none = self.prepare(self.survey.some[:1])[:0]
        for this in count(number):
            for pieces in self._pass((seed, this), skipped * self.chunk_rows):
                own = [piece.rows for piece in pieces if piece.rows is not None]
                readers, sizes = ([getattr(piece, name) for piece in pieces] for name in ("reader", "size"))
                yield Chunk(np.concatenate([none, *own]), np.asarray(readers), np.asarray(sizes))
            skipped = 0

    def _pass(self, seed: tuple[int, int], skipped_rows: int) -> Iterator[list[Piece]]:
        """The chunks of one pass behind so many rows; parts that are skipped are not read."""
        order = np.random.default_rng(seed).permutation(len(self.survey.rows))
        ends = np.cumsum(self.survey.training_counts[order])
        waiting: list[Piece] = []
        waits = 0
        with closing(ahead(self._own(seed, order, ends, skipped_rows))) as own:
            for place, end in enumerate(ends.tolist()):
                size = min(end - skipped_rows, int(self.survey.training_counts[order[place]]))
                if size <= 0:
                    continue
                reader = place % self.share.count
                piece = Piece(reader, size, next(own) if reader == self.share.index else None)
                while waits + piece.size >= self.chunk_rows:
                    taken, piece = piece.split(self.chunk_rows - waits)
                    yield [*waiting, taken]
                    waiting, waits = [], 0
                kept = None if piece.rows is None else piece.rows.copy()  # a view would keep the whole part
                waiting, waits = [*waiting, piece._replace(rows=kept)], waits + piece.size
            if waits:
                yield waiting

    def _own(
        self, seed: tuple[int, int], order: NDArray[np.int64], ends: NDArray[np.int64], skipped_rows: int
    ) -> Generator[NDArray[Any], None, None]:
        """What this process reads of a pass: the rows of each of its parts in their order, behind so many of all."""
        for place in filter(self.share.has, range(len(order))):
            number, begin = int(order[place]), int(ends[place - 1]) if place else 0
            if ends[place] > max(begin, skipped_rows):
                rows = self.survey.training(number)
                drawn = np.random.default_rng((*seed, number)).permutation(len(rows))
                yield self.prepare(rows[drawn[max(skipped_rows - begin, 0) :]])


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
