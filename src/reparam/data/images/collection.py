"""Many pictures → one array, each decoded straight into its place."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from reparam.data.arrays import Raw
from reparam.data.images import quiet
from reparam.data.images.decoding import Form, Header, decode, header
from reparam.data.images.finding import Found, Picture, pictures_at
from reparam.data.reading import Reading
from reparam.data.schema import Schema
from reparam.errors import DataError, ReparamWarning

AT_ONCE = 64  # pictures that a thread decodes before it asks for more
THREADS = 8
NAMED = 3
WHITE = {False: 255.0, True: 65535.0}
NOTES = {
    "animated": "{} more than one frame, of which the first is read",
    "transparent": "{} transparent places, which are laid on white",
    "CMYK": "{} the colours of print (CMYK), which become red, green and blue without a colour profile",
    "shortened": "{} colours of 16 bits a channel, of which 8 are kept",
}


@dataclass(frozen=True)
class Fault:
    """A picture that cannot be read, by its number, and why."""

    number: int
    error: DataError


class Size(NamedTuple):
    """The shape that all pictures have, and the name of one that has it; None where it is that of a model's own."""

    shape: tuple[int, ...]
    name: str | None


def read(found: Found, reading: Reading, schema: Schema | None = None) -> Raw:
    """Pictures as an array of uint8, or of uint16 where one has 16 bits, shape (N, H, W) or, in colour, (N, H, W, 3).

    All are grey if each is, or ``reading.gray`` says so. The array is allocated once, and each picture is decoded into
    its place, by several threads.

    Args:
        found: where they are.
        reading: ``resize``, ``crop``, ``gray``, ``skip_broken``.
        schema: of the model that they are for: they become grey or colour, of 8 or 16 bits, as that model's are.

    Raises:
        DataError: a picture cannot be read, or sizes differ.
    """
    with warnings.catch_warnings(), quiet.silence:
        warnings.simplefilter("ignore")  # of damaged metadata, and of large pictures, which are refused
        heads, faults = _headers(found.pictures, skip=reading.skip_broken)
        kept = [number for number, head in enumerate(heads) if head is not None]
        form = form_of(Heads().seen(*(head for head in heads if head is not None)), reading, schema)
        size = size_of(found.pictures, kept, form, skip=reading.skip_broken)
        if size is None:
            raise DataError(f"{found.source}: not one of {len(found.pictures):,} pictures can be read.")
        array, more = decoded(found.pictures, kept, form, size, skip=reading.skip_broken)
    broken = sorted([*faults, *more], key=lambda fault: fault.number)
    if broken:
        warn_of([str(fault.error) for fault in broken], len(found.pictures))
    good = np.setdiff1d(np.arange(len(found.pictures)), [fault.number for fault in broken])
    labels, index = (None if values is None else values[good] for values in (found.labels, found.index))
    told = Heads().seen(*(head for head in (heads[number] for number in good) if head is not None))
    return Raw(array, labels=labels, scale=WHITE[form.deep], index=index, remarks=(*found.remarks, *told.remarks(form)))


@dataclass(frozen=True)
class Heads:
    """What the heads of many pictures say together.

    Args:
        grey: whether each has one channel.
        deep: whether one has 16 bits.
        notes: how many have each.
        sizes: how many have each.
    """

    grey: bool = True
    deep: bool = False
    notes: Counter[str] = field(default_factory=Counter)
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)

    def seen(self, *heads: Header) -> Heads:
        """With these, too."""
        return Heads(
            self.grey and all(head.grey for head in heads),
            self.deep or any(head.deep for head in heads),
            self.notes + Counter(note for head in heads for note in head.notes),
            self.sizes + Counter(head.size for head in heads),
        )

    def remarks(self, form: Form) -> tuple[str, ...]:
        """What a user should know of pictures that are read in a form."""
        count = self.sizes.total()
        notes = [
            f"{self.notes[note]:,} of {count:,} pictures {text.format('has' if self.notes[note] == 1 else 'have')}"
            for note, text in NOTES.items()
            if self.notes[note]
        ]
        return (*notes, *(_sizes(self.sizes, form.size) if form.size else ()))


def pictured_bytes(text: str, reading: Reading) -> int:
    """About how many bytes the pictures at a place take in memory, by the first that can be read; 0 where none are.

    Raises:
        DataError: a folder has no pictures, or may not be read.
    """
    found = pictures_at(text)
    for picture in () if found is None else found.pictures:
        with suppress(DataError):
            head = header(picture)
            height, width = reading.resize or head.size
            channels = 1 if head.grey or reading.gray else 3
            return len(found.pictures) * height * width * channels * (2 if head.deep else 1)  # type: ignore[union-attr]
    return 0


def _headers(pictures: Sequence[Picture], *, skip: bool) -> tuple[list[Header | None], list[Fault]]:
    heads: list[Header | None] = []
    faults: list[Fault] = []
    for number, picture in enumerate(pictures):
        try:
            heads.append(header(picture))
        except DataError as error:
            if not skip:
                raise _mendable(error, pictures) from error
            heads.append(None)
            faults.append(Fault(number, error))
    return heads, faults


def _mendable(error: DataError, pictures: Sequence[Picture]) -> DataError:
    return DataError(f"{error} --skip-broken leaves such out.") if len(pictures) > 1 else error


