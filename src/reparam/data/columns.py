"""What one column of a table holds, and how a model explains it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from reparam.errors import RunError

CODED = ("binary", "categorical", "ordinal")
MODELLED = ("real", "positive", "count", *CODED, "date")
LEFT_OUT = ("constant", "identifier", "text")
KINDS = (*MODELLED, *LEFT_OUT)


@dataclass(frozen=True)
class Column:
    """One column: what its cells are, which likelihood explains them, and why.

    A modelled cell is one float64 of a row: a number as it is, the code 0 … L − 1 of a level, seconds since 1970 of a
    date, NaN where the cell is missing.

    Args:
        name: of the column, or ``column_3`` where the table names none.
        kind: one of ``KINDS``; those in ``LEFT_OUT`` are told, and no part of a row.
        likelihood: a name in ``LIKELIHOODS``, made for one feature; empty where the column is left out.
        levels: the L different cells of a coded column, by code, as text.
        lower: the smallest value that a row may be given, in the file's units (of a date, seconds).
        upper: the largest.
        whole: every value is a whole number, and of a date a whole day.
        decimals: how many digits every value has behind its point at most, or None where there are more than a few.
        stored_as: the type of the cells where they came from, by Arrow's names; ``date:%d.%m.%Y`` is a date as text.
        missing: how many cells were empty.
        reason: why it is judged so, one clause.
        place: where it stands among all columns of its table, from 0.

    >>> Column("sex", "binary", "bernoulli", ("Female", "Male"), stored_as="string").is_coded
    True
    """

    name: str
    kind: str
    likelihood: str
    levels: tuple[str, ...] | None = None
    lower: float | None = None
    upper: float | None = None
    whole: bool = False
    decimals: int | None = None
    stored_as: str = "float64"
    missing: int = 0
    reason: str = ""
    place: int = 0

    @property
    def is_modelled(self) -> bool:
        """Whether a row holds a value of it."""
        return self.kind in MODELLED

    @property
    def is_coded(self) -> bool:
        """Whether the value is the code of a level."""
        return self.kind in CODED

    def to_json(self) -> dict[str, Any]:
        """A document of plain values that :meth:`from_json` reads back."""
        document = asdict(self)
        return {**document, "levels": None if self.levels is None else list(self.levels)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Column:
        """The column that :meth:`to_json` wrote.

        Raises:
            RunError: a field is missing, unknown, or not what it should be; the error names it.
        """
        _check_document(document)
        levels = document["levels"]
        return cls(**{**document, "levels": None if levels is None else tuple(levels)})


def _is_limit(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value))


def _is_natural(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_levels(value: object) -> bool:
    if value is None:
        return True
    texts = isinstance(value, list) and len(value) > 0 and all(isinstance(level, str) for level in value)
    return texts and len(set(value)) == len(value)  # type: ignore[call-overload, arg-type]


def _is_text(value: object) -> bool:
    return isinstance(value, str)


FIELDS: dict[str, tuple[str, Callable[[object], bool]]] = {
    "name": ("text", _is_text),
    "kind": (f"one of {', '.join(KINDS)}", lambda value: value in KINDS),
    "likelihood": ("text", _is_text),
    "levels": ("null or a list of different texts", _is_levels),
    "lower": ("null or a number", _is_limit),
    "upper": ("null or a number", _is_limit),
    "whole": ("true or false", lambda value: isinstance(value, bool)),
    "decimals": ("null or a whole number of at least 0", lambda value: value is None or _is_natural(value)),
    "stored_as": ("text", _is_text),
    "missing": ("a whole number of at least 0", _is_natural),
    "reason": ("text", _is_text),
    "place": ("a whole number of at least 0", _is_natural),
}


def _check_document(document: Mapping[str, Any]) -> None:
    """Raise the RunError that names the first damaged field of a column's document."""
    if not isinstance(document, Mapping):
        raise RunError(f"a column of the schema must be a JSON object. Got {type(document).__name__} instead.")
    names = [field.name for field in fields(Column)]
    for name in sorted(set(names) ^ set(document), key=str):
        fault = "is missing" if name in names else "is unknown"
        raise RunError(f"the field {name!r} of a column {fault}. Required: {', '.join(names)}.")
    for name, (requirement, holds) in FIELDS.items():
        if not holds(document[name]):
            raise RunError(f"the field {name!r} of a column must be {requirement}. Got {document[name]!r} instead.")
    column, kind, levels = document["name"], document["kind"], document["levels"]
    if kind in CODED and levels is None:
        raise RunError(f"the field 'levels' of the column {column!r} is required of the kind {kind!r}. Got null.")
    if kind == "binary" and len(levels) != 2:
        raise RunError(f"the field 'levels' of the column {column!r} must hold 2, for it is binary. Got {levels!r}.")
    if bool(document["likelihood"]) != (kind in MODELLED):
        required = "a likelihood" if kind in MODELLED else "empty, for the column is left out"
        raise RunError(
            f"the field 'likelihood' of the column {column!r} must be {required}. Got {document['likelihood']!r}."
        )
