r"""Objectives of importance weights, :math:`w_k = p(x, z_k)/q(z_k|x)`, always as logarithms :math:`\ell_k`.

They are one objective: M groups of K draws, each group averaged, and the mean of the groups; five names say how.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import partial
from typing import Unpack

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray
from numpyro.distributions import Distribution

from reparam.batch import Batch
from reparam.errors import ParameterError, ReparamWarning
from reparam.model import Model
from reparam.objectives.base import Common, Objective, Terms, divergence, nonnegative
from reparam.objectives.draws import Draws, detached, evaluate_draws
from reparam.objectives.estimators import ESTIMATORS, Target, arithmetic_mean, check_estimator
from reparam.specification import positive_int, real_number, requirement


@dataclass(frozen=True)
class Average:
    r"""A way to average weights on the logarithmic scale.

    .. math:: A(\ell) = \frac1M \sum_{g=1}^M \Bigl[m \frac1K \sum_k \ell_{gk} +
        (1 - m) \frac1r \ln \frac1K \sum_k e^{r \ell_{gk}}\Bigr]

    Args:
        groups: M, of draws that follow each other.
        mix: m, the share of the mean of ℓ.
        power: r ≤ 1; at 0 the power mean is the mean of ℓ.
    """

    groups: int = 1
    mix: float = 0.0
    power: float = 1.0

    def value(self, log_w: Array) -> Array:
        """A, from (M K, B) to (B,)."""
        grouped = self._grouped(log_w)
        each = power_mean(grouped, self.power)
        if self.mix:  # a share of 0 of what may be infinite is no number
            each = self.mix * jnp.mean(grouped, axis=1) + (1.0 - self.mix) * each
        return jnp.mean(each, axis=0)

    def curvature(self, log_w: Array) -> Array:
        """∂²A/∂ℓₖ² of each draw, shape (M K, B)."""
        share = jax.nn.softmax(self.power * self._grouped(log_w), axis=1)
        return ((1.0 - self.mix) * self.power / self.groups * share * (1.0 - share)).reshape(log_w.shape)

    def _grouped(self, log_w: Array) -> Array:
        return log_w.reshape(self.groups, -1, *log_w.shape[1:])  # (M, K, B)


class ImportanceWeighted(Objective):
    """The average of the weights of all draws; the bound that is reported is the decoder's.

    Args:
        name: of the objective, for error texts.
        samples: K, the draws of each group.
        average: what is maximised.
        decoders: what the decoder maximises instead, with the same draws: two targets.
        beta: power of p(z)/q(z|x) in the surrogate's weights.
        estimator: a name in ``ESTIMATORS``; ``stl`` is biased unless the average is the ELBO, and warns.
    """

    name: str = eqx.field(static=True)
    draws: int = eqx.field(static=True)
    encoders: Average = eqx.field(static=True)
    decoders: Average = eqx.field(static=True)
    beta: Array
    estimator: str = eqx.field(static=True)

    def __init__(
        self,
        name: str,
        samples: int,
        average: Average,
        decoders: Average | None = None,
        *,
        beta: float = 1.0,
        estimator: str = "pathwise",
    ):
        self.name, self.draws = name, average.groups * positive_int("samples", samples, f"objective {name!r}")
        self.encoders, self.decoders = average, average if decoders is None else decoders
        self.beta = nonnegative("beta", beta, name)
        self.estimator = self._suitable(estimator, linear=samples == 1 or average.mix == 1.0 or average.power == 0.0)

    def terms(self, model: Model, batch: Batch, key: PRNGKeyArray, q: Distribution) -> Terms:
        """One target for encoder and decoder, or the decoder's at fixed q and z and the encoder's at a fixed model."""
        evaluate = partial(evaluate_draws, batch=batch, key=key, count=self.draws)
        estimate, target = ESTIMATORS[self.estimator], self._target()
        if self.encoders == self.decoders:
            surrogate, draws = estimate(target, evaluate, model, q)
        else:
            encoder, _ = estimate(target, evaluate, detached(model), q)
            draws = evaluate(model, detached(q))
            surrogate = encoder + self.decoders.value(target.log_weights(draws))
        p = model.prior_distribution(batch)
        bound = self.decoders.value(draws.log_likelihood + draws.log_prior - draws.log_q)  # of power 1, whatever β is
        return Terms(bound, surrogate, jnp.mean(draws.log_likelihood, axis=0), *divergence(q, p, draws))

    def _target(self) -> Target:
        def log_weights(draws: Draws) -> Array:
            return draws.log_likelihood + self.beta * (draws.log_prior - draws.log_q)

        def curvature(log_w: Array) -> Array:
            return self.beta * self.encoders.curvature(log_w)

        return Target(log_weights, self.encoders.value, curvature, arithmetic_mean)

    def _suitable(self, estimator: str, *, linear: bool) -> str:
        """The estimator, if the draws suffice it; ``linear`` says that the average is the ELBO."""
        alone = {"vimco": "its baseline is made of the other draws, and there is only 1; use 'score_function'"}
        owner = f"objective {self.name!r} of {self.draws} draws"
        checked = check_estimator(estimator, owner, alone if self.draws == 1 else {})
        if checked == "stl" and not linear:
            warnings.warn(
                f"estimator 'stl' is biased for objective {self.name!r} of more than one draw (Tucker et al. 2018): "
                "choose 'dreg', which is not.",
                ReparamWarning,
                stacklevel=3,
            )
        return checked


def IWAE(samples: int = 5, **common: Unpack[Common]) -> ImportanceWeighted:  # noqa: N802
    r"""The K-sample bound, :math:`E \ln \frac1K \sum_k w_k`, which rises with K to ln p(x); K = 1 is the ELBO.

    Source: Burda, Grosse & Salakhutdinov (2016), Equation 8; Tucker et al. (2018) on ``stl``.

    >>> IWAE(50, estimator="dreg").draws
    50
    """
    return ImportanceWeighted("iwae", samples, Average(), **common)


def MIWAE(groups: int = 5, samples: int = 5, **common: Unpack[Common]) -> ImportanceWeighted:  # noqa: N802
    """The mean of M independent K-sample bounds: less noise in the bound, no better bound.

    Source: Rainforth et al. (2018), Section 5.

    >>> MIWAE(8, 5).draws
    40
    """
    return ImportanceWeighted("miwae", samples, Average(positive_int("groups", groups, "objective 'miwae'")), **common)


def CIWAE(mix: float = 0.5, samples: int = 5, **common: Unpack[Common]) -> ImportanceWeighted:  # noqa: N802
    r"""A convex combination, :math:`m\,\mathrm{ELBO} + (1 - m)\,\mathrm{IWAE}_K`, of the same K draws.

    Source: Rainforth et al. (2018), Section 5.

    >>> CIWAE(0.2, 50).coefficients()
    {'beta': 1.0}
    """
    if real_number("mix", mix, "objective 'ciwae'", least=0.0) > 1.0:
        raise ParameterError(requirement("mix", "objective 'ciwae'", "a float in [0, 1]", mix))
    return ImportanceWeighted("ciwae", samples, Average(mix=float(mix)), **common)


def PIWAE(groups: int = 5, samples: int = 5, **common: Unpack[Common]) -> ImportanceWeighted:  # noqa: N802
    """Two targets for one set of M K draws: the decoder maximises IWAE of all, the encoder MIWAE of M groups of K.

    The decoder gains from a tight bound; the encoder's gradient drowns in noise as the bound tightens. The estimator is
    the encoder's. Source: Rainforth et al. (2018), Section 5.

    >>> PIWAE(8, 5).draws
    40
    """
    encoders = Average(positive_int("groups", groups, "objective 'piwae'"))
    return ImportanceWeighted("piwae", samples, encoders, Average(), **common)


def Renyi(alpha: float = 0.5, samples: int = 5, **common: Unpack[Common]) -> ImportanceWeighted:  # noqa: N802
    r"""The variational Rényi bound, :math:`\frac{1}{1-\alpha} \ln \frac1K \sum_k w_k^{1-\alpha}`.

    α → 1 is the ELBO and α = 0 the K-sample bound; between them, and above 1, it is looser than IWAE with the same
    draws. Below 0 it can exceed ln p(x) and is refused. Source: Li & Turner (2016), Section 4.

    >>> Renyi(0.5, 50, beta=2.0).coefficients()
    {'beta': 2.0}
    """
    order = real_number("alpha", alpha, "objective 'renyi'", least=0.0)
    return ImportanceWeighted("renyi", samples, Average(power=1.0 - order), **common)


def power_mean(log_w: Array, power: float) -> Array:
    r""":math:`\frac1r \ln \frac1K \sum_k e^{r \ell_k}` over axis 1, (M, K, B) → (M, B); the mean of ℓ as r → 0.

    Where the weights are near each other it is a small difference, and formed as one; where one dominates, that
    difference would be 1 but for 1/K, and the sum itself keeps the digits.
    """
    if power == 0.0:
        return jnp.mean(log_w, axis=1)
    largest = jax.lax.stop_gradient(jnp.max(power * log_w, axis=1, keepdims=True) / power)
    largest = jnp.where(jnp.isfinite(largest), largest, 0.0)
    excess = power * (log_w - largest)
    below = jnp.mean(jnp.expm1(excess), axis=1)
    near = below > -0.5
    log_mean = jnp.where(near, jnp.log1p(jnp.where(near, below, 0.0)), jnp.log(jnp.mean(jnp.exp(excess), axis=1)))
    return largest[:, 0] + log_mean / power