def form_of(heads: Heads, reading: Reading, schema: Schema | None) -> Form:
    """What every picture becomes.

    Raises:
        DataError: the model's data are no pixels of pictures.
    """
    grey = reading.gray or heads.grey
    form = Form(1 if grey else 3, heads.deep, reading.resize, reading.crop, reading.gray)
    if schema is None:
        return form
    white = {f"x/{level:g}": deep for deep, level in WHITE.items()}
    if schema.units not in white:
        raise DataError(
            f"pictures hold levels from 0 to 255, but the model was made for {schema.units} of {schema.name}, which "
            "are no pixels. Give an array in those units."
        )
    channels = form.channels if len(schema.event_shape) == 1 else (*schema.event_shape, 1)[2]
    return replace(form, channels=channels, deep=white[schema.units])


def size_of(pictures: Sequence[Picture], kept: Sequence[int], form: Form, *, skip: bool) -> Size | None:
    """The shape of the first picture of these numbers that can be decoded; None where none can.

    Raises:
        DataError: it cannot be, and is not to be left out.
    """
    for number in kept:
        pixels, fault = _try(pictures, number, form)
        if pixels is not None:
            return Size(pixels.shape, pictures[number].name)
        if fault is not None:
            _keep([], fault, pictures, skip=skip)
    return None


def decoded(
    pictures: Sequence[Picture], kept: Sequence[int], form: Form, size: Size, *, skip: bool
) -> tuple[NDArray[Any], list[Fault]]:
    """Pictures of these numbers in one array, without those that turn out broken.

    Raises:
        DataError: one cannot be read and is not to be left out, or has another size.
    """
    faults: list[Fault] = []
    target = np.empty((len(kept), *size.shape), np.uint16 if form.deep else np.uint8)
    places = range(0, len(kept), AT_ONCE)

    def fill(start: int) -> list[Fault]:
        return _fill(target[start : start + AT_ONCE], pictures, kept[start : start + AT_ONCE], form, size)

    with ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1)) as threads:
        try:
            for block in threads.map(fill, places):
                for fault in block:
                    _keep(faults, fault, pictures, skip=skip)
        except BaseException:
            threads.shutdown(cancel_futures=True)
            raise
    broken = {fault.number for fault in faults}
    good = [place for place, number in enumerate(kept) if number not in broken]
    if len(good) < len(kept):
        for place, source in enumerate(good):  # downwards, in place: no second array
            target[place] = target[source]
    return target[: len(good)], faults


def _keep(faults: list[Fault], fault: Fault, pictures: Sequence[Picture], *, skip: bool) -> None:
    """Note a picture that cannot be read.

    Raises:
        DataError: it is not to be left out, or it can be read and has another size.
    """
    if not skip or isinstance(fault.error, OtherSizeError):
        raise fault.error if isinstance(fault.error, OtherSizeError) else _mendable(fault.error, pictures)
    faults.append(fault)


def _try(pictures: Sequence[Picture], number: int, form: Form) -> tuple[NDArray[Any] | None, Fault | None]:
    try:
        return decode(pictures[number], form), None
    except DataError as error:
        return None, Fault(number, error)


def _fill(
    target: NDArray[Any], pictures: Sequence[Picture], numbers: Sequence[int], form: Form, size: Size
) -> list[Fault]:
    """Decode pictures into their places; what cannot be is a fault."""
    faults = []
    for place, number in zip(target, numbers, strict=True):
        pixels, fault = _try(pictures, number, form)
        if pixels is not None and pixels.shape == place.shape:
            place[...] = pixels
        elif pixels is not None:
            faults.append(Fault(number, _other_size(pictures[number].name, pixels.shape, size)))
        elif fault is not None:
            faults.append(fault)
    return faults


class OtherSizeError(DataError):
    """A picture that can be read, and has another size than the first."""


def _other_size(name: str, shape: Sequence[int], size: Size) -> OtherSizeError:
    told = f"{name} is {shape[0]} × {shape[1]}"
    height, width = size.shape[:2]
    if size.name is None:
        return OtherSizeError(
            f"{told}, but the model was made for {height} × {width} (height × width). Give pictures of that size."
        )
    return OtherSizeError(
        f"pictures have different sizes: {size.name} is {height} × {width}, but {told} (height × width). --resize "
        f"{height},{width} gives all one size, with --crop without stretching."
    )


def warn_of(broken: Sequence[str], count: int) -> None:
    """Say how many pictures are left out, and name the first, each with why it cannot be read."""
    named = "; ".join(broken[:NAMED])
    more = f"; and {len(broken) - NAMED:,} more" if len(broken) > NAMED else ""
    text = f"{len(broken):,} of {count:,} pictures cannot be read and are left out: {named}{more}"
    warnings.warn(text, ReparamWarning, stacklevel=2)


def _sizes(known: Mapping[tuple[int, int], int], size: tuple[int, int]) -> list[str]:
    """What sizes pictures had before they were resized."""
    found = sorted(known, key=lambda pair: (pair[0] * pair[1], pair))
    smallest, largest = (f"{height} × {width}" for height, width in (found[0], found[-1]))
    spread = smallest if len(found) == 1 else f"{len(found):,} sizes, from {smallest} to {largest}"
    return [f"resized to {size[0]} × {size[1]} (height × width) from {spread}"] if found != [size] else []
