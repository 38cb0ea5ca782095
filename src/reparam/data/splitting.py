"""Train and validation rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from reparam.errors import DataError, ParameterError


def split(rows: int, fraction: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row indices to train on and to validate on: sorted, disjoint, together all rows.

    Args:
        rows: N, at least 2.
        fraction: of the rows held out, in (0, 1); the count is rounded, and leaves each side a row.
        seed: the same seed gives the same rows.

    Raises:
        DataError: there are not enough rows for two sides.
        ParameterError: `fraction` or `seed` lies outside its domain.

    >>> train, validation = split(10, 0.2, seed=0)
    >>> len(train), len(validation)
    (8, 2)
    """
    if not 0 < fraction < 1:
        raise ParameterError(f"The 'validation_fraction' must lie in (0, 1). Got {fraction!r} instead.")
    if seed < 0:
        raise ParameterError(f"The 'seed' must be an int in [0, inf). Got {seed!r} instead.")
    if rows < 2:
        raise DataError(
            f"{rows} row cannot be split into training and validation rows; at least 2 are required. "
            "Give more rows, or hold none out."
        )
    held_out = min(max(round(rows * fraction), 1), rows - 1)
    order = np.random.default_rng(seed).permutation(rows)
    return np.sort(order[held_out:]), np.sort(order[:held_out])


def spread(rows: int, count: int) -> NDArray[np.intp]:
    """At most ``count`` row numbers, evenly spread over ``rows`` rows."""
    return np.unique(np.linspace(0, rows - 1, min(count, rows)).round().astype(np.intp))
