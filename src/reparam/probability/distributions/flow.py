"""A Gaussian pushed through an invertible network."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, PRNGKeyArray
from numpyro.distributions import constraints

from reparam.errors import ParameterError
from reparam.probability.distributions.location_scale import LocationScale
from reparam.probability.reparameterization import (
    Reparameterized,
    draw_noise,
    reparameterize,
    reparameterize_with_log_prob,
)
from reparam.specification import positive_int

if TYPE_CHECKING:
    from flowjax.bijections import AbstractBijection

Key = PRNGKeyArray | None


class AutoregressiveFlow(eqx.Module):
    """An invertible map T of ℝ^K, conditioned on c or not: masked autoregressive layers, quick in sampling's direction.

    Only weights are kept; flowjax's layers, which hold functions, are rebuilt from the sizes. So two flows of one size
    are one type for ``jax.jit``, and both pickle.

    Args:
        latent_dim: K ≥ 2.
        layers: how many layers; between them coordinates are permuted, the same way in every flow of these sizes.
        width: hidden width of each layer's network.
        context: the size of c, or None.
        key: the initial weights.

    Raises:
        ParameterError: a size is no positive int, or fewer than two latents leave nothing to be autoregressive in.
    """

    latent_dim: int = eqx.field(static=True)
    layers: int = eqx.field(static=True)
    width: int = eqx.field(static=True)
    context: int | None = eqx.field(static=True)
    weights: tuple[Array, ...]

    def __init__(self, latent_dim: int, layers: int = 2, width: int = 64, context: int | None = None, key: Key = None):
        self.latent_dim = positive_int("latent_dim", latent_dim, "a flow")
        if self.latent_dim < 2:
            raise ParameterError("A flow needs at least 2 latents: with latent_dim=1 choose 'diagonal'.")
        self.layers, self.width = (
            positive_int("layers", layers, "a flow", most=64),
            positive_int("width", width, "a flow"),
        )
        self.context = None if context is None else positive_int("context", context, "a flow")
        fresh = _layers(
            self.latent_dim, self.layers, self.width, self.context, jax.random.key(0) if key is None else key
        )
        self.weights = tuple(jax.tree.leaves(eqx.filter(fresh, eqx.is_inexact_array)))

    def bijection(self, dtype: jnp.dtype) -> AbstractBijection:
        """Flowjax's layers with these weights, which take points of this type."""
        skeleton = _skeleton(self.latent_dim, self.layers, self.width, self.context, str(dtype))
        weights = [weight.astype(dtype) for weight in self.weights]
        structure = jax.tree.structure(eqx.filter(skeleton, eqx.is_inexact_array))
        bijection: AbstractBijection = eqx.combine(jax.tree.unflatten(structure, weights), skeleton)
        return bijection


@cache
def _skeleton(latent_dim: int, layers: int, width: int, context: int | None, precision: str) -> AbstractBijection:
    """The layers, whose weights are replaced; permutations and masks are those of one key, types of a precision.

    Made in a thread of its own, which no trace reaches: what a first use inside ``jax.jit`` makes must outlive it.
    """

    def make() -> AbstractBijection:
        with jax.enable_x64(precision == "float64"):
            return _layers(latent_dim, layers, width, context, jax.random.key(0))

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(make).result()


def _layers(latent_dim: int, layers: int, width: int, context: int | None, key: PRNGKeyArray) -> AbstractBijection:
    from flowjax.distributions import Normal  # when a flow is asked for: most models have none
    from flowjax.flows import masked_autoregressive_flow

    base = Normal(jnp.zeros(latent_dim))
    return masked_autoregressive_flow(
        key, base_dist=base, cond_dim=context, flow_layers=layers, nn_width=width, invert=False
    ).bijection


class FlowDistribution(Reparameterized):
    r"""The distribution of :math:`z = T(u; c)` with :math:`u = \mu + \sigma \odot \epsilon` and an autoregressive T.

    :math:`\ln q(z) = \ln q_u(u) - \ln |\det \partial T / \partial u|` (Rezende & Mohamed 2015, Equation 5). A draw and
    its density cost one pass; the density of another point costs D, since an autoregressive T is inverted one
    coordinate at a time. Its mean and variance have no closed form.

    Args:
        base: the distribution of u, batch shape B, event shape (D,).
        flow: T.
        condition: c, shape (*B, C), or None.
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}
    support = constraints.real_vector
    pytree_data_fields = ("base", "flow", "condition")

    def __init__(
        self,
        base: LocationScale,
        flow: AutoregressiveFlow,
        condition: Array | None = None,
        *,
        validate_args: bool | None = None,
    ):
        self.base, self.flow, self.condition = base, flow, condition
        super().__init__(base.batch_shape, base.event_shape, validate_args=validate_args)

    def log_prob(self, value: ArrayLike) -> Array:
        """Return ln q(z) in nats, shape (...)."""
        u, log_det = self._vectorized("inverse_and_log_det", jnp.asarray(value))
        return self.base.log_prob(u) + log_det

    def transform(self, u: Array) -> tuple[Array, Array]:
        """T(u; c) and ln |det ∂T/∂u|, shapes (..., D) and (...)."""
        return self._vectorized("transform_and_log_det", u)

    def _vectorized(self, method: str, points: Array) -> tuple[Array, Array]:
        condition = () if self.condition is None else (self.condition,)
        dtype = jnp.result_type(points, *condition, *self.flow.weights)
        apply = jnp.vectorize(
            getattr(self.flow.bijection(dtype), method), signature=f"(d){',(c)' * len(condition)}->(d),()"
        )
        z, log_det = apply(*(array.astype(dtype) for array in (points, *condition)))
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
