"""Where training begins: models with an answer in closed form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reparam.starts.linear import Start, best_linear
from reparam.starts.linked import MOMENTS, linked_start

__all__ = ["Start", "StartOf", "linear_start", "stacked"]

StartOf = Callable[[NDArray[Any]], Start]
"""Rows (N, P) → the linear answer for them."""


def linear_start(
    x: NDArray[Any], latent_dim: int, likelihood: str, seed: int = 0, *, library: str = "none"
) -> tuple[str, StartOf] | None:
    """How the linear answer for rows (N, P) under a likelihood is found, and its name; None where none is known.

    ``library``: of counts, how their depth is told.

    >>> name, start_of = linear_start(np.eye(6)[:, :3], 1, "gaussian")
    >>> start_of(np.eye(6)[:, :3]).loadings.shape, linear_start(np.eye(3), 1, "categorical")
    ((3, 1), None)
    """
    if likelihood == "gaussian":
        name, fit = best_linear(x, latent_dim, seed)
        return name, lambda rows: fit(rows, latent_dim).start
    if likelihood in MOMENTS:
        return "moments", lambda rows: linked_start(rows, latent_dim, likelihood, seed, library=library)
    return None


def stacked(starts: list[Start]) -> Start:
    """Starts of one shape along a leading axis."""
    parts = ([getattr(start, name) for start in starts] for name in Start._fields)
    return Start(*(None if each[0] is None else np.stack(each) for each in parts))
