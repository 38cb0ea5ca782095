"""A sparse matrix as a stream: its parts are dense one at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from reparam.data.arrays import Raw, from_array
from reparam.data.reading import Reading
from reparam.data.sparse import SparseRows
from reparam.data.streaming.opening import JUDGED_ROWS, Stream
from reparam.data.streaming.parts import PART_BYTES, Parts


class SparseParts(Parts):
    """Ranges of rows of a sparse matrix, which is in memory and cannot go.

    >>> from scipy.sparse import eye_array
    >>> SparseParts(SparseRows.of(eye_array(4)), "x").read(0).array.shape
    (4, 4)
    """

    def __init__(self, rows: SparseRows, name: str):
        self.name, self.rows = name, rows
        self._at_once = max(1, PART_BYTES // (rows.shape[1] * rows.dtype.itemsize))

    @property
    def count(self) -> int:
        """How many there are."""
        return -(-len(self.rows) // self._at_once)

    def _read(self, number: int, columns: Sequence[str] | None) -> Raw:
        return Raw(self.rows[number * self._at_once : (number + 1) * self._at_once])

    def check(self) -> None:
        """Nothing can have changed."""

    def digest(self, into: Any) -> None:
        """Feed all that is not zero, and where it stands, to a hash."""
        for values in (self.rows.matrix.indptr, self.rows.matrix.indices, self.rows.matrix.data):
            into.update(np.ascontiguousarray(values).data)


def sparse_stream(rows: SparseRows, name: str = "X") -> Stream:
    """Sparse rows as a stream; the first rows say what all are.

    Raises:
        DataError: there are no rows or columns, or a value is infinite.
    """
    first = from_array(rows[:JUDGED_ROWS], name=name, allow_missing=True)
    return Stream(name, (SparseParts(rows, name),), replace(first.schema, dtype=str(rows.dtype)), Reading())
