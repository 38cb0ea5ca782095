"""Grey values in [0, 1] as zeros and ones: the protocols of binarised images."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

BINARIZATIONS = ("none", "fixed", "dynamic", "threshold")
"""``fixed``: one Bernoulli draw of each value, kept; ``dynamic``: a fresh one at every visit of a row (Burda et al.
2016); ``threshold``: whether the value exceeds ½."""


def drawn(x: Array, key: PRNGKeyArray) -> Array:
    """Zeros and ones of probability x, in the shape and type of x."""
    return (jax.random.uniform(key, x.shape, x.dtype) < x).astype(x.dtype)


def above_half(x: Array) -> Array:
    """One where x > ½, else zero."""
    return jnp.asarray(x > 0.5).astype(x.dtype)
