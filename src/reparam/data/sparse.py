"""Rows most of whose values are zero: kept sparse in memory, and dense piece by piece."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray


def is_sparse(value: object) -> bool:
    """Whether a value is a sparse matrix or array of scipy, which is not imported for that."""
    return any(ancestor.__module__.startswith("scipy.sparse") for ancestor in type(value).__mro__)


@dataclass(frozen=True, eq=False)
class SparseRows:
    """Rows (N, P) that are dense where they are looked at: ``rows[start:stop]`` is an array, ``np.asarray(rows)`` all.

    Args:
        matrix: of scipy, compressed by rows.
        shown: what is made of a piece when it is looked at, or None.

    >>> from scipy.sparse import csr_array
    >>> rows = SparseRows.of(csr_array(np.eye(3)))
    >>> rows.shape, rows.dtype, rows[1:].tolist()
    ((3, 3), dtype('uint16'), [[0, 1, 0], [0, 0, 1]])
    """

    matrix: Any
    shown: Callable[[NDArray[Any]], NDArray[Any]] | None = None
    as_dtype: str = ""

    @classmethod
    def of(cls, matrix: Any) -> SparseRows:
        """A sparse matrix of any form; whole numbers from 0 up in the narrowest type that holds them."""
        rows = matrix.tocsr()
        return cls(rows.astype(narrowest(rows.data), copy=False))

    @property
    def shape(self) -> tuple[int, int]:
        """(N, P)."""
        rows, columns = self.matrix.shape
        return int(rows), int(columns)

    @property
    def ndim(self) -> int:
        """Two."""
        return 2

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of a piece."""
        return np.dtype(self.as_dtype or self.matrix.dtype)

    def showing(self, shown: Callable[[NDArray[Any]], NDArray[Any]], dtype: str) -> SparseRows:
        """The same rows, each piece of which becomes what a function makes of it."""
        return replace(self, shown=shown, as_dtype=dtype)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, chosen: Any) -> NDArray[Any]:
        one = isinstance(chosen, int | np.integer)
        piece = self.matrix[slice(chosen, chosen + 1) if one else chosen].toarray()
        piece = piece if self.shown is None else self.shown(piece)
        return np.asarray(piece[0] if one else piece)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[:], dtype)


def narrowest(values: NDArray[Any]) -> np.dtype[Any]:
    """The type in which such values are kept: of whole numbers from 0 up one of integers, else the one they have."""
    if values.size == 0:
        return np.dtype(np.uint16)
    if not (values.min() >= 0 and (values == np.rint(values)).all()):
        return np.dtype(np.float64 if values.dtype.itemsize >= 8 else np.float32)
    return np.dtype(np.uint16 if values.max() < 1 << 16 else np.int32 if values.max() < 1 << 31 else np.float64)
