"""Independent location–scale coordinates that carry ln σ beside σ."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array, ArrayLike, PRNGKeyArray
from numpyro.distributions import Distribution, constraints

from reparam.errors import UnknownNameError
from reparam.probability.numerics import at_least_single, saturated_exp
from reparam.probability.reparameterization import (
    Reparameterized,
    broadcast_parameters,
    checked_noise,
    draw_noise,
    reparameterize,
    reparameterize_with_log_prob,
)
from reparam.specification import real_number

Base = Callable[[float], Distribution]

BASES: dict[str, Base] = {
    "normal": lambda _: dist.Normal(),
    "laplace": lambda _: dist.Laplace(),
    "logistic": lambda _: dist.Logistic(),
    "student_t": dist.StudentT,
}


class LocationScale(Reparameterized):
    r"""Coordinates :math:`z = \mu + \sigma \odot \epsilon` with independent standard noise ε.

    :math:`\ln q(z) = \sum_d \ln p_\epsilon\bigl((z_d - \mu_d)\, e^{-\ln\sigma_d}\bigr) - \ln \sigma_d`. It keeps ln σ
    beside σ, which numpyro's own families do not: densities and divergences then never form exp and log in turn, and
    stay accurate where σ is near 1 or far from it.

    Args:
        loc: μ, shape (..., D).
        scale: σ > 0, shape (..., D); by default from ``log_scale``.
        log_scale: ln σ, where it is known better than from ``scale``.
        base: the distribution of ε: ``normal``, ``laplace``, ``logistic`` or ``student_t``.
        df: degrees of freedom of the Student-t base.
        event_dim: 1 for vectors (D,); 0 where every coordinate is a scalar law of its own, as a likelihood's are.

    Raises:
        ParameterError: the base is unknown, ``df`` is not positive and finite, or shapes do not agree.

    >>> q = LocationScale(jnp.zeros(3), jnp.ones(3))
    >>> q.event_shape, round(q.log_prob(jnp.zeros(3)).item(), 4)
    ((3,), -2.7568)
    >>> round(LocationScale(0.0, log_scale=-20.0, event_dim=0).log_prob(0.0).item(), 3)
    19.081
    """

    arg_constraints: ClassVar = {"loc": constraints.real, "scale": constraints.positive}
    reparametrized_params: ClassVar = ["loc", "scale"]
    pytree_data_fields = ("loc", "scale", "log_scale")
    pytree_aux_fields = ("base", "df")

    def __init__(
        self,
        loc: ArrayLike,
        scale: ArrayLike | None = None,
        *,
        log_scale: ArrayLike | None = None,
        base: str = "normal",
        df: float = 5.0,
        event_dim: int = 1,
        validate_args: bool | None = None,
    ):
        self.base = str(base).replace("-", "_")
        if self.base not in BASES:
            raise UnknownNameError("base", base, BASES)
        self.df = real_number("df", df, "LocationScale", above=0.0)
        loc = at_least_single(loc)
        if log_scale is None:
            log_scale = jnp.log(at_least_single(1.0 if scale is None else scale))
        scale = saturated_exp(at_least_single(log_scale)) if scale is None else at_least_single(scale)
        self.loc, self.scale, self.log_scale = broadcast_parameters(
            "LocationScale", event_dim, loc=loc, scale=scale, log_scale=at_least_single(log_scale)
        )
        batch = self.loc.ndim - event_dim
        super().__init__(self.loc.shape[:batch], self.loc.shape[batch:], validate_args=validate_args)

    @property
    def support(self) -> constraints.Constraint:
        """The real numbers, or vectors."""
        return constraints.real_vector if self.event_shape else constraints.real

    @property
    def standard(self) -> Distribution:
        """The distribution of one coordinate of ε."""
        return BASES[self.base](self.df)

    def log_prob(self, value: ArrayLike) -> Array:
        """Return ln q(z) in nats, shape (...)."""
        return self.log_prob_of_noise((jnp.asarray(value) - self.loc) * saturated_exp(-self.log_scale))

    def log_prob_of_noise(self, eps: Array) -> Array:
        """Return ln q(μ + σε) in nats from ε itself, which rounding in z cannot spoil."""
        return self._over_event(self.standard.log_prob(eps) - self.log_scale)

    @property
    def mean(self) -> Array:
        """μ: the bases are symmetric. The median where a Student-t has no mean."""
        return self.loc

    @property
    def variance(self) -> Array:
        """σ² times the base's variance, infinite or NaN where that is."""
        return jnp.asarray(self.scale**2 * self.standard.variance)

    def entropy(self) -> Array:
        """The entropy in nats, shape (...)."""
        return self._over_event(self.standard.entropy() + self.log_scale)

    def _over_event(self, terms: Array) -> Array:
        return jnp.sum(terms, axis=-1) if self.event_shape else jnp.asarray(terms)


@reparameterize.register
def _(q: LocationScale, eps: ArrayLike) -> Array:
    return q.loc + q.scale * checked_noise(q, eps)


@draw_noise.register
def _(q: LocationScale, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()) -> Array:
    if q.base == "normal":
        return jax.random.normal(key, q.shape(sample_shape), q.loc.dtype)
    return jnp.asarray(q.standard.sample(key, q.shape(sample_shape)), q.loc.dtype)


@reparameterize_with_log_prob.register
def _(q: LocationScale, eps: Array) -> tuple[Array, Array]:
    return reparameterize(q, eps), q.log_prob_of_noise(eps)
