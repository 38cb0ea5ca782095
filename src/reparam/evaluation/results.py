"""What a measurement gives: a mean over data with its standard error, plain values for JSON, what is not finite."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Estimate(NamedTuple):
    """A mean and its standard error, which is None where there is but one value, or one that is not finite."""

    value: float
    standard_error: float | None


def mean_of(values: NDArray[Any]) -> Estimate:
    """The mean over N values in double precision, and s/√N.

    >>> mean_of(np.array([1.0, 3.0]))
    Estimate(value=2.0, standard_error=1.0)
    >>> mean_of(np.array([1.0, -np.inf]))
    Estimate(value=-inf, standard_error=None)
    """
    values = np.asarray(values, np.float64)
    known = len(values) > 1 and bool(np.isfinite(values).all())
    with np.errstate(invalid="ignore"):  # ∞ − ∞ is NaN, and not_finite tells of the rows
        mean = float(np.mean(values))
    return Estimate(mean, float(np.std(values, ddof=1) / np.sqrt(len(values))) if known else None)


def not_finite(**rows: NDArray[Any] | None) -> tuple[str, ...]:
    """A line for each named array (N,) of nats that is not finite in every row.

    >>> not_finite(bound=np.array([0.0, -np.inf]), elbo=np.zeros(2))
    ('bound is not finite in 1 of 2 rows (row 1: -inf), so neither is its mean, which is null in JSON.',)
    """
    told = []
    for name, values in rows.items():
        wrong = np.flatnonzero(~np.isfinite(np.zeros(0) if values is None else values))
        if values is not None and len(wrong):
            where = f"{len(wrong)} of {len(values)} rows (row {wrong[0]}: {values[wrong[0]]})"
            told.append(f"{name} is not finite in {where}, so neither is its mean, which is null in JSON.")
    return tuple(told)


def plain(value: Any) -> Any:
    """The same as dicts, lists and numbers that JSON knows: what is not finite is None.

    >>> plain({"bound": Estimate(-math.inf, 0.5), "counts": (1, 2)})
    {'bound': {'value': None, 'standard_error': 0.5}, 'counts': [1, 2]}
    """
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return plain(value._asdict())
    if isinstance(value, Mapping):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, tuple | list | np.ndarray):
        return [plain(item) for item in value]
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not math.isfinite(value) else value
