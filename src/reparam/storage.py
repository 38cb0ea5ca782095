"""Files that appear whole or not at all, and what a process that died left of them."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

try:
    import fcntl
except ImportError:  # Windows has other locks, and no command that ends by a signal
    fcntl = None  # type: ignore[assignment]

TEMPORARY = ".tmp"
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
    temporary = _temporary(place)
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


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A folder that takes the name ``path``, and the place of what is there, when it is whole and on disk.

    Raises:
        OSError: it cannot be written; what stood under the name stands there still.
    """
    place = Path(os.path.realpath(path))
    sweep(place)
    staged, old = _temporary(place), _temporary(place)
    with begun(staged):
        staged.mkdir()
        descriptor = os.open(staged, os.O_RDONLY) if fcntl else None
        try:
            if descriptor is not None:
                lock(descriptor)
            yield staged
            for written in (*staged.iterdir(), staged):
                sync(written)
            _exchange(staged, place, old)
        finally:
            shutil.rmtree(staged, ignore_errors=True)
            shutil.rmtree(old, ignore_errors=True)
            if descriptor is not None:
                os.close(descriptor)


def _temporary(place: Path) -> Path:
    """A name beside a place that nothing has.

    Raises:
        OSError: nothing is beside it, for it is the root of a disk; or it is a device or a pipe, never to be replaced.
    """
    if not place.name:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(place))
    if place.exists() and not (place.is_file() or place.is_dir()):
        raise OSError(errno.EINVAL, "it is a device or a pipe, and no file", str(place))
    return place.with_name(f".{place.name}.{uuid4().hex[:12]}{TEMPORARY}")


def _exchange(staged: Path, place: Path, old: Path) -> None:
    """Put a folder in its place; what was there is ``old`` then, or there again if that fails."""
    if place.exists():
        os.rename(place, old)
    try:
        os.rename(staged, place)
    except OSError:
        if old.exists():
            os.rename(old, place)
        raise
    sync(place.parent)


def sweep(place: Path) -> None:
    """Remove what dead processes left of a file or a folder: a living one holds the lock of its own."""
    for left in place.parent.glob(f".{_literal(place.name)}.*{TEMPORARY}"):
        with suppress(OSError):
            descriptor = os.open(left, os.O_RDONLY)
            try:
                if lock(descriptor):
                    _remove(left)
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
    """Remove what this process has begun and not finished: files, and folders that are empty or temporary."""
    for path in sorted(unfinished, reverse=True):  # what lies in a folder before the folder
        with suppress(OSError):
            _remove(path)


def _remove(path: Path) -> None:
    """Remove a file or an empty folder; of a temporary folder all that is in it too."""
    if not path.is_dir():
        path.unlink()
    elif path.name.endswith(TEMPORARY):
        shutil.rmtree(path)
    else:
        path.rmdir()


def _literal(name: str) -> str:
    """A name as a pattern that matches itself alone."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)
