r"""Kullback–Leibler divergences in nats: closed forms by pair of families, and Monte Carlo with its standard error.

Near q = p a divergence is a small difference of large terms. Everything here therefore goes through

.. math:: h(t) = e^t - 1 - t \quad\text{and}\quad \tfrac12[\mathrm{tr}\,M - \ln\det(I + M)],

each with a series where it is small, so that single precision keeps four digits at a divergence of 1e-6.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array, PRNGKeyArray
from numpyro.distributions import Distribution

from reparam.errors import NoClosedFormError, ParameterError, ReparamWarning
from reparam.probability.distributions.affine_normal import AffineNormal
from reparam.probability.distributions.location_scale import LocationScale
from reparam.probability.distributions.low_rank_normal import LowRankNormal
from reparam.probability.reparameterization import draw_noise, reparameterize_with_log_prob


class Estimate(NamedTuple):
    """A Monte Carlo mean and the standard error of that mean."""

    value: Array
    standard_error: Array


def kl_divergence(q: Distribution, p: Distribution) -> Array:
    r"""Kullback–Leibler divergence in closed form, :math:`KL(q\|p) = E_q[\ln q(z) - \ln p(z)]`.

    Closed forms: every pair of Gaussians (diagonal, full, Cholesky, low rank, and numpyro's own Normal and
    multivariate families), among them full–N(0, I), :math:`\tfrac12[\|S\|_F^2 + \|\mu\|^2 - K - 2\ln|\det S|]`, and
    Laplace–Laplace. A singular S gives +∞ and a warning.

    Args:
        q: batch shape B, event shape (D,).
        p: batch shape broadcastable to B, event shape (D,).

    Returns:
        KL in nats, shape B.

    Raises:
        NoClosedFormError: no closed form is known for this pair; :func:`kl_monte_carlo` is the other way.
        ParameterError: the event shapes differ.

    Source: Kingma & Welling (2014), Appendix B, for the diagonal case.

    >>> q = dist.Normal(jnp.array([1.0, 0.0]), 1.0).to_event(1)
    >>> kl_divergence(q, dist.Normal(jnp.zeros(2), 1.0).to_event(1)).item()
    0.5
    """
    if q.event_shape != p.event_shape:
        raise ParameterError(f"kl_divergence needs equal event shapes. Got {q.event_shape} of q, {p.event_shape} of p.")
    closed_form, simple_q, simple_p = _closed_form(q, p)
    kl = jnp.broadcast_to(closed_form(simple_q, simple_p), jnp.broadcast_shapes(q.batch_shape, p.batch_shape))
    if isinstance(q, AffineNormal) and not isinstance(kl, jax.core.Tracer) and bool(jnp.any(jnp.isposinf(kl))):
        warnings.warn(
            "kl_divergence: the matrix S of z = loc + S @ eps is singular, so q has no density and KL = inf. "
            "Start S near the identity, or choose the 'cholesky' posterior, which cannot be singular.",
            ReparamWarning,
            stacklevel=2,
        )
    return kl


def has_closed_form(q: Distribution, p: Distribution) -> bool:
    """Whether :func:`kl_divergence` knows this pair.

    >>> has_closed_form(dist.Normal(0, 1), dist.Laplace(0, 1))
    False
    """
    try:
        _closed_form(q, p)
    except NoClosedFormError:
        return False
    return True


def kl_monte_carlo(q: Distribution, p: Distribution, key: PRNGKeyArray, samples: int) -> Estimate:
    r"""Kullback–Leibler divergence by Monte Carlo, :math:`\frac1N \sum_n \ln q(z_n) - \ln p(z_n)` with z drawn from q.

    Args:
        q: a reparameterisable distribution, batch shape B.
        p: any distribution with a density on the same space.
        key: the draws.
        samples: N ≥ 2.

    Returns:
        (value, standard_error), both in nats and of shape B; the error of the mean, from the draws themselves.

    Raises:
        ParameterError: fewer than two samples.

    >>> q, p = dist.Normal(1.0, 1.0), dist.Normal(0.0, 1.0)
    >>> value, standard_error = kl_monte_carlo(q, p, jax.random.key(0), 4000)
    >>> bool(abs(value - 0.5) < 4 * standard_error)
    True
    """
    if samples < 2:
        raise ParameterError(f"The 'samples' parameter of kl_monte_carlo must be an int in [2, inf). Got {samples!r}.")
    z, log_q = reparameterize_with_log_prob(q, draw_noise(q, key, (samples,)))
    log_ratio = log_q - p.log_prob(z)
    return Estimate(jnp.mean(log_ratio, axis=0), jnp.std(log_ratio, axis=0, ddof=1) / jnp.sqrt(samples))


def _kl_diagonal_normal(q: LocationScale, p: LocationScale) -> Array:
    """Σ ½[h(2 ln(σ_q/σ_p)) + (Δμ/σ_p)²]."""
    return jnp.sum(kl_diagonal_normal_terms(q, p), axis=-1)


def kl_diagonal_normal_terms(q: LocationScale, p: LocationScale) -> Array:
    """The divergence of each coordinate of two diagonal Gaussians, nats, shape (..., D)."""
    shift = (q.loc - p.loc) / p.scale
    return 0.5 * (exp_minus_tangent(2.0 * (q.log_scale - p.log_scale)) + shift**2)


def _kl_diagonal_laplace(q: LocationScale, p: LocationScale) -> Array:
    """Σ h(t) + e^t h(−|Δμ|/b_q), t = ln(b_q/b_p)."""
    t = q.log_scale - p.log_scale
    shift = jnp.abs(q.loc - p.loc) / q.scale
    return jnp.sum(exp_minus_tangent(t) + jnp.exp(t) * exp_minus_tangent(-shift), axis=-1)


def _kl_affine(q: AffineNormal, p: AffineNormal) -> Array:
    """½[tr M − ln det(I + M) + ‖S_p⁻¹Δμ‖²] with I + M = AAᵀ, A = S_p⁻¹ S_q."""
    shift = jnp.linalg.solve(p.matrix, (q.loc - p.loc)[..., None])[..., 0]
    excess = jnp.linalg.solve(p.matrix, q.matrix - p.matrix)
    return _excess(excess, q.log_abs_det - p.log_abs_det) + 0.5 * jnp.sum(shift**2, axis=-1)


def _kl_affine_diagonal(q: AffineNormal, p: LocationScale) -> Array:
    """The same with a diagonal S_p: divisions instead of systems of equations."""
    shift = (q.loc - p.loc) / p.scale
    identity = jnp.eye(q.matrix.shape[-1], dtype=q.matrix.dtype)
    excess = (q.matrix - p.scale[..., None, :] * identity) / p.scale[..., :, None]
    log_abs_det = q.log_abs_det - jnp.sum(p.log_scale, axis=-1)
    return _excess(excess, log_abs_det) + 0.5 * jnp.sum(shift**2, axis=-1)


def _kl_low_rank_diagonal(q: LowRankNormal, p: LocationScale) -> Array:
    """½[tr M − ln det(I + M) + ‖Δμ/σ_p‖²] with M = diag(e^{2 ln(σ_q/σ_p)} − 1) + F̃F̃ᵀ, F̃ = F/σ_p."""
    shift = (q.loc - p.loc) / p.scale
    factor = q.factor / p.scale[..., :, None]
    diagonal = jnp.eye(q.loc.shape[-1], dtype=q.loc.dtype) * jnp.expm1(2.0 * (q.log_scale - p.log_scale))[..., None, :]
    m = diagonal + factor @ jnp.swapaxes(factor, -1, -2)
    log_det = 2.0 * (q.log_abs_det - jnp.sum(p.log_scale, axis=-1))
    return trace_minus_log_det(m, log_det) + 0.5 * jnp.sum(shift**2, axis=-1)


def _excess(e: Array, log_abs_det: Array) -> Array:
    r"""Half of :math:`\|A\|_F^2 - D - 2\ln|\det A|` for A = I + E: M = AAᵀ − I = E + Eᵀ + EEᵀ."""
    transposed = jnp.swapaxes(e, -1, -2)
    return trace_minus_log_det(e + transposed + e @ transposed, 2.0 * log_abs_det)


def trace_minus_log_det(m: Array, log_det: Array) -> Array:
    r"""Return :math:`\tfrac12[\mathrm{tr}\,M - \ln\det(I + M)]` of symmetric M (..., D, D), given ln det(I + M).

    Below ‖M‖ = 0.05 by its series :math:`\tfrac12[\mathrm{tr}M^2/2 - \mathrm{tr}M^3/3 + \mathrm{tr}M^4/4 - \dots]`.

    >>> round(trace_minus_log_det(jnp.diag(jnp.array([1e-3, 0.0])), jnp.log1p(jnp.array(1e-3))).item() * 1e7, 3)
    2.498
    """
    plain = 0.5 * (jnp.trace(m, axis1=-2, axis2=-1) - log_det)
    norm = jnp.sqrt(jnp.sum(jax.lax.stop_gradient(m) ** 2, axis=(-2, -1)))
    near = (norm < 0.05) & jnp.isfinite(log_det)
    m = jnp.where(near[..., None, None], m, 0.0)
    m2 = m @ m
    m3 = m2 @ m
    traces = [jnp.sum(a * b, axis=(-2, -1)) for a, b in ((m, m), (m2, m), (m2, m2), (m3, m2), (m3, m3))]
    series = sum((-1) ** k * trace / k for k, trace in enumerate(traces, start=2))
    return jnp.where(near, 0.5 * series, plain)


def exp_minus_tangent(t: Array) -> Array:
    r"""Return :math:`h(t) = e^t - 1 - t`, by its series where the difference would cancel.

    >>> round(exp_minus_tangent(jnp.float32(1e-3)).item() * 1e7, 5)  # 1e7 (t²/2 + t³/6)
    5.00167
    """
    near = jnp.abs(t) < (0.03 if t.dtype == jnp.float64 else 0.3)
    small = jnp.where(near, t, 0.0)
    series = 0.5 * small**2 * jnp.polyval(jnp.array([2 / 40320, 2 / 5040, 2 / 720, 2 / 120, 2 / 24, 2 / 6, 1.0]), small)
    return jnp.where(near, series, jnp.expm1(t) - t)


Simple = LocationScale | AffineNormal | LowRankNormal
ClosedForm = Callable[[Any, Any], Array]

CLOSED_FORMS: dict[tuple[str, str], ClosedForm] = {
    ("normal", "normal"): _kl_diagonal_normal,
    ("laplace", "laplace"): _kl_diagonal_laplace,
    ("affine", "affine"): _kl_affine,
    ("affine", "normal"): _kl_affine_diagonal,
    ("normal", "affine"): lambda q, p: _kl_affine(_affine(q), p),
    ("low_rank", "normal"): _kl_low_rank_diagonal,
    ("low_rank", "affine"): lambda q, p: _kl_affine(_affine(q), p),
    ("low_rank", "low_rank"): lambda q, p: _kl_affine(_affine(q), _affine(p)),
    ("affine", "low_rank"): lambda q, p: _kl_affine(q, _affine(p)),
    ("normal", "low_rank"): lambda q, p: _kl_affine(_affine(q), _affine(p)),
}


def _closed_form(q: Distribution, p: Distribution) -> tuple[ClosedForm, Simple, Simple]:
    """The closed form of a pair, and the pair in the shape that it takes."""
    simple_q, simple_p = _simplified(q), _simplified(p)
    kinds = _kind(simple_q), _kind(simple_p)
    if simple_q is None or simple_p is None or kinds not in CLOSED_FORMS:
        raise NoClosedFormError(
            f"No closed form of KL(q‖p) is known for q {_name(q)} and p {_name(p)}: "
            "reparam.kl_monte_carlo(q, p, key, samples) estimates it, with its standard error."
        )
    return CLOSED_FORMS[kinds], simple_q, simple_p


def _simplified(d: Distribution) -> Simple | None:
    """The distribution as one of those that closed forms are written for; None where it is none."""
    if isinstance(d, Simple):
        return d
    if isinstance(d, dist.MultivariateNormal):
        return AffineNormal(d.loc, d.scale_tril, log_abs_det=_log_diagonal(d.scale_tril))
    if isinstance(d, dist.LowRankMultivariateNormal):
        return LowRankNormal(d.loc, jnp.sqrt(d.cov_diag), d.cov_factor, log_scale=0.5 * jnp.log(d.cov_diag))
    if isinstance(d, dist.ExpandedDistribution) and d.event_shape:
        return _simplified(d.base_dist)
    return _coordinates(d)


def _coordinates(d: Distribution) -> LocationScale | None:
    """Normal and Laplace of numpyro, alone or wrapped, as coordinates; a scalar has one."""
    base = d
    while isinstance(base, dist.Independent | dist.ExpandedDistribution):
        base = base.base_dist
    kind = {dist.Normal: "normal", dist.Laplace: "laplace"}.get(type(base))
    if kind is None or len(d.event_shape) > 1:
        return None
    loc, scale = (jnp.broadcast_to(a, d.shape()).reshape(*d.batch_shape, -1) for a in (base.loc, base.scale))
    return LocationScale(loc, scale, base=kind)


def _kind(d: Simple | None) -> str:
    return d.base if isinstance(d, LocationScale) else "low_rank" if isinstance(d, LowRankNormal) else "affine"


def _affine(d: LocationScale | LowRankNormal) -> AffineNormal:
    """The same Gaussian as z = μ + Sε, S diagonal or a Cholesky factor."""
    if isinstance(d, LowRankNormal):
        factor = jnp.linalg.cholesky(d.covariance_matrix)
        return AffineNormal(d.loc, factor, log_abs_det=d.log_abs_det)
    identity = jnp.eye(d.loc.shape[-1], dtype=d.loc.dtype)
    return AffineNormal(d.loc, identity * d.scale[..., None, :], log_abs_det=jnp.sum(d.log_scale, axis=-1))


def _log_diagonal(triangular: Array) -> Array:
    return jnp.sum(jnp.log(jnp.diagonal(triangular, axis1=-2, axis2=-1)), axis=-1)


def _name(d: Distribution) -> str:
    """A distribution's type, with what it wraps."""
    if isinstance(d, LocationScale):
        return f"LocationScale({d.base})"
    if isinstance(d, dist.Independent | dist.ExpandedDistribution):
        return f"{type(d).__name__}({_name(d.base_dist)})"
    return type(d).__name__
