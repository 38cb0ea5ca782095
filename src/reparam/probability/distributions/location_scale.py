"""Independent location–scale coordinates that carry ln σ beside σ."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array, ArrayLike, PRNGKeyArray
from numpyro.distributions import Distribution, constraints

from reparam.errors import ParameterError, UnknownNameError
from reparam.probability.reparameterization import draw_noise, reparameterize, reparameterize_with_log_prob

Base = Callable[[float], Distribution]

BASES: dict[str, Base] = {
    "normal": lambda _: dist.Normal(),
    "laplace": lambda _: dist.Laplace(),
    "logistic": lambda _: dist.Logistic(),
    "student_t": dist.StudentT,
}


class LocationScale(Distribution):
    r"""Independent coordinates :math:`z = \mu + \sigma \odot \epsilon` with standard noise ε.

    :math:`\ln q(z) = \sum_d \ln p_\epsilon((z_d - \mu_d)/\sigma_d) - \ln \sigma_d`. It keeps ln σ beside σ, which
    numpyro's own families do not: densities and divergences then never form exp and log in turn, and stay accurate
    where σ is near 1 or far from it.

    Args:
        loc: μ, shape (..., D).
        scale: σ > 0, shape (..., D).
        log_scale: ln σ, where it is known better than from ``scale``.
        base: the distribution of ε: ``normal``, ``laplace``, ``logistic`` or ``student_t``.
        df: degrees of freedom of the Student-t base.

    Raises:
        ParameterError: the base is unknown or ``df`` is not positive.

    >>> q = LocationScale(jnp.zeros(3), jnp.ones(3))
    >>> q.event_shape, round(q.log_prob(jnp.zeros(3)).item(), 4)
    ((3,), -2.7568)
    """

    arg_constraints: ClassVar = {
        "loc": constraints.real_vector,
        "scale": constraints.independent(constraints.positive, 1),
    }
    support = constraints.real_vector
    reparametrized_params: ClassVar = ["loc", "scale"]
    pytree_data_fields = ("loc", "scale", "log_scale")
    pytree_aux_fields = ("base", "df")

    def __init__(
        self,
        loc: ArrayLike,
        scale: ArrayLike,
        *,
        log_scale: ArrayLike | None = None,
        base: str = "normal",
        df: float = 5.0,
        validate_args: bool | None = None,
    ):
        if base not in BASES:
            raise UnknownNameError("base", base, BASES)
        if not df > 0:
            raise ParameterError(
                f"The 'df' parameter of LocationScale must be a float in (0, inf). Got {df!r} instead."
            )
        log_scale = jnp.log(jnp.asarray(scale)) if log_scale is None else log_scale
        self.loc, self.scale, self.log_scale = jnp.broadcast_arrays(loc, scale, log_scale)
        self.base, self.df = base, float(df)
        super().__init__(self.loc.shape[:-1], self.loc.shape[-1:], validate_args=validate_args)

    @property
    def standard(self) -> Distribution:
        """The distribution of one coordinate of ε."""
        return BASES[self.base](self.df)

    def sample(self, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draw z of shape (*sample_shape, *batch_shape, D)."""
        return reparameterize(self, draw_noise(self, key, sample_shape))

    def log_prob(self, value: ArrayLike) -> Array:
        """Return ln q(z) in nats, shape (...)."""
        return self.log_prob_of_noise((jnp.asarray(value) - self.loc) / self.scale)

    def log_prob_of_noise(self, eps: Array) -> Array:
        """Return ln q(μ + σε) in nats from ε itself, which rounding in z cannot spoil."""
        return jnp.sum(self.standard.log_prob(eps) - self.log_scale, axis=-1)

    @property
    def mean(self) -> Array:
        """The mean, shape (..., D); NaN for a Student-t base without one."""
        return jnp.where(jnp.isnan(self.standard.mean), jnp.nan, self.loc)

    @property
    def variance(self) -> Array:
        """The variance, shape (..., D)."""
        return jnp.asarray(self.scale**2 * self.standard.variance)

    def entropy(self) -> Array:
        """The entropy in nats, shape (...)."""
        return jnp.sum(self.standard.entropy() + self.log_scale, axis=-1)


@reparameterize.register
def _(q: LocationScale, eps: ArrayLike) -> Array:
    return q.loc + q.scale * eps


@draw_noise.register
def _(q: LocationScale, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()) -> Array:
    if q.base == "normal":
        return jax.random.normal(key, q.shape(sample_shape), q.loc.dtype)
    return jnp.asarray(q.standard.sample(key, q.shape(sample_shape)), q.loc.dtype)


@reparameterize_with_log_prob.register
def _(q: LocationScale, eps: Array) -> tuple[Array, Array]:
    return reparameterize(q, eps), q.log_prob_of_noise(eps)
