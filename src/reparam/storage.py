"""Files that appear whole or not at all, and what a process that died left of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

try:
    import fcntl
except ImportError:  # Windows has other locks, and no command that ends by a signal
    fcntl = None  # type: ignore[assignment]

unfinished: set[Path] = set()
"""What this process has begun to write: who ends it suddenly removes them first, see :func:`remove_unfinished`."""


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file that takes the name ``path`` when it is whole and on disk, and vanishes when anything fails.

    A symbolic link keeps pointing where it pointed: the file behind it is replaced.

    Raises:
        OSError: it cannot be written; what stood under the name stands there still.
    """
    place = Path(os.path.realpath(path))
    sweep(place)
    temporary = place.with_name(f".{place.name}.{uuid4().hex[:12]}.tmp")
    with begun(temporary):
        try:
            with temporary.open("xb") as file:
                lock(file.fileno())
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, place)
        finally:
            temporary.unlink(missing_ok=True)


def sweep(place: Path) -> None:
    """Remove what dead processes left of a file: a living one holds the lock of its own."""
    for left in place.parent.glob(f".{_literal(place.name)}.*.tmp"):
        with suppress(OSError):
            descriptor = os.open(left, os.O_RDONLY)
            try:
                if lock(descriptor):
                    left.unlink()
            finally:
                os.close(descriptor)


def lock(descriptor: int) -> bool:
    """Take the lock of an open file or folder, if nobody has it; it ends with the process, however that ends."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on disk."""
    if os.name == "nt" and path.is_dir():
        return  # folders cannot be opened there
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def begun(path: Path) -> Iterator[None]:
    """Count a file or a folder among the unfinished."""
    unfinished.add(path)
    try:
        yield
    finally:
        unfinished.discard(path)


def remove_unfinished() -> None:
    """Remove what this process has begun and not finished: files, and folders that are empty."""
    for path in sorted(unfinished, reverse=True):  # what lies in a folder before the folder
        with suppress(OSError):
            path.rmdir() if path.is_dir() else path.unlink()


def _literal(name: str) -> str:
    """A name as a pattern that matches itself alone."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)
