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
from reparam.data.images import Found, pictures_at
from reparam.data.images.collection import WHITE
from reparam.data.places import Place, place_of
from reparam.data.reading import OF_FILES, Reading
from reparam.data.schema import Dataset, Judgement, Schema
from reparam.data.sheets import Sheet
from reparam.data.streaming.digesting import Digest
from reparam.data.streaming.parts import ArrayParts, ArrowParts, ParquetParts, Parts, TextParts
from reparam.data.streaming.pictures import Decoder, PictureParts, at_once, decoder_of
from reparam.data.tables import conformed, from_sheet
from reparam.errors import DataError, ParameterError
from reparam.location import SHIPPED

STREAMED: dict[str, Callable[[Place, Reading], Parts]] = {
    ".npy": ArrayParts,
    ".csv": TextParts,
    ".tsv": TextParts,
    ".parquet": ParquetParts,
    ".arrow": ArrowParts,
    ".feather": ArrowParts,
}
JUDGED_ROWS, JUDGED_BYTES = 50_000, 1 << 27


@dataclass(frozen=True)
class Stream:
    """A source as parts, of which one at a time is in memory, and what its rows are.

    Args:
        name: what errors call it.
        files: in the order of their names.
        schema: of the rows.
        reading: what the user says of them.
        judgement: what some of the rows were found to be, where it is a table.
        decoder: how pictures become rows, where it is of such.
        digest: of its files, where it was found already.
    """

    name: str
    files: tuple[Parts, ...]
    schema: Schema
    reading: Reading
    judgement: Judgement | None = None
    decoder: Decoder | None = None
    digest: Digest | None = None

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
        """The rows of a part that was read, by the same arguments; a part may have none."""
        if not (found.rows if isinstance(found, Sheet) else len(found.array)):
            return Dataset(np.empty((0, self.schema.size), self.schema.dtype), self.schema)
        if isinstance(found, Sheet):
            reading = replace(self.reading, columns=(), drop=())
            reading = reading if whole else replace(reading, labels=None, index=None)
            data = conformed(found, self.schema, reading, unknown=unknown)
        else:
            shape = self.schema.event_shape
            array = from_array(found.array, name=self.name, event_shape=shape, allow_missing=True)
            data = replace(array, labels=found.labels, index=found.index)
        return replace(data, rows=np.ascontiguousarray(data.rows, self.schema.dtype), schema=self.schema)

    def part(self, number: int, *, before: int = 0, whole: bool = False) -> Sheet | Raw:
        """A part as it is written, pictures decoded; with ``whole`` every column of it."""
        file, part = self.parts[number]
        found = file.read(part, None if whole else self.schema.columns)
        if isinstance(found, Found):
            return self.decoded(found)
        return replace(found, first=before) if isinstance(found, Sheet) else found

    def decoded(self, found: Found) -> Raw:
        """The pictures of a part.

        Raises:
            DataError: the other parts are of another kind.
        """
        if self.decoder is None:
            raise DataError(f"{found.source} has a column of pictures, and other files of {self.name} have none.")
        return self.decoder.rows(found)

    def tell_broken(self, rows: int) -> None:
        """Warn of the pictures that were left out, once all parts, of so many rows, were read."""
        if self.decoder is not None:
            self.decoder.tell_broken(rows)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a user should know of how it is read."""
        return () if self.decoder is None else self.decoder.remarks

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes of its files."""
        return (Digest(self.files) if self.digest is None else self.digest).value


def stream(
    source: str | os.PathLike[str],
    *,
    reading: Reading | None = None,
    event_shape: Sequence[int] | None = None,
    schema: Schema | None = None,
    in_order: bool = False,
) -> Stream:
    """Open a file, a folder of files of one kind, or a folder of pictures, to be read part by part.

    What the rows are is judged by about ``JUDGED_ROWS`` of them, of parts drawn at random; :func:`survey` sees all.

    Args:
        source: a path or URI ending in one of ``STREAMED``, a folder of such files, or pictures: a folder, a pattern.
        reading: what data do not say of themselves.
        event_shape: the shape of one datum, when rows are flat.
        schema: of an existing model, in the place of a judgement.
        in_order: whether parts have the pictures of a folder in the order of their names. Otherwise they have them in
            one that is drawn once, so that a chunk has pictures of many folders.

    Raises:
        DataError: the source is missing, of another kind, or cannot be modelled.
    """
    said, name = reading or Reading(), place_of(source).name
    event_shape = said.event_shape if event_shape is None else event_shape
    files, decoder = _opened(os.fspath(source), said, schema, in_order=in_order)
    if decoder is None:
        _refuse_pictures(name, said, known=schema is not None)
    elif schema is None and event_shape is not None:
        raise ParameterError(f"{name} holds pictures, which have a shape: 'shape' is for arrays. Say resize.")
    if schema is not None:
        return Stream(name, files, schema, said, decoder=decoder)
    data = _some(name, files, said, event_shape, decoder)
    whole = isinstance(files[0], ArrayParts) or decoder is not None
    dtype = data.schema.dtype if whole else "float64"  # of a table whole numbers here, fractions there
    return Stream(name, files, replace(data.schema, dtype=dtype), said, data.judgement, decoder)


