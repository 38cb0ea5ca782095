r"""One datum's way through the model, every number of it: x → raw → q → ε → z → p(x|z) → bounds and gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray
from numpy.typing import NDArray
from numpyro.distributions import Distribution

import reparam
from reparam.batch import Batch
from reparam.errors import NoClosedFormError, ParameterError
from reparam.insight.session import Session
from reparam.model import Model
from reparam.objectives import kl_per_dimension
from reparam.probability.conditional import conditional_kl
from reparam.probability.distributions.chain import Chain
from reparam.probability.scales import Scale

DRAWS = 1000
GRADIENTS = 200
BINS = 24
COORDINATES = ("log_variance", "log_std", "softplus", "log_precision")


class Passage(NamedTuple):
    """One draw's way, and what many draws say; nats."""

    mean: Array  # (K,) E_q z; of several layers given what of z was drawn before a latent, as std and covariance
    std: Array  # (K,) of each latent under q
    covariance: Array  # (K, K) of q
    prior: Array  # (DRAWS, K) of p(z)
    z: Array  # (K,)
    log_likelihood: Array  # () ln p(x|z) of this draw
    log_prior: Array  # () ln p(z)
    log_q: Array  # () ln q(z|x)
    kl: Array  # () KL(q‖p), exact, or the mean over the draws
    kl_per_latent: Array | None  # (K,)
    reconstructions: Array  # (DRAWS,) ln p(x|z_k)
    log_weights: Array  # (DRAWS,) ln p(x, z_k) − ln q(z_k|x)


class Gradients(NamedTuple):
    """Of E_q ln p(x|z) with respect to μ and to the scale of one latent, (..., 2): this draw's, and many estimates."""

    pathwise: NDArray[np.float64]  # (2,)
    score_function: NDArray[np.float64]  # (2,)
    pathwise_spread: NDArray[np.float64]  # (GRADIENTS, 2)
    score_function_spread: NDArray[np.float64]  # (GRADIENTS, 2)


