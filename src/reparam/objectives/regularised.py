"""The ELBO with a term of the whole batch in its surrogate; the bound stays the ELBO."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar, Unpack

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp
from jaxtyping import Array, PRNGKeyArray
from numpyro.distributions import Distribution

from reparam.batch import Batch
from reparam.errors import ParameterError, UnknownNameError
from reparam.model import Model
from reparam.objectives.base import Common, Objective, Terms, gaussian_marginals, nonnegative
from reparam.objectives.elbo import ELBO
from reparam.objectives.estimators import ESTIMATORS, check_estimator
from reparam.probability.distributions.location_scale import LocationScale
from reparam.probability.reparameterization import draw_noise, reparameterize
from reparam.specification import positive_int

MMD_SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


class Regularised(Objective):
    """The ELBO with a term of the whole batch beside it; concrete ones say what the surrogate is."""

    samples: int = eqx.field(static=True)
    beta: Array
    estimator: str = eqx.field(static=True)

    def __init__(self, name: str, samples: int, *, beta: float = 1.0, estimator: str = "pathwise"):
        reason = (
            "its batch term is a function of z alone, which only the reparameterisation differentiates; use 'pathwise'"
        )
        self.samples = positive_int("samples", samples, f"objective {name!r}")
        self.beta = nonnegative("beta", beta, name)
        self.estimator = check_estimator(
            estimator, f"objective {name!r}", {e: reason for e in ESTIMATORS if e != "pathwise"}
        )

    @property
    def is_bound(self) -> bool:
        """Never."""
        return False

    def terms(self, model: Model, batch: Batch, key: PRNGKeyArray, q: Distribution) -> Terms:
        """The ELBO's, with another surrogate."""
        terms = ELBO(self.samples).terms(model, batch, key, q)
        return terms._replace(surrogate=self.surrogate(terms, model, batch, key, q))

    @abstractmethod
    def surrogate(self, terms: Terms, model: Model, batch: Batch, key: PRNGKeyArray, q: Distribution) -> Array:
        """What is differentiated, (B,); ``key`` gives the draws that reconstruct."""


class FreeBits(Regularised):
    r"""No reward for a divergence below λ: :math:`E_q \ln p(x|z) - \beta \sum_d \max(\lambda, \overline{KL_d})`.

    The divergence is averaged over the batch first, then held from below; so a latent may be used for some data and not
    for others. Of a correlated q the marginals are held, and its total correlation is paid in full.

    Args:
        level: λ in nats.
        per: ``dimension``, or ``total`` for one λ of all latents together.
        samples: draws of z per datum.
        beta: coefficient of the divergence in the surrogate.
        estimator: ``pathwise``.

    Raises:
        ParameterError: at the first batch, where ``dimension`` is asked of a q or p without Gaussian marginals.

    Source: Kingma et al. (2016), free bits of the appendix.

    >>> FreeBits(2.0, "total")
    FreeBits(samples=1, beta=1.0, estimator='pathwise', level=2.0, per='total')
    """

    level: Array
    per: str = eqx.field(static=True)

    def __init__(self, level: float = 0.1, per: str = "dimension", samples: int = 1, **common: Unpack[Common]):
        if per not in ("dimension", "total"):
            raise UnknownNameError("'per' of free bits", per, ("dimension", "total"))
        self.level, self.per = nonnegative("level", level, "free_bits"), per
        super().__init__("free_bits", samples, **common)

    def surrogate(self, terms: Terms, model: Model, batch: Batch, key: PRNGKeyArray, q: Distribution) -> Array:
        """KL, and what each mean divergence lacks of λ: together the larger of the two."""
        divergences = terms.kl_per_dimension if self.per == "dimension" else terms.kl[:, None]
        if divergences is None:
            raise ParameterError(
                f"free bits per dimension need a Gaussian q(z|x) and a standard normal prior. Got q {type(q).__name__} "
                f"and prior {type(model.prior).__name__}: choose 'free_bits:λ,total'."
            )
        means = batch.weights @ divergences / jnp.sum(batch.weights)  # padding left out
        return terms.reconstruction - self.beta * (terms.kl + jnp.sum(jax.nn.relu(self.level - means)))


class BetaTCVAE(Regularised):
    r"""The ELBO with β on the total correlation of the aggregate posterior alone.

    .. math:: \mathrm{ELBO} - (\beta - 1)\, KL\Bigl(\bar q(z) \Big\| \prod_d \bar q(z_d)\Bigr), \qquad
        \bar q(z) = E_x q(z|x)

    The aggregate is estimated from the batch, :math:`\ln \bar q(z_i) \approx \ln \frac1B \sum_j q(z_i|x_j)`. Minibatch
    weighted sampling divides by the data's size too, which shifts the value by a constant and leaves the gradient.

    Args:
        samples: draws of z per datum.
        beta: β, the coefficient of the total correlation in the surrogate. Of 1 the ELBO remains, so that is where a
            warm-up starts; 6 is within what the sources use, 1 to 10.
        estimator: ``pathwise``.

    Raises:
        ParameterError: at the first batch, where q has no marginals in closed form.

    Source: Chen et al. (2018), Equation 4 with α = γ = 1, and the appendix on minibatch-weighted sampling; Locatello
    et al. (2019) compare values of β.

    >>> BetaTCVAE().coefficients()
    {'beta': 6.0}
    """

    cold_coefficients: ClassVar[Mapping[str, float]] = {"beta": 1.0}

    def __init__(self, samples: int = 1, *, beta: float = 6.0, estimator: str = "pathwise"):
        super().__init__("beta_tcvae", samples, beta=beta, estimator=estimator)

    def surrogate(self, terms: Terms, model: Model, batch: Batch, key: PRNGKeyArray, q: Distribution) -> Array:
        """The draws that reconstruct are those whose correlation is measured."""
        z = reparameterize(q, draw_noise(q, key, (self.samples,)))
        correlation = jnp.mean(jax.vmap(lambda z: total_correlation(q, z, batch.weights))(z), axis=0)
        return terms.bound - (self.beta - 1.0) * correlation


