r"""Objectives of importance weights, :math:`w_k = p(x, z_k)/q(z_k|x)`, always as logarithms."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp
from jaxtyping import Array, PRNGKeyArray
from numpyro.distributions import Distribution

from reparam.errors import ParameterError, ReparamWarning
from reparam.model import Model
from reparam.objectives.base import Objective, Terms
from reparam.objectives.draws import Draws, detached, evaluate_draws
from reparam.objectives.estimators import ESTIMATORS, Target, arithmetic_mean, check_estimator
from reparam.probability.divergences import has_closed_form, kl_divergence
from reparam.probability.reparameterization import draw_noise
from reparam.specification import positive_int, real_number, requirement


@dataclass(frozen=True)
class Mean:
    """A way to average K weights on the logarithmic scale: the value, (K, B) → (B,), and its second derivatives."""

    value: Callable[[Array], Array]
    curvature: Callable[[Array], Array]


class ImportanceWeighted(Objective):
    """An objective that averages the weights of its draws; concrete ones say how, and how many."""

    beta: eqx.AbstractVar[float]
    estimator: eqx.AbstractVar[str]

    @property
    @abstractmethod
    def draws(self) -> int:
        """How many draws of z per datum, in all."""

    @property
    @abstractmethod
    def mean(self) -> Mean:
        """How the draws' weights are averaged."""

    def terms(self, model: Model, x: Array, key: PRNGKeyArray, q: Distribution, weight: Array) -> Terms:
        """The average of the draws' weights, one target for encoder and decoder."""
        eps = draw_noise(q, key, (self.draws,))
        surrogate, draws = ESTIMATORS[self.estimator](_target(self.mean, self.beta), model, x, eps, q)
        return _terms(self.mean, surrogate, draws, q, model)


class IWAE(ImportanceWeighted):
    r"""The K-sample bound, :math:`E \ln \frac1K \sum_k w_k`, which rises with K to ln p(x); K = 1 is the ELBO.

    Args:
        samples: K.
        beta: power of p(z)/q(z|x) in the surrogate's weights.
        estimator: a name in ``ESTIMATORS``; ``stl`` is biased for K > 1 (Tucker et al. 2018) and warns.

    Source: Burda, Grosse & Salakhutdinov (2016), Equation 8.

    >>> IWAE(50, estimator="dreg").samples
    50
    """

    samples: int = eqx.field(static=True)
    beta: float
    estimator: str = eqx.field(static=True)

    def __init__(self, samples: int = 5, *, beta: float = 1.0, estimator: str = "pathwise"):
        self.samples = positive_int("samples", samples, "objective 'iwae'")
        self.beta = real_number("beta", beta, "objective 'iwae'", least=0.0)
        self.estimator = _checked(estimator, "iwae", samples)

    @property
    def draws(self) -> int:
        """K."""
        return self.samples

    @property
    def mean(self) -> Mean:
        """ln of the weights' mean."""
        return log_mean()


class MIWAE(ImportanceWeighted):
    r"""The mean of M independent K-sample bounds: less noise in the bound, no better bound.

    Args:
        groups: M.
        samples: K, the draws of each group.
        beta: as in IWAE.
        estimator: as in IWAE.

    Source: Rainforth et al. (2018), Section 5.

    >>> MIWAE(8, 8).weights()
    {'beta': 1.0}
    """

    groups: int = eqx.field(static=True)
    samples: int = eqx.field(static=True)
    beta: float
    estimator: str = eqx.field(static=True)

    def __init__(self, groups: int = 5, samples: int = 5, *, beta: float = 1.0, estimator: str = "pathwise"):
        self.groups = positive_int("groups", groups, "objective 'miwae'")
        self.samples = positive_int("samples", samples, "objective 'miwae'")
        self.beta = real_number("beta", beta, "objective 'miwae'", least=0.0)
        self.estimator = _checked(estimator, "miwae", groups * samples, linear=samples == 1)

    @property
    def draws(self) -> int:
        """M K."""
        return self.groups * self.samples

    @property
    def mean(self) -> Mean:
        """The mean over groups of ln of the weights' mean."""
        return grouped(self.groups, log_mean())


