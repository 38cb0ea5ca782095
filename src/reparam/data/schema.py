"""What the numbers of a row mean: stored values, the model's values, and the way between them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reparam.errors import RunError

Array = Any  # a NumPy or a JAX array; this floor imports no JAX
Affine = float | tuple[float, ...]

STORED_DTYPES = ("uint8", "int8", "uint16", "int16", "int32", "float32")


@dataclass(frozen=True)
class Schema:
    """What a row means, and how stored values become the model's: value = (stored − shift) / scale.

    Args:
        name: where the data come from, such as `"digits"` or a file's name.
        event_shape: shape of one datum, `(8, 8)` for images, `(P,)` for tables.
        dtype: how rows are stored, one of `STORED_DTYPES`.
        columns: names of the P columns, or `None`.
        shift: one number, or P of them, in stored units.
        scale: one positive number, or P of them, in stored units.
        units: what the model sees, such as `"x/255"`.

    >>> schema = Schema("digits", (8, 8), "uint8", None, 0.0, 16.0, "x/16")
    >>> schema.size
    64
    >>> schema.apply(np.array([[0, 4, 16]], dtype=np.uint8))
    array([[0.  , 0.25, 1.  ]], dtype=float32)
    """

    name: str
    event_shape: tuple[int, ...]
    dtype: str = "float32"
    columns: tuple[str, ...] | None = None
    shift: Affine = 0.0
    scale: Affine = 1.0
    units: str = "x"

    @property
    def size(self) -> int:
        """P, the number of values in one datum: the product of `event_shape`."""
        return math.prod(self.event_shape)

    def apply(self, rows: Array) -> Array:
        """Stored rows, shape (..., P), to the model's values in float32: (stored − shift) / scale.

        Takes NumPy or JAX arrays, gives back the same kind, and may be traced by JAX.
        """
        return (rows.astype("float32") - _per_column(self.shift)) / _per_column(self.scale)

    def invert(self, values: Array) -> Array:
        """The model's values, shape (..., P), to stored units in float32: scale · value + shift."""
        return values.astype("float32") * _per_column(self.scale) + _per_column(self.shift)

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
        _check_document(document)
        frozen: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in document.items()
        }
        return cls(**frozen)


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


def _per_column(affine: Affine) -> float | NDArray[np.float32]:
    """A plain number, or float32 of shape (P,)."""
    return np.asarray(affine, dtype=np.float32) if isinstance(affine, tuple) else affine


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_positive(value: object) -> bool:
    return _is_number(value) and value > 0  # type: ignore[operator]


def _all(test: Callable[[object], bool], value: object) -> bool:
    return isinstance(value, list) and len(value) > 0 and all(test(item) for item in value)


def _is_names(value: object) -> bool:
    return _all(lambda item: isinstance(item, str), value) and len(set(value)) == len(value)  # type: ignore[call-overload, arg-type]


FIELDS: dict[str, tuple[str, Callable[[object], bool]]] = {
    "name": ("text", lambda value: isinstance(value, str)),
    "event_shape": ("a list of positive whole numbers", lambda value: _all(_is_count, value)),
    "dtype": (f"one of {', '.join(STORED_DTYPES)}", lambda value: value in STORED_DTYPES),
    "columns": ("null or a list of different names", lambda value: value is None or _is_names(value)),
    "shift": ("a number or a list of them", lambda value: _is_number(value) or _all(_is_number, value)),
    "scale": (
        "a positive number or a list of them",
        lambda value: _is_positive(value) or _all(_is_positive, value),
    ),
    "units": ("text", lambda value: isinstance(value, str)),
}


def _check_document(document: Mapping[str, Any]) -> None:
    """Raise the RunError that names the first damaged field of a schema's document."""
    if not isinstance(document, Mapping):
        raise RunError(f"the schema must be a JSON object. Got {type(document).__name__} instead.")
    names = [field.name for field in fields(Schema)]
    for name in sorted(set(names) ^ set(document), key=str):
        fault = "is missing" if name in names else "is unknown"
        raise RunError(f"the field {name!r} of the schema {fault}. Required: {', '.join(names)}.")
    for name, (requirement, holds) in FIELDS.items():
        if not holds(document[name]):
            raise RunError(f"the field {name!r} of the schema must be {requirement}. Got {document[name]!r} instead.")
    size = math.prod(document["event_shape"])
    for name in ("columns", "shift", "scale"):
        value = document[name]
        if isinstance(value, list) and len(value) != size:
            raise RunError(
                f"the field {name!r} of the schema must hold {size} values, as event_shape "
                f"{document['event_shape']} says. Got {len(value)} instead."
            )
