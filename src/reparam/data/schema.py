"""What the numbers of a row mean: stored values, the model's values, and the way between them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Gt, Len, Predicate
from numpy.typing import NDArray

from reparam.data.columns import Column, check_complete
from reparam.data.sparse import SparseRows
from reparam.data.statistics import CACHED_VALUES, aligned, blocks
from reparam.documents import STRICT, Count, Name, Names, checked
from reparam.errors import RunError

Array = Any  # a NumPy or a JAX array; this floor imports no JAX
Affine = float | Annotated[tuple[float, ...], Len(1)]
Positive = Annotated[float, Gt(0)]
PositiveAffine = Positive | Annotated[tuple[Positive, ...], Len(1)]

STORED_DTYPES = ("uint8", "int8", "uint16", "int16", "int32", "float32", "float64")
Stored = Annotated[str, Predicate(STORED_DTYPES.__contains__)]
FLOATS = ("float32", "float64")
TABLES = ("table", "beside")  # fields that a schema of one kind of number does not write


@dataclass(frozen=True)
class Schema:
    """What a row means, and how stored values become the model's: value = (stored − shift) / scale.

    Densities are told in units: those of stored / unit, such as x/255 of pixels, whatever the model sees of them.

    Args:
        name: where the data come from, such as `"digits"` or a file's name.
        event_shape: shape of one datum, `(8, 8)` for images, `(P,)` for tables.
        dtype: how rows are stored, one of `STORED_DTYPES`.
        columns: names of the P columns, or `None`.
        shift: one number, or P of them, in stored units.
        scale: one positive number, or P of them, in stored units.
        units: the name of the units, such as `"x/255"`.
        unit: what a stored value is divided by to be in units, one positive number or P of them.
        missing: whether rows hold NaN, a cell that was not seen.
        table: the P columns of a table of several kinds, whose rows are float64 with NaN for a missing cell; `None`
            where all values are numbers of one kind (NaN is missing there too, where it is allowed).
        beside: the columns of that table that the model leaves out, or `None`.

    >>> schema = Schema("digits", (8, 8), "uint8", None, 0.0, 16.0, "x/16")
    >>> schema.size
    64
    >>> schema.apply(np.array([[0, 4, 16]], dtype=np.uint8))
    array([[0.  , 0.25, 1.  ]], dtype=float32)
    """

    name: Name
    event_shape: Annotated[tuple[Count, ...], Len(1, 8)]
    dtype: Stored = "float32"
    columns: Names | None = None
    shift: Affine = 0.0
    scale: PositiveAffine = 1.0
    units: Name = "x"
    unit: PositiveAffine = 1.0
    missing: bool = False
    table: Annotated[tuple[Column, ...], Len(1)] | None = None
    beside: tuple[Column, ...] | None = None

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    @property
    def size(self) -> int:
        """P, the number of values in one datum: the product of `event_shape`."""
        return math.prod(self.event_shape)

    @property
    def names(self) -> tuple[str, ...] | None:
        """The names of all columns as they stand in the data, those that are left out among them."""
        if self.table is None:
            return self.columns
        every = sorted((*self.table, *(self.beside or ())), key=lambda column: column.place)
        return tuple(column.name for column in every)

    @property
    def log_volumes(self) -> NDArray[np.float64]:
        """What ln p of each of the model's values exceeds ln p in units by, nats, (P,): ln(scale/unit)."""
        ratio = np.asarray(self.scale, np.float64) / np.asarray(self.unit, np.float64)
        return np.log(np.broadcast_to(ratio, (self.size,)))

    @property
    def log_volume(self) -> float:
        """The same of a whole datum, nats: their sum."""
        return float(np.sum(self.log_volumes))

    def log_volume_of(self, rows: NDArray[Any]) -> NDArray[np.float64] | float:
        """The same of what was seen of each row, nats: shape (N,), or one number where nothing is missing."""
        if not self.missing:
            return self.log_volume
        seen = [np.where(np.isnan(block), 0.0, self.log_volumes).sum(axis=1) for block in blocks(rows)]
        return np.concatenate(seen)

    @property
    def is_compact(self) -> bool:
        """Whether rows stay the whole numbers that they are until a batch of them becomes the model's values."""
        return self.dtype not in FLOATS and isinstance(self.scale, float | int)

    @property
    def _is_identity(self) -> bool:
        """Whether stored values are the model's own, so that no copy of them is due."""
        affine = (self.shift, self.scale)
        return all(isinstance(number, float | int) for number in affine) and affine == (0.0, 1.0)

    def of(self, rows: NDArray[Any]) -> Schema:
        """The schema of further rows in the same stored units, whatever type they are stored in, with gaps or not."""
        missing = rows.dtype.kind == "f" and any(np.isnan(block).any() for block in blocks(rows))
        return replace(self, dtype=str(rows.dtype), missing=missing)

    def standardized(self, shift: Affine, scale: Affine) -> Schema:
        """The same rows and units, shown to the model by another shift and scale."""
        return replace(self, shift=shift, scale=scale)

    def stored(self, rows: NDArray[Any], dtype: str = "float32") -> NDArray[Any]:
        """Rows as a device keeps them: compact ones as they are, others as the model's values.

        Shifted and scaled in double precision, block by block, before anything is rounded to `dtype`.
        """
        if self.is_compact:
            return rows
        if isinstance(rows, SparseRows):
            return rows.showing(lambda piece: self.stored(piece, dtype), dtype)
        values = aligned(rows.shape, dtype)
        shift, scale = np.asarray(self.shift, np.float64), np.asarray(self.scale, np.float64)
        for block, target in zip(blocks(rows, CACHED_VALUES), blocks(values, CACHED_VALUES), strict=True):
            doubles = block.astype(np.float64)
            doubles -= shift
            doubles /= scale
            target[:] = doubles
        return values

    @property
    def on_device(self) -> Schema:
        """The schema of rows as `stored` gives them: what is left to do with them, and the same units."""
        if self.is_compact:
            return self
        unit = np.broadcast_to(np.asarray(self.unit, np.float64) / np.asarray(self.scale, np.float64), (self.size,))
        return replace(self, dtype="float32", shift=0.0, scale=1.0, unit=tuple(unit.tolist()))

    def apply(self, rows: Array) -> Array:
        """Stored rows, shape (..., P), to the model's values: (stored − shift) / scale.

        Takes NumPy or JAX arrays, gives back the same kind, and may be traced by JAX. Whole numbers become float32, or
        in JAX its default type.
        """
        whole = isinstance(rows, np.ndarray) and rows.dtype.kind not in "f"
        values = rows.astype("float32") if whole else rows
        if values.dtype.kind == "f" and self._is_identity:
            return values
        return (values - _like(self.shift, values)) / _like(self.scale, values)

    def invert(self, values: NDArray[Any]) -> NDArray[Any]:
        """The model's values, shape (..., P), to stored units: scale · value + shift, in double precision.

        Given back in float64 where the rows were, else in float32.
        """
        shift, scale = np.asarray(self.shift, np.float64), np.asarray(self.scale, np.float64)
        given_back = "float64" if self.dtype == "float64" else "float32"
        return np.asarray(np.asarray(values, np.float64) * scale + shift, given_back)

    def to_json(self) -> dict[str, Any]:
        """A document of plain values that `from_json` reads back."""
        plain = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in TABLES}
        document = {key: list(value) if isinstance(value, tuple) else value for key, value in plain.items()}
        given = {name: getattr(self, name) for name in TABLES}
        return document | {
            name: [c.to_json() for c in columns] for name, columns in given.items() if columns is not None
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Schema:
        """The schema that `to_json` wrote.

        Raises:
            RunError: a field is missing, unknown, or not what it should be; the error names it.
        """
        schema = checked(cls, document, "the schema")
        check_complete(cls, document, "the schema", optional=TABLES)
        _check_lengths(schema)
        _check_table(schema, document)
        return schema


@dataclass(frozen=True)
class Judgement:
    """What a table was found to be.

    Args:
        columns: every column, in the table's order.
        remarks: what a user should know of columns and rows together, a sentence each.
        plain: why its rows are numbers of one kind, which one likelihood explains; empty where they are not.
    """

    columns: tuple[Column, ...]
    remarks: tuple[str, ...] = ()
    plain: str = ""

    @property
    def modelled(self) -> tuple[Column, ...]:
        """The columns that make a row."""
        return self.columns if self.plain else tuple(column for column in self.columns if column.is_modelled)

    @property
    def left_out(self) -> tuple[Column, ...]:
        """The others."""
        return () if self.plain else tuple(column for column in self.columns if not column.is_modelled)


@dataclass(frozen=True)
class Dataset:
    """N data as rows, what the rows mean, and their labels where known.

    Args:
        rows: stored values, shape (N, P), C-contiguous, in `schema.dtype`.
        schema: the meaning of a row.
        labels: shape (N,), or `None`.
        index: what names the rows, shape (N,), or `None`.
        judgement: what the table was found to be that they come from, or `None`.
        remarks: what a user should know of how pictures were read, a sentence each.
    """

    rows: NDArray[Any]
    schema: Schema
    labels: NDArray[Any] | None = None
    index: NDArray[Any] | None = None
    judgement: Judgement | None = None
    remarks: tuple[str, ...] = ()

    def take(self, numbers: NDArray[Any] | slice) -> Dataset:
        """The rows of these numbers, with their labels and names."""
        labels, index = (None if values is None else values[numbers] for values in (self.labels, self.index))
        return replace(self, rows=self.rows[numbers], labels=labels, index=index)


def _like(affine: Any, values: Array) -> Any:
    """P numbers in the type of the values; one number, or what JAX traces, as it is."""
    return np.asarray(affine, str(values.dtype)) if isinstance(affine, tuple) else affine


def _check_table(schema: Schema, document: Mapping[str, Any]) -> None:
    """Raise the RunError that names what is wrong with the columns of a table."""
    for field, modelled in zip(TABLES, (True, False), strict=True):
        for column, plain in zip(getattr(schema, field) or (), document.get(field) or (), strict=True):
            check_complete(Column, plain, f"the column {column.name!r}")
            column.check()
            if column.is_modelled != modelled:
                told = "are modelled" if modelled else "the model leaves out"
                raise RunError(f"the field {field!r} of the schema must hold columns that {told}, not {column.name!r}.")
    if schema.table is not None and tuple(column.name for column in schema.table) != schema.columns:
        raise RunError("the field 'table' of the schema must hold the columns that its field 'columns' names.")


def _check_lengths(schema: Schema) -> None:
    """Refuse names or numbers of columns that are not as many as the columns, or two columns of one name."""
    for name in ("columns", "shift", "scale", "unit", "table"):
        value = getattr(schema, name)
        if isinstance(value, tuple) and len(value) != schema.size:
            raise RunError(
                f"the field {name!r} of the schema must hold {schema.size} values, as event_shape "
                f"{list(schema.event_shape)} says. Got {len(value)} instead."
            )
    if schema.columns is not None and len(set(schema.columns)) != len(schema.columns):
        raise RunError("the field 'columns' of the schema must be different names. Got two that are equal.")
