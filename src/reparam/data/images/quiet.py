"""libtiff prints what it finds in a damaged file by itself, past Python; pillow raises the same, and that is told."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from functools import cache
from typing import Any

from PIL import _imaging


class _Silence:
    """While anybody is in here, libtiff's messages go nowhere; then they go where they went before."""

    def __init__(self) -> None:
        self.change, self.inside, self.before = threading.Lock(), 0, None

    def __enter__(self) -> None:
        with self.change:
            if self.inside == 0:
                self.before = _exchange()(None)
            self.inside += 1

    def __exit__(self, *_: object) -> None:
        with self.change:
            self.inside -= 1
            if self.inside == 0:
                _exchange()(self.before)


@cache
def _exchange() -> Callable[[Any], Any]:
    """``TIFFSetErrorHandler`` of the libtiff that pillow has loaded: it takes a handler and gives the one before."""
    try:
        found = ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler
    except (OSError, AttributeError):  # a pillow without libtiff, or one that hides it
        return lambda handler: handler
    found.argtypes, found.restype = [ctypes.c_void_p], ctypes.c_void_p
    return found


silence = _Silence()
