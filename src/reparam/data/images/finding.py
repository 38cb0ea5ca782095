"""A folder, a pattern or a file → the pictures there, in their order, and the folders that label them."""

from __future__ import annotations

import glob
import io
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path, PurePath, PurePosixPath
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from reparam.data.places import Place, Remote, place_of
from reparam.errors import DataError

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
SHOWN = 4


@dataclass(frozen=True)
class Picture:
    """One picture: what errors call it, and where its bytes are: a file, a buffer, or nowhere."""

    name: str
    content: Place | pa.Buffer | None

    def opened(self) -> BinaryIO:
        """Its bytes, to be read.

        Raises:
            DataError: there are none.
            OSError: they cannot be read.
        """
        if isinstance(self.content, Path | Remote):
            size = self.content.stat().st_size
            if not self.content.is_file():
                raise DataError(f"{self.name} is no file that holds a picture.")
            if size == 0:
                raise DataError(f"{self.name} is empty (0 bytes).")
            if isinstance(self.content, Remote):
                return self.content.open("rb")
            return _Bounded(self.content.open("rb", buffering=0), size)
        if self.content is None or self.content.size == 0:
            raise DataError(f"{self.name} holds no picture: its cell is empty.")
        stream: BinaryIO = pa.BufferReader(self.content)
        return stream


class _Bounded(io.BufferedReader):
    """A file of which no more is asked for than there is: its bytes may say that gigabytes follow."""

    def __init__(self, raw: io.FileIO, size: int):
        super().__init__(raw)
        self.size = size

    def read(self, size: int | None = -1, /) -> bytes:
        left = max(self.size - self.tell(), 0)
        return super().read(left if size is None or size < 0 else min(size, left))


@dataclass(frozen=True)
class Found:
    """Pictures in their order.

    Args:
        source: what errors call all of them.
        pictures: at least one.
        labels: shape (N,), or ``None``.
        index: what names each, shape (N,), or ``None``.
        remarks: what a user should know of how they were found.
    """

    source: str
    pictures: tuple[Picture, ...]
    labels: NDArray[Any] | None = None
    index: NDArray[Any] | None = None
    remarks: tuple[str, ...] = ()

    def take(self, numbers: Sequence[int] | NDArray[Any]) -> Found:
        """Some of them, by their numbers."""
        chosen = np.asarray(numbers, np.int64)
        labels, index = (None if values is None else values[chosen] for values in (self.labels, self.index))
        return replace(
            self, pictures=tuple(self.pictures[number] for number in chosen.tolist()), labels=labels, index=index
        )


def is_picture(path: str | os.PathLike[str]) -> bool:
    """Whether a file's name ends as that of a picture.

    >>> is_picture("Photo.JPG"), is_picture("photo.npy")
    (True, False)
    """
    return os.fspath(path).lower().endswith(ENDINGS)


def pictures_at(text: str) -> Found | None:
    """The pictures of a folder and of those in it, of a pattern such as ``photos/*.png``, or the one of a file.

    They stand in the order of their names, numbers by their size: ``2.png`` before ``10.png``. Where they lie in
    several folders, each has the label of its own: its path below the folder that was named, or below the part of a
    pattern that has no wildcard. Hidden files and folders are passed over, and a folder that links lead to is read
    once, so that a circle of links ends.

    Args:
        text: what the user named.

    Returns:
        None where it is neither a folder, nor a pattern, nor the name of a picture.

    Raises:
        DataError: no picture is there, or a folder may not be read.
    """
    place = place_of(text) if text else Path(text)
    if text and place.is_dir():
        return _found(text, {name: place / str(name) for name in _names(place)}, "is a folder without")
    if glob.has_magic(str(place) if isinstance(place, Path) else place.path) and not place.exists():
        return _found(text, _fitting(place), "is a pattern that fits no")
    return Found(text, (Picture(text, place),)) if is_picture(place.name) and place.is_file() else None


def _names(folder: Place) -> Iterator[PurePath]:
    """Every file below a folder that is not hidden, by its path from there."""
    if isinstance(folder, Path):
        yield from (path.relative_to(folder) for path in _files(folder))
    else:
        yield from (name for name in folder.walk() if not any(part.startswith(".") for part in name.parts))


