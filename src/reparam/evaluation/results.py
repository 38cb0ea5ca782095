"""A mean over data and the standard error of that mean."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Mean(NamedTuple):
    """A mean and its standard error, which is None where there is but one value."""

    value: float
    standard_error: float | None


def mean_of(values: NDArray[Any]) -> Mean:
    """The mean over N values in double precision, and s/√N.

    >>> mean_of(np.array([1.0, 3.0]))
    Mean(value=2.0, standard_error=1.0)
    """
    values = np.asarray(values, np.float64)
    error = float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None
    return Mean(float(np.mean(values)), error)
