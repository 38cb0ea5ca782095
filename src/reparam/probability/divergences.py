r"""Kullback–Leibler divergences in nats: closed forms by pair of families, and Monte Carlo with its standard error.

Near q = p a divergence is a small difference of large terms. Everything here is therefore a sum of squares and of

.. math:: h(t) = e^t - 1 - t \quad\text{and}\quad \mathrm{tr}\,M - \ln\det(I + M),

each with a series where it is small, so that single precision keeps four digits at a divergence of 1e-6.
numpyro's own ``kl_divergence`` and ours know each other's pairs.
"""

from __future__ import annotations

import functools
import itertools
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array, PRNGKeyArray
from numpyro.distributions import Distribution
from numpyro.distributions.kl import kl_divergence as numpyros_kl

from reparam.errors import NoClosedFormError, ParameterError, ReparamWarning
from reparam.probability.distributions.affine_normal import AffineNormal
from reparam.probability.distributions.location_scale import LocationScale
from reparam.probability.distributions.low_rank_normal import LowRankNormal
from reparam.probability.numerics import exp_minus_tangent, trace_minus_log_det
from reparam.probability.reparameterization import draw_noise, reparameterize_with_log_prob
from reparam.specification import positive_int


class Estimate(NamedTuple):
    """A Monte Carlo mean and the standard error of that mean."""

    value: Array
    standard_error: Array


def kl_divergence(q: Distribution, p: Distribution) -> Array:
    r"""Kullback–Leibler divergence in closed form, :math:`KL(q\|p) = E_q[\ln q(z) - \ln p(z)]`.

    Closed forms: every pair of Gaussians (diagonal, full, Cholesky, low rank, and numpyro's own Normal and
    multivariate families), among them full–N(0, I), :math:`\tfrac12[\|S\|_F^2 + \|\mu\|^2 - K - 2\ln|\det S|]`,
    Laplace–Laplace, and every pair that numpyro knows. A singular S gives +∞ and a warning.

    Args:
        q: batch shape B, event shape (D,).
        p: batch shape broadcastable to B, event shape (D,).

    Returns:
        KL in nats, shape B.

    Raises:
        NoClosedFormError: no closed form is known for this pair; :func:`kl_monte_carlo` is the other way.
        ParameterError: the event shapes differ, or the batch shapes do not broadcast.

    Source: Kingma & Welling (2014), Appendix B, for the diagonal case.

    >>> q = dist.Normal(jnp.array([1.0, 0.0]), 1.0).to_event(1)
    >>> kl_divergence(q, dist.Normal(jnp.zeros(2), 1.0).to_event(1)).item()
    0.5
    """
    batch_shape = _common_batch("kl_divergence", q, p)
    kl = jnp.broadcast_to(_closed_form(q, p), batch_shape)
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
    if _own_closed_form(q, p) is not None:
        return True
    try:
        jax.eval_shape(lambda: _closed_form(q, p))  # numpyro's forms say at the end of their recursion what they know
    except NoClosedFormError:
        return False
    return True


def kl_monte_carlo(q: Distribution, p: Distribution, key: PRNGKeyArray, samples: int) -> Estimate:
    r"""Kullback–Leibler divergence by Monte Carlo, :math:`\frac1N \sum_n \ln q(z_n) - \ln p(z_n)` with z drawn from q.

    Args:
        q: a reparameterisable distribution, event shape (D,).
        p: any distribution with a density on the same space; batch shapes broadcast to B.
        key: the draws.
        samples: N ≥ 2.

    Returns:
        (value, standard_error), both in nats and of shape B; the error of the mean, from the draws themselves.

    Raises:
        ParameterError: fewer than two samples, different event shapes, or batch shapes that do not broadcast.

    >>> q, p = dist.Normal(1.0, 1.0), dist.Normal(0.0, 1.0)
    >>> value, standard_error = kl_monte_carlo(q, p, jax.random.key(0), 4000)
    >>> bool(abs(value - 0.5) < 4 * standard_error)
    True
    """
    if positive_int("samples", samples, "kl_monte_carlo") < 2:
        raise ParameterError(f"The 'samples' parameter of kl_monte_carlo must be an int in [2, inf). Got {samples!r}.")
    batch_shape = _common_batch("kl_monte_carlo", q, p)
    q = q if q.batch_shape == batch_shape else q.expand(batch_shape)
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


