"""Ways from one code to another."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from reparam.errors import ParameterError

PARALLEL = 1e-6  # sin Ω below which two directions are one, or opposite


def linear(a: NDArray[np.float64], b: NDArray[np.float64], t: NDArray[np.float64]) -> NDArray[np.float64]:
    r"""The straight way between two codes.

    .. math:: z(t) = (1 - t)\,a + t\,b

    Args:
        a: a code, shape (K,).
        b: another, shape (K,).
        t: places on the way, 0 at a and 1 at b, shape (T,).

    Returns:
        Codes, shape (T, K).

    >>> linear(np.array([0.0, 0.0]), np.array([2.0, 4.0]), np.array([0.0, 0.5, 1.0])).tolist()
    [[0.0, 0.0], [1.0, 2.0], [2.0, 4.0]]
    """
    return np.outer(1 - t, a) + np.outer(t, b)


def spherical(a: NDArray[np.float64], b: NDArray[np.float64], t: NDArray[np.float64]) -> NDArray[np.float64]:
    r"""The way along the great circle, on which lengths pass evenly from one code's to the other's.

    .. math:: z(t) = \frac{\sin((1 - t)\,\Omega)}{\sin\Omega}\,a + \frac{\sin(t\,\Omega)}{\sin\Omega}\,b,
        \qquad \cos\Omega = \frac{a \cdot b}{|a|\,|b|}

    In many dimensions draws of a normal prior lie near a sphere, which the straight way leaves. Between codes of one
    direction both ways are the same. Source: Shoemake (1985); of codes White (2016).

    Args:
        a: a code, shape (K,), K ≥ 2, not at the origin.
        b: another.
        t: places on the way, 0 at a and 1 at b, shape (T,).

    Returns:
        Codes, shape (T, K).

    Raises:
        ParameterError: no one great circle joins them, or there is one latent only.

    >>> spherical(np.array([1.0, 0.0]), np.array([0.0, 1.0]), np.array([0.5])).round(4).tolist()
    [[0.7071, 0.7071]]
    """
    if len(a) < 2:
        raise ParameterError("a spherical way needs two latents at least. Got 1: take the linear one.")
    lengths = np.linalg.norm(a), np.linalg.norm(b)
    if not min(lengths) > 0:
        raise ParameterError("a code at the origin has no direction: take the linear way.")
    cosine = float(np.clip(a @ b / np.prod(lengths), -1, 1))
    angle = np.arccos(cosine)
    if np.sin(angle) < PARALLEL:
        if cosine < 0:
            raise ParameterError("the codes lie on opposite sides: no one circle joins them. Take the linear way.")
        return linear(a, b, t)
    return np.asarray((np.outer(np.sin((1 - t) * angle), a) + np.outer(np.sin(t * angle), b)) / np.sin(angle))