class MMD(Regularised):
    r"""The ELBO and a kernel's distance of the aggregate posterior from the prior.

    .. math:: E_q \ln p(x|z) - \beta\, KL(q(z|x)\|p(z)) - \lambda\, \mathrm{MMD}^2(\bar q(z), p(z))

    β = 0 is the Wasserstein autoencoder (Tolstikhin et al. 2018) and the MMD-VAE; β = 1 − α is the InfoVAE (Zhao, Song
    & Ermon 2019). A learned prior is drawn from, and is not trained by this term.

    Args:
        mmd_weight: λ.
        kernel: ``inverse_multiquadratic``, :math:`\sum_s sC/(sC + \|z - z'\|^2)` with C = 2K, or ``gaussian``,
            :math:`\exp(-\|z - z'\|^2 / C)`.
        samples: draws of z per datum.
        beta: coefficient of the divergence in the surrogate.
        estimator: ``pathwise``.

    >>> MMD(10.0, beta=0.0).coefficients()
    {'beta': 0.0, 'mmd_weight': 10.0}
    """

    cold_coefficients: ClassVar[Mapping[str, float]] = {"beta": 0.0, "mmd_weight": 0.0}

    mmd_weight: Array
    kernel: str = eqx.field(static=True)

    def __init__(
        self,
        mmd_weight: float = 10.0,
        kernel: str = "inverse_multiquadratic",
        samples: int = 1,
        **common: Unpack[Common],
    ):
        if kernel not in KERNELS:
            raise UnknownNameError("kernel", kernel, KERNELS)
        self.mmd_weight, self.kernel = nonnegative("mmd_weight", mmd_weight, "mmd"), kernel
        super().__init__("mmd", samples, **common)

    def surrogate(self, terms: Terms, model: Model, batch: Batch, key: PRNGKeyArray, q: Distribution) -> Array:
        """As many draws of the prior as of q."""
        z = reparameterize(q, draw_noise(q, key, (self.samples,)))  # (S, B, K)
        prior_draws = model.prior_distribution(batch).sample(
            jax.random.fold_in(key, 1), z.shape[: 2 - (model.shift is not None)]
        )
        kernel = KERNELS[self.kernel]
        distances = jax.vmap(lambda z, y: squared_mmd(kernel, z, jax.lax.stop_gradient(y), batch.weights))(
            z, prior_draws
        )
        return terms.reconstruction - self.beta * terms.kl - self.mmd_weight * jnp.mean(distances)


def total_correlation(q: Distribution, z: Array, weight: Array) -> Array:
    r""":math:`\ln \bar q(z_i) - \sum_d \ln \bar q(z_{id})` of each datum, nats: z (B, K), weight (B,) → (B,)."""
    if not (isinstance(q, LocationScale) or hasattr(q, "covariance_matrix")):
        raise ParameterError(
            f"objective 'beta_tcvae' needs the marginals of q(z|x) in closed form, which {type(q).__name__} has not: "
            "choose a Gaussian posterior of one layer of latents, such as 'diagonal'."
        )
    pairs = z[:, None, :]
    marginals = gaussian_marginals(q)
    each = marginals.standard.log_prob((pairs - marginals.loc) / marginals.scale) - marginals.log_scale  # (B, B, K)
    joint = jnp.sum(each, axis=-1) if marginals is q else q.log_prob(pairs)  # (B, B): of datum i under q(z|x_j)
    log_share = jnp.log(weight / jnp.sum(weight))
    return logsumexp(joint + log_share, axis=1) - jnp.sum(logsumexp(each + log_share[:, None], axis=1), axis=-1)


Kernel = Callable[[Array, Array], Array]


def inverse_multiquadratic(z: Array, y: Array) -> Array:
    """Σ_s sC/(sC + ‖z − y‖²), C = 2K for a prior of unit variance (Tolstikhin et al. 2018, Section 4)."""
    squared = jnp.sum((z - y) ** 2, axis=-1)
    scales = 2.0 * z.shape[-1] * jnp.array(MMD_SCALES)
    return jnp.sum(scales / (scales + squared[..., None]), axis=-1)


def gaussian(z: Array, y: Array) -> Array:
    """exp(−‖z − y‖²/2K)."""
    return jnp.exp(-jnp.sum((z - y) ** 2, axis=-1) / (2.0 * z.shape[-1]))


KERNELS: dict[str, Kernel] = {"inverse_multiquadratic": inverse_multiquadratic, "gaussian": gaussian}


def squared_mmd(kernel: Kernel, z: Array, y: Array, weight: Array) -> Array:
    r"""An unbiased estimate of the squared maximum mean discrepancy from two samples (B, K); weight (B,) is 1 or 0.

    Source: Gretton et al. (2012), Lemma 6.
    """
    pairs = jnp.outer(weight, weight) * (1.0 - jnp.eye(len(weight)))
    count = jnp.maximum(jnp.sum(pairs), 1.0)

    def mean(a: Array, b: Array) -> Array:
        return jnp.sum(pairs * kernel(a[:, None, :], b[None, :, :])) / count

    return mean(z, z) + mean(y, y) - 2.0 * mean(z, y)
