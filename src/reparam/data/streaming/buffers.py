"""Memory that is used again: a new page takes about as long to get as to fill."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reparam.data.statistics import aligned_in, room_for

MOST_KEPT = 4


class Buffers:
    """Arrays that lie as those of :func:`aligned`, each in the memory of an earlier one that nobody holds any more.

    A view of an array, and JAX where it took one without a copy, holds it, too.

    >>> buffers = Buffers()
    >>> first, second = buffers.array((2, 3), "float32"), buffers.array((2, 3), "float32")
    >>> place, view = first.ctypes.data, second[:1]
    >>> second[:] = 1
    >>> del first, second
    >>> again, another = buffers.array((3, 2), "float32"), buffers.array((2, 3), "float32")
    >>> again.ctypes.data == place, another.ctypes.data == view.ctypes.data, view.tolist()
    (True, False, [[1.0, 1.0, 1.0]])
    """

    def __init__(self) -> None:
        self._kept: list[NDArray[np.uint8]] = []

    def array(self, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
        """An array of that shape and type; what it holds has no meaning."""
        size = room_for(shape, dtype)
        for place, room in enumerate(map(len, self._kept)):
            if room >= size and _holders(self._kept, place) == _UNHELD:
                return aligned_in(self._kept[place], shape, dtype)
        self._kept = [np.empty(size, np.uint8), *self._kept[: MOST_KEPT - 1]]
        return aligned_in(self._kept[0], shape, dtype)


def _holders(kept: list[NDArray[np.uint8]], place: int) -> int:
    """How many hold one of these, as Python counts them."""
    return sys.getrefcount(kept[place])


_UNHELD = _holders([np.empty(1, np.uint8)], 0)
