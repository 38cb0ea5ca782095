r"""Posterior families: the encoder's raw vector becomes q(z|x).

Each family says how many raw numbers it takes (``raw_size``), where training should start (``initial_raw``), and
turns raw vectors into a distribution. A family is a module, so that one with weights of its own (a flow) is trained
with the rest.
"""

from __future__ import annotations

from abc import abstractmethod

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike
from numpyro.distributions import Distribution

from reparam.errors import ParameterError
from reparam.probability.distributions.affine_normal import AffineNormal
from reparam.probability.distributions.flow import AutoregressiveFlow, FlowDistribution, Key
from reparam.probability.distributions.location_scale import LocationScale
from reparam.probability.distributions.low_rank_normal import LowRankNormal
from reparam.probability.numerics import at_least_single
from reparam.probability.priors import Prior
from reparam.probability.scales import Scale, scale_from
from reparam.specification import positive_int, requirement


class Posterior(eqx.Module):
    """A family of distributions over z ∈ ℝ^K, addressed by an unconstrained raw vector; concrete families are final.

    Every constructor takes ``(latent_dim, ..., scale=..., key=...)``; what a family does not need it ignores, so that
    any scale goes with any family. Raises ParameterError where an argument lies outside its domain.
    """

    latent_dim: int = eqx.field(static=True)
    raw_size: int = eqx.field(static=True)

    @abstractmethod
    def distribution(self, raw: ArrayLike) -> Distribution:
        """Return q(z) of ``raw``, shape (..., raw_size), with batch shape (...) and event shape (K,)."""

    def beside(self, prior: Prior) -> Posterior:
        """Return the family with what it takes of the prior; most take nothing."""
        return self

    def initial_raw(self) -> Array:
        """Return the raw vector of N(0, I), or the nearest to it, shape (raw_size,): training starts around it."""
        return jnp.zeros(self.raw_size)

    def initial_gain(self) -> Array:
        """Return what the encoder's first output weights are multiplied by, shape (raw_size,): 0 starts all x alike."""
        return jnp.ones(self.raw_size)


class Scaled(Posterior):
    """A family with raw = (μ, a, rest), σ = scale(a); concrete ones are final."""

    scale: eqx.AbstractVar[Scale]

    def split(self, raw: ArrayLike) -> tuple[Array, Array, Array]:
        """Return μ, a and the rest, (..., K), (..., K) and (..., raw_size − 2K), in single precision or better."""
        loc, a, rest = jnp.split(at_least_single(raw), [self.latent_dim, 2 * self.latent_dim], axis=-1)
        return loc, a, rest

    def diagonal(self, loc: Array, a: Array, base: str = "normal", df: float = 5.0) -> LocationScale:
        """Return the law of μ + σ ⊙ ε."""
        return LocationScale(loc, self.scale.std(a), log_scale=self.scale.log_std(a), base=base, df=df)

    def initial_raw(self) -> Array:
        """Return raw numbers of μ = 0, σ = 1 (the middle of a scale that cannot reach 1), then zeros."""
        a = self.scale.raw(jnp.ones(self.latent_dim))
        rest = jnp.zeros(self.raw_size - 2 * self.latent_dim)
        return jnp.concatenate([jnp.zeros(self.latent_dim), jnp.where(jnp.isfinite(a), a, 0.0), rest])


class Diagonal(Scaled):
    r"""Independent coordinates, :math:`z = \mu + \sigma \odot \epsilon`, from raw = (μ, a), σ = scale(a).

    ``base`` is the distribution of ε: ``normal``, ``laplace``, ``logistic``, ``student_t`` (``df`` degrees of
    freedom). Source: Kingma & Welling (2014), Section 3.

    >>> family = Diagonal(2)
    >>> q = family.distribution(jnp.array([1.0, -1.0, 0.0, jnp.log(4.0)]))
    >>> family.raw_size, q.loc.tolist(), q.scale.tolist()
    (4, [1.0, -1.0], [1.0, 2.0])
    """

    scale: Scale
    base: str = eqx.field(static=True)
    df: float = eqx.field(static=True)

    def __init__(
        self, latent_dim: int, base: str = "normal", df: float = 5.0, *, scale: str = "log_variance", key: Key = None
    ):
        self.latent_dim, self.scale = positive_int("latent_dim", latent_dim), scale_from(scale)
        self.raw_size = 2 * latent_dim
        noise = LocationScale(jnp.zeros(1), jnp.ones(1), base=base, df=df)
        self.base, self.df = noise.base, noise.df

    def distribution(self, raw: ArrayLike) -> LocationScale:
        """Return N(μ, diag σ²), or its like with another base."""
        loc, a, _ = self.split(raw)
        return self.diagonal(loc, a, self.base, self.df)


