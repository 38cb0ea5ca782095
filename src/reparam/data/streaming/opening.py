"""A source that is read part by part: what its rows are is judged by some of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from reparam.data.arrays import Raw, from_array
from reparam.data.images import picture_column
from reparam.data.reading import OF_FILES, Reading
from reparam.data.schema import Dataset, Judgement, Schema
from reparam.data.sheets import Sheet
from reparam.data.streaming.parts import ArrayParts, ArrowParts, ParquetParts, Parts, TextParts, digest
from reparam.data.tables import conformed, from_sheet
from reparam.errors import DataError, ParameterError

STREAMED: dict[str, Callable[[Path, Reading], Parts]] = {
    ".npy": ArrayParts,
    ".csv": TextParts,
    ".tsv": TextParts,
    ".parquet": ParquetParts,
    ".arrow": ArrowParts,
    ".feather": ArrowParts,
}
JUDGED_ROWS = 50_000


@dataclass(frozen=True)
class Stream:
    """A source as parts, of which one at a time is in memory, and what its rows are.

    Args:
        name: what errors call it.
        files: in the order of their names.
        schema: of the rows.
        reading: what the user says of them.
        judgement: what some of the rows were found to be, where it is a table.
    """

    name: str
    files: tuple[Parts, ...]
    schema: Schema
    reading: Reading
    judgement: Judgement | None = None

    @cached_property
    def parts(self) -> tuple[tuple[Parts, int], ...]:
        """Every part of every file, by its file and its number there."""
        return tuple((file, number) for file in self.files for number in range(file.count))

    def read(self, number: int, *, before: int = 0, unknown: str = "refuse", whole: bool = False) -> Dataset:
        """The rows of a part, in stored units.

        Args:
            number: of the part.
            before: how many rows stand in earlier parts, so that a fault is told by the row it stands in.
            unknown: what becomes of a level of a table that the schema does not have: ``refuse`` or ``missing``.
            whole: read labels and names of rows, too.

        Raises:
            DataError: the file is gone or was changed, or a cell is no value of its column.
        """
        return self.rows(self.part(number, before=before, whole=whole), unknown=unknown, whole=whole)

    def rows(self, found: Sheet | Raw, *, unknown: str = "refuse", whole: bool = False) -> Dataset:
        """The rows of a part that was read, by the same arguments."""
        if isinstance(found, Sheet):
            reading = replace(self.reading, columns=(), drop=())
            reading = reading if whole else replace(reading, labels=None, index=None)
            data = conformed(found, self.schema, reading, unknown=unknown)
        else:
            shape = self.schema.event_shape
            data = from_array(found.array, name=self.name, event_shape=shape, allow_missing=True)
        return replace(data, rows=np.ascontiguousarray(data.rows, self.schema.dtype), schema=self.schema)

    def part(self, number: int, *, before: int = 0, whole: bool = False) -> Sheet | Raw:
        """A part as it is written; with ``whole`` every column of it."""
        file, part = self.parts[number]
        found = file.read(part, None if whole else self.schema.columns)
        return replace(found, first=before) if isinstance(found, Sheet) else found

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the bytes of its files."""
        return digest(self.files)


def stream(
    source: str | os.PathLike[str],
    *,
    reading: Reading | None = None,
    event_shape: Sequence[int] | None = None,
    schema: Schema | None = None,
) -> Stream:
    """Open a file, or a folder of files of one kind, to be read part by part.

    What the rows are is judged by about ``JUDGED_ROWS`` of them, of parts drawn at random; :func:`survey` sees all.

    Args:
        source: a path ending in one of ``STREAMED``, or a folder of such files.
        reading: what a table does not say of itself.
        event_shape: the shape of one datum, when rows are flat.
        schema: of an existing model, in the place of a judgement.

    Raises:
        DataError: the source is missing, of another kind, or cannot be modelled.
    """
    said, path = reading or Reading(), Path(source).expanduser()
    _refuse_pictures(path.name, said, known=schema is not None)
    event_shape = said.event_shape if event_shape is None else event_shape
    files = tuple(STREAMED[_ending(file)](file, said) for file in _files(path))
    if schema is not None:
        return Stream(path.name, files, schema, said)
    data = _some(path.name, files, said, event_shape)
    dtype = data.schema.dtype if isinstance(files[0], ArrayParts) else "float64"  # here whole numbers, fractions there
    return Stream(path.name, files, replace(data.schema, dtype=dtype), said, data.judgement)


def _refuse_pictures(name: str, reading: Reading, *, known: bool) -> None:
    """Refuse what is said of pictures; ``known``: of a model's own data that may be, but not how rows are turned.

    Raises:
        ParameterError: so it is.
    """
    useless = ("channels_first",) if known else ("channels_first", *OF_FILES)
    reading.refuse(useless, f"{name} is read part by part, and not as pictures are (--in-memory reads it whole)")


def is_streamed(path: Path) -> bool:
    """Whether a file's ending is one that can be read part by part."""
    return path.suffix.lower() in STREAMED


def _files(path: Path) -> list[Path]:
    """The file, or those of a folder, which are of one kind.

    Raises:
        DataError: there are none, of several kinds, or of one that has no parts.
    """
    known = ", ".join(STREAMED)
    if not path.is_dir():
        if not path.is_file():
            raise DataError(f"there is no file or folder {str(path)!r}.")
        if not is_streamed(path):
            raise DataError(f"{path} cannot be read part by part. Endings that can: {known}.")
        return [path]
    inside = sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith((".", "_")))
    endings = {_ending(file) for file in inside}
    if len(endings) != 1 or not is_streamed(inside[0]):
        found = f"of several kinds: {', '.join(sorted(endings))}" if len(endings) > 1 else "none of them"
        raise DataError(f"{path} must hold files of one kind, one of {known}. Got {found}.")
    return inside


def _ending(path: Path) -> str:
    return path.suffix.lower()


def _some(name: str, files: Sequence[Parts], reading: Reading, event_shape: Sequence[int] | None) -> Dataset:
    """Rows of the first part and of others drawn at random, as a dataset that is judged like any other."""
    places = [(file, number) for file in files for number in range(file.count)]
    if not places:
        raise DataError(f"{name} holds no rows; at least one is required.")
    others = np.random.default_rng(0).permutation(np.arange(1, len(places))).tolist()
    found: list[Any] = []
    rows = 0
    for place in (0, *others):
        file, number = places[place]
        found.append(file.read(number))
        rows += len(found[-1].array) if isinstance(found[-1], Raw) else found[-1].rows
        if rows >= JUDGED_ROWS:
            break
    if isinstance(found[0], Raw):
        whole = np.concatenate([raw.array for raw in found])
        return from_array(whole, name=name, event_shape=event_shape, allow_missing=True)
    first: Sheet = found[0]
    if event_shape is not None or picture_column(first.table.schema) is not None:
        raise ParameterError(f"{first.source} is a table of pictures, which is read whole: say --in-memory.")
    odd = next((sheet for sheet in found if sheet.names != first.names), None)
    if odd is not None:
        raise DataError(f"{odd.source} has other columns than {first.source}: files of one table have the same ones.")
    together = replace(first, table=pa.concat_tables([sheet.table for sheet in found]), line_of=None)
    return from_sheet(together, reading, name)
