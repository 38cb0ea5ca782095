"""The room's numerics: functions that stay accurate where the textbook form cancels, overflows or divides by zero."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike

TEMPERED_BEYOND = 14.0


def at_least_single(number: ArrayLike) -> Array:
    """The same numbers in single precision or better: half precision cannot hold exp of what a network gives.

    Integers become JAX's default floating-point numbers.
    """
    array = jnp.asarray(number)
    return array.astype(jnp.promote_types(jnp.result_type(array, float), jnp.float32))


def saturated_exp(x: Array) -> Array:
    """Exp(x), held where its square can be represented, while its gradient stays exp(x) at the held value."""
    limits = jnp.finfo(x.dtype)
    held = jnp.clip(x, 0.5 * jnp.log(limits.tiny) + 1.0, 0.5 * jnp.log(limits.max) - 1.0)
    return jnp.exp(jax.lax.stop_gradient(held) + (x - jax.lax.stop_gradient(x)))


def tempered(raw: ArrayLike) -> Array:
    r"""Return the logarithm of a positive parameter from any real number: the identity, logarithmic beyond ±14.

    .. math:: t(a) = a \text{ for } |a| \le 14, \qquad
        t(a) = \operatorname{sign}(a)\,\bigl(14 + \ln(1 + |a| - 14)\bigr) \text{ beyond}

    :math:`e^{-14} \approx 10^{-6}` is the precision of single-precision numbers near ten, so data of that size can
    ask for no smaller σ. At |a| = 10⁴ the parameter is :math:`e^{\pm 23}`, where densities and gradients are still
    finite, and unlike a clip the gradient is never zero, so that training can come back. Shapes: any, kept.

    >>> tempered(jnp.array([-2.5, 14.0, 1e4])).round(2).tolist()
    [-2.5, 14.0, 23.209999084472656]
    """
    raw = at_least_single(raw)
    excess = jnp.maximum(jnp.abs(raw) - TEMPERED_BEYOND, 0.0)
    within = jnp.where(excess > 0, jnp.sign(raw) * TEMPERED_BEYOND, raw)
    return within + jnp.sign(raw) * jnp.log1p(excess)


@jax.custom_jvp
def softplus(x: Array) -> Array:
    r"""ln(1 + e^x) to the last digit of every x; its derivative is the sigmoid.

    It is max(x, 0) + ln(1 + t) with :math:`t = e^{-|x|} \le 1`, and :math:`\ln(1 + t) = 2 \operatorname{artanh} s`,
    :math:`s = t/(2 + t) \le 1/3`, by its series: with the exponential a third of the time of XLA's own log1p.

    >>> softplus(jnp.array([-1e4, 0.0, 1e4])).round(4).tolist()
    [0.0, 0.6930999755859375, 10000.0]
    """
    t = jnp.exp(-jnp.abs(x))
    s = t / (2.0 + t)
    terms = 18 if jnp.result_type(x) == jnp.float64 else 8
    series = jnp.array([2.0 / (2 * k + 1) for k in reversed(range(terms))], s.dtype)
    return jnp.maximum(x, 0.0) + s * jnp.polyval(series, s**2, unroll=terms)


softplus.defjvps(lambda tangent, _, x: tangent * jax.nn.sigmoid(x))


def log_sigmoid(x: Array) -> Array:
    """ln sigmoid(x) = −ln(1 + e^{−x})."""
    return -softplus(-x)


def logit(p: ArrayLike) -> Array:
    """ln p − ln(1 − p), with p held within [0.001, 0.999] (Burda et al. 2016, their published code)."""
    p = jnp.clip(at_least_single(p), 1e-3, 1.0 - 1e-3)
    return jnp.log(p) - jnp.log1p(-p)


@jax.custom_jvp
def log_softplus(x: Array) -> Array:
    """Ln ln(1 + e^x); below −20 the softplus is e^x to double precision after one correction term."""
    far_below = x < -20.0
    return jnp.where(far_below, x - 0.5 * saturated_exp(x), jnp.log(jax.nn.softplus(jnp.where(far_below, 0.0, x))))


@log_softplus.defjvp
def _(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    """Sigmoid(x)/softplus(x), as one factor: a sum of terms would turn an infinite tangent into NaN."""
    (x,), (tangent,) = primals, tangents
    far_below = x < -20.0
    safe = jnp.where(far_below, 0.0, x)
    return log_softplus(x), tangent * jnp.where(far_below, 1.0, jax.nn.sigmoid(safe) / jax.nn.softplus(safe))


def inverse_log_softplus(y: Array) -> Array:
    """The x with ln ln(1 + e^x) = y: ln(e^σ − 1) = σ + ln(1 − e^{−σ}) at σ = e^y, which tends to y far below zero."""
    far_below = y < -20.0
    std = saturated_exp(jnp.where(far_below, 0.0, y))
    return jnp.where(far_below, y + 0.5 * saturated_exp(y), std + jnp.log(-jnp.expm1(-std)))


def stirling_correction(log_z: Array) -> Array:
    r"""What Stirling's formula misses of ln Γ(z), from ln z.

    .. math:: c(z) = \ln \Gamma(z) - (z - \tfrac12) \ln z + z - \tfrac12 \ln 2\pi \approx \tfrac{1}{12 z} - \dots

    Ratios of gamma functions with large arguments cancel to nothing in floating point; written with c, the large
    terms cancel on paper. Series: Abramowitz & Stegun (1964), 6.1.41; below a few ones by the recurrence 6.1.16, so
    that neither it nor its slope needs a gamma function, which would cost as much as the rest of a density of counts.

    >>> stirling_correction(jnp.log(1e6)).item() < 1e-7
    True
    """
    terms = 8 if jnp.result_type(log_z) == jnp.float64 else 4  # below, the series is that of z + terms
    small = log_z < math.log(terms)
    log_small, log_large = jnp.where(small, log_z, 0.0), jnp.where(small, math.log(terms), log_z)
    z = jnp.exp(log_small)
    beyond = z + terms
    reciprocal = jnp.where(small, 1.0 / beyond, jnp.exp(-log_large))
    square = reciprocal**2
    series = reciprocal * (1 / 12 - square * (1 / 360 - square * (1 / 1260 - square / 1680)))
    between = jnp.log(math.prod((z + k for k in range(1, terms)), start=jnp.ones(())))
    shifted = (beyond - 0.5) * jnp.log(beyond) - terms - between - (z + 0.5) * log_small
    return jnp.where(small, shifted, 0.0) + series


def log_minus_linear(u: Array, log_1_u: Array) -> Array:
    """ln(1 + u) − u, given ln(1 + u) for where u is too far from zero, or too near −1, for log1p."""
    near = jnp.abs(u) < 0.5
    return jnp.where(near, jnp.log1p(jnp.where(near, u, 0.0)), log_1_u) - u


def exp_minus_tangent(t: Array) -> Array:
    r"""Return :math:`h(t) = e^t - 1 - t`, by its series where the difference would cancel.

    >>> round(exp_minus_tangent(jnp.float32(1e-3)).item() * 1e7, 5)  # 1e7 (t²/2 + t³/6)
    5.00167
    """
    near = jnp.abs(t) < (0.03 if t.dtype == jnp.float64 else 0.3)
    small = jnp.where(near, t, 0.0)
    series = 0.5 * small**2 * jnp.polyval(jnp.array([2 / 40320, 2 / 5040, 2 / 720, 2 / 120, 2 / 24, 2 / 6, 1.0]), small)
    return jnp.where(near, series, jnp.expm1(t) - t)


def trace_minus_log_det(m: Array, log_det: Array, eps: float | None = None) -> Array:
    r"""Return :math:`\mathrm{tr}\,M - \ln|\det(I + M)|` of matrices (..., D, D), given the logarithm, shape (...).

    Near zero by its series :math:`\mathrm{tr}M^2/2 - \mathrm{tr}M^3/3 + \mathrm{tr}M^4/4 - \dots`, for one product
    M². What the series leaves out, ‖M‖⁵/5, and what the difference rounds away meet where ‖M‖⁵ is ``eps``: the machine
    epsilon, of the precision that the logarithm was computed in where that is another than M's.

    >>> m = jnp.diag(jnp.array([1e-3, 0.0]))
    >>> round(trace_minus_log_det(m, jnp.log1p(jnp.array(1e-3)), 1e-7).item() * 1e7, 3)
    4.997
    """
    plain = jnp.trace(m, axis1=-2, axis2=-1) - log_det
    norm = jnp.sqrt(jnp.sum(jax.lax.stop_gradient(m) ** 2, axis=(-2, -1)))
    near = (norm < (eps or jnp.finfo(m.dtype).eps) ** 0.2) & jnp.isfinite(log_det)
    m = jnp.where(near[..., None, None], m, 0.0)
    squared, transposed = m @ m, jnp.swapaxes(m, -1, -2)
    pairs = ((m, transposed), (squared, transposed), (squared, jnp.swapaxes(squared, -1, -2)))
    two, three, four = (jnp.sum(a * b, axis=(-2, -1)) for a, b in pairs)
    return jnp.where(near, two / 2 - three / 3 + four / 4, plain)


def apply_matrix(matrix: Array, vector: ArrayLike) -> Array:
    """``matrix @ vector`` over leading dimensions: (..., M, N) and (..., N) → (..., M)."""
    return jnp.einsum("...mn,...n->...m", matrix, vector)


def squarable(eps: Array) -> Array:
    """Whether vectors (..., D) are so short that products of a few of them can be represented."""
    return jnp.all(jnp.abs(eps) < jnp.finfo(eps.dtype).max ** 0.25, axis=-1)


@jax.custom_jvp
def abs_det_log(matrix: Array) -> Array:
    r"""Return :math:`\ln|\det S|` of matrices (..., D, D); −∞, with gradient 0, where S is singular.

    Rows and then columns are brought to one size by powers of two, which no rounding touches, so that the answer does
    not depend on units. To working precision, a matrix is singular when its smallest pivot is then below D machine
    epsilons of its largest.

    >>> abs_det_log(jnp.array([[1.0, 2.0], [2.0, 4.0]])).item()
    -inf
    >>> round(abs_det_log(jnp.diag(jnp.array([1.0, 1e-9]))).item(), 3)
    -20.723
    """
    balanced, exponents = _balanced(matrix)
    factors = jax.lax.linalg.lu(balanced)[0]
    return _log_of_pivots(jnp.abs(jnp.diagonal(factors, axis1=-2, axis2=-1)), exponents)


@abs_det_log.defjvp
def _(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    """D ln|det S| = tr(S⁻¹ dS); value and inverse by one elimination."""
    (matrix,), (tangent,) = primals, tangents
    balanced, exponents = _balanced(matrix)
    pivots, inverse = eliminated(balanced)
    value = _log_of_pivots(pivots, exponents)
    inverse = jnp.ldexp(inverse, -jnp.swapaxes(exponents, -1, -2))
    inverse = jnp.where(jnp.isfinite(value)[..., None, None], inverse, 0.0)
    return value, jnp.einsum("...ij,...ji->...", inverse, tangent)


def _balanced(matrix: Array) -> tuple[Array, Array]:
    """Matrices with rows and columns of size one, and the exponents of two that give them, (..., D, D)."""
    row = jnp.frexp(jnp.max(jnp.abs(matrix), axis=-1, keepdims=True))[1]
    balanced = jnp.ldexp(matrix, -row)
    column = jnp.frexp(jnp.max(jnp.abs(balanced), axis=-2, keepdims=True))[1]
    return jnp.ldexp(balanced, -column), row + column


def _log_of_pivots(pivots: Array, exponents: Array) -> Array:
    """ln|det S| from the sizes of the balanced matrix's pivots, (..., D); −∞ where one of them is too small."""
    dimension = pivots.shape[-1]
    tolerance = dimension * jnp.finfo(pivots.dtype).eps * jnp.max(pivots, axis=-1, keepdims=True)
    singular = jnp.any(pivots <= tolerance, axis=-1)
    scales = jnp.trace(exponents, axis1=-2, axis2=-1)
    log_det = jnp.sum(jnp.log(jnp.where(singular[..., None], 1.0, pivots)), axis=-1) + scales * math.log(2.0)
    return jnp.where(singular, -jnp.inf, log_det)


