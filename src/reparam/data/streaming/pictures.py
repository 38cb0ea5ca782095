"""Pictures larger than memory: a folder some at a time, and how all of a stream are decoded alike."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reparam.data.arrays import Raw
from reparam.data.images import Found, quiet
from reparam.data.images.collection import WHITE, Heads, Size, decoded, form_of, size_of, warn_of
from reparam.data.images.decoding import Form, Header, header
from reparam.data.images.finding import Picture
from reparam.data.reading import Reading
from reparam.data.schema import Schema
from reparam.data.streaming import parts
from reparam.data.streaming.parts import HASHED_BYTES, Parts, identity
from reparam.errors import DataError

MOST_AT_ONCE = 1 << 14


class PictureParts(Parts):
    """Pictures in files, some at a time.

    Args:
        found: the files.
        at_once: how many are a part.
        order: the numbers of the pictures as the parts have them; by default their own order.
    """

    def __init__(self, found: Found, at_once: int, order: NDArray[np.int64] | None = None):
        self.name, self._found, self._at_once = found.source, found, at_once
        self._order = np.arange(len(found.pictures)) if order is None else order
        here = ((picture.name, picture.content) for picture in found.pictures)
        self._was = {name: identity(content) for name, content in here if isinstance(content, Path)}

    @property
    def count(self) -> int:
        """How many there are."""
        return -(-len(self._order) // self._at_once)

    def _read(self, number: int, columns: Sequence[str] | None) -> Found:
        part = self._found.take(self._order[number * self._at_once : (number + 1) * self._at_once])
        self._check(part.pictures)
        return part

    def check(self) -> None:
        """Refuse files that are not what they were; of a part they are looked at when it is read."""

    def _check(self, pictures: Sequence[Picture]) -> None:
        for picture in pictures:
            if isinstance(picture.content, Path):  # to ask a store of each would take as long as to fetch it
                self.refuse_another(picture.name, self._was[picture.name], identity(picture.content))

    def digest(self, into: Any) -> None:
        """Feed all bytes of the files to a hash."""
        self._check(self._found.pictures)
        for picture in self._found.pictures:
            try:
                with picture.opened() as file:
                    while block := file.read(HASHED_BYTES):
                        into.update(block)
            except (DataError, OSError) as error:  # one that is left out, for it cannot be read
                into.update(type(error).__name__.encode())


def at_once(form: Form, size: Size) -> int:
    """How many pictures a part has."""
    return max(1, min(MOST_AT_ONCE, parts.PART_BYTES // (math.prod(size.shape) * (2 if form.deep else 1))))


@dataclass(frozen=True)
class Decoder:
    """How the pictures of every part become rows, and which could not.

    Args:
        form: what each becomes.
        size: which all have.
        skip: whether those that cannot be read are left out.
        remarks: what a user should know of them.
        broken: why each that is left out cannot be read, by its name.
    """

    form: Form
    size: Size
    skip: bool
    remarks: tuple[str, ...] = ()
    broken: dict[str, str] = field(default_factory=dict)

    def rows(self, found: Found) -> Raw:
        """The pictures of a part as an array, with the names and labels of those that can be read.

        Raises:
            DataError: one cannot be read and is not to be left out, or has another size.
        """
        numbers = range(len(found.pictures))
        with warnings.catch_warnings(), quiet.silence:
            warnings.simplefilter("ignore")  # of damaged metadata, and of large pictures, which are refused
            array, faults = decoded(found.pictures, numbers, self.form, self.size, skip=self.skip)
        self.broken.update({found.pictures[fault.number].name: str(fault.error) for fault in faults})
        good = found.take(np.setdiff1d(numbers, [fault.number for fault in faults]))
        return Raw(array, labels=good.labels, scale=WHITE[self.form.deep], index=good.index)

    def tell_broken(self, rows: int) -> None:
        """Warn of those that were left out beside so many rows."""
        if self.broken:
            warn_of(list(self.broken.values()), len(self.broken) + rows)


def decoder_of(files: Sequence[Parts], reading: Reading, schema: Schema | None) -> Decoder:
    """See the head of every picture, unless a model's own pictures say all that is to be known.

    Raises:
        DataError: a head cannot be read and is not to be left out, or no picture can be.
    """
    skip = reading.skip_broken
    if schema is not None and len(schema.event_shape) > 1:
        form = form_of(Heads(), reading, schema)
        return Decoder(form, Size(schema.event_shape[: 3 if form.channels == 3 else 2], None), skip)
    heads, told = Heads(), tuple[str, ...]()
    with warnings.catch_warnings(), quiet.silence:
        warnings.simplefilter("ignore")
        for found in _all(files):
            heads, told = heads.seen(*_headers(found.pictures, skip=skip)), found.remarks
        form = form_of(heads, reading, schema)
        sizes = (size_of(found.pictures, range(len(found.pictures)), form, skip=skip) for found in _all(files))
        size = next((size for size in sizes if size is not None), None)
    if size is None:
        raise DataError(f"{files[0].name}: not one of the pictures can be read.")
    return Decoder(form, size, skip, (*told, *heads.remarks(form)))


def _all(files: Sequence[Parts]) -> Iterator[Found]:
    """Every part, in order."""
    yield from (file.read(number) for file in files for number in range(file.count))  # type: ignore[misc]


def _headers(pictures: Sequence[Picture], *, skip: bool) -> Iterator[Header]:
    for picture in pictures:
        try:
            yield header(picture)
        except DataError as error:
            if not skip:
                raise DataError(f"{error} --skip-broken leaves such out.") from error