def _kl_affine(q: Simple, p: Simple) -> Array:
    """½‖S_p⁻¹Δμ‖² + ½‖E‖² + tr E − ln|det A| with A = S_p⁻¹S_q = I + E; triangular: Σ ½h(2 ln a_ii)."""
    root_q, root_p = _affine(q), _affine(p)
    shift = _divided(p, (q.loc - p.loc)[..., None])
    excess = _divided(p, root_q.matrix - root_p.matrix)
    if root_q.log_diagonal is None or root_p.log_diagonal is None:
        eps = max(float(jnp.finfo(root.log_abs_det.dtype).eps) for root in (root_q, root_p))
        volume = trace_minus_log_det(excess, root_q.log_abs_det - root_p.log_abs_det, eps)
        return 0.5 * (_sum_of_squares(shift) + _sum_of_squares(excess)) + volume
    diagonal = exp_minus_tangent(2.0 * (root_q.log_diagonal - root_p.log_diagonal))
    return 0.5 * (_sum_of_squares(shift) + _sum_of_squares(jnp.tril(excess, -1)) + jnp.sum(diagonal, axis=-1))


def _kl_low_rank_diagonal(q: LowRankNormal, p: LocationScale) -> Array:
    """That of the diagonals, and ½[‖F/σ_p‖² − ln det(I + N)], N = GᵀG, G = F/σ_q.

    The latter is ½ Σ_d ‖g_d‖² (e^{2 ln(σ_q/σ_p)} − 1) + ½[tr N − ln det(I + N)], without cancellation for a small G.
    """
    log_det, t = 2.0 * q.log_det_of_directions, 2.0 * (q.log_scale - p.log_scale)
    far = _sum_of_squares(q.factor / p.scale[..., :, None]) - log_det
    near = (log_det < 0.1) & jnp.all(jnp.abs(t) < 1.0, axis=-1)
    g = jnp.where(near[..., None, None], q.factor, 0.0) / q.scale[..., :, None]
    t = jnp.where(near[..., None], t, 0.0)
    gram = jnp.swapaxes(g, -1, -2) @ g
    close = jnp.sum(g**2 * jnp.expm1(t)[..., None], axis=(-2, -1)) + trace_minus_log_det(gram, log_det)
    return _kl_diagonal_normal(LocationScale(q.loc, q.scale, log_scale=q.log_scale), p) + 0.5 * jnp.where(
        near, close, far
    )


def _divided(p: Simple, columns: Array) -> Array:
    """S⁻¹ times columns (..., D, N), S the square root of p's covariance; divisions where that is diagonal."""
    return columns / p.scale[..., None] if isinstance(p, LocationScale) else _affine(p).solve(columns)


def _sum_of_squares(matrices: Array) -> Array:
    return jnp.sum(matrices**2, axis=(-2, -1))


Simple = LocationScale | AffineNormal | LowRankNormal
ClosedForm = Callable[[Any, Any], Array]

GAUSSIANS = ("normal", "affine", "low_rank")
CLOSED_FORMS: dict[tuple[str | None, str | None], ClosedForm] = {
    **dict.fromkeys(itertools.product(GAUSSIANS, GAUSSIANS), _kl_affine),
    ("normal", "normal"): _kl_diagonal_normal,
    ("low_rank", "normal"): _kl_low_rank_diagonal,
    ("laplace", "laplace"): _kl_diagonal_laplace,
}


def _closed_form(q: Distribution, p: Distribution) -> Array:
    """The divergence by our own closed form, else by numpyro's."""
    own = _own_closed_form(q, p)
    if own is not None:
        return own()
    try:
        return jnp.asarray(numpyros_kl(q, p))
    except NotImplementedError:
        raise NoClosedFormError(
            f"No closed form of KL(q‖p) is known for q {_name(q)} and p {_name(p)}: "
            "reparam.kl_monte_carlo(q, p, key, samples) estimates it, with its standard error."
        ) from None


def _own_closed_form(q: Distribution, p: Distribution) -> Callable[[], Array] | None:
    """Our closed form of the pair; None where it has none."""
    simple_q, simple_p = _simplified(q), _simplified(p)
    closed_form = CLOSED_FORMS.get((_kind(simple_q), _kind(simple_p)))
    return closed_form and functools.partial(closed_form, simple_q, simple_p)


def _for_numpyro(q: Distribution, p: Distribution) -> Array:
    """What numpyro dispatches pairs to that hold a type of ours."""
    if _own_closed_form(q, p) is None:
        raise NotImplementedError
    return kl_divergence(q, p)


