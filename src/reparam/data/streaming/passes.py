"""Passes over a stream in chunks: parts in a random order, their rows joined into chunks of one size."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import count, groupby
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from reparam.data.streaming.buffers import Buffers
from reparam.data.streaming.surveying import Survey
from reparam.devices.shares import ALONE, Share

Item = TypeVar("Item")
CHUNK_BYTES = 1 << 26


class Piece(NamedTuple):
    """Rows of one part in a chunk: the place of the part in the pass, and which of its rows, in their order."""

    place: int
    first: int
    end: int

    @property
    def size(self) -> int:
        """How many rows they are."""
        return self.end - self.first


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
        like, buffers = self.prepare(self.survey.some[:1]), Buffers()

        def new(rows: int) -> NDArray[Any]:
            return buffers.array((rows, like.shape[1]), str(like.dtype))

        for this in count(number):
            yield from self._pass((seed, this), skipped * self.chunk_rows, new)
            skipped = 0

    def _pass(self, seed: tuple[int, int], skipped_rows: int, new: Callable[[int], NDArray[Any]]) -> Iterator[Chunk]:
        """The chunks of one pass behind so many rows, each filled in place; parts that are skipped are not read."""
        order = np.random.default_rng(seed).permutation(len(self.survey.rows))
        plan = list(pieces(self.survey.training_counts[order], self.chunk_rows, skipped_rows))
        owned = dict.fromkeys(piece.place for chunk in plan for piece in chunk if self.share.has(piece.place))
        with closing(ahead(self._read(seed, order[list(owned)]))) as parts:
            place = None
            for chunk in plan:
                own = [piece for piece in chunk if self.share.has(piece.place)]
                rows = new(sum(piece.size for piece in own))
                filled = 0
                for piece in own:
                    if piece.place != place:
                        place, (values, drawn) = piece.place, next(parts)
                    into = rows[filled : filled + piece.size]
                    np.take(values, drawn[piece.first : piece.end], axis=0, out=into, mode="clip")
                    filled += piece.size
                readers = np.asarray([piece.place % self.share.count for piece in chunk])
                yield Chunk(rows, readers, np.asarray([piece.size for piece in chunk]))

    def _read(
        self, seed: tuple[int, int], numbers: NDArray[np.int64]
    ) -> Generator[tuple[NDArray[Any], NDArray[np.int64]], None, None]:
        """The rows of these parts as a device keeps them, and the numbers of those trained on, in the pass's order."""
        for number in numbers.tolist():
            rows, trained = self.survey.read(number)
            yield self.prepare(rows), np.random.default_rng((*seed, number)).permutation(trained)


def pieces(counts: Sequence[int] | NDArray[np.int64], chunk_rows: int, skipped_rows: int = 0) -> Iterator[list[Piece]]:
    """What each chunk has of parts of so many rows that come one after the other, behind rows that are skipped.

    >>> for chunk in pieces([3, 0, 4], 2, 2):
    ...     print([tuple(piece) for piece in chunk])
    [(0, 2, 3), (2, 0, 1)]
    [(2, 1, 3)]
    [(2, 3, 4)]
    """
    begins = np.cumsum([0, *counts])
    edges = np.unique(np.concatenate([begins, np.arange(skipped_rows, begins[-1], chunk_rows)]))
    starts = edges[edges >= skipped_rows][:-1]
    places = np.searchsorted(begins, starts, "right") - 1  # of parts that begin there the one that has rows
    bounds = np.stack([starts, edges[len(edges) - len(starts) :]]) - begins[places]
    found = zip((starts - skipped_rows) // chunk_rows, map(Piece, places.tolist(), *bounds.tolist()), strict=True)
    for _, chunk in groupby(found, itemgetter(0)):
        yield [piece for _, piece in chunk]


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