class CIWAE(ImportanceWeighted):
    r"""A convex combination, :math:`m\,\mathrm{ELBO} + (1 - m)\,\mathrm{IWAE}_K`, of the same K draws.

    Args:
        mix: m in [0, 1].
        samples: K.
        beta: as in IWAE.
        estimator: as in IWAE.

    Source: Rainforth et al. (2018), Section 5.

    >>> CIWAE(0.5, 50).mix
    0.5
    """

    mix: float = eqx.field(static=True)
    samples: int = eqx.field(static=True)
    beta: float
    estimator: str = eqx.field(static=True)

    def __init__(self, mix: float = 0.5, samples: int = 5, *, beta: float = 1.0, estimator: str = "pathwise"):
        self.mix = real_number("mix", mix, "objective 'ciwae'", least=0.0)
        if self.mix > 1.0:
            raise ParameterError(requirement("mix", "objective 'ciwae'", "a float in [0, 1]", mix))
        self.samples = positive_int("samples", samples, "objective 'ciwae'")
        self.beta = real_number("beta", beta, "objective 'ciwae'", least=0.0)
        self.estimator = _checked(estimator, "ciwae", samples, linear=mix == 1.0)

    @property
    def draws(self) -> int:
        """K."""
        return self.samples

    @property
    def mean(self) -> Mean:
        """The combination, a lower bound as both its parts are."""
        return combined(self.mix, log_mean())


class PIWAE(Objective):
    r"""Two targets for one set of M K draws: the decoder maximises IWAE of all, the encoder MIWAE of M groups of K.

    The decoder gains from a tight bound; the encoder's gradient drowns in noise as the bound tightens. The bound
    that is reported is the decoder's.

    Args:
        groups: M.
        samples: K, the draws of each group.
        beta: as in IWAE.
        estimator: as in IWAE, for the encoder.

    Source: Rainforth et al. (2018), Section 5.

    >>> PIWAE(8, 8).groups
    8
    """

    groups: int = eqx.field(static=True)
    samples: int = eqx.field(static=True)
    beta: float
    estimator: str = eqx.field(static=True)

    def __init__(self, groups: int = 5, samples: int = 5, *, beta: float = 1.0, estimator: str = "pathwise"):
        self.groups = positive_int("groups", groups, "objective 'piwae'")
        self.samples = positive_int("samples", samples, "objective 'piwae'")
        self.beta = real_number("beta", beta, "objective 'piwae'", least=0.0)
        self.estimator = _checked(estimator, "piwae", groups * samples, linear=samples == 1)

    def terms(self, model: Model, x: Array, key: PRNGKeyArray, q: Distribution, weight: Array) -> Terms:
        """The decoder's gradient at fixed q and z, the encoder's at a fixed model."""
        eps = draw_noise(q, key, (self.groups * self.samples,))
        draws = evaluate_draws(model, x, eps, detached(q))
        target = _target(grouped(self.groups, log_mean()), self.beta)
        encoder, _ = ESTIMATORS[self.estimator](target, detached(model), x, eps, q)
        decoder = log_mean().value(target.log_weights(draws))
        return _terms(log_mean(), decoder + encoder, draws, q, model)


class Renyi(ImportanceWeighted):
    r"""The variational Rényi bound, :math:`\frac{1}{1-\alpha} \ln \frac1K \sum_k w_k^{1-\alpha}`.

    α → 1 is the ELBO and α = 0 the K-sample bound; between them, and above 1, it is looser than IWAE with the same
    draws. Below 0 it can exceed ln p(x) and is refused.

    Args:
        alpha: α ≥ 0.
        samples: K.
        beta: as in IWAE.
        estimator: as in IWAE.

    Source: Li & Turner (2016), Section 4.

    >>> Renyi(0.5, 50).alpha
    0.5
    """

    alpha: float = eqx.field(static=True)
    samples: int = eqx.field(static=True)
    beta: float
    estimator: str = eqx.field(static=True)

    def __init__(self, alpha: float = 0.5, samples: int = 5, *, beta: float = 1.0, estimator: str = "pathwise"):
        self.alpha = real_number("alpha", alpha, "objective 'renyi'", least=0.0)
        self.samples = positive_int("samples", samples, "objective 'renyi'")
        self.beta = real_number("beta", beta, "objective 'renyi'", least=0.0)
        self.estimator = _checked(estimator, "renyi", samples, linear=alpha == 1.0)

    @property
    def draws(self) -> int:
        """K."""
        return self.samples

    @property
    def mean(self) -> Mean:
        """ln of the weights' power mean."""
        return power_mean(1.0 - self.alpha)


