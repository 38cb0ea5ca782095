"""What the user says of the code: ``SCALE``, ``BETA``, … in the module, in a comment, or by a flag."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from reparam.errors import ParameterError, UnknownNameError
from reparam.verification.arrays import FRAMEWORKS, Array, to_numpy

JOBS = ("sample", "kl", "reconstruction_loss", "loss", "bound")
COMMENT = re.compile(r"#\s*reparam:\s*(\w+)\s*=\s*(.+?)\s*$", re.MULTILINE)


class DataTroubleError(Exception):
    """``DATA`` could not be had; the text says why."""


@dataclass(frozen=True)
class Declarations:
    """The declared values, checked; None where nothing is declared."""

    scale: str | None = None
    likelihood: str | None = None
    reduction: Literal["mean", "sum"] | None = None
    beta: float | None = None
    latent_dim: int | None = None
    data: Any = None
    sample_axis: int = -1
    framework: str | None = None
    parts: tuple[str, ...] | None = None

    def data_array(self) -> Array | None:
        """``DATA`` as an (N, P) array: called if it is a function, flattened if it has more axes."""
        shaped = self.shaped_data()
        return None if shaped is None else shaped.reshape(len(shaped), -1)

    def shaped_data(self) -> Array | None:
        """``DATA`` as it comes, at least (N,).

        Raises:
            DataTroubleError: it raised, is empty, or is not numbers.
        """
        if self.data is None:
            return None
        try:
            value = self.data() if callable(self.data) else self.data
            array = to_numpy(np.asarray(value) if isinstance(value, list | tuple) else value)
        except Exception as error:
            raise DataTroubleError(f"DATA gave {type(error).__name__}: {' '.join(str(error).split())}") from error
        if array.size == 0:
            raise DataTroubleError("DATA is empty")
        return array if array.ndim else array.reshape(1)


def declarations(holders: list[Any], text: str = "", flags: Mapping[str, Any] | None = None) -> Declarations:
    """Collect them: flags before comments before attributes of the holders, in their order.

    Raises:
        ParameterError: a declaration has a value that it cannot have, or an unknown name.
    """
    said = {**dict(COMMENT.findall(text)), **(flags or {})}
    for name in said:
        if name not in READERS:
            raise UnknownNameError("declaration", name, READERS)
    value = {name: _literal(said[name]) if name in said else _attribute(holders, name) for name in READERS}
    read = {name: _read(name, one) for name, one in value.items() if one is not None}
    return Declarations(**{name.lower(): one for name, one in read.items()})


def _literal(value: Any) -> Any:
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return value


def _attribute(holders: list[Any], name: str) -> Any:
    found = (getattr(holder, name, None) for holder in holders if holder is not None)
    return next((value for value in found if value is not None and not hasattr(value, "__path__")), None)


def _read(name: str, value: Any) -> Any:
    """A value as its declaration takes it."""
    required, read = READERS[name]
    try:
        return read(value)
    except ParameterError:
        raise
    except (TypeError, ValueError, AttributeError, LookupError) as error:
        raise ParameterError(f"{name} must be {required}. Got {value!r} instead.") from error


def _word(value: str) -> str | None:
    return value.replace("-", "_").lower() or None


def _framework(value: Any) -> str:
    name = {"pytorch": "torch", "tf": "tensorflow", "np": "numpy"}.get(str(value).lower(), str(value).lower())
    if not FRAMEWORKS[name].loaded:
        raise ParameterError(f"FRAMEWORK = {value!r}, but the file never imports {name}. Import it in the file.")
    return name


def _whole(value: Any) -> int:
    if int(value) != value or value < 1:
        raise ValueError
    return int(value)


def _axis(value: Any) -> int:
    if isinstance(value, bool):
        raise ValueError
    return {0: 0, -2: 0, 1: -1, -1: -1}[value]


def _parts(value: Any) -> tuple[str, ...]:
    words = re.split(r"[\s,]+", value.strip()) if isinstance(value, str) else list(value)
    for word in words:
        if word not in JOBS:
            raise UnknownNameError("part in PARTS", str(word), JOBS)
    return tuple(words)


READERS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "FRAMEWORK": (f"one of {', '.join(FRAMEWORKS)}", _framework),
    "SCALE": ("a name", _word),
    "LIKELIHOOD": ("a name", _word),
    "REDUCTION": ('"mean" or "sum" (over the batch)', {"mean": "mean", "sum": "sum"}.__getitem__),
    "BETA": ("a number", float),
    "LATENT_DIM": ("an int in [1, inf)", _whole),
    "DATA": ("an array, or a function that gives one", lambda value: value),
    "SAMPLE_AXIS": ("0 or 1 (or -1): log_w has two axes", _axis),
    "PARTS": (f"some of {', '.join(JOBS)}", _parts),
}
"""Declaration → what it must be, in words, and the value read; what cannot be read raises."""
