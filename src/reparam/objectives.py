r"""Objectives: (model, x, key) → the bound in nats, the surrogate to differentiate, and its terms.

The ``bound`` is an estimate of a lower bound on ln p(x) for each datum, and is what a report may quote. The
``surrogate`` is what training maximises; a weight other than 1 changes it and leaves the bound alone.
"""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray
from numpyro.distributions import Distribution

from reparam.errors import ParameterError
from reparam.model import Model
from reparam.probability.distributions.location_scale import LocationScale
from reparam.probability.divergences import has_closed_form, kl_diagonal_normal_terms, kl_divergence
from reparam.probability.reparameterization import draw_noise, reparameterize_with_log_prob
from reparam.specification import positive_int


class Terms(NamedTuple):
    """What an objective says of each datum of a batch, in nats."""

    bound: Array  # (B,) an honest estimate of a lower bound on ln p(x)
    surrogate: Array  # (B,) what is differentiated
    reconstruction: Array  # (B,) E_q ln p(x|z)
    kl: Array  # (B,) KL(q‖p)


class Objective(eqx.Module):
    """A way to train; concrete objectives are final."""

    def __call__(self, model: Model, x: Array, key: PRNGKeyArray, *, q: Distribution | None = None) -> Terms:
        """Evaluate a batch.

        Args:
            model: p(x, z) and the encoder.
            x: data as the model sees them, shape (B, P).
            key: the noise.
            q: q(z|x) of the batch where it does not come from the encoder.
        """
        raise NotImplementedError


class ELBO(Objective):
    r"""The evidence lower bound, :math:`E_{q(z|x)}[\ln p(x|z)] - KL(q(z|x)\|p(z)) \le \ln p(x)`.

    The divergence is exact where a closed form exists, and otherwise shares the draws of the reconstruction. With
    ``beta`` ≠ 1 the surrogate is reconstruction − β KL (Higgins et al. 2017); the bound is the ELBO all the same.

    Args:
        samples: draws of z per datum.
        beta: weight of the divergence in the surrogate.

    Raises:
        ParameterError: ``samples`` is no positive int, or ``beta`` negative.

    Source: Kingma & Welling (2014), Equations 2 and 10.
    """

    samples: int = eqx.field(static=True)
    beta: float = eqx.field(static=True)

    def __init__(self, samples: int = 1, *, beta: float = 1.0):
        self.samples = positive_int("samples", samples, "objective 'elbo'")
        if not 0.0 <= beta < float("inf"):
            raise ParameterError(f"The 'beta' parameter of ELBO must be a float in [0, inf). Got {beta!r} instead.")
        self.beta = float(beta)

    def __call__(self, model: Model, x: Array, key: PRNGKeyArray, *, q: Distribution | None = None) -> Terms:
        """Reconstruction by ``samples`` draws, divergence exact where it can be."""
        q = model.encode(x) if q is None else q
        p = model.prior_distribution()
        z, log_q = reparameterize_with_log_prob(q, draw_noise(q, key, (self.samples,)))  # (S, B, K), (S, B)
        reconstruction = jnp.mean(model.decode(z).log_prob(x), axis=0)
        kl = kl_divergence(q, p) if has_closed_form(q, p) else jnp.mean(log_q - p.log_prob(z), axis=0)
        return Terms(reconstruction - kl, reconstruction - self.beta * kl, reconstruction, kl)


OBJECTIVES: dict[str, type[Objective]] = {"elbo": ELBO}


def kl_per_dimension(q: Distribution, p: Distribution) -> Array | None:
    """KL of each latent's marginal against N(0, 1), nats, shape (B, K); None where q or p is no such Gaussian.

    For a diagonal q these sum to KL(q‖p); for a correlated one what is missing is its total correlation.
    """
    standard = isinstance(p, LocationScale) and p.base == "normal"
    if not standard or not _has_gaussian_marginals(q):
        return None
    marginal = q if isinstance(q, LocationScale) else LocationScale(q.mean, jnp.sqrt(q.variance))
    return kl_diagonal_normal_terms(marginal, p)


def _has_gaussian_marginals(q: Distribution) -> bool:
    return q.base == "normal" if isinstance(q, LocationScale) else hasattr(q, "covariance_matrix")
