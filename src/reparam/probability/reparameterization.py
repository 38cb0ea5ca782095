r"""The reparameterisation trick: a draw is a differentiable map of parameters and of noise that has none.

If :math:`\epsilon \sim N(0, 1)` then :math:`\mu + \sigma\epsilon \sim N(\mu, \sigma^2)`, because scaling a Gaussian
scales its standard deviation and shifting it shifts its mean. The parameters have left the sampling, so a gradient of
an expectation is the expectation of a gradient: :math:`\nabla_\phi E_{q_\phi}[f(z)] = E_\epsilon[\nabla_\phi
f(g(\phi, \epsilon))]` (Kingma & Welling 2014, Section 2.4).

Three functions are dispatched on the type of a distribution; each family registers its own map once. Here are
numpyro's families; ours register beside their classes.
"""

from __future__ import annotations

from functools import singledispatch
from typing import Any

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array, ArrayLike, PRNGKeyArray
from numpyro.distributions import Distribution

from reparam.errors import ParameterError
from reparam.probability.numerics import apply_matrix


class Reparameterized(Distribution):
    """A distribution that samples by its reparameterisation; concrete ones are final."""

    def sample(self, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draw z of shape (*sample_shape, *batch_shape, *event_shape)."""
        return reparameterize(self, draw_noise(self, key, sample_shape))


@singledispatch
def reparameterize(q: Distribution, eps: ArrayLike) -> Array:
    r"""Turn noise into a draw, :math:`z = g(\phi, \epsilon)`, differentiable in the parameters of ``q``.

    Location–scale families: ``z = loc + scale * eps``; a full matrix: ``z = loc + S @ eps``.

    Args:
        q: a distribution with parameters φ, batch shape B and event shape (D,).
        eps: draws of the family's standard noise, shape (..., *B, D) itself, for noise that were broadcast would be
            shared; :func:`draw_noise` draws it.

    Returns:
        z, shape (..., *B, D).

    Raises:
        ParameterError: no reparameterisation of this family is known, or ``eps`` has another shape.

    Source: Kingma & Welling (2014), Section 2.4; Rezende, Mohamed & Wierstra (2014).

    >>> q = dist.Normal(jnp.array([1.0, 2.0]), jnp.array([0.5, 3.0])).to_event(1)
    >>> reparameterize(q, jnp.array([2.0, -1.0])).tolist()
    [2.0, -1.0]
    """
    raise ParameterError(
        f"No reparameterisation is known for {type(q).__name__}: register one with reparam.reparameterize.register."
    )


@singledispatch
def draw_noise(q: Distribution, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()) -> Array:
    """Draw the noise that :func:`reparameterize` takes for ``q``; its distribution has no parameters of ``q`` left.

    Returns:
        eps, shape (*sample_shape, *q.batch_shape, noise size).

    >>> q = dist.Normal(jnp.zeros(2), 1.0).to_event(1)
    >>> draw_noise(q, jax.random.key(0), (5,)).shape
    (5, 2)
    """
    raise ParameterError(f"No standard noise is known for {type(q).__name__}.")


@singledispatch
def reparameterize_with_log_prob(q: Distribution, eps: Array) -> tuple[Array, Array]:
    """A draw and its log-density (z, ln q(z)), sharing work and rounding where the family can.

    Shapes: (..., *B, D) and (..., *B); ln q in nats.
    """
    z = reparameterize(q, eps)
    return z, q.log_prob(z)


@reparameterize.register(dist.Normal)
@reparameterize.register(dist.Laplace)
@reparameterize.register(dist.Logistic)
@reparameterize.register(dist.StudentT)
def _location_scale(q: Any, eps: ArrayLike) -> Array:
    return jnp.asarray(q.loc + q.scale * checked_noise(q, eps))


@draw_noise.register(dist.Normal)
@draw_noise.register(dist.MultivariateNormal)
@draw_noise.register(dist.Laplace)
@draw_noise.register(dist.Logistic)
def _free_of_parameters(q: Any, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()) -> Array:
    """In the floating-point type of the location: integers, as in Normal(0, 1), are numbers like any other."""
    draw = {dist.Laplace: jax.random.laplace, dist.Logistic: jax.random.logistic}.get(type(q), jax.random.normal)
    return draw(key, q.shape(sample_shape), jnp.result_type(q.loc, float))


@draw_noise.register
def _(q: dist.StudentT, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()) -> Array:
    dtype = jnp.result_type(q.loc, float)
    return jax.random.t(key, jnp.asarray(q.df, dtype), q.shape(sample_shape), dtype)


@reparameterize.register
def _(q: dist.MultivariateNormal, eps: ArrayLike) -> Array:
    return jnp.asarray(q.loc + apply_matrix(q.scale_tril, checked_noise(q, eps)))


@reparameterize.register
def _(q: dist.LowRankMultivariateNormal, eps: ArrayLike) -> Array:
    """Z = loc + √d ⊙ ε₁ + F ε₂; the noise is (ε₁, ε₂), of size D + rank."""
    eps = checked_noise(q, eps, sum(q.cov_factor.shape[-2:]))
    own, shared = jnp.split(eps, [q.event_shape[-1]], axis=-1)
    return jnp.asarray(q.loc + jnp.sqrt(q.cov_diag) * own + apply_matrix(q.cov_factor, shared))


@draw_noise.register
def _(q: dist.LowRankMultivariateNormal, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()) -> Array:
    return jax.random.normal(
        key, (*sample_shape, *q.batch_shape, sum(q.cov_factor.shape[-2:])), jnp.result_type(q.loc, float)
    )


@reparameterize.register(dist.Independent)
@reparameterize.register(dist.ExpandedDistribution)
def _through_wrapper(q: Any, eps: ArrayLike) -> Array:
    eps = jnp.asarray(eps)  # of what is wrapped only the wrapped knows its size, where that has an event
    return reparameterize(q.base_dist, checked_noise(q, eps, *(eps.shape[-1:] if q.base_dist.event_shape else ())))


@draw_noise.register
def _(q: dist.Independent, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()) -> Array:
    return draw_noise(q.base_dist, key, sample_shape)


@draw_noise.register
def _(q: dist.ExpandedDistribution, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()) -> Array:
    """Each axis of the batch is the base's own, or repeats an axis of size 1: draw the repetitions, then merge."""
    batch, count = q.batch_shape, len(q.batch_shape)
    own = (1,) * (count - len(q.base_dist.batch_shape)) + q.base_dist.batch_shape
    repeats = tuple(1 if size == had else size for size, had in zip(batch, own, strict=True))
    eps = draw_noise(q.base_dist, key, (*sample_shape, *repeats))
    leading = len(sample_shape)
    noise_shape = eps.shape[leading + count + len(q.base_dist.batch_shape) :]
    eps = eps.reshape(*sample_shape, *repeats, *own, *noise_shape)
    for axis in range(count):
        eps = jnp.moveaxis(eps, leading + count + axis, leading + 2 * axis + 1)
    return eps.reshape(*sample_shape, *batch, *noise_shape)


def checked_noise(q: Distribution, eps: ArrayLike, size: int | None = None) -> Array:
    """The noise as an array, if ``q`` need not repeat it: shape (..., *B, *event), its last axis of ``size`` if given.

    An axis of size 1 in B may be longer in the noise, as where a distribution was expanded.

    Raises:
        ParameterError: it has another shape.
    """
    eps = jnp.asarray(eps)
    event = q.event_shape if size is None else (*q.event_shape[:-1], size)
    batch = eps.shape[: eps.ndim - len(event)]
    agrees = eps.ndim >= len(event) and eps.shape[len(batch) :] == event and len(batch) >= len(q.batch_shape)
    own = batch[len(batch) - len(q.batch_shape) :]
    if not agrees or any(had not in (1, given) for had, given in zip(q.batch_shape, own, strict=True)):
        wanted = ", ".join(map(str, ("...", *q.batch_shape, *event)))
        raise ParameterError(
            f"reparameterize: {type(q).__name__} needs noise of shape ({wanted}), as draw_noise draws it. "
            f"Got {eps.shape}."
        )
    return eps


def broadcast_parameters(owner: str, event_dim: int, **parameters: Array) -> list[Array]:
    """Arrays of one shape: vectors (..., D) with one D, or numbers for ``event_dim`` 0. A scalar stands for any vector.

    Raises:
        ParameterError: their last axes differ, or their batches do not broadcast.
    """
    shapes = [parameter.shape for parameter in parameters.values()]
    try:
        shape = jnp.broadcast_shapes(*shapes)
    except ValueError:
        shape = None
    if shape is None or (event_dim and len({shape[-1] for shape in shapes if shape}) > 1):
        told = ", ".join(f"{name} {parameter.shape}" for name, parameter in parameters.items())
        raise ParameterError(f"The parameters of {owner} must have shapes that agree. Got {told}.")
    return [jnp.broadcast_to(parameter, shape) for parameter in parameters.values()]