class Full(Posterior):
    r"""Any covariance, :math:`z = \mu + S\epsilon`, S the K×K matrix whose rows are the last K² raw numbers.

    S is unconstrained, so no scale is needed. N(μ, SSᵀ) does not determine S: S and SR give the same distribution for
    every rotation R. A singular S gives KL = +∞, and its neighbours give gradients as large as S⁻¹: training starts at
    S = I for every x, since random matrices would lie on all sides of the singular ones.

    >>> family = Full(3)
    >>> family.raw_size, family.distribution(family.initial_raw()).covariance_matrix.tolist()
    (12, [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    """

    def __init__(self, latent_dim: int, *, scale: str = "log_variance", key: Key = None):
        self.latent_dim = positive_int("latent_dim", latent_dim)
        self.raw_size = latent_dim + latent_dim**2
        scale_from(scale)

    def distribution(self, raw: ArrayLike) -> AffineNormal:
        """Return N(μ, SSᵀ)."""
        loc, entries = jnp.split(at_least_single(raw), [self.latent_dim], axis=-1)
        return AffineNormal(loc, entries.reshape(*entries.shape[:-1], self.latent_dim, self.latent_dim))

    def initial_raw(self) -> Array:
        """Raw numbers of μ = 0, S = I."""
        return jnp.concatenate([jnp.zeros(self.latent_dim), jnp.eye(self.latent_dim).ravel()])

    def initial_gain(self) -> Array:
        """1 for μ, 0 for S."""
        return (jnp.arange(self.raw_size) < self.latent_dim).astype(float)


class Cholesky(Scaled):
    r"""Any covariance through its Cholesky factor: L lower triangular, its diagonal positive by the scale.

    raw = (μ, a, the K(K−1)/2 entries below the diagonal, row by row); :math:`\ln\det L = \sum_k \ln\sigma_k` costs
    nothing, and L is unique.

    >>> family = Cholesky(2)
    >>> q = family.distribution(jnp.array([0.0, 0.0, 0.0, jnp.log(4.0), 3.0]))
    >>> family.raw_size, q.matrix.tolist()
    (5, [[1.0, 0.0], [3.0, 2.0]])
    """

    scale: Scale

    def __init__(self, latent_dim: int, *, scale: str = "log_variance", key: Key = None):
        self.latent_dim, self.scale = positive_int("latent_dim", latent_dim), scale_from(scale)
        self.raw_size = 2 * latent_dim + latent_dim * (latent_dim - 1) // 2

    def distribution(self, raw: ArrayLike) -> AffineNormal:
        """Return N(μ, LLᵀ)."""
        loc, a, below = self.split(raw)
        diagonal = jnp.eye(self.latent_dim, dtype=a.dtype) * self.scale.std(a)[..., None, :]
        rows, columns = jnp.tril_indices(self.latent_dim, -1)
        matrix = diagonal.at[..., rows, columns].set(below)
        return AffineNormal(loc, matrix, log_diagonal=self.scale.log_std(a))


class LowRank(Scaled):
    r"""A diagonal and a few directions, :math:`N(\mu, \mathrm{diag}(\sigma^2) + FF^\top)`, F of shape K×rank.

    :math:`z = \mu + \sigma \odot \epsilon_1 + F\epsilon_2`, the noise being (ε₁, ε₂) of size K + rank; raw = (μ, a, F).
    rank ≤ K. Source: Rezende, Mohamed & Wierstra (2014), Section 4.3 has the inverse's like.

    >>> LowRank(4, 2).raw_size
    16
    """

    rank: int = eqx.field(static=True)
    scale: Scale

    def __init__(self, latent_dim: int, rank: int = 1, *, scale: str = "log_variance", key: Key = None):
        self.latent_dim, self.rank = positive_int("latent_dim", latent_dim), positive_int("rank", rank)
        if self.rank > self.latent_dim:  # more directions than dimensions: 'cholesky' has every covariance already
            raise ParameterError(requirement("rank", "posterior 'low_rank'", f"an int in [1, {latent_dim}]", rank))
        self.scale, self.raw_size = scale_from(scale), latent_dim * (2 + rank)

    def distribution(self, raw: ArrayLike) -> LowRankNormal:
        """Return N(μ, diag σ² + FFᵀ)."""
        loc, a, factor = self.split(raw)
        factor = factor.reshape(*factor.shape[:-1], self.latent_dim, self.rank)
        return LowRankNormal(loc, self.scale.std(a), factor, log_scale=self.scale.log_std(a))


class Flow(Scaled):
    r"""An inverse autoregressive flow (Kingma et al. 2016), conditioned on features of x that the encoder gives.

    raw = (μ, a, c): :math:`z = T(\mu + \sigma \odot \epsilon; c)`. The flow's own weights are part of the module.

    Args:
        latent_dim: K ≥ 2.
        layers: how many autoregressive layers.
        width: hidden width of each layer's network.
        context: how many features c the encoder gives.

    >>> family = Flow(2, 1, 8, 3)
    >>> family.raw_size, family.distribution(jnp.zeros((5, 7))).batch_shape
    (7, (5,))
    """

    context: int = eqx.field(static=True)
    scale: Scale
    flow: AutoregressiveFlow

    def __init__(
        self,
        latent_dim: int,
        layers: int = 2,
        width: int = 64,
        context: int = 16,
        *,
        scale: str = "log_variance",
        key: Key = None,
    ):
        self.latent_dim, self.context = positive_int("latent_dim", latent_dim), positive_int("context", context)
        self.scale, self.raw_size = scale_from(scale), 2 * latent_dim + context
        self.flow = AutoregressiveFlow(latent_dim, layers, width, context, key)

    def distribution(self, raw: ArrayLike) -> FlowDistribution:
        """Return the law of T(μ + σε; c)."""
        loc, a, context = self.split(raw)
        return FlowDistribution(self.diagonal(loc, a), self.flow, context)


POSTERIORS: dict[str, type[Posterior]] = {
    "diagonal": Diagonal,
    "full": Full,
    "cholesky": Cholesky,
    "low_rank": LowRank,
    "flow": Flow,
}