def _common_batch(owner: str, q: Distribution, p: Distribution) -> tuple[int, ...]:
    """The batch shape of a divergence, if events agree and batches broadcast."""
    if q.event_shape != p.event_shape:
        raise ParameterError(f"{owner} needs equal event shapes. Got {q.event_shape} of q, {p.event_shape} of p.")
    try:
        return jnp.broadcast_shapes(q.batch_shape, p.batch_shape)
    except ValueError:
        raise ParameterError(
            f"{owner} needs batch shapes that broadcast. Got {q.batch_shape} of q, {p.batch_shape} of p."
        ) from None


def _simplified(d: Distribution) -> Simple | None:
    """The distribution as one of those that closed forms are written for; None where it is none."""
    if isinstance(d, Simple) and d.event_shape:
        return d
    if isinstance(d, dist.MultivariateNormal):
        log_diagonal = jnp.log(jnp.diagonal(d.scale_tril, axis1=-2, axis2=-1))
        return AffineNormal(d.loc, d.scale_tril, log_diagonal=log_diagonal)
    if isinstance(d, dist.LowRankMultivariateNormal):
        return LowRankNormal(d.loc, jnp.sqrt(d.cov_diag), d.cov_factor, log_scale=0.5 * jnp.log(d.cov_diag))
    if (
        isinstance(d, dist.ExpandedDistribution)
        and d.event_shape
        and len(d.event_shape) == len(d.base_dist.event_shape)
    ):
        return _simplified(d.base_dist)
    return _coordinates(d)


def _coordinates(d: Distribution) -> LocationScale | None:
    """Normal and Laplace, alone or wrapped, as coordinates; a scalar has one, a matrix as many as entries."""
    base = d
    while isinstance(base, dist.Independent | dist.ExpandedDistribution):
        base = base.base_dist
    ours = isinstance(base, LocationScale)
    kind = base.base if ours else {dist.Normal: "normal", dist.Laplace: "laplace"}.get(type(base))
    if kind is None or base.event_shape:
        return None
    parameters = base.loc, base.scale, base.log_scale if ours else jnp.log(base.scale)
    loc, scale, log_scale = (jnp.broadcast_to(a, d.shape()).reshape(*d.batch_shape, -1) for a in parameters)
    return LocationScale(loc, scale, log_scale=log_scale, base=kind)


def _kind(d: Simple | None) -> str | None:
    return d.base if isinstance(d, LocationScale) else {AffineNormal: "affine", LowRankNormal: "low_rank"}.get(type(d))


def _affine(d: Simple) -> AffineNormal:
    """The same Gaussian as z = μ + Sε, S lower triangular; the covariance itself is never formed."""
    if isinstance(d, AffineNormal):
        return d
    root = jnp.eye(d.loc.shape[-1], dtype=d.loc.dtype) * d.scale[..., None, :]
    if isinstance(d, LocationScale):
        return AffineNormal(d.loc, root, log_diagonal=d.log_scale)
    # Of the rectangular root [D F] = RᵀQᵀ: no product is squared, so no condition number either.
    upper = jnp.linalg.qr(jnp.swapaxes(jnp.concatenate([root, d.factor], axis=-1), -1, -2), mode="r")
    diagonal = jnp.diagonal(upper, axis1=-2, axis2=-1)
    lower = jnp.swapaxes(upper * jnp.where(diagonal < 0, -1.0, 1.0)[..., None], -1, -2)
    return AffineNormal(d.loc, lower, log_diagonal=jnp.log(jnp.abs(diagonal)))


def _name(d: Distribution) -> str:
    """A distribution's type, with what it wraps."""
    if isinstance(d, LocationScale):
        return f"LocationScale({d.base})"
    if isinstance(d, dist.Independent | dist.ExpandedDistribution):
        return f"{type(d).__name__}({_name(d.base_dist)})"
    return type(d).__name__


OURS = (LocationScale, AffineNormal, LowRankNormal)
THEIRS = (dist.Independent, dist.ExpandedDistribution, dist.MultivariateNormal, dist.LowRankMultivariateNormal)

for ours, other in itertools.product(OURS, (*OURS, *THEIRS)):
    numpyros_kl.add((ours, other), _for_numpyro)
    numpyros_kl.add((other, ours), _for_numpyro)
