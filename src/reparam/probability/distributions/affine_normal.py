"""The Gaussian of a square matrix: z = μ + S ε."""

from __future__ import annotations

from typing import ClassVar

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, ArrayLike, PRNGKeyArray
from numpyro.distributions import Distribution, constraints

from reparam.probability.reparameterization import (
    apply_matrix,
    draw_noise,
    reparameterize,
    reparameterize_with_log_prob,
)


class AffineNormal(Distribution):
    r"""The distribution of :math:`z = \mu + S\epsilon`, :math:`\epsilon \sim N(0, I)`: :math:`N(\mu, SS^\top)`.

    S is any square matrix: it need not be triangular, symmetric or of positive diagonal, and it is not unique, since
    S and SR give the same distribution for every rotation R. Every covariance can be written so.
    :math:`\ln q(z) = -\tfrac12 \|S^{-1}(z - \mu)\|^2 - \tfrac D2 \ln 2\pi - \ln|\det S|`; where S is singular no
    density exists and ``log_prob`` is −∞, as it is where the squared distance leaves the floating-point range.

    Args:
        loc: μ, shape (..., D).
        matrix: S, shape (..., D, D).
        log_abs_det: ln |det S|, where it is known better than from S.
        triangular: whether S is lower triangular, which makes densities cheaper and exact at any condition number.

    >>> q = AffineNormal(jnp.zeros(2), jnp.array([[0.0, 2.0], [3.0, 0.0]]))
    >>> q.covariance_matrix.tolist()
    [[4.0, 0.0], [0.0, 9.0]]
    """

    arg_constraints: ClassVar = {"loc": constraints.real_vector, "matrix": constraints.real_matrix}
    support = constraints.real_vector
    reparametrized_params: ClassVar = ["loc", "matrix"]
    pytree_data_fields = ("loc", "matrix", "log_abs_det")
    pytree_aux_fields = ("triangular",)

    def __init__(
        self,
        loc: ArrayLike,
        matrix: ArrayLike,
        *,
        log_abs_det: ArrayLike | None = None,
        triangular: bool = False,
        validate_args: bool | None = None,
    ):
        self.matrix = jnp.asarray(matrix)
        self.loc = jnp.broadcast_to(jnp.asarray(loc), jnp.broadcast_shapes(jnp.shape(loc), self.matrix.shape[:-1]))
        self.triangular = triangular
        self.log_abs_det = abs_det_log(self.matrix) if log_abs_det is None else jnp.asarray(log_abs_det)
        super().__init__(self.loc.shape[:-1], self.loc.shape[-1:], validate_args=validate_args)

    def sample(self, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draw z of shape (*sample_shape, *batch_shape, D)."""
        return reparameterize(self, draw_noise(self, key, sample_shape))

    def log_prob(self, value: ArrayLike) -> Array:
        """Return ln q(z) in nats, shape (...); −∞ where S is singular or z billions of deviations away."""
        centred = jnp.asarray(value) - self.loc
        regular = jnp.isfinite(self.log_abs_det)
        near = regular & squarable(jax.lax.stop_gradient(self._solve(regular, centred)))
        eps = self._solve(regular, jnp.where(near[..., None], centred, 0.0))
        return jnp.where(near, self.log_prob_of_noise(eps), -jnp.inf)

    def _solve(self, regular: Array, centred: Array) -> Array:
        """S⁻¹ times vectors (..., D), with I in the place of a singular S."""
        safe = jnp.where(regular[..., None, None], self.matrix, jnp.eye(self.matrix.shape[-1], dtype=self.matrix.dtype))
        safe = jnp.broadcast_to(safe, (*centred.shape, centred.shape[-1]))
        if self.triangular:
            return jnp.asarray(solve_triangular(safe, centred[..., None], lower=True)[..., 0])
        return jnp.asarray(jnp.linalg.solve(safe, centred[..., None])[..., 0])

    def log_prob_of_noise(self, eps: Array) -> Array:
        """Return ln q(μ + Sε) in nats from ε itself: no system of equations to solve."""
        dimension = self.loc.shape[-1]
        return -0.5 * jnp.sum(eps**2, axis=-1) - 0.5 * dimension * jnp.log(2 * jnp.pi) - self.log_abs_det

    @property
    def mean(self) -> Array:
        """μ, shape (..., D)."""
        return self.loc

    @property
    def covariance_matrix(self) -> Array:
        """S Sᵀ, shape (..., D, D)."""
        return self.matrix @ jnp.swapaxes(self.matrix, -1, -2)

    @property
    def variance(self) -> Array:
        """The diagonal of S Sᵀ, shape (..., D)."""
        return jnp.broadcast_to(jnp.sum(self.matrix**2, axis=-1), self.loc.shape)

    def entropy(self) -> Array:
        """½ D ln 2πe + ln |det S| in nats, shape (...)."""
        return 0.5 * self.loc.shape[-1] * (1.0 + jnp.log(2 * jnp.pi)) + self.log_abs_det


@reparameterize.register
def _(q: AffineNormal, eps: ArrayLike) -> Array:
    return q.loc + apply_matrix(q.matrix, eps)


@draw_noise.register
def _(q: AffineNormal, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()) -> Array:
    return jax.random.normal(key, q.shape(sample_shape), q.loc.dtype)


@reparameterize_with_log_prob.register
def _(q: AffineNormal, eps: Array) -> tuple[Array, Array]:
    return reparameterize(q, eps), q.log_prob_of_noise(eps)


def squarable(eps: Array) -> Array:
    """Whether vectors (..., D) are so short that products of a few of them can be represented."""
    return jnp.all(jnp.abs(eps) < jnp.finfo(eps.dtype).max ** 0.25, axis=-1)


@jax.custom_jvp
def abs_det_log(matrix: Array) -> Array:
    r"""Return :math:`\ln|\det S|` of matrices (..., D, D); −∞, with gradient 0, where S is singular.

    To working precision, a matrix is singular when its smallest pivot is below D machine epsilons of its largest.

    >>> abs_det_log(jnp.array([[1.0, 2.0], [2.0, 4.0]])).item()
    -inf
    """
    pivots = jnp.abs(jnp.diagonal(jax.lax.linalg.lu(matrix)[0], axis1=-2, axis2=-1))
    tolerance = matrix.shape[-1] * jnp.finfo(matrix.dtype).eps * jnp.max(pivots, axis=-1, keepdims=True)
    singular = jnp.any(pivots <= tolerance, axis=-1)
    return jnp.where(singular, -jnp.inf, jnp.sum(jnp.log(pivots), axis=-1))


@abs_det_log.defjvp
def _(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    """D ln|det S| = tr(S⁻¹ dS)."""
    (matrix,), (tangent,) = primals, tangents
    value = abs_det_log(matrix)
    regular = jnp.isfinite(value)
    safe = jnp.where(regular[..., None, None], matrix, jnp.eye(matrix.shape[-1], dtype=matrix.dtype))
    trace = jnp.trace(jnp.linalg.solve(safe, tangent), axis1=-2, axis2=-1)
    return value, jnp.where(regular, trace, 0.0)