@dataclass(frozen=True)
class Trick:
    """What the page shows of one row, one ε and K draws."""

    row: int
    raw: NDArray[np.float64]
    eps: NDArray[np.float64]
    passage: Passage
    factor: NDArray[np.float64]
    reconstruction: NDArray[np.float32]
    draws: int
    closed_kl: bool

    @property
    def bound_by_draws(self) -> NDArray[np.float64]:
        """The importance-weighted bound of the first 1, 2, …, K draws: ln of the running mean of the weights."""
        weights = np.asarray(self.passage.log_weights, np.float64)[: self.draws]
        return np.asarray(np.logaddexp.accumulate(weights) - np.log(np.arange(1, len(weights) + 1)))

    @property
    def prior_histogram(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Where the draws of p(z) of the first latent lie: middles of bins, and density."""
        density, edges = np.histogram(np.asarray(self.passage.prior[:, 0], np.float64), bins=BINS, density=True)
        return (edges[1:] + edges[:-1]) / 2, density

    @property
    def elbo(self) -> float:
        """The mean of ln p(x|z) over the K draws, less the KL."""
        return float(np.mean(np.asarray(self.passage.reconstructions, np.float64)[: self.draws]) - self.kl)

    @property
    def kl(self) -> float:
        """KL(q‖p), nats."""
        return float(self.passage.kl)


def noise(session: Session, seed: int) -> NDArray[np.float64]:
    """The ε of a seed, (noise size,)."""
    return np.asarray(reparam.draw_noise(session.any_q, session.seed_key(seed)), np.float64)


def trick(session: Session, row: int, eps: NDArray[np.float64], *, draws: int, seed: int) -> Trick:
    """Send one row and one ε through the model.

    Args:
        session: the run.
        row: its number.
        eps: noise of q's family, (noise size,), the temperature in it.
        draws: K of the bound, at most ``DRAWS``.
        seed: of those draws.

    Raises:
        ParameterError: ``eps`` has another size.
    """
    if eps.shape != (session.noise_size,):
        raise ParameterError(f"eps must hold {session.noise_size} numbers. Got {eps.size} instead.")
    raw, datum = session.raw(row), session.datum(row)
    passage = _passage(session.model, raw, datum, jnp.asarray(eps, jnp.float32), session.seed_key(seed))
    volume = float(session.log_volumes(row).sum())
    passage = passage._replace(
        log_likelihood=passage.log_likelihood - volume,
        reconstructions=passage.reconstructions - volume,
        log_weights=passage.log_weights - volume,
    )
    if not session.closed_kl:
        ratios = np.asarray(passage.reconstructions - passage.log_weights, np.float64)[:draws]
        passage = passage._replace(kl=jnp.asarray(ratios.mean()))
    return Trick(
        row=row,
        raw=np.asarray(raw, np.float64),
        eps=eps,
        passage=passage,
        factor=factor_of(session.q(raw), np.asarray(passage.covariance, np.float64)),
        reconstruction=session.decode(np.asarray(passage.z)[None], row)[0],
        draws=draws,
        closed_kl=session.closed_kl,
    )


def coordinates(std: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
    """The same σ as the raw number of every scale, by name, each (K,)."""
    values = jnp.asarray(std)
    return {name: np.asarray(reparam.SCALES[name].raw(values), np.float64) for name in COORDINATES}


def factor_of(q: Distribution, covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """The axes of q's ellipse as columns, (K, M): those of S where q has one, else those of the covariance.

    For a diagonal q they are σ along each latent; S Sᵀ, or their outer product, is the covariance.
    """
    own = getattr(q, "matrix", None)
    if own is not None:
        return np.asarray(own, np.float64)
    if np.count_nonzero(covariance - np.diag(np.diagonal(covariance))) == 0:
        return np.asarray(np.sqrt(covariance))
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))


def gradients(session: Session, row: int, eps: NDArray[np.float64], *, latent: int, seed: int) -> Gradients:
    """∂/∂μ and ∂/∂σ of E_q ln p(x|z) for one latent: of this ε, and of many draws by either estimator.

    Where the family has no scale, σ stands for the diagonal entry of S.
    """
    raw, datum = session.raw(row), session.datum(row)
    single = _single_gradients(session.model, raw, datum, jnp.asarray(eps, jnp.float32))
    keys = jax.random.split(session.seed_key(seed), GRADIENTS)
    many = (_spread(session.model, raw, datum, keys, estimator) for estimator in ("pathwise", "score_function"))
    places, slopes = _of_latent(session, raw, latent)
    return Gradients(*(np.asarray(found, np.float64)[..., places] / slopes for found in (*single, *many)))


def _of_latent(session: Session, raw: Array, latent: int) -> tuple[list[int], NDArray[np.float64]]:
    """Where in raw a latent's μ and σ stand, and dμ/draw and dσ/draw there, by which ∂/∂raw becomes ∂/∂μ and ∂/∂σ."""
    size = session.explaining
    scale = getattr(session.model.posterior, "scale", None)
    if scale is None:
        return [latent, size + latent * (size + 1)], np.ones(2)
    return [latent, size + latent], np.array([1.0, float(_slope(scale, raw[size + latent]))])


@eqx.filter_jit
def _slope(scale: Scale, raw: Array) -> Array:
    return jnp.asarray(jax.grad(scale.std)(raw))


@eqx.filter_jit
def _passage(model: Model, raw: Array, datum: Batch, eps: Array, key: PRNGKeyArray) -> Passage:
    q, p = model.family.distribution(raw), model.prior_distribution(datum)
    z = reparam.reparameterize(q, eps)
    many = reparam.reparameterize(q, reparam.draw_noise(q, key, (DRAWS,)))
    reconstructions = model.log_likelihood(many, datum)
    log_weights = reconstructions + p.log_prob(many) - q.log_prob(many)
    mean, covariance = _moments(q, z, many)
    parts = conditional_kl(q, p, many)
    try:
        kl, terms = reparam.kl_divergence(q, p), kl_per_dimension(q, p)
    except NoClosedFormError:
        kl, terms = jnp.mean(reconstructions - log_weights), None if parts is None else jnp.mean(parts, axis=0)
    return Passage(
        mean=mean,
        std=jnp.sqrt(jnp.diagonal(covariance)),
        covariance=covariance,
        prior=p.sample(key, (DRAWS,)),
        z=z,
        log_likelihood=model.log_likelihood(z, datum),
        log_prior=p.log_prob(z),
        log_q=q.log_prob(z),
        kl=kl,
        kl_per_latent=terms,
        reconstructions=reconstructions,
        log_weights=log_weights,
    )


def _moments(q: Any, z: Array, draws: Array) -> tuple[Array, Array]:
    """Mean and covariance of q: of layers given what of z was drawn before them, of draws where it knows none."""
    if isinstance(q, Chain):
        mean, variance = q.moments_given(z)
        return mean, jnp.diag(variance)
    try:
        mean, variance = q.mean, q.variance
    except NotImplementedError:
        return jnp.mean(draws, axis=0), jnp.atleast_2d(jnp.cov(draws.T))
    return mean, q.covariance_matrix if hasattr(q, "covariance_matrix") else jnp.diag(variance)


@eqx.filter_jit
def _single_gradients(model: Model, raw: Array, datum: Batch, eps: Array) -> tuple[Array, Array]:
    """∇ f(g(φ, ε)) and f(z) ∇ ln q(z; φ) with f(z) = ln p(x|z), each (R,)."""

    def f(z: Array) -> Array:
        return model.log_likelihood(z, datum)

    def at(raw: Array) -> Array:
        return f(reparam.reparameterize(model.family.distribution(raw), eps))

    z = reparam.reparameterize(model.family.distribution(raw), eps)
    score = jax.grad(lambda raw: jnp.sum(model.family.distribution(raw).log_prob(z)))(raw)
    return jax.grad(at)(raw), f(z) * score


@eqx.filter_jit
def _spread(model: Model, raw: Array, datum: Batch, keys: PRNGKeyArray, estimator: str) -> Array:
    def one(key: PRNGKeyArray) -> Array:
        return reparam.estimate_gradient(
            lambda z: model.log_likelihood(z, datum),
            model.family.distribution,
            raw,
            key,
            estimator=estimator,
        )

    return jax.vmap(one)(keys)
