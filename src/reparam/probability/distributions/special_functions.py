"""Special functions that stay accurate in single precision where the textbook form cancels."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax.scipy.special import gammaln
from jaxtyping import Array


@jax.custom_jvp
def softplus(x: Array) -> Array:
    """ln(1 + e^x), without the guards for infinity of jax.nn.softplus; its derivative is the sigmoid.

    >>> softplus(jnp.array([-1e4, 0.0, 1e4])).round(4).tolist()
    [0.0, 0.6930999755859375, 10000.0]
    """
    return jnp.maximum(x, 0.0) + jnp.log1p(jnp.exp(-jnp.abs(x)))


softplus.defjvps(lambda tangent, _, x: tangent * jax.nn.sigmoid(x))


def log_sigmoid(x: Array) -> Array:
    """ln sigmoid(x) = −ln(1 + e^{−x})."""
    return -softplus(-x)


def stirling_correction(log_z: Array) -> Array:
    r"""What Stirling's formula misses of ln Γ(z), from ln z.

    .. math:: c(z) = \ln \Gamma(z) - (z - \tfrac12) \ln z + z - \tfrac12 \ln 2\pi \approx \tfrac{1}{12 z} - \dots

    Ratios of gamma functions with large arguments cancel to nothing in floating point; written with c, the large
    terms cancel on paper. Series: Abramowitz & Stegun (1964), 6.1.41.

    >>> stirling_correction(jnp.log(1e6)).item() < 1e-7
    True
    """
    small = log_z < math.log(8.0)
    log_small, log_large = jnp.where(small, log_z, 0.0), jnp.where(small, math.log(8.0), log_z)
    z, reciprocal = jnp.exp(log_small), jnp.exp(-log_large)
    direct = gammaln(1.0 + z) - log_small * (z + 0.5) + z - 0.5 * math.log(2.0 * math.pi)
    square = reciprocal**2
    series = reciprocal * (1 / 12 - square * (1 / 360 - square * (1 / 1260 - square / 1680)))
    return jnp.where(small, direct, series)
