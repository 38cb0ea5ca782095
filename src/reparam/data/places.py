"""Where data lie: a path of this machine, or a URI that pyarrow opens, or fsspec where it is installed."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, NamedTuple
from urllib.parse import urlsplit
from urllib.request import url2pathname

from reparam.errors import DataError, ParameterError
from reparam.location import is_uri, locate
from reparam.specification import shown

REASONS = {
    r"NO_SUCH_BUCKET|NoSuchBucket|bucket does not exist": "there is no such bucket. Mend its name",
    r"ACCESS_DENIED|INVALID_ACCESS|InvalidAccess|SIGNATURE|[Cc]redential|Unauthenticated|Forbidden|\b40[13]\b": (
        "the store does not let you in. Log in as it asks, for s3:// by AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or "
        "a profile of AWS"
    ),
    r"NETWORK_CONNECTION|resolve host|[Cc]onnect|[Tt]imed? ?out|PerformWork|unreachable": (
        "the network does not lead there. See that the store's address is right, and answers"
    ),
}
"""What is said of an error of a store, by words of it; the first that fits."""
MOST_TOLD = 200
LIMIT, RETRY_SECONDS = "retry_limit_seconds", 10


class Status(NamedTuple):
    """Size in bytes, and time of the last change in nanoseconds, by the names that a path's status has."""

    st_size: int
    st_mtime_ns: int


@dataclass(frozen=True)
class Remote:
    """A file or folder behind a URI: of a path's methods those by which data are read.

    Args:
        uri: what errors call it, without what stands behind ``?``.
        path: within its file system.
        files: the file system, of ``pyarrow.fs``.
    """

    uri: str
    path: str
    files: Any = field(repr=False, compare=False)

    def __str__(self) -> str:
        return self.uri

    def __truediv__(self, name: str) -> Remote:
        return replace(self, uri=f"{self.uri.rstrip('/')}/{name}", path=f"{self.path.rstrip('/')}/{name}")

    @property
    def name(self) -> str:
        """The last of its names."""
        return PurePosixPath(self.path).name

    @property
    def suffix(self) -> str:
        """The ending of that."""
        return PurePosixPath(self.path).suffix

    @property
    def parent(self) -> Remote:
        """The folder it lies in."""
        uri, path = (text.rstrip("/").rpartition("/")[0] for text in (self.uri, self.path))
        return replace(self, uri=uri, path=path)

    def with_name(self, name: str) -> Remote:
        """Another in its folder."""
        return self.parent / name

    def is_file(self) -> bool:
        """Whether it is there, and a file."""
        return bool(self._info().is_file)

    def is_dir(self) -> bool:
        """Whether it is there, and a folder."""
        return bool(self._info().type.name == "Directory")

    def exists(self) -> bool:
        """Whether it is there."""
        return self.is_file() or self.is_dir()

    def stat(self) -> Status:
        """Its size and time.

        Raises:
            FileNotFoundError: it is not there.
        """
        info = self._info()
        if not info.is_file:
            raise FileNotFoundError(2, "no such file", self.uri)
        return Status(int(info.size or 0), int(info.mtime_ns or 0))

    def open(self, mode: str = "rb") -> BinaryIO:
        """Its bytes, to be read from any place on."""
        with _reaching(self.uri):
            opened: BinaryIO = self.files.open_input_file(self.path)
        return opened

    def iterdir(self) -> Iterator[Remote]:
        """What lies in a folder."""
        yield from (self / name for name, _ in self._listed(recursive=False))

    def walk(self) -> Iterator[PurePosixPath]:
        """Every file below a folder, by its path from there."""
        yield from (PurePosixPath(name) for name, is_file in self._listed(recursive=True) if is_file)

    def _info(self) -> Any:
        with _reaching(self.uri):
            return self.files.get_file_info(self.path)

    def _listed(self, *, recursive: bool) -> list[tuple[str, bool]]:
        from pyarrow.fs import FileSelector

        with _reaching(self.uri):
            infos = self.files.get_file_info(FileSelector(self.path, recursive=recursive))
        root = self.path.strip("/")
        named = [(info.path.strip("/").removeprefix(root).strip("/"), info.is_file) for info in infos]
        return sorted((name, is_file) for name, is_file in named if name)


Place = Path | Remote


