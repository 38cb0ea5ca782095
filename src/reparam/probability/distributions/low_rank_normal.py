"""A Gaussian whose covariance is a diagonal and a few directions."""

from __future__ import annotations

from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, PRNGKeyArray
from numpyro.distributions import constraints

from reparam.errors import ParameterError
from reparam.probability.numerics import apply_matrix, at_least_single, squarable
from reparam.probability.reparameterization import (
    Reparameterized,
    broadcast_parameters,
    checked_noise,
    draw_noise,
    reparameterize,
)


class LowRankNormal(Reparameterized):
    r"""The distribution of :math:`\mu + \sigma \odot \epsilon_1 + F\epsilon_2`, :math:`N(\mu, D_\sigma^2 + FF^\top)`.

    It keeps ln σ beside σ, which numpyro's LowRankMultivariateNormal does not: the divergence would lose digits
    near N(0, I), and is NaN for σ far from 1. With G = F/σ, c = (z − μ)/σ and the orthogonal factorisation
    :math:`\binom{G}{I} = \binom{Q_G}{Q_I} R`,

    .. math:: (z - \mu)^\top \Sigma^{-1} (z - \mu) = \|c - Q_G Q_G^\top c\|^2 + \|Q_I Q_G^\top c\|^2, \qquad
        \det \Sigma = \det D_\sigma^2\, (\det R)^2

    which is the matrix inversion lemma as a least squares problem: sums of squares, where the lemma's own difference
    loses every digit once F/σ is large. Where G leaves the floating-point range the covariance counts as singular:
    ln |det| and the log-density are −∞, and so is the log-density where the squared distance leaves it.

    Args:
        loc: μ, shape (..., D).
        scale: σ > 0, shape (..., D).
        factor: F, shape (..., D, r).
        log_scale: ln σ, where it is known better than from ``scale``.

    Raises:
        ParameterError: the shapes do not agree.

    >>> q = LowRankNormal(jnp.zeros(2), jnp.ones(2), jnp.array([[1.0], [2.0]]))
    >>> q.covariance_matrix.tolist()
    [[2.0, 2.0], [2.0, 5.0]]
    """

    arg_constraints: ClassVar = {
        "loc": constraints.real_vector,
        "scale": constraints.independent(constraints.positive, 1),
        "factor": constraints.independent(constraints.real, 2),
    }
    support = constraints.real_vector
    reparametrized_params: ClassVar = ["loc", "scale", "factor"]
    pytree_data_fields = ("loc", "scale", "factor", "log_scale")

    def __init__(
        self,
        loc: ArrayLike,
        scale: ArrayLike,
        factor: ArrayLike,
        *,
        log_scale: ArrayLike | None = None,
        validate_args: bool | None = None,
    ):
        scale, factor = at_least_single(scale), at_least_single(factor)
        if factor.ndim < 2:
            raise ParameterError(
                f"The 'factor' parameter of LowRankNormal must have shape (..., D, r). Got {factor.shape}."
            )
        self.loc, self.scale, self.log_scale, _ = broadcast_parameters(
            "LowRankNormal",
            1,
            loc=at_least_single(loc),
            scale=scale,
            log_scale=jnp.log(scale) if log_scale is None else jnp.asarray(log_scale),
            rows=factor[..., 0],
        )
        self.factor = jnp.broadcast_to(factor, (*self.loc.shape, factor.shape[-1]))
        super().__init__(self.loc.shape[:-1], self.loc.shape[-1:], validate_args=validate_args)

    def log_prob(self, value: ArrayLike) -> Array:
        """Return ln q(z) in nats, shape (...)."""
        orthogonal, triangular, regular = self._factorised()
        of_factor, of_identity = jnp.split(orthogonal, [self.loc.shape[-1]], axis=-2)
        centred = jnp.asarray(value) - self.loc
        near = regular & squarable(jax.lax.stop_gradient(centred / self.scale))
        centred = jnp.where(near[..., None], centred, 0.0) / self.scale
        shared = apply_matrix(jnp.swapaxes(of_factor, -1, -2), centred)
        rest, noise = centred - apply_matrix(of_factor, shared), apply_matrix(of_identity, shared)
        square = jnp.sum(rest**2, axis=-1) + jnp.sum(noise**2, axis=-1)
        log_det = jnp.sum(self.log_scale, axis=-1) + _log_abs_diagonal(triangular)
        return jnp.where(near, -0.5 * (square + self.loc.shape[-1] * jnp.log(2 * jnp.pi)) - log_det, -jnp.inf)

    @property
    def log_abs_det(self) -> Array:
        """Half of ln det Σ, the logarithm of the volume of z per volume of a square root's noise; shape (...)."""
        return jnp.sum(self.log_scale, axis=-1) + self.log_det_of_directions

    @property
    def log_det_of_directions(self) -> Array:
        """½ ln det(I + GᵀG), what the directions add to ln |det|; −∞ where G leaves the floating-point range."""
        _, triangular, regular = self._factorised()
        return jnp.where(regular, _log_abs_diagonal(triangular), -jnp.inf)

    @property
    def mean(self) -> Array:
        """μ, shape (..., D)."""
        return self.loc

    @property
    def covariance_matrix(self) -> Array:
        """Σ, shape (..., D, D)."""
        diagonal = jnp.eye(self.loc.shape[-1], dtype=self.loc.dtype) * self.scale[..., None, :] ** 2
        return diagonal + self.factor @ jnp.swapaxes(self.factor, -1, -2)

    @property
    def variance(self) -> Array:
        """The diagonal of Σ, shape (..., D)."""
        return self.scale**2 + jnp.sum(self.factor**2, axis=-1)

    def entropy(self) -> Array:
        """½ D ln 2πe + ½ ln det Σ in nats, shape (...)."""
        return 0.5 * self.loc.shape[-1] * (1.0 + jnp.log(2 * jnp.pi)) + self.log_abs_det

    def _factorised(self) -> tuple[Array, Array, Array]:
        """Q and R of G over I, and where G is finite; elsewhere it counts as 0."""
        size = jnp.sum(jax.lax.stop_gradient(self.factor / self.scale[..., None]) ** 2, axis=(-2, -1))
        regular = size < 1.0 / jnp.finfo(self.factor.dtype).eps ** 2
        whitened = jnp.where(regular[..., None, None], self.factor, 0.0) / self.scale[..., None]
        rank = self.factor.shape[-1]
        identity = jnp.broadcast_to(jnp.eye(rank, dtype=whitened.dtype), (*self.batch_shape, rank, rank))
        orthogonal, triangular = jnp.linalg.qr(jnp.concatenate([whitened, identity], axis=-2))
        return orthogonal, triangular, regular


def _log_abs_diagonal(triangular: Array) -> Array:
    return jnp.sum(jnp.log(jnp.abs(jnp.diagonal(triangular, axis1=-2, axis2=-1))), axis=-1)


@reparameterize.register
def _(q: LowRankNormal, eps: ArrayLike) -> Array:
    """The noise is (ε₁, ε₂), of size D + r."""
    eps = checked_noise(q, eps, sum(q.factor.shape[-2:]))
    own, shared = jnp.split(eps, [q.event_shape[-1]], axis=-1)
    return q.loc + q.scale * own + apply_matrix(q.factor, shared)


@draw_noise.register
def _(q: LowRankNormal, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()) -> Array:
    return jax.random.normal(key, (*sample_shape, *q.batch_shape, sum(q.factor.shape[-2:])), q.loc.dtype)
