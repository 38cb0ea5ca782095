"""The SHA-256 of a source that has parts, by which training that goes on knows it again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event
from typing import Any

from reparam.data.streaming.parts import Parts


@dataclass
class Digest:
    """SHA-256 of the bytes of files, one after the other; they are read once.

    Args:
        files: in their order.
    """

    files: Sequence[Parts]
    _found: str | None = None
    _over: Event = field(default_factory=Event)

    @property
    def value(self) -> str:
        """In hexadecimal digits.

        Raises:
            DataError: a file is gone, or was written since it was opened.
        """
        if self._found is None:
            into = _Until(self._over)
            for file in self.files:
                file.digest(into)
            self._found = into.found.hexdigest()
        return self._found

    @contextmanager
    def meanwhile(self) -> Iterator[None]:
        """Find it in a thread while the files are read for something else, so that a disk gives them once.

        Raises:
            DataError: as of the value.
        """
        with ThreadPoolExecutor(1) as thread:
            found = thread.submit(lambda: self.value)
            try:
                yield
            except BaseException:
                self._over.set()
                raise
            found.result()


class _Until:
    """A hash that is fed until an event comes."""

    def __init__(self, over: Event):
        self.found, self.over = hashlib.sha256(), over

    def update(self, block: Any) -> None:
        """Feed a block.

        Raises:
            CancelledError: nobody wants the hash any more.
        """
        if self.over.is_set():
            raise CancelledError
        self.found.update(block)
