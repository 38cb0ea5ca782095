"""NumPy and IDX files → named arrays; nothing here ever opens a pickle."""

from __future__ import annotations

import gzip
import math
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reparam.data.arrays import Raw, stored_dtype
from reparam.data.places import Place, reason_of
from reparam.errors import DataError, ParameterError, UnknownNameError

IDX_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
PICKLE = "holds Python objects; they are stored as pickles, and opening a pickle runs code, so it is refused"


@contextmanager
def reading(path: Place, kind: str) -> Iterator[None]:
    """Turn whatever a parser raises on damaged bytes into one DataError that names the file."""
    try:
        yield
    except (DataError, ParameterError):
        raise
    except PermissionError as error:
        raise DataError(f"{path} may not be read: permission denied.") from error
    except Exception as error:  # parsers of foreign bytes raise anything, from zlib.error to SyntaxError
        text = str(error) if isinstance(path, Path) else reason_of(error)
        if "pickle" in text.lower() or "python objects" in text.lower():
            raise DataError(f"{path} {PICKLE}. Save numbers, with a numeric dtype.") from error
        reason = text.splitlines()[0] if text else type(error).__name__
        raise DataError(
            f"{path} is truncated, damaged or no {kind}: {reason.rstrip('.')}. Write or fetch it again."
        ) from error


def read_npy(path: Place, array: str | None = None, labels: str | None = None) -> Raw:
    """The array of a `.npy` file; one of this machine is mapped, so that a conversion reads it only once."""
    refuse_labels(path, labels)
    with reading(path, ".npy array"):
        _check_magic(path, b"\x93NUMPY")
        if not isinstance(path, Path):
            with path.open("rb") as file:
                return Raw(np.load(file, allow_pickle=False))
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
        return Raw(mapped if mapped.dtype != stored_dtype(mapped.dtype) else np.array(mapped))


def read_npz(path: Place, array: str | None = None, labels: str | None = None) -> Raw:
    """One array of a `.npz` archive, and the labels that stand beside it (`*_y` beside `*_x`, `*Lbls`)."""
    with reading(path, ".npz archive"):
        _check_magic(path, b"PK")
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            name = _choose(path, archive, array)
            data = np.atleast_1d(archive[name])
            return Raw(data, labels=_npz_labels(path, archive, name, len(data), labels))


def read_idx(path: Place, array: str | None = None, labels: str | None = None) -> Raw:
    """An IDX file (the format of MNIST), gzipped or not, and the labels file that stands beside it."""
    refuse_labels(path, labels)
    beside = path.with_name(re.sub(r"images([-.])idx3", r"labels\1idx1", path.name))
    images = _idx_array(path)
    found = _idx_array(beside) if beside != path and beside.is_file() else None
    return Raw(images, labels=found if found is not None and found.shape == images.shape[:1] else None)


def _idx_array(path: Place) -> NDArray[Any]:
    """Magic 0, 0, type, number of axes; big-endian lengths; then the values, big-endian."""
    with reading(path, "IDX file"), path.open("rb") as file:
        content = file.read()
        if path.name.lower().endswith(".gz"):
            content = gzip.decompress(content)
        if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in IDX_DTYPES:
            raise DataError(
                f"{path} is no IDX file: it must start with the bytes 0, 0, a type and the number of axes. "
                f"Got {list(content[:4])} instead."
            )
        dtype, axes = np.dtype(IDX_DTYPES[content[2]]), content[3]
        shape = struct.unpack(f">{axes}I", content[4 : 4 + 4 * axes])
        required = 4 + 4 * axes + math.prod(shape) * dtype.itemsize
        if len(content) != required:
            raise DataError(
                f"{path} is truncated or damaged: its header says shape {shape} of {dtype.name}, {required} "
                f"bytes in all. Got {len(content)} instead."
            )
        return np.frombuffer(content, dtype, offset=4 + 4 * axes).reshape(shape)


def _check_magic(path: Place, magic: bytes) -> None:
    with path.open("rb") as file:
        start = file.read(len(magic))
    if start[:1] == b"\x80":  # the first byte of every binary pickle since protocol 2
        raise DataError(f"{path} {PICKLE}. Save numbers with numpy.save or numpy.savez.")
    if start != magic:
        raise ValueError(f"it must start with {magic!r}, but starts with {start!r}")


def _choose(path: Place, archive: Any, name: str | None) -> str:
    """The array that was asked for, or the only one but for its labels."""
    names: list[str] = archive.files
    if not names:
        raise DataError(f"{path} holds no arrays; one is required.")
    labelled = {each: beside for each in names if (beside := _beside(archive, each)) is not None}
    if name is None and len(names) == 2 and len(labelled) == 1:
        ((name, beside),) = labelled.items()
        name = name if _classes(archive[beside]).ndim == 1 else None
    if name is None and len(names) > 1:
        raise DataError(
            f"{path} holds {len(names)} arrays: {', '.join(names)}. Say which one, such as {path}:{names[0]}."
        )
    return _known(path, archive, names[0] if name is None else name)


def _known(path: Place, archive: Any, name: str) -> str:
    if name not in archive.files:
        raise DataError(f"{path}: {UnknownNameError('array', name, archive.files)}")
    return name


def _npz_labels(path: Place, archive: Any, name: str, rows: int, asked: str | None) -> NDArray[Any] | None:
    """The array called `asked`, or the one whose name says that it labels the array `name`."""
    if asked is not None:
        return _classes(archive[_known(path, archive, asked)])
    found = _beside(archive, name)
    if found is None:
        return None
    labels = _classes(archive[found])
    return labels if labels.shape == (rows,) else None


def _beside(archive: Any, name: str) -> str | None:
    """The array whose name says that it labels the array `name`: y of x, train_y of train_x, DataLbls of Data."""
    beside = re.sub(r"[xX]$", lambda match: {"x": "y", "X": "Y"}[match[0]], name)
    candidates = [beside, beside[:-1] + "y"] if beside != name else [f"{name}Lbls"]
    return next((candidate for candidate in candidates if candidate in archive.files), None)


def _classes(labels: NDArray[Any]) -> NDArray[Any]:
    """One-hot rows as class numbers; anything else as it is."""
    if labels.ndim == 2 and np.isin(labels, (0, 1)).all() and (labels.sum(axis=1) == 1).all():
        classes: NDArray[np.int64] = np.argmax(labels, axis=1)
        return classes
    return labels


def refuse_labels(path: Place | str, labels: str | None) -> None:
    """Raise the ParameterError that a file has no labels to name."""
    if labels is not None:
        raise ParameterError(
            f"The 'labels' parameter of Reading names a column of a table or an array of a .npz. Got {labels!r}, but "
            f"{path} has neither."
        )
