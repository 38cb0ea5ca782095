"""A Gaussian pushed through an invertible network."""

from __future__ import annotations

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from flowjax.bijections import AbstractBijection
from jaxtyping import Array, ArrayLike, PRNGKeyArray
from numpyro.distributions import Distribution, constraints

from reparam.probability.distributions.location_scale import LocationScale
from reparam.probability.reparameterization import draw_noise, reparameterize, reparameterize_with_log_prob


class FlowDistribution(Distribution):
    r"""The distribution of :math:`z = T(u; c)` with :math:`u = \mu + \sigma \odot \epsilon` and a flowjax bijection T.

    :math:`\ln q(z) = \ln q_u(u) - \ln |\det \partial T / \partial u|` (Rezende & Mohamed 2015, Equation 5). A draw and
    its density cost one pass; the density of another point costs D, since an autoregressive T is inverted one
    coordinate at a time. Its mean and variance have no closed form.

    Args:
        base: the distribution of u, batch shape B, event shape (D,).
        bijection: T, of shape (D,).
        condition: c, shape (*B, C), or None.
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}
    support = constraints.real_vector
    pytree_data_fields = ("base", "weights", "condition")
    pytree_aux_fields = ("architecture",)

    def __init__(
        self,
        base: LocationScale,
        bijection: AbstractBijection,
        condition: Array | None = None,
        *,
        validate_args: bool | None = None,
    ):
        self.base, self.condition = base, condition
        self.weights, self.architecture = eqx.partition(bijection, eqx.is_array)  # jit takes arrays only
        super().__init__(base.batch_shape, base.event_shape, validate_args=validate_args)

    @property
    def bijection(self) -> AbstractBijection:
        """T."""
        bijection: AbstractBijection = eqx.combine(self.weights, self.architecture)
        return bijection

    def sample(self, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draw z of shape (*sample_shape, *batch_shape, D)."""
        return reparameterize(self, draw_noise(self, key, sample_shape))

    def log_prob(self, value: ArrayLike) -> Array:
        """Return ln q(z) in nats, shape (...)."""
        u, log_det = self._vectorized("inverse_and_log_det", jnp.asarray(value))
        return self.base.log_prob(u) + log_det

    def transform(self, u: Array) -> tuple[Array, Array]:
        """T(u; c) and ln |det ∂T/∂u|, shapes (..., D) and (...)."""
        return self._vectorized("transform_and_log_det", u)

    def _vectorized(self, method: str, points: Array) -> tuple[Array, Array]:
        apply = getattr(self.bijection, method)
        if self.condition is None:
            z, log_det = jnp.vectorize(apply, signature="(d)->(d),()")(points)
        else:
            z, log_det = jnp.vectorize(apply, signature="(d),(c)->(d),()")(points, self.condition)
        return z, log_det


@reparameterize.register
def _(q: FlowDistribution, eps: ArrayLike) -> Array:
    return q.transform(reparameterize(q.base, eps))[0]


@draw_noise.register
def _(q: FlowDistribution, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()) -> Array:
    return draw_noise(q.base, key, sample_shape)


@reparameterize_with_log_prob.register
def _(q: FlowDistribution, eps: Array) -> tuple[Array, Array]:
    u, log_prob_u = reparameterize_with_log_prob(q.base, eps)
    z, log_det = q.transform(u)
    return z, log_prob_u - log_det
