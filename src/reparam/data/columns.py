"""What one column of a table holds, and how a model explains it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Annotated, Any, ClassVar

from annotated_types import Ge, Interval, Predicate

from reparam.documents import STRICT, Name, Names, Text, checked
from reparam.errors import RunError

CODED = ("binary", "categorical", "ordinal")
MODELLED = ("real", "positive", "count", *CODED, "date")
LEFT_OUT = ("constant", "identifier", "text")
KINDS = (*MODELLED, *LEFT_OUT)
MOST_DECIMALS = 6
SECONDS_A_DAY = 86_400
Natural = Annotated[int, Ge(0)]


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
        decimals: how many digits every value has behind its point at most, or None where there are more than a few; of
            a date 0 where all are whole seconds.
        stored_as: the type of the cells where they came from, by Arrow's names; ``date:%d.%m.%Y`` is a date as text.
        missing: how many cells were empty.
        reason: why it is judged so, one clause.
        place: where it stands among all columns of its table, from 0.

    >>> Column("sex", "binary", "bernoulli", ("Female", "Male"), stored_as="string").is_coded
    True
    """

    name: Name
    kind: Annotated[str, Predicate(KINDS.__contains__)]
    likelihood: Name
    levels: Names | None = None
    lower: float | None = None
    upper: float | None = None
    whole: bool = False
    decimals: Annotated[int, Interval(ge=0, le=MOST_DECIMALS)] | None = None
    stored_as: Name = "float64"
    missing: Natural = 0
    reason: Text = ""
    place: Natural = 0

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

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
        column = checked(cls, document, "a column")
        check_complete(cls, document, "a column")
        column.check()
        return column

    def check(self) -> None:
        """Refuse fields that are each what they may be, and do not fit together.

        Raises:
            RunError: the error names the column and the field.
        """
        levels, of = self.levels, f"of the column {self.name!r}"
        for of_levels, name in ((self.is_coded, self.kind), (self.likelihood == "categorical", self.likelihood)):
            if of_levels and levels is None:
                raise RunError(f"the field 'levels' {of} is required of {name!r}. Got null.")
        if levels is not None and len(set(levels)) != len(levels):
            raise RunError(f"the field 'levels' {of} must be different texts. Got two that are equal.")
        if self.kind == "binary" and len(levels or ()) != 2:
            raise RunError(f"the field 'levels' {of} must hold 2, for it is binary. Got {levels!r}.")
        if self.lower is not None and self.upper is not None and self.lower > self.upper:
            raise RunError(f"the field 'upper' {of} must be at least {self.lower:g}. Got {self.upper:g}.")
        if bool(self.likelihood) != self.is_modelled:
            required = "a likelihood" if self.is_modelled else "empty, for the column is left out"
            raise RunError(f"the field 'likelihood' {of} must be {required}. Got {self.likelihood!r}.")


def check_complete(kind: Any, document: Mapping[str, Any], what: str, *, optional: tuple[str, ...] = ()) -> None:
    """Refuse the document of a dataclass that leaves out a field: what a default would fill in may not be what was.

    Raises:
        RunError: the error names the first field that is missing.
    """
    for field in fields(kind):
        if field.name not in document and field.name not in optional:
            raise RunError(f"the field {field.name!r} of {what} is missing.")
