"""What the user says of the code: ``SCALE``, ``BETA``, … in the module, in a comment, or by a flag."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np

from reparam.errors import ParameterError, UnknownNameError
from reparam.verification.arrays import FRAMEWORKS, Array, to_numpy

NAMES = ("FRAMEWORK", "SCALE", "LIKELIHOOD", "REDUCTION", "BETA", "LATENT_DIM", "DATA", "SAMPLE_AXIS")
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
        if name not in NAMES:
            raise UnknownNameError("declaration", name, NAMES)
    value = {name: _literal(said[name]) if name in said else _attribute(holders, name) for name in NAMES}
    return Declarations(
        scale=_name("SCALE", value["SCALE"]),
        likelihood=_name("LIKELIHOOD", value["LIKELIHOOD"]),
        reduction=_reduction(value["REDUCTION"]),
        beta=_number("BETA", value["BETA"]),
        latent_dim=_whole("LATENT_DIM", value["LATENT_DIM"]),
        data=value["DATA"],
        sample_axis=_axis(value["SAMPLE_AXIS"]),
        framework=_framework(value["FRAMEWORK"]),
    )


def _literal(value: Any) -> Any:
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return value


def _attribute(holders: list[Any], name: str) -> Any:
    found = (getattr(holder, name, None) for holder in holders if holder is not None)
    return next((value for value in found if value is not None and not hasattr(value, "__path__")), None)


def _framework(value: Any) -> str | None:
    if value is None:
        return None
    name = {"pytorch": "torch", "tf": "tensorflow", "np": "numpy"}.get(str(value).lower(), str(value).lower())
    if name not in FRAMEWORKS:
        raise ParameterError(f"FRAMEWORK must be one of {', '.join(FRAMEWORKS)}. Got {value!r} instead.")
    if not FRAMEWORKS[name].loaded:
        raise ParameterError(f"FRAMEWORK = {value!r}, but the file never imports {name}. Import it in the file.")
    return name


def _name(declaration: str, value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value.replace("-", "_").lower() if value else None
    raise ParameterError(f"{declaration} must be a name. Got {value!r} instead.")


def _reduction(value: Any) -> Literal["mean", "sum"] | None:
    if value in (None, "mean", "sum"):
        return cast(Literal["mean", "sum"] | None, value)
    raise ParameterError(f'REDUCTION must be "mean" or "sum" (over the batch). Got {value!r} instead.')


def _number(declaration: str, value: Any) -> float | None:
    if value is None:
        return None
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise ParameterError(f"{declaration} must be a number. Got {value!r} instead.") from error


def _whole(declaration: str, value: Any) -> int | None:
    if value is None:
        return None
    try:
        if int(value) == value and value >= 1:
            return int(value)
    except (TypeError, ValueError):
        pass
    raise ParameterError(f"{declaration} must be an int in [1, inf). Got {value!r} instead.")


def _axis(value: Any) -> int:
    if value is None:
        return -1
    if value in (0, 1, -1, -2) and not isinstance(value, bool):
        return 0 if value in (0, -2) else -1
    raise ParameterError(f"SAMPLE_AXIS must be 0 or 1 (or -1): log_w has two axes. Got {value!r} instead.")