def log_mean() -> Mean:
    r""":math:`\ln \frac1K \sum_k e^{\ell_k}`; its slope is the normalised weight."""
    return Mean(lambda log_w: logsumexp(log_w, axis=0) - jnp.log(log_w.shape[0]), _softmax_variance)


def power_mean(power: float) -> Mean:
    r""":math:`\frac1r \ln \frac1K \sum_k e^{r \ell_k}`, accurate as r → 0, where it is the mean of ℓ."""
    if power == 0.0:
        return Mean(lambda log_w: jnp.mean(log_w, axis=0), jnp.zeros_like)

    def value(log_w: Array) -> Array:
        largest = jax.lax.stop_gradient(jnp.max(power * log_w, axis=0) / power)
        excess = jnp.mean(jnp.expm1(power * (log_w - largest)), axis=0)
        return largest + jnp.log1p(excess) / power

    return Mean(value, lambda log_w: power * _softmax_variance(power * log_w))


def grouped(groups: int, mean: Mean) -> Mean:
    """The average of ``mean`` over groups of equal size."""

    def split(log_w: Array) -> Array:
        return jnp.moveaxis(log_w.reshape(groups, -1, *log_w.shape[1:]), 1, 0)  # (K, M, B)

    def curvature(log_w: Array) -> Array:
        return jnp.moveaxis(mean.curvature(split(log_w)), 0, 1).reshape(log_w.shape) / groups

    return Mean(lambda log_w: jnp.mean(mean.value(split(log_w)), axis=0), curvature)


def combined(mix: float, mean: Mean) -> Mean:
    """``mix`` times the mean of ℓ, and the rest of ``mean``."""
    return Mean(
        lambda log_w: mix * jnp.mean(log_w, axis=0) + (1.0 - mix) * mean.value(log_w),
        lambda log_w: (1.0 - mix) * mean.curvature(log_w),
    )


def _softmax_variance(log_w: Array) -> Array:
    share = jax.nn.softmax(log_w, axis=0)
    return share * (1.0 - share)


def _target(mean: Mean, beta: float) -> Target:
    return Target(
        lambda draws: draws.log_likelihood + beta * (draws.log_prior - draws.log_q),
        mean.value,
        lambda log_w: beta * mean.curvature(log_w),
        arithmetic_mean,
    )


def _terms(mean: Mean, surrogate: Array, draws: Draws, q: Distribution, model: Model) -> Terms:
    """The bound has weights of 1, whatever the surrogate's are."""
    p = model.prior_distribution()
    log_ratio = draws.log_prior - draws.log_q
    kl = kl_divergence(q, p) if has_closed_form(q, p) else jnp.mean(-log_ratio, axis=0)
    bound = mean.value(draws.log_likelihood + log_ratio)
    return Terms(bound, surrogate, jnp.mean(draws.log_likelihood, axis=0), kl)


def _checked(estimator: str, name: str, draws: int, *, linear: bool = False) -> str:
    """The estimator, if these draws suffice it; ``linear`` says that the bound is the ELBO."""
    alone = {"vimco": "its baseline is made of the other draws, and there is only 1; use 'score_function'"}
    checked = check_estimator(estimator, f"objective {name!r} of {draws} draws", alone if draws == 1 else {})
    if checked == "stl" and draws > 1 and not linear:
        warnings.warn(
            f"estimator 'stl' is biased for objective {name!r} of more than one draw (Tucker et al. 2018): "
            "choose 'dreg', which is not.",
            ReparamWarning,
            stacklevel=3,
        )
    return checked
