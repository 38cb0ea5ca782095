"""A Gaussian whose covariance is a diagonal and a few directions."""

from __future__ import annotations

from typing import ClassVar

import jax
import jax.numpy as jnp
from jax.scipy.linalg import cho_solve
from jaxtyping import Array, ArrayLike, PRNGKeyArray
from numpyro.distributions import Distribution, constraints

from reparam.probability.distributions.affine_normal import squarable
from reparam.probability.reparameterization import apply_matrix, draw_noise, reparameterize


class LowRankNormal(Distribution):
    r"""The distribution of :math:`\mu + \sigma \odot \epsilon_1 + F\epsilon_2`, :math:`N(\mu, D_\sigma^2 + FF^\top)`.

    It keeps ln σ beside σ, which numpyro's LowRankMultivariateNormal does not: the divergence would lose digits
    near N(0, I), and is NaN for σ far from 1. Densities need a Cholesky factor of r × r only:
    :math:`\det \Sigma = \det D_\sigma^2 \det(I + G^\top G)`, G = F/σ (matrix determinant lemma). Where G leaves the
    floating-point range the covariance counts as singular: ln |det| and the log-density are −∞, and so is the
    log-density where the squared distance leaves it.

    Args:
        loc: μ, shape (..., D).
        scale: σ > 0, shape (..., D).
        factor: F, shape (..., D, r).
        log_scale: ln σ, where it is known better than from ``scale``.

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
        log_scale = jnp.log(jnp.asarray(scale)) if log_scale is None else log_scale
        self.factor = jnp.asarray(factor)
        self.loc, self.scale, self.log_scale = jnp.broadcast_arrays(loc, scale, log_scale)
        super().__init__(self.loc.shape[:-1], self.loc.shape[-1:], validate_args=validate_args)

    def sample(self, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draw z of shape (*sample_shape, *batch_shape, D)."""
        return reparameterize(self, draw_noise(self, key, sample_shape))

    def log_prob(self, value: ArrayLike) -> Array:
        """Return ln q(z) in nats, shape (...)."""
        whitened, capacitance, regular = self._whitened()
        centred = jnp.asarray(value) - self.loc
        near = regular & squarable(jax.lax.stop_gradient(centred / self.scale))
        centred = jnp.where(near[..., None], centred, 0.0) / self.scale
        projected = jnp.einsum("...dr,...d->...r", whitened, centred)
        factor = jnp.broadcast_to(capacitance, (*projected.shape, projected.shape[-1]))
        solved = cho_solve((factor, True), projected[..., None])[..., 0]
        square = jnp.sum(centred**2, axis=-1) - jnp.sum(projected * solved, axis=-1)
        log_prob = -0.5 * (square + self.loc.shape[-1] * jnp.log(2 * jnp.pi)) - self.log_abs_det
        return jnp.where(near, log_prob, -jnp.inf)

    @property
    def log_abs_det(self) -> Array:
        """Half of ln det Σ, the logarithm of the volume of z per volume of a square root's noise; shape (...)."""
        _, capacitance, regular = self._whitened()
        half = jnp.sum(jnp.log(jnp.diagonal(capacitance, axis1=-2, axis2=-1)), axis=-1)
        return jnp.where(regular, jnp.sum(self.log_scale, axis=-1) + half, -jnp.inf)

    @property
    def mean(self) -> Array:
        """μ, shape (..., D)."""
        return self.loc

    @property
    def covariance_matrix(self) -> Array:
        """Σ, shape (..., D, D)."""
        diagonal = jnp.eye(self.loc.shape[-1]) * self.scale[..., None, :] ** 2
        return diagonal + self.factor @ jnp.swapaxes(self.factor, -1, -2)

    @property
    def variance(self) -> Array:
        """The diagonal of Σ, shape (..., D)."""
        return self.scale**2 + jnp.sum(self.factor**2, axis=-1)

    def entropy(self) -> Array:
        """½ D ln 2πe + ½ ln det Σ in nats, shape (...)."""
        return 0.5 * self.loc.shape[-1] * (1.0 + jnp.log(2 * jnp.pi)) + self.log_abs_det

    def _whitened(self) -> tuple[Array, Array, Array]:
        """G = F/σ, the Cholesky factor of I + GᵀG, and where these are finite; elsewhere G counts as 0."""
        whitened = self.factor / self.scale[..., None]
        size = jnp.sum(jax.lax.stop_gradient(whitened) ** 2, axis=(-2, -1))
        regular = size < 1.0 / jnp.finfo(whitened.dtype).eps ** 2
        whitened = jnp.where(regular[..., None, None], self.factor, 0.0) / self.scale[..., None]
        gram = jnp.swapaxes(whitened, -1, -2) @ whitened
        return whitened, jnp.linalg.cholesky(gram + jnp.eye(gram.shape[-1])), regular


@reparameterize.register
def _(q: LowRankNormal, eps: ArrayLike) -> Array:
    """The noise is (ε₁, ε₂), of size D + r."""
    own, shared = jnp.split(jnp.asarray(eps), [q.event_shape[-1]], axis=-1)
    return q.loc + q.scale * own + apply_matrix(q.factor, shared)


@draw_noise.register
def _(q: LowRankNormal, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()) -> Array:
    return jax.random.normal(key, (*sample_shape, *q.batch_shape, sum(q.factor.shape[-2:])), q.loc.dtype)
