r"""Gradient estimators: the same objective, another surrogate.

An objective of K draws is a function A of their log weights :math:`\ell_k(z_k; \theta, \phi)`, and what training needs
is the gradient of :math:`E_{z_1 \dots z_K \sim q_\phi} A(\ell_1, \dots, \ell_K)`. With :math:`a_k = \partial A /
\partial \ell_k` and :math:`A_{kk} = \partial^2 A / \partial \ell_k^2`, the encoder's part is in expectation each of

==================  =====================================================================================
``pathwise``        :math:`\sum_k a_k \, d\ell_k/d\phi` through z = g(φ, ε)
``stl``             the same without :math:`\partial \ln q_\phi(z)/\partial\phi` at fixed z; exact where A is linear
``dreg``            :math:`\sum_k (a_k - A_{kk})\, \partial \ell_k/\partial z_k \, \partial z_k/\partial\phi`
``score_function``  :math:`\sum_k (A - b_k)\, \partial \ln q_\phi(z_k)/\partial\phi + \sum_k a_k\, \partial
                    \ell_k/\partial\phi` at fixed z, with a baseline :math:`b_k` made of the other draws
``vimco``           the same with another baseline
==================  =====================================================================================

and the decoder's is :math:`\sum_k a_k\, \partial\ell_k/\partial\theta` in all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp
from jaxtyping import Array
from numpyro.distributions import Distribution

from reparam.errors import ParameterError, UnknownNameError
from reparam.objectives.draws import Draws, detached
from reparam.specification import underscored


@dataclass(frozen=True)
class Target:
    """What is maximised, as a function of K draws.

    Attributes:
        log_weights: the draws' ℓ, shape (K, B).
        combine: A, from (K, B) to (B,).
        curvature: :math:`A_{kk}` times the coefficient of ln q in ℓ, from (K, B) to (K, B).
        mean_of_others: of a draw, the ℓ that stands for it in its baseline: from the others' ℓ (K, B) and which they
            are (K, 1), to (B,).
    """

    log_weights: Callable[[Draws], Array]
    combine: Callable[[Array], Array]
    curvature: Callable[[Array], Array]
    mean_of_others: Callable[[Array, Array], Array]


Evaluate = Callable[..., Draws]  # of (model, sampler, density = sampler): evaluate_draws with the rest settled
Estimator = Callable[[Target, Evaluate, Any, Distribution], tuple[Array, Draws]]


def mean_of_draws(log_weights: Callable[[Draws], Array]) -> Target:
    """The target whose A is the plain mean."""
    return Target(log_weights, partial(jnp.mean, axis=0), jnp.zeros_like, geometric_mean)


def pathwise(target: Target, evaluate: Evaluate, model: Any, q: Distribution) -> tuple[Array, Draws]:
    """The reparameterisation trick (Kingma & Welling 2014; Rezende, Mohamed & Wierstra 2014)."""
    draws = evaluate(model, q)
    return target.combine(target.log_weights(draws)), draws


def sticking_the_landing(target: Target, evaluate: Evaluate, model: Any, q: Distribution) -> tuple[Array, Draws]:
    """Pathwise with the parameters of ln q held constant: no noise where q is the posterior (Roeder et al. 2017)."""
    draws = evaluate(model, q, detached(q))
    return target.combine(target.log_weights(draws)), draws


def doubly_reparameterised(target: Target, evaluate: Evaluate, model: Any, q: Distribution) -> tuple[Array, Draws]:
    """Reparameterise the score once more (Tucker et al. 2018, for any A instead of the IWAE's)."""
    draws = evaluate(model, detached(q))
    path = evaluate(detached(model), q, detached(q))
    log_weights = target.log_weights(draws)
    slope = jax.grad(lambda log_weights: jnp.sum(target.combine(log_weights)))(log_weights)
    share = jax.lax.stop_gradient(slope - target.curvature(log_weights))
    return target.combine(log_weights) + jnp.sum(share * target.log_weights(path), axis=0), draws


def score_function(target: Target, evaluate: Evaluate, model: Any, q: Distribution) -> tuple[Array, Draws]:
    """REINFORCE (Williams 1992), for K > 1 with the mean of the other draws as each draw's baseline."""
    draws = evaluate(model, detached(q), q)
    log_weights = target.log_weights(draws)
    value = target.combine(log_weights)
    signal = jax.lax.stop_gradient(value - _baselines(target, jax.lax.stop_gradient(log_weights)))
    return value + jnp.sum(signal * draws.log_q, axis=0), draws


def vimco(target: Target, evaluate: Evaluate, model: Any, q: Distribution) -> tuple[Array, Draws]:
    """The same with the geometric mean of the other draws' weights (Mnih & Rezende 2016)."""
    return score_function(replace(target, mean_of_others=geometric_mean), evaluate, model, q)


ESTIMATORS: dict[str, Estimator] = {
    "pathwise": pathwise,
    "stl": sticking_the_landing,
    "dreg": doubly_reparameterised,
    "score_function": score_function,
    "vimco": vimco,
}


def check_estimator(name: object, owner: str, refused: Mapping[str, str]) -> str:
    """The name itself, if there is such an estimator and ``refused`` gives no reason against it.

    Raises:
        UnknownNameError: there is none.
        ParameterError: the reason.
    """
    known = underscored(str(name))
    if known not in ESTIMATORS:
        raise UnknownNameError("estimator", name, ESTIMATORS)
    if known in refused:
        raise ParameterError(f"estimator {known!r} cannot serve {owner}: {refused[known]}.")
    return known


def geometric_mean(log_weights: Array, others: Array) -> Array:
    """The mean of the others' ℓ: from (K, B) and (K, 1) to (B,)."""
    return jnp.mean(log_weights, axis=0, where=others)


def arithmetic_mean(log_weights: Array, others: Array) -> Array:
    """The logarithm of the mean of the others' weights: from (K, B) and (K, 1) to (B,)."""
    return logsumexp(log_weights, axis=0, where=others) - jnp.log(jnp.sum(others))


def _baselines(target: Target, log_weights: Array) -> Array:
    """A with each draw's ℓ replaced by a mean of the others, shape (K, B); 0 for a single draw."""
    count = log_weights.shape[0]
    if count == 1:
        return jnp.zeros_like(log_weights)

    def baseline(k: Array) -> Array:
        others = (jnp.arange(count) != k)[:, None]
        return target.combine(jnp.where(others, log_weights, target.mean_of_others(log_weights, others)))

    baselines: Array = jax.lax.map(baseline, jnp.arange(count))
    return baselines