def eliminated(matrix: Array) -> tuple[Array, Array]:
    """Return the pivots' sizes (..., D) and the inverse of matrices (..., D, D): Gauss–Jordan with row exchanges.

    A step treats all matrices at once, where LAPACK takes one after the other: of 128 matrices of 32 × 32, half the
    time of a factorisation with two solves. A pivot of 0 gives an inverse of no meaning.

    >>> pivots, inverse = eliminated(jnp.array([[0.0, 2.0], [4.0, 0.0]]))
    >>> pivots.tolist(), inverse.tolist()
    ([4.0, 2.0], [[0.0, 0.25], [0.5, 0.0]])
    """
    batch, dimension = matrix.shape[:-2], matrix.shape[-1]
    numbers = jnp.arange(dimension)

    def step(k: Array, at: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
        reduced, pivots, order, place = at
        column = jax.lax.dynamic_index_in_dim(reduced, k, axis=-1, keepdims=False)
        size = jnp.where(place < dimension, -1.0, jnp.abs(column))
        largest = jnp.max(size, axis=-1, keepdims=True)
        chosen = jnp.min(jnp.where(size == largest, numbers, dimension), axis=-1, keepdims=True)
        is_chosen, is_k = numbers == chosen, numbers == k
        pivot = jnp.take_along_axis(column, chosen, axis=-1)
        row = jnp.take_along_axis(reduced, chosen[..., None], axis=-2)
        row = jnp.where(is_k, 1.0, row) / jnp.where(pivot == 0, 1.0, pivot)[..., None]
        others = jnp.where(is_k, 0.0, reduced) - column[..., None] * row
        reduced = jnp.where(is_chosen[..., None], row, others)
        return (
            reduced,
            jnp.where(is_k, jnp.abs(pivot), pivots),
            jnp.where(is_k, chosen, order),
            jnp.where(is_chosen, k, place),
        )

    nowhere = jnp.full((*batch, dimension), dimension)
    start = matrix, jnp.zeros((*batch, dimension), matrix.dtype), nowhere, nowhere
    reduced, pivots, order, place = jax.lax.fori_loop(0, dimension, step, start)
    rows = jnp.take_along_axis(reduced, order[..., None], axis=-2)
    return pivots, jnp.take_along_axis(rows, place[..., None, :], axis=-1)
