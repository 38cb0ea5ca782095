r"""How good a gradient is: its mean, its variance and its signal-to-noise ratio, by estimator and number of draws."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray
from numpy.typing import NDArray
from numpyro.distributions import Distribution

from reparam.errors import ParameterError
from reparam.inference import NoEncoder
from reparam.model import Model
from reparam.objectives import Objective, build_objective
from reparam.objectives.draws import Draws, draw_with_log_prob
from reparam.objectives.estimators import ESTIMATORS, check_estimator, mean_of_draws
from reparam.probability.reparameterization import draw_noise
from reparam.specification import lookup, positive_int, requirement, underscored

Params = TypeVar("Params")

NOT_OF_A_FUNCTION = dict.fromkeys(
    ("stl", "dreg", "vimco"), "f(z) has no ln q(z) in it, as their targets have; choose 'pathwise' or 'score_function'"
)


def estimate_gradient(  # noqa: PLR0917 - the order in which the mathematics is said
    f: Callable[[Array], Array],
    make_distribution: Callable[[Params], Distribution],
    params: Params,
    key: PRNGKeyArray,
    estimator: str = "pathwise",
    num_samples: int = 1,
) -> Params:
    r"""An unbiased estimate of :math:`\nabla_\phi E_{q(z; \phi)} f(z)`; ``vmap`` over keys gives its distribution.

    ``pathwise``: :math:`\frac1S \sum_s \nabla_\phi f(g(\phi, \epsilon_s))`. ``score_function``:
    :math:`\frac1S \sum_s (f(z_s) - b_s) \nabla_\phi \ln q(z_s; \phi)`, where :math:`b_s` is the mean of f over the
    other draws, and 0 for a single one.

    Noise whose law has parameters of its own, as Student's t has, is differentiated by ``pathwise`` implicitly
    (Figurnov et al. 2018).

    Args:
        f: of one draw, in the shape of the distribution (batch and event), a number; differentiable for ``pathwise``.
        make_distribution: φ → q(z; φ), one that :func:`reparameterize` knows.
        params: φ, an array or a PyTree of arrays.
        key: the draws.
        estimator: ``pathwise`` or ``score_function``.
        num_samples: S.

    Returns:
        The estimate, in the structure and shapes of ``params``.

    Raises:
        ParameterError: ``num_samples`` is no positive int, f gives more than one number, or the estimator is not one of
            a function of z alone.

    Source: Kingma & Welling (2014), Section 2.4; Williams (1992); Mohamed et al. (2020) compare the two.

    >>> import numpyro.distributions as dist
    >>> normal = lambda mean: dist.Normal(mean, 1.0)
    >>> gradient = lambda key: estimate_gradient(jnp.square, normal, jnp.array(3.0), key, num_samples=100)
    >>> abs(jnp.mean(jax.vmap(gradient)(jax.random.split(jax.random.key(0), 100))).item() - 6.0) < 0.1
    True
    """
    chosen = ESTIMATORS[check_estimator(estimator, "estimate_gradient", NOT_OF_A_FUNCTION)]
    count = positive_int("num_samples", num_samples, "estimate_gradient")

    def evaluate(_: None, sampler: Distribution, density: Distribution | None = None) -> Draws:
        z, log_q = draw_with_log_prob(sampler, draw_noise(sampler, key, (count,)), density)
        values = jax.vmap(f)(z)
        if jnp.shape(values) != (count,):
            raise ParameterError(
                "estimate_gradient needs an f that gives one number for a draw of z, of shape (). "
                f"Got shape {jnp.shape(values)[1:]} for z of shape {z.shape[1:]}: sum it, or take one entry."
            )
        column = jnp.reshape(values, (count, 1))
        return Draws(column, jnp.zeros_like(column), jnp.sum(log_q.reshape(count, -1), axis=1, keepdims=True))

    target = mean_of_draws(lambda draws: draws.log_likelihood)  # f stands where an objective has ln p(x|z)
    gradient: Params = jax.grad(lambda params: chosen(target, evaluate, None, make_distribution(params))[0][0])(params)
    return gradient


@dataclass(frozen=True)
class PartGradient:
    r"""The gradient g of one part of a model, its entries taken together.

    Attributes:
        norm: :math:`\|E g\|`, with the noise's own share taken out of the estimate.
        variance: :math:`\mathrm{tr}\,\mathrm{Cov}\,g`.
        standard_error: that of ``variance``.
        signal_to_noise: :math:`\|E g\| / \sqrt{\mathrm{tr}\,\mathrm{Cov}\,g}`; None where nothing varies.
    """

    norm: float
    variance: float
    standard_error: float
    signal_to_noise: float | None


@dataclass(frozen=True)
class GradientQuality:
    """What was measured of one estimator: ``repeats`` gradients of the mean surrogate of the same ``rows`` data."""

    objective: str
    estimator: str
    samples: int
    rows: int
    repeats: int
    encoder: PartGradient
    decoder: PartGradient

    def to_json(self) -> dict[str, Any]:
        """The fields as plain values."""
        return asdict(self)


def compare_gradients(
    model: Model,
    x: Array,
    key: PRNGKeyArray,
    *,
    objective: str = "iwae",
    estimators: Sequence[str] | None = None,
    samples: Sequence[int] = (1, 5, 25),
    repeats: int = 100,
    report: Callable[[str], None] | None = None,
) -> tuple[GradientQuality, ...]:
    """Measure estimators of one objective's gradient, each with every number of draws.

    Args:
        model: trained or fresh.
        x: data as the model sees them, shape (B, P).
        key: the noise.
        objective: ``iwae``, or ``elbo`` as a mean over draws.
        estimators: names in ``ESTIMATORS``; by default those that are unbiased for the objective. ``vimco``, which
            needs two draws, is left out where there is one.
        samples: numbers of draws.
        repeats: gradients per estimator and number of draws, an even number.
        report: called with a line before each measurement.

    Raises:
        ParameterError: the model has no encoder, a name is unknown, an estimator cannot serve the objective, or nothing
            is left to measure.
    """
    if isinstance(model.encoder, NoEncoder):
        raise ParameterError(
            "What is measured are gradients of an encoder and a decoder, but this model has no encoder: with "
            "inference='mean_field' every datum has a q(z) of its own. Train with inference='amortized'."
        )
    defaults, _ = lookup("objective", COMPARED, objective)
    chosen = defaults if estimators is None else tuple(underscored(name) for name in estimators)
    asked = [(name, count) for name in chosen for count in samples if (name, count) != ("vimco", 1)]
    if not asked:
        raise ParameterError("nothing is left to measure: of one draw vimco has no gradient. Ask for two or more.")
    for name, count in asked:  # all of them, before the first is measured
        _objective(objective, name, count, repeats)
    measured = []
    for name, count in asked:
        if report is not None:
            report(f"{name}, K = {count}: {repeats} gradients")
        how: Any = {"objective": objective, "estimator": name, "samples": count, "repeats": repeats}
        measured.append(measure_gradient(model, x, key, **how))
    return tuple(measured)


def measure_gradient(
    model: Model, x: Array, key: PRNGKeyArray, *, objective: str, estimator: str, samples: int, repeats: int = 100
) -> GradientQuality:
    r"""Mean, variance and signal-to-noise ratio of one estimator, encoder and decoder apart.

    The variance comes from pairs of independent gradients, :math:`E\tfrac12\|g - g'\|^2`, so that its standard
    error needs no assumption and memory does not grow with the repeats.
    """
    built = _objective(objective, estimator, samples, repeats)
    keys = jax.random.split(key, (repeats // 2, 2))
    squared_norms, half_squares = (np.asarray(found, np.float64) for found in _gradient_pairs(model, x, keys, built))
    encoder, decoder = map(_part, squared_norms.tolist(), half_squares.T)
    return GradientQuality(objective, estimator, samples, len(x), repeats, encoder, decoder)


def _objective(objective: str, estimator: str, samples: int, repeats: int) -> Objective:
    """What is differentiated, with one number of draws.

    Raises:
        ParameterError: it cannot be, or not so often.
    """
    if positive_int("repeats", repeats, "measure_gradient") < 4 or repeats % 2:
        raise ParameterError(requirement("repeats", "measure_gradient", "an even int in [4, inf)", repeats))
    count = positive_int("samples", samples, "measure_gradient")
    return build_objective(f"{objective}:{count}", estimator=estimator)


COMPARED: dict[str, tuple[str, ...]] = {
    "iwae": ("pathwise", "dreg", "score_function", "vimco"),
    "elbo": ("pathwise", "stl", "score_function"),
}


@eqx.filter_jit
def _gradient_pairs(model: Model, x: Array, keys: PRNGKeyArray, objective: Objective) -> tuple[Array, Array]:
    """‖ḡ‖² of each part, (2,), and ½‖g − g'‖² of each pair and part, (pairs, 2)."""
    trained, fixed = eqx.partition(model, eqx.is_inexact_array)

    def gradient(key: PRNGKeyArray) -> Any:
        return jax.grad(lambda trained: jnp.mean(objective(eqx.combine(trained, fixed), x, key).surrogate))(trained)

    def pair(total: Any, keys: PRNGKeyArray) -> tuple[Any, Array]:
        both = jax.lax.map(gradient, keys)
        difference = jax.tree.map(lambda leaf: leaf[0] - leaf[1], both)
        return jax.tree.map(lambda a, b: a + b[0] + b[1], total, both), 0.5 * _squared_norms(difference)

    total, half_squares = jax.lax.scan(pair, jax.tree.map(jnp.zeros_like, trained), keys)
    return _squared_norms(jax.tree.map(lambda leaf: leaf / (2 * len(keys)), total)), half_squares


def _squared_norms(gradient: Any) -> Array:
    """Of the encoder's part and of the decoder's, (2,)."""
    parts = (gradient.encoder, gradient.posterior), (gradient.decoder, gradient.likelihood, gradient.prior)
    return jnp.stack([sum((jnp.sum(leaf**2) for leaf in jax.tree.leaves(part)), jnp.zeros(())) for part in parts])


def _part(squared_norm: float, half_squares: NDArray[np.float64]) -> PartGradient:
    variance = float(np.mean(half_squares))
    norm = math.sqrt(max(0.0, squared_norm - variance / (2 * len(half_squares))))
    return PartGradient(
        norm=norm,
        variance=variance,
        standard_error=float(np.std(half_squares, ddof=1) / math.sqrt(len(half_squares))),
        signal_to_noise=norm / math.sqrt(variance) if variance > 0.0 else None,
    )
