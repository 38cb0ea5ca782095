"""Many rows, looked at in pieces, so that no copy of the whole is made in double precision."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK_VALUES = 1 << 20  # values looked at in one go: 8 MiB in double precision
CACHED_VALUES = 1 << 18  # and where each piece is passed over several times, so that it stays in a processor's cache
ALIGNMENT = 64


def blocks(rows: NDArray[Any], values: int = BLOCK_VALUES) -> Iterator[NDArray[Any]]:
    """The rows in pieces of at most so many values, at least one row each."""
    step = max(1, values // max(1, rows.shape[1]))
    return (rows[start : start + step] for start in range(0, len(rows), step))


def aligned(shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    """An array that is not filled, and lies where JAX takes it for a processor's own without a copy.

    >>> aligned((3, 2), "float32").ctypes.data % 64
    0
    """
    return aligned_in(np.empty(room_for(shape, dtype), np.uint8), shape, dtype)


def room_for(shape: tuple[int, ...], dtype: str) -> int:
    """The bytes of memory that has such an array in it, wherever it begins."""
    return math.prod(shape) * np.dtype(dtype).itemsize + ALIGNMENT


def aligned_in(room: NDArray[np.uint8], shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    """Such an array in given memory."""
    start = -room.ctypes.data % ALIGNMENT
    return room[start : start + room_for(shape, dtype) - ALIGNMENT].view(dtype).reshape(shape)


def moments(rows: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation (divisor N) of each column in float64, shapes (P,); NaN is left out."""
    present = np.maximum(sum((~np.isnan(block)).sum(axis=0) for block in blocks(rows)), 1)
    mean = sum(np.nansum(block, axis=0, dtype=np.float64) for block in blocks(rows)) / present
    square = sum(np.nansum((block - mean) ** 2, axis=0) for block in blocks(rows)) / present
    return mean, np.sqrt(square)
