"""Where training begins: models with an answer in closed form."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from reparam.starts.linear import Start, best_linear
from reparam.starts.linked import MOMENTS, linked_start

__all__ = ["Start", "linear_start"]


def linear_start(x: NDArray[Any], latent_dim: int, likelihood: str, seed: int = 0) -> tuple[str, Start] | None:
    """The linear answer for rows (N, P) under a likelihood by name, and how it was found; None where none is known.

    >>> import numpy as np
    >>> name, start = linear_start(np.eye(6)[:, :3], 1, "gaussian")
    >>> start.loadings.shape, linear_start(np.eye(3), 1, "categorical")
    ((3, 1), None)
    """
    if likelihood == "gaussian":
        name, model = best_linear(x, latent_dim, seed)
        return name, model.start
    if likelihood in MOMENTS:
        return "moments", linked_start(x, latent_dim, likelihood, seed)
    return None