def _opened(
    text: str, reading: Reading, schema: Schema | None, *, in_order: bool
) -> tuple[tuple[Parts, ...], Decoder | None]:
    """The files of a source, and how their pictures are decoded if they hold such."""
    if text in SHIPPED:
        raise DataError(f"{text} has no file, and is read whole (--in-memory); './{text}' is what lies here.")
    place = place_of(text)
    tables = _tables(place)
    pictures = None if tables else _pictures(text, place)
    if pictures is None:
        files = tuple(STREAMED[_ending(file)](file, reading) for file in tables or _refused(place))
        pictured = files[0].count > 0 and isinstance(files[0].read(0), Found)
        return files, decoder_of(files, reading, schema) if pictured else None
    if reading.channels_first:
        raise ParameterError(f"{text} holds pictures: 'channels_first' is for arrays.")
    count = len(pictures.pictures)
    decoder = decoder_of((PictureParts(pictures, count),), reading, schema)
    order = None if in_order else np.random.default_rng(0).permutation(count)
    return (PictureParts(pictures, at_once(decoder.form, decoder.size), order),), decoder


def _refuse_pictures(name: str, reading: Reading, *, known: bool) -> None:
    """Refuse what is said of pictures; ``known``: of a model's own data that may be, but not how rows are turned.

    Raises:
        ParameterError: so it is.
    """
    useless = ("channels_first",) if known else ("channels_first", *OF_FILES)
    reading.refuse(useless, f"{name} is read part by part, and not as pictures are (--in-memory reads it whole)")


def is_streamed(path: Place) -> bool:
    """Whether a file's ending is one that can be read part by part."""
    return path.suffix.lower() in STREAMED


def _pictures(text: str, place: Place) -> Found | None:
    """The pictures of a source.

    Raises:
        DataError: a folder has none, nor tables of one kind.
    """
    try:
        return pictures_at(text)
    except DataError:
        if place.is_dir() and any(is_streamed(file) for file in place.iterdir()):
            _refused(place)
        raise


def is_folder_of_tables(place: Place) -> bool:
    """Whether a place is a folder of files of one kind that has parts."""
    return place.is_dir() and bool(_tables(place))


def _tables(place: Place) -> list[Place]:
    """The file, or those of a folder, if they are of one kind that has parts; else none."""
    if not place.is_dir():
        return [place] if is_streamed(place) and place.is_file() else []
    inside = _inside(place)
    endings = {_ending(file) for file in inside}
    return inside if len(endings) == 1 and is_streamed(inside[0]) and not any(map(_is_folder, inside)) else []


def _inside(folder: Place) -> list[Place]:
    files = (file for file in folder.iterdir() if not file.name.startswith((".", "_")))
    return sorted(files, key=lambda file: file.name)


def _is_folder(place: Place) -> bool:
    return isinstance(place, Path) and place.is_dir()  # what a store lists as a folder has no ending


def _refused(place: Place) -> list[Place]:
    """Refuse what has no parts.

    Raises:
        DataError: there is nothing, files of several kinds, or of one that has no parts.
    """
    known = ", ".join(STREAMED)
    if place.is_dir():
        endings = sorted({_ending(file) for file in _inside(place)})
        found = f"of several kinds: {', '.join(endings)}" if len(endings) > 1 else "none of them"
        raise DataError(f"{place} must hold files of one kind, one of {known}. Got {found}.")
    if not place.is_file():
        raise DataError(f"there is no file or folder {str(place)!r}.")
    raise DataError(f"{place} cannot be read part by part. Endings that can: {known}.")


def _ending(path: Place) -> str:
    return path.suffix.lower()


def _some(
    name: str,
    files: Sequence[Parts],
    reading: Reading,
    event_shape: Sequence[int] | None,
    decoder: Decoder | None,
) -> Dataset:
    """Rows of the first part and of others drawn at random, as a dataset that is judged like any other."""
    places = [(file, number) for file in files for number in range(file.count)]
    if not places:
        raise DataError(f"{name} holds no rows; at least one is required.")
    others = np.random.default_rng(0).permutation(np.arange(1, len(places))).tolist()
    found: list[Any] = []
    rows = size = 0
    for place in (0, *others):
        file, number = places[place]
        part = file.read(number)
        found.append(decoder.rows(part) if isinstance(part, Found) and decoder is not None else part)
        is_array = isinstance(found[-1], Raw)
        rows += len(found[-1].array) if is_array else found[-1].rows
        size += found[-1].array.nbytes if is_array else found[-1].table.nbytes
        if rows >= JUDGED_ROWS or size >= JUDGED_BYTES:
            break
    if isinstance(found[0], Raw):
        whole = np.concatenate([raw.array for raw in found])
        scale = None if decoder is None else WHITE[decoder.form.deep]
        return from_array(whole, name=name, event_shape=event_shape, allow_missing=True, scale=scale)
    first: Sheet = found[0]
    if event_shape is not None:
        raise ParameterError(f"{first.source} is a table of pixels, which is read whole: say --in-memory.")
    odd = next((sheet for sheet in found if sheet.names != first.names), None)
    if odd is not None:
        raise DataError(f"{odd.source} has other columns than {first.source}: files of one table have the same ones.")
    together = replace(first, table=pa.concat_tables([sheet.table for sheet in found]), line_of=None)
    return from_sheet(together, reading, name)
