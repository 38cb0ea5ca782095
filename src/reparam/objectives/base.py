"""What every objective says of a batch, and the parts that several of them share."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray
from numpyro.distributions import Distribution

from reparam.model import Model
from reparam.probability.distributions.location_scale import LocationScale
from reparam.probability.divergences import kl_diagonal_normal_terms


class Terms(NamedTuple):
    """What an objective says of each datum of a batch, in nats."""

    bound: Array  # (B,) an honest estimate of a lower bound on ln p(x)
    surrogate: Array  # (B,) what is differentiated; its value means nothing
    reconstruction: Array  # (B,) E_q ln p(x|z)
    kl: Array  # (B,) KL(q‖p)


class Objective(eqx.Module):
    """A way to train; concrete objectives are final.

    Every constructor takes ``(..., beta=1.0, estimator="pathwise")``: the weight of the divergence in the surrogate,
    and a name in ``ESTIMATORS``. Raises ParameterError where an argument lies outside its domain, or the estimator
    cannot serve the objective.
    """

    weight_names: ClassVar[tuple[str, ...]] = ("beta",)

    def __call__(
        self,
        model: Model,
        x: Array,
        key: PRNGKeyArray,
        *,
        q: Distribution | None = None,
        weight: Array | None = None,
    ) -> Terms:
        """Evaluate a batch.

        Args:
            model: p(x, z) and the encoder.
            x: data as the model sees them, shape (B, P).
            key: the noise.
            q: q(z|x) of the batch where it does not come from the encoder.
            weight: of each datum, shape (B,), 1 or 0 for padding: it matters where a term is one of the whole batch.
        """
        q = model.encode(x) if q is None else q
        return self.terms(model, x, key, q, jnp.ones(len(x)) if weight is None else weight)

    @abstractmethod
    def terms(self, model: Model, x: Array, key: PRNGKeyArray, q: Distribution, weight: Array) -> Terms:
        """What a call gives, once every argument stands."""

    def at(self, step: Array, steps_per_epoch: int) -> Objective:
        """The objective as it stands at a step of training, counted from 0: only a warm-up changes with it."""
        return self

    def weights(self) -> dict[str, float]:
        """What the surrogate's terms are multiplied by, by name; the bound knows no weight."""
        return {name: float(getattr(self, name)) for name in self.weight_names}


def kl_per_dimension(q: Distribution, p: Distribution) -> Array | None:
    """KL of each latent's marginal against N(0, 1), nats, shape (B, K); None where q or p is no such Gaussian.

    For a diagonal q these sum to KL(q‖p); for a correlated one what is missing is its total correlation.
    """
    standard = isinstance(p, LocationScale) and p.base == "normal"
    if not standard or not _has_gaussian_marginals(q):
        return None
    return kl_diagonal_normal_terms(gaussian_marginals(q), p)


def gaussian_marginals(q: Distribution) -> LocationScale:
    """The marginals of each latent of a Gaussian, or a diagonal q as it is."""
    return q if isinstance(q, LocationScale) else LocationScale(q.mean, jnp.sqrt(q.variance))


def _has_gaussian_marginals(q: Distribution) -> bool:
    return q.base == "normal" if isinstance(q, LocationScale) else hasattr(q, "covariance_matrix")