def _found(text: str, files: Mapping[PurePath, Place], what: str) -> Found:
    every = sorted(files, key=natural)
    pictures = [name for name in every if is_picture(name)]
    others = [name for name in every if not is_picture(name)]
    if not pictures:
        kinds = f", only {_counted(others)}" if others else ""
        raise DataError(
            f"{text} {what} pictures ({', '.join(ENDINGS)}){kinds}. Give one that has some, a file, "
            "or a folder of tables with --stream."
        )
    folders = [_plain(name.parent.as_posix()) for name in pictures]
    names = [_plain(name.as_posix()) for name in pictures]
    return Found(
        text,
        tuple(Picture(_plain(str(files[name])), files[name]) for name in pictures),
        np.asarray(folders) if len({*folders}) > 1 else None,
        np.asarray(names),
        (f"left out: {_counted(others)}, which are no pictures by their names",) if others else (),
    )


def natural(path: PurePath) -> tuple[Any, ...]:
    """What paths are ordered by: folder by folder, letters of either case together, numbers by their size.

    >>> sorted(map(Path, ["b/10.png", "B/2.png", "a.png"]), key=natural)
    [PosixPath('a.png'), PosixPath('B/2.png'), PosixPath('b/10.png')]
    """
    parts = [
        tuple(int(piece) if place % 2 else piece.lower() for place, piece in enumerate(re.split(r"(\d+)", part)))
        for part in path.parts
    ]
    return tuple(parts), str(path)


def _files(root: Path) -> Iterator[Path]:
    """Every file below a folder that is not hidden; real folders before those that links lead to, each once."""
    pending, links, seen = [root], list[Path](), set[tuple[int, int]]()
    while pending or links:
        folder = pending.pop() if pending else links.pop(0)
        try:
            place = folder.stat()
            if (place.st_dev, place.st_ino) in seen:
                continue
            seen.add((place.st_dev, place.st_ino))
            entries = sorted(os.scandir(folder), key=lambda entry: natural(Path(entry.name)))
        except OSError as error:
            raise DataError(f"the folder {_plain(str(folder))} cannot be read: {error.strerror}.") from error
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if os.path.isdir(entry.path):
                (links if entry.is_symlink() else pending).append(Path(entry.path))
            else:
                yield Path(entry.path)


def _fitting(pattern: Place) -> dict[PurePath, Place]:
    """The files that a pattern fits, by their paths from its last folder before a wildcard."""
    parts = PurePath(pattern).parts if isinstance(pattern, Path) else PurePosixPath(pattern.path).parts
    fixed = next((place for place, part in enumerate(parts[:-1]) if glob.has_magic(part)), len(parts) - 1)
    root = pattern
    for _ in parts[fixed:]:
        root = root.parent
    if isinstance(root, Path):
        return {path.relative_to(root): path for path in _matches(Path(*parts))}
    return {name: root / str(name) for name in root.walk() if _fits(name.parts, parts[fixed:])}


def _fits(names: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether a pattern fits a path, as ``glob`` has it: ``**`` any number of folders, ``*`` nothing that is hidden.

    >>> _fits(["a", "b", "1.png"], ["**", "*.png"]), _fits(["a", "1.png"], ["*.png"]), _fits([".1.png"], ["*.png"])
    (True, False, False)
    """
    if not (names and pattern):
        return not (names or pattern)
    hidden = names[0].startswith(".") and not pattern[0].startswith(".")
    if pattern[0] == "**":
        return _fits(names, pattern[1:]) or (not hidden and _fits(names[1:], pattern))
    return not hidden and fnmatchcase(names[0], pattern[0]) and _fits(names[1:], pattern[1:])


def _matches(pattern: Path) -> Iterator[Path]:
    """The files that a pattern fits; those of one folder under one name of it, the shortest."""
    files = [Path(name) for name in glob.iglob(str(pattern), recursive=True) if not os.path.isdir(name)]
    names: dict[str, Path] = {}
    for folder in sorted({path.parent for path in files}, key=lambda folder: (len(str(folder)), str(folder))):
        names.setdefault(os.path.realpath(folder), folder)
    kept = {*names.values()}
    return (path for path in files if path.parent in kept)


def _counted(files: Sequence[PurePath]) -> str:
    """How many files, and of which endings, the commonest first."""
    endings = Counter(_plain(path.suffix.lower()) or "no ending" for path in files).most_common()
    more = f" and {len(endings) - SHOWN} more" if len(endings) > SHOWN else ""
    kinds = ", ".join(ending for ending, _ in endings[:SHOWN]) + more
    return f"{len(files):,} file{'s' if len(files) > 1 else ''} ({kinds})"


def _plain(name: str) -> str:
    """A file's name as text, whatever bytes it has."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
