"""What a user says of data that they do not say themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from reparam.errors import ParameterError, RunError
from reparam.specification import requirement

LONGEST = 16_384  # pixels of a side
FLAGS = ("channels_first", "crop", "gray", "skip_broken")
OF_FILES = ("resize", "crop", "gray", "skip_broken")
"""What is said of pictures in files, and of no array."""
OF_COLUMNS = ("index", "columns", "drop")
"""What is said of a table, and of no array."""
OF_READING = "parameter of Reading"
"""What stands behind a name in an error, so that the command line can tell its option instead."""
MISSING = ("", "?", "NA", "N/A", "NaN", "nan", "NULL", "null", "None")


@dataclass(frozen=True)
class Reading:
    """How a source of data is to be read; ``None`` and nothing mean: see for yourself.

    Args:
        labels: the column of a table, or the array of a ``.npz``, that holds the labels.
        index: the column that names the rows; like the labels it is no part of a row.
        header: whether the first row of a table of text names its columns.
        missing: further cells, besides ``MISSING``, that mean: not known.
        delimiter: what stands between the cells of a table of text.
        quote: what stands around a cell of it.
        columns: names of columns, and the kind or the likelihood that each is to have.
        drop: columns to leave out.
        given: columns that the model is to be given: of an ``.h5ad`` file columns of obs, read beside the counts.
        shape: of one datum of an array or a table of flat rows that are pictures: height, width, and channels if there
            are 1 or 3.
        channels_first: whether rows of such an array hold channels before height and width; ``shape``, where it is
            said, has them first too. They are kept last.
        resize: height and width that pictures in files are resized to, by Lanczos' filter as pillow has it.
        crop: whether they are cut to that aspect before, from the middle, rather than stretched.
        gray: whether colours become grey: 0.299 red + 0.587 green + 0.114 blue (ITU-R BT.601).
        skip_broken: whether pictures that cannot be read are left out, and counted, rather than refused.

    Raises:
        ParameterError: a delimiter or quote is not one character, a column is named twice, or a picture has no such
            shape.

    >>> Reading(columns=(("age", "gaussian"),), drop=("id",)).asked
    {'age': 'gaussian'}
    >>> Reading(resize=(64, 64), gray=True).to_json()
    {'resize': (64, 64), 'gray': True}
    """

    labels: str | None = None
    index: str | None = None
    header: bool | None = None
    missing: tuple[str, ...] = ()
    delimiter: str | None = None
    quote: str | None = None
    columns: tuple[tuple[str, str], ...] = ()
    drop: tuple[str, ...] = ()
    given: tuple[str, ...] = ()
    shape: tuple[int, ...] | None = None
    channels_first: bool = False
    resize: tuple[int, int] | None = None
    crop: bool = False
    gray: bool = False
    skip_broken: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        self._check_pictures()
        for name in ("delimiter", "quote"):
            value = getattr(self, name)
            if value is not None and not (len(value) == 1 and value.isascii() and value not in "\0\r\n"):
                raise ParameterError(requirement(name, "Reading", "one character of ASCII that ends no line", value))
        if self.delimiter is not None and self.delimiter == (self.quote or '"'):
            required = "another character than the quote"
            raise ParameterError(requirement("delimiter", "Reading", required, self.delimiter))
        named = [*(name for name, _ in self.columns), *self.drop]
        named += [name for name in (self.labels, self.index) if name is not None]
        doubled = sorted({name for name in named if named.count(name) > 1})
        if doubled:
            raise ParameterError(f"the column {doubled[0]!r} is named twice: it has one kind, or is left out.")

    def _check_pictures(self) -> None:
        """Refuse shapes that no picture has."""
        for name, lengths in (("shape", (2, 3)), ("resize", (2,))):
            sizes = getattr(self, name)
            if sizes is not None and not (len(sizes) in lengths and all(_is_size(size) for size in sizes)):
                told = "height and width" + (", and channels if there are any" if name == "shape" else "")
                raise ParameterError(requirement(name, "Reading", f"{told}, each from 1 to {LONGEST:,}", sizes))
        if self.shape is not None and len(self.shape) == 3:
            channels = self.shape[0 if self.channels_first else 2]
            if channels not in (1, 3):
                other = self.shape[2 if self.channels_first else 0]
                first = " --channels-first says that they come first." if other in (1, 3) else ""
                raise ParameterError(
                    f"shape {self.shape} has {channels} channels; a picture has 1 (grey) or 3 (red, green, blue)."
                    + ("" if self.channels_first else first)
                )
        if self.crop and self.resize is None:
            raise ParameterError(
                f"The 'crop' {OF_READING} cuts to the aspect of the 'resize' {OF_READING}: say both, or neither."
            )
        if any(type(getattr(self, name)) is not bool for name in FLAGS):
            raise ParameterError(f"{', '.join(FLAGS)} must each be True or False.")

    def refuse(self, names: Sequence[str], why: str) -> None:
        """Refuse what was said and is of no use.

        Raises:
            ParameterError: one of the names was said; ``why`` not.
        """
        said = [name for name in names if getattr(self, name)]
        if said:
            told = ", ".join(f"the {name!r} {OF_READING}" for name in said)
            raise ParameterError(f"{why}: leave out {told}.")

    @property
    def event_shape(self) -> tuple[int, ...] | None:
        """The shape of one datum as it is kept, channels last."""
        if self.shape is None or not self.channels_first:
            return self.shape
        return (*self.shape[1:], self.shape[0]) if len(self.shape) == 3 else self.shape

    @property
    def asked(self) -> dict[str, str]:
        """The kind, or the likelihood, that each column was asked to have."""
        return dict(self.columns)

    def to_json(self) -> dict[str, Any]:
        """What was said, as plain values."""
        plain = asdict(self)
        said = {field.name: plain[field.name] for field in fields(self) if plain[field.name] != field.default}
        return {name: [list(pair) for pair in value] if name == "columns" else value for name, value in said.items()}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Reading:
        """What :meth:`to_json` wrote; other names are passed over.

        Raises:
            RunError: a value is not what it should be.
        """
        said = {field.name: document[field.name] for field in fields(cls) if document.get(field.name) is not None}
        try:
            for name in ("missing", "drop", "given"):
                said[name] = tuple(said.get(name, ()))
            said |= {name: tuple(said[name]) for name in ("shape", "resize") if name in said}
            said["columns"] = tuple((str(name), str(kind)) for name, kind in said.get("columns", ()))
            return cls(**said)
        except (TypeError, ValueError) as error:
            raise RunError(f"how the data were read cannot be understood: {error}") from error


def _is_size(size: Any) -> bool:
    return isinstance(size, int) and not isinstance(size, bool) and 1 <= size <= LONGEST