def file_of(text: str) -> tuple[Place, str | None]:
    """The file that DATA name, and the array's name behind the last colon of its path.

    Raises:
        DataError: there is no such file, or it is empty.
    """
    if not isinstance(place_of(text), Remote):
        return locate(str(place_of(text)) if is_uri(text) else text)
    path, asked, query = text.partition("?")
    file, colon, array = path.rpartition(":")
    is_split = bool(colon) and "/" not in array and not place_of(text).is_file()
    place = place_of(file + asked + query) if is_split else place_of(text)
    if not place.is_file():
        raise DataError(f"there is no file {str(place)!r}. Give the URI of one that is there.")
    if place.stat().st_size == 0:
        raise DataError(f"{place} is empty (0 bytes); at least one row is required.")
    return place, array if is_split else None


def place_of(source: str | os.PathLike[str]) -> Place:
    """Where a source lies, whether anything is there or not.

    Raises:
        DataError: no store is known by that scheme, or it cannot be reached.
        ParameterError: the URI holds a password.

    >>> str(place_of("file:///data/x.csv")), place_of("x.csv").name
    ('/data/x.csv', 'x.csv')
    """
    text = os.fspath(source)
    if not is_uri(text):
        return Path(text).expanduser()
    try:
        parts = urlsplit(text)
    except ValueError as error:
        raise DataError(f"{shown(text)} is no URI that can be opened: {error}.") from error
    if parts.password is not None:
        raise ParameterError(
            f"the URI of {parts.hostname or parts.scheme} holds a password, which would be kept with the run and "
            "shown. Leave it out, and log in as the store asks, by the environment or a file of its own."
        )
    if parts.scheme.lower() == "file":
        if parts.netloc not in ("", "localhost") or not parts.path:
            raise DataError(f"{text} names no file: a path behind file:// begins with a slash, file:///data/x.csv.")
        return Path(url2pathname(parts.path))
    return _remote(text)


@lru_cache(maxsize=16)
def _remote(text: str) -> Remote:
    """What a URI names; a file system is made once, for some ask their store at that."""
    uri, scheme = text.partition("?")[0].rstrip("/"), text.partition("://")[0]
    known = f"{scheme}:// is opened by fsspec, with a package for that store"
    with _reaching(uri):
        try:
            return Remote(uri, *reversed(_file_system(_patient(text))))
        except ImportError as error:
            raise DataError(f"{known}: {first_line(error)}. Install it.") from error
        except ValueError as error:  # of pyarrow, too
            raise DataError(f"{uri} is no URI that can be opened: {first_line(error)}.") from error


def _file_system(text: str) -> tuple[Any, str]:
    """The file system of a URI, by pyarrow, or by fsspec where pyarrow has none; and the path in it."""
    from pyarrow import ArrowInvalid, fs

    try:
        files, path = fs.FileSystem.from_uri(text)
    except ArrowInvalid as error:
        if "nrecognized filesystem" not in str(error):
            raise
        from fsspec.core import url_to_fs

        store, path = url_to_fs(text)
        files = fs.PyFileSystem(fs.FSSpecHandler(store))
    return files, path


def _patient(text: str) -> str:
    """A URI of Google's store with a limit to its retries, by default a quarter of an hour."""
    if not text.startswith(("gs://", "gcs://")) or LIMIT in text:
        return text
    return f"{text}{'&' if '?' in text else '?'}{LIMIT}={RETRY_SECONDS}"


@contextmanager
def _reaching(uri: str) -> Iterator[None]:
    """Turn what a store raises into one DataError that names the URI.

    Raises:
        DataError: it was asked, and did not answer as it should.
    """
    try:
        yield
    except (DataError, ParameterError, FileNotFoundError):
        raise
    except Exception as error:  # stores of all kinds raise anything
        raise DataError(f"{uri} cannot be reached: {reason_of(error)}.") from error


def reason_of(error: Exception) -> str:
    """Why a store did not answer, in words for a user."""
    if isinstance(error, AttributeError | TypeError):  # of fsspec, where a URI lacks what its store needs
        return "it does not say what its store needs"
    text = str(error)
    told = next((told for pattern, told in REASONS.items() if re.search(pattern, text)), None)
    return first_line(error) if told is None else told


def first_line(error: Exception) -> str:
    """What an error of others says, in one line without its full stop."""
    text = str(error)
    return text.splitlines()[0].rstrip(".")[:MOST_TOLD] if text else type(error).__name__


def arrow_file(place: Place) -> Any:
    """A file as Arrow reads it; one of this machine is mapped."""
    import pyarrow as pa

    return pa.memory_map(str(place)) if isinstance(place, Path) else place.open("rb")


@contextmanager
def on_this_machine(place: Place) -> Iterator[Path]:
    """A file as one of this machine, for what reads no other: of a URI a copy, which vanishes after."""
    if isinstance(place, Path):
        yield place
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / place.name
        with place.open() as source, copy.open("wb") as target:
            shutil.copyfileobj(source, target)
        yield copy
