"""What a user says of a table that it does not say itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from reparam.errors import ParameterError, RunError

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

    Raises:
        ParameterError: a delimiter or quote is not one character, or a column is named twice.

    >>> Reading(columns=(("age", "gaussian"),), drop=("id",)).asked
    {'age': 'gaussian'}
    """

    labels: str | None = None
    index: str | None = None
    header: bool | None = None
    missing: tuple[str, ...] = ()
    delimiter: str | None = None
    quote: str | None = None
    columns: tuple[tuple[str, str], ...] = ()
    drop: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        for name in ("delimiter", "quote"):
            value = getattr(self, name)
            if value is not None and (len(value) != 1 or value in "\r\n"):
                raise ParameterError(f"The {name!r} of a table must be one character. Got {value!r} instead.")
        named = [*(name for name, _ in self.columns), *self.drop]
        named += [name for name in (self.labels, self.index) if name is not None]
        doubled = sorted({name for name in named if named.count(name) > 1})
        if doubled:
            raise ParameterError(f"the column {doubled[0]!r} is named twice: it has one kind, or is left out.")

    @property
    def asked(self) -> dict[str, str]:
        """The kind, or the likelihood, that each column was asked to have."""
        return dict(self.columns)

    def to_json(self) -> dict[str, Any]:
        """What was said, as plain values."""
        said = {name: value for name, value in asdict(self).items() if value not in (None, ())}
        return {name: [list(pair) for pair in value] if name == "columns" else value for name, value in said.items()}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Reading:
        """What :meth:`to_json` wrote; other names are passed over.

        Raises:
            RunError: a value is not what it should be.
        """
        said = {field.name: document[field.name] for field in fields(cls) if document.get(field.name) is not None}
        try:
            for name in ("missing", "drop"):
                said[name] = tuple(said.get(name, ()))
            said["columns"] = tuple((str(name), str(kind)) for name, kind in said.get("columns", ()))
            return cls(**said)
        except (TypeError, ValueError) as error:
            raise RunError(f"how the data were read cannot be understood: {error}") from error
