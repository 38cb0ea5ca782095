"""What every objective says of a batch, and the parts that several of them share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple, TypedDict

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray
from numpyro.distributions import Distribution

from reparam.batch import Batch
from reparam.errors import DataError
from reparam.model import Model
from reparam.objectives.draws import Draws
from reparam.probability.distributions.chain import Chain
from reparam.probability.distributions.location_scale import LocationScale
from reparam.probability.divergences import has_closed_form, kl_diagonal_normal_terms, kl_divergence
from reparam.specification import real_number


class Terms(NamedTuple):
    """What an objective says of each datum of a batch, in nats."""

    bound: Array  # (B,) an honest estimate of a lower bound on ln p(x)
    surrogate: Array  # (B,) what is differentiated; its value means nothing
    reconstruction: Array  # (B,) E_q ln p(x|z)
    kl: Array  # (B,) KL(q‖p)
    kl_per_dimension: Array | None = None  # (B, K) each latent's part of it, where it has such parts


class Objective(eqx.Module):
    """A way to train; concrete objectives are final.

    Every constructor takes ``(..., beta=1.0, estimator="pathwise")``: the coefficient of the divergence in the
    surrogate, and a name in ``ESTIMATORS``. Raises ParameterError where an argument lies outside its domain, or the
    estimator cannot serve the objective. Coefficients are arrays: with another value nothing is compiled anew.
    """

    cold_coefficients: ClassVar[Mapping[str, float]] = {"beta": 0.0}
    """What the surrogate's terms are multiplied by, and where a warm-up of it starts."""

    def __call__(
        self,
        model: Model,
        x: Array | Batch,
        key: PRNGKeyArray,
        *,
        q: Distribution | None = None,
    ) -> Terms:
        """Evaluate a batch.

        Args:
            model: p(x, z) and the encoder.
            x: data as the model sees them, shape (B, P), or a batch of them. Missing cells are out of the bound; the
                weight of padding matters where a term is one of the whole batch.
            key: the noise.
            q: q(z|x) of the batch where it does not come from the encoder.

        Raises:
            DataError: there is no datum, or x has another shape.
        """
        batch = Batch.of(x)
        if batch.x.ndim != 2 or not len(batch):
            shape = batch.x.shape
            raise DataError(f"An objective takes one datum or more, x of shape (B, P) with B ≥ 1. Got shape {shape}.")
        terms = self.terms(model, batch, key, model.encode(batch) if q is None else q)
        return terms._replace(surrogate=terms.surrogate.astype(terms.bound.dtype))  # coefficients have no say in it

    @abstractmethod
    def terms(self, model: Model, batch: Batch, key: PRNGKeyArray, q: Distribution) -> Terms:
        """What a call gives, once every argument stands."""

    def at(self, step: int | Array, steps_per_epoch: int | Array) -> Objective:
        """The objective as it stands at a step of training, counted from 0: only a warm-up changes with it."""
        return self

    @property
    def is_bound(self) -> bool:
        """Whether what is maximised is the bound itself, so that the bound can tell when to stop."""
        return all(coefficient == 1.0 for coefficient in self.coefficients().values())

    def coefficients(self) -> dict[str, float]:
        """What the surrogate's terms are multiplied by, by name; in the bound all of it is 1."""
        return {name: _shortest(getattr(self, name)) for name in self.cold_coefficients}

    def __repr__(self) -> str:
        return eqx.tree_pformat(jax.tree.map(_shortest, self), width=10_000)  # in one line


class Common(TypedDict, total=False):
    """What the constructors of objectives share."""

    beta: float
    estimator: str


def nonnegative(name: str, value: float, objective: str) -> Array:
    """A number of an objective as an array, in the precision of whatever it will multiply.

    Raises:
        ParameterError: it is none, or negative.
    """
    return jnp.asarray(real_number(name, value, f"objective {objective!r}", least=0.0))


def divergence(q: Distribution, p: Distribution, draws: Draws) -> tuple[Array, Array | None]:
    """KL(q‖p) of each datum, (B,), and each latent's part, (B, K): in closed form where one is known, else by draws."""
    if draws.kl is not None:
        parts = jnp.mean(draws.kl, axis=0)
        return jnp.sum(parts, axis=-1), parts
    known = has_closed_form(q, p)
    kl = kl_divergence(q, p) if known else jnp.mean(draws.log_q - draws.log_prior, axis=0)
    return kl, kl_per_dimension(q, p)


def kl_per_dimension(q: Distribution, p: Distribution) -> Array | None:
    """KL of each latent's marginal against N(0, 1), nats, shape (B, K); None where q or p is no such Gaussian.

    For a diagonal q these sum to KL(q‖p); for a correlated one what is missing is its total correlation.
    """
    standard = isinstance(p, LocationScale) and p.base == "normal"
    gaussian = q.base == "normal" if isinstance(q, LocationScale) else hasattr(q, "covariance_matrix")
    if not (standard and gaussian):
        return None
    return kl_diagonal_normal_terms(gaussian_marginals(q), p)


def has_analytic_form(q: Distribution, p: Distribution, estimator: str) -> bool:
    """Whether a gradient of KL(q‖p) needs no ln q(z): a closed form, or one within layers whose draws are pathwise."""
    layered = isinstance(q, Chain) and isinstance(p, Chain)
    return estimator == "pathwise" if layered else has_closed_form(q, p)


def gaussian_marginals(q: Distribution) -> LocationScale:
    """The marginals of each latent of a Gaussian, or a diagonal q as it is."""
    return q if isinstance(q, LocationScale) else LocationScale(q.mean, jnp.sqrt(q.variance))


def _shortest(number: Array) -> Any:
    """The number with no more digits than its precision needs, 0.1 and not 0.10000000149; a tracer as it is."""
    return number if isinstance(number, jax.core.Tracer) else float(str(np.asarray(number)))
