"""What a user named, a file of data or a run: where it is, told before anything heavy is imported."""

from __future__ import annotations

import difflib
import glob
import re
from pathlib import Path

from reparam.errors import DataError, RunError

SHIPPED = ("digits",)
"""Data that have a name and need no file."""
SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


def is_uri(text: str) -> bool:
    """Whether a text is a URI, and no path.

    >>> is_uri("s3://bucket/x.csv"), is_uri("C:/x.csv"), is_uri("x.npz:train")
    (True, False, False)
    """
    return SCHEME.match(text) is not None


def check_own(place: Path) -> Path:
    """The place itself, if it is one of this machine; a path that was made of a URI has one slash less.

    Raises:
        DataError: it is a URI, which would become a folder that is named like its scheme.

    >>> check_own(Path("s3://bucket/run"))
    Traceback (most recent call last):
    reparam.errors.DataError: s3:/bucket/run is a URI, but what is written lies on this machine. Give a path, …
    """
    if place.parts and re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]+:", place.parts[0]):
        raise DataError(f"{place} is a URI, but what is written lies on this machine. Give a path, and copy it then.")
    return place


def check_data(text: str) -> str:
    """The text itself, if data are there: a name in ``SHIPPED``, a file, an array of one, a folder or a pattern.

    Of a URI that is not asked here, for who knows its store is heavy.

    Raises:
        DataError: there are none; the text says which name was meant.
    """
    path = Path(text).expanduser()
    if text not in SHIPPED and not is_uri(text) and not path.is_dir() and not glob.has_magic(text):
        locate(text)
    return text


def check_run(folder: Path) -> Path:
    """The folder itself, if there is one.

    Raises:
        RunError: there is none.
    """
    if not folder.is_dir():
        raise RunError(f"{folder} is no run folder. 'reparam train DATA --out {folder}' makes one.")
    return folder


def locate(text: str) -> tuple[Path, str | None]:
    """The file, and the array's name behind the last colon; a path that exists is never split.

    Raises:
        DataError: there is no such file, or it is empty.
    """
    whole = Path(text).expanduser()
    head, colon, tail = text.rpartition(":")
    split = Path(head).expanduser()
    if not whole.exists() and colon and (split.is_file() or head.lower().endswith(".npz")):
        _check_file(split, head)
        return split, tail
    _check_file(whole, text)
    return whole, None


def _check_file(path: Path, text: str) -> None:
    if path.exists() and not path.is_file():
        raise DataError(f"{text} is no file: it is a {'folder' if path.is_dir() else 'device or a pipe'}. Give a file.")
    if not path.is_file():
        raise DataError(f"there is no file {text!r}.{_nearest(path)}")
    if path.stat().st_size == 0:
        raise DataError(f"{text} is empty (0 bytes); at least one row is required.")


def _nearest(path: Path) -> str:
    """The most similar name in the folder or in ``SHIPPED``, as a question; else what DATA may be."""
    if not path.parent.is_dir():
        return f" There is no folder {str(path.parent)!r} either."
    here = {entry.name: str(path.parent / entry.name) for entry in path.parent.iterdir()}
    nearest = difflib.get_close_matches(path.name, [*SHIPPED, *here], n=1)
    if nearest:
        return f" Did you mean {here.get(nearest[0], nearest[0])!r}?"
    return f" Give a path, or one of the names: {', '.join(SHIPPED)}."
