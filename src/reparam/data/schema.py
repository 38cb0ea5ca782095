"""What the numbers of a row mean: stored values, the model's values, and the way between them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Gt, Len, Predicate
from numpy.typing import NDArray

from reparam.data.statistics import blocks
from reparam.documents import STRICT, Count, Name, Names, checked
from reparam.errors import RunError

Array = Any  # a NumPy or a JAX array; this floor imports no JAX
Affine = float | Annotated[tuple[float, ...], Len(1)]
Positive = Annotated[float, Gt(0)]
PositiveAffine = Positive | Annotated[tuple[Positive, ...], Len(1)]

STORED_DTYPES = ("uint8", "int8", "uint16", "int16", "int32", "float32", "float64")
Stored = Annotated[str, Predicate(STORED_DTYPES.__contains__)]
FLOATS = ("float32", "float64")


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

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    @property
    def size(self) -> int:
        """P, the number of values in one datum: the product of `event_shape`."""
        return math.prod(self.event_shape)

    @property
    def log_volumes(self) -> NDArray[np.float64]:
        """What ln p of each of the model's values exceeds ln p in units by, nats, (P,): ln(scale/unit)."""
        ratio = np.asarray(self.scale, np.float64) / np.asarray(self.unit, np.float64)
        return np.log(np.broadcast_to(ratio, (self.size,)))

    @property
    def log_volume(self) -> float:
        """The same of a datum, nats: their sum."""
        return float(np.sum(self.log_volumes))

    @property
    def is_compact(self) -> bool:
        """Whether rows stay the whole numbers that they are until a batch of them becomes the model's values."""
        return self.dtype not in FLOATS and isinstance(self.scale, float | int)

    def of(self, rows: NDArray[Any]) -> Schema:
        """The schema of further rows in the same stored units, whatever type they are stored in."""
        return replace(self, dtype=str(rows.dtype))

    def standardized(self, shift: Affine, scale: Affine) -> Schema:
        """The same rows and units, shown to the model by another shift and scale."""
        return replace(self, shift=shift, scale=scale)

    def stored(self, rows: NDArray[Any], dtype: str = "float32") -> NDArray[Any]:
        """Rows as a device keeps them: compact ones as they are, others as the model's values.

        Shifted and scaled in double precision, block by block, before anything is rounded to `dtype`.
        """
        if self.is_compact:
            return rows
        values = np.empty(rows.shape, dtype)
        shift, scale = np.asarray(self.shift, np.float64), np.asarray(self.scale, np.float64)
        for block, target in zip(blocks(rows), blocks(values), strict=True):
            target[:] = (block.astype(np.float64) - shift) / scale
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
        document = asdict(self)
        return {key: list(value) if isinstance(value, tuple) else value for key, value in document.items()}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Schema:
        """The schema that `to_json` wrote.

        Raises:
            RunError: a field is missing, unknown, or not what it should be; the error names it.
        """
        schema = checked(cls, document, "the schema")
        _check_lengths(schema)
        return schema


@dataclass(frozen=True)
class Dataset:
    """N data as rows, what the rows mean, and their labels where known.

    Args:
        rows: stored values, shape (N, P), C-contiguous, in `schema.dtype`.
        schema: the meaning of a row.
        labels: shape (N,), or `None`.
    """

    rows: NDArray[Any]
    schema: Schema
    labels: NDArray[Any] | None = None

    def take(self, numbers: NDArray[Any] | slice) -> Dataset:
        """The rows of these numbers, with their labels."""
        return Dataset(self.rows[numbers], self.schema, None if self.labels is None else self.labels[numbers])


def _like(affine: Any, values: Array) -> Any:
    """P numbers in the type of the values; one number, or what JAX traces, as it is."""
    return np.asarray(affine, str(values.dtype)) if isinstance(affine, tuple) else affine


def _check_lengths(schema: Schema) -> None:
    """Refuse names or numbers of columns that are not as many as the columns, or two columns of one name."""
    for name in ("columns", "shift", "scale", "unit"):
        value = getattr(schema, name)
        if isinstance(value, tuple) and len(value) != schema.size:
            raise RunError(
                f"the field {name!r} of the schema must hold {schema.size} values, as event_shape "
                f"{list(schema.event_shape)} says. Got {len(value)} instead."
            )
    if schema.columns is not None and len(set(schema.columns)) != len(schema.columns):
        raise RunError("the field 'columns' of the schema must be different names. Got two that are equal.")
