"""The Gaussian of a square matrix: z = μ + S ε."""

from __future__ import annotations

from typing import ClassVar

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, ArrayLike, PRNGKeyArray
from numpyro.distributions import constraints

from reparam.errors import ParameterError
from reparam.probability.numerics import abs_det_log, apply_matrix, at_least_single, squarable
from reparam.probability.reparameterization import (
    Reparameterized,
    broadcast_parameters,
    checked_noise,
    draw_noise,
    reparameterize,
    reparameterize_with_log_prob,
)


class AffineNormal(Reparameterized):
    r"""The distribution of :math:`z = \mu + S\epsilon`, :math:`\epsilon \sim N(0, I)`: :math:`N(\mu, SS^\top)`.

    S is any square matrix: it need not be triangular, symmetric or of positive diagonal, and it is not unique, since
    S and SR give the same distribution for every rotation R. Every covariance can be written so.
    :math:`\ln q(z) = -\tfrac12 \|S^{-1}(z - \mu)\|^2 - \tfrac D2 \ln 2\pi - \ln|\det S|`; where S is singular no
    density exists and ``log_prob`` is −∞, as it is where the squared distance leaves the floating-point range.

    Args:
        loc: μ, shape (..., D).
        matrix: S, shape (..., D, D).
        log_diagonal: given where S is lower triangular with a positive diagonal, whose logarithm this is, shape
            (..., D): densities and divergences are then cheaper, and exact at any condition number.

    Raises:
        ParameterError: S is not square, or the shapes do not agree.

    >>> q = AffineNormal(jnp.zeros(2), jnp.array([[0.0, 2.0], [3.0, 0.0]]))
    >>> q.covariance_matrix.tolist()
    [[4.0, 0.0], [0.0, 9.0]]
    """

    arg_constraints: ClassVar = {"loc": constraints.real_vector, "matrix": constraints.real_matrix}
    support = constraints.real_vector
    reparametrized_params: ClassVar = ["loc", "matrix"]
    pytree_data_fields = ("loc", "matrix", "log_diagonal", "log_abs_det")

    def __init__(
        self,
        loc: ArrayLike,
        matrix: ArrayLike,
        *,
        log_diagonal: ArrayLike | None = None,
        validate_args: bool | None = None,
    ):
        self.matrix = at_least_single(matrix)
        if self.matrix.ndim < 2 or self.matrix.shape[-1] != self.matrix.shape[-2]:
            raise ParameterError(
                f"The 'matrix' parameter of AffineNormal must have shape (..., D, D). Got {self.matrix.shape}."
            )
        self.loc, _ = broadcast_parameters("AffineNormal", 1, loc=at_least_single(loc), rows=self.matrix[..., 0])
        self.log_diagonal = None if log_diagonal is None else jnp.asarray(log_diagonal)
        self.log_abs_det = (
            abs_det_log(self.matrix) if self.log_diagonal is None else jnp.sum(self.log_diagonal, axis=-1)
        )
        super().__init__(self.loc.shape[:-1], self.loc.shape[-1:], validate_args=validate_args)

    def log_prob(self, value: ArrayLike) -> Array:
        """Return ln q(z) in nats, shape (...); −∞ where S is singular or z billions of deviations away."""
        centred = jnp.asarray(value) - self.loc
        near = jnp.isfinite(self.log_abs_det) & squarable(jax.lax.stop_gradient(self.whiten(centred)))
        eps = self.whiten(jnp.where(near[..., None], centred, 0.0))
        return jnp.where(near, self.log_prob_of_noise(eps), -jnp.inf)

    def whiten(self, vectors: Array) -> Array:
        """S⁻¹ times vectors (..., D)."""
        return self.solve(vectors[..., None])[..., 0]

    def solve(self, columns: Array) -> Array:
        """S⁻¹ times columns (..., D, N), with I in the place of a singular S."""
        regular = jnp.isfinite(self.log_abs_det)
        safe = jnp.where(regular[..., None, None], self.matrix, jnp.eye(self.matrix.shape[-1], dtype=self.matrix.dtype))
        if self.log_diagonal is None:
            return jnp.asarray(jnp.linalg.solve(safe, columns))
        batch = jnp.broadcast_shapes(safe.shape[:-2], columns.shape[:-2])
        safe, columns = (jnp.broadcast_to(a, (*batch, *a.shape[-2:])) for a in (safe, columns))
        return jnp.asarray(solve_triangular(safe, columns, lower=True))

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
        entropy = 0.5 * self.loc.shape[-1] * (1.0 + jnp.log(2 * jnp.pi)) + self.log_abs_det
        return jnp.broadcast_to(entropy, self.batch_shape)


@reparameterize.register
def _(q: AffineNormal, eps: ArrayLike) -> Array:
    return q.loc + apply_matrix(q.matrix, checked_noise(q, eps))


@draw_noise.register
def _(q: AffineNormal, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()) -> Array:
    return jax.random.normal(key, q.shape(sample_shape), q.loc.dtype)


@reparameterize_with_log_prob.register
def _(q: AffineNormal, eps: Array) -> tuple[Array, Array]:
    return reparameterize(q, eps), q.log_prob_of_noise(eps)
