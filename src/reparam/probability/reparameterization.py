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


@singledispatch
def reparameterize(q: Distribution, eps: ArrayLike) -> Array:
    r"""Turn noise into a draw, :math:`z = g(\phi, \epsilon)`, differentiable in the parameters of ``q``.

    Location–scale families: ``z = loc + scale * eps``; a full matrix: ``z = loc + S @ eps``.

    Args:
        q: a distribution with parameters φ, batch shape B and event shape (D,).
        eps: draws of the family's standard noise, shape (..., *B, D); :func:`draw_noise` draws it.

    Returns:
        z, shape (..., *B, D).

    Raises:
        ParameterError: no reparameterisation of this family is known.

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
    return jnp.asarray(q.loc + q.scale * eps)


@draw_noise.register(dist.Normal)
def _(q: dist.Normal, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()) -> Array:
    return jax.random.normal(key, q.shape(sample_shape), jnp.result_type(q.loc))


@draw_noise.register(dist.Laplace)
def _(q: dist.Laplace, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()) -> Array:
    return jax.random.laplace(key, q.shape(sample_shape), jnp.result_type(q.loc))


@draw_noise.register(dist.Logistic)
def _(q: dist.Logistic, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()) -> Array:
    return jax.random.logistic(key, q.shape(sample_shape), jnp.result_type(q.loc))


@draw_noise.register(dist.StudentT)
def _(q: dist.StudentT, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()) -> Array:
    return jax.random.t(key, q.df, q.shape(sample_shape), jnp.result_type(q.loc))


@reparameterize.register
def _(q: dist.MultivariateNormal, eps: ArrayLike) -> Array:
    return jnp.asarray(q.loc + apply_matrix(q.scale_tril, eps))


@draw_noise.register
def _(q: dist.MultivariateNormal, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()) -> Array:
    return jax.random.normal(key, q.shape(sample_shape), jnp.result_type(q.loc))


@reparameterize.register
def _(q: dist.LowRankMultivariateNormal, eps: ArrayLike) -> Array:
    """Z = loc + √d ⊙ ε₁ + F ε₂; the noise is (ε₁, ε₂), of size D + rank."""
    own, shared = jnp.split(jnp.asarray(eps), [q.event_shape[-1]], axis=-1)
    return jnp.asarray(q.loc + jnp.sqrt(q.cov_diag) * own + apply_matrix(q.cov_factor, shared))


@draw_noise.register
def _(q: dist.LowRankMultivariateNormal, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()) -> Array:
    noise_size = q.event_shape[-1] + q.cov_factor.shape[-1]
    return jax.random.normal(key, (*sample_shape, *q.batch_shape, noise_size), jnp.result_type(q.loc))


@reparameterize.register(dist.Independent)
@reparameterize.register(dist.ExpandedDistribution)
def _through_wrapper(q: Any, eps: ArrayLike) -> Array:
    return reparameterize(q.base_dist, eps)


@draw_noise.register
def _(q: dist.Independent, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()) -> Array:
    return draw_noise(q.base_dist, key, sample_shape)


@draw_noise.register
def _(q: dist.ExpandedDistribution, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()) -> Array:
    added = q.batch_shape[: len(q.batch_shape) - len(q.base_dist.batch_shape)]
    if q.batch_shape[len(added) :] != q.base_dist.batch_shape:
        raise ParameterError(
            f"Cannot draw noise for {type(q.base_dist).__name__} expanded along a dimension of size 1."
        )
    return draw_noise(q.base_dist, key, (*sample_shape, *added))


def apply_matrix(matrix: Array, vector: ArrayLike) -> Array:
    """``matrix @ vector`` over leading dimensions: (..., M, N) and (..., N) → (..., M)."""
    return jnp.einsum("...mn,...n->...m", matrix, vector)
