"""The one table of the house: a row for every family, and the properties in test_properties.py run over all rows.

A row says how a raw vector becomes a distribution, which raw vectors to try, what the log density must be (SciPy or
a closed form, in double precision), and a quadrature rule over the support, from which normalisation, moments and
the law of the samples follow. A new family is one class and one row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import equinox as eqx
import numpy as np
import scipy.special
import scipy.stats
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from jax import Array
from numpyro.distributions import Distribution

from quadrature import Floats, Rule, product, real_line, summation, unit_interval
from reparam.probability.likelihoods import LIKELIHOODS, table_of
from reparam.probability.posteriors import POSTERIORS
from reparam.specification import build

P = 2  # features of every likelihood in the table: the smallest number that can be summed wrongly


@dataclass(frozen=True, eq=False)
class Example:
    """One family of distributions."""

    name: str
    distribution: Callable[[Array], Distribution]  # raw (..., raw_size) → batch shape (...), event shape (P,)
    raw: SearchStrategy[Floats]  # raw vectors (raw_size,) that single precision holds exactly
    log_prob: Callable[[Floats, Floats], Floats]  # oracle: raw (raw_size,), x (N, P) → (N,)
    rule: Callable[[Floats], Rule]  # raw → points (N, P) and weights (N,) that integrate over the support
    edges: tuple[float, ...]  # values of x where numerics are hardest
    tolerance: float = 2e-5  # of log_prob in single precision, relative to 1 + |log_prob|
    unbounded: bool = False  # whether at extreme raw numbers the log density may leave single precision, as ±∞

    def __repr__(self) -> str:
        return self.name


def raw_blocks(*limits: tuple[float, float], size: int = P) -> SearchStrategy[Floats]:
    """Raw vectors of blocks of ``size`` numbers, one pair of limits for each block."""
    numbers = [st.floats(low, high, width=32) for low, high in limits for _ in range(size)]
    return st.tuples(*numbers).map(np.array)


def likelihood(name: str, *arguments: Any, leaf: str | None = None) -> Callable[[Array], Distribution]:
    """A likelihood as a function of raw; where it has learned noise, the last P raw numbers stand for it."""
    module = LIKELIHOODS[name](P, *arguments)
    if leaf is None:
        return lambda raw: module.distribution(raw).to_event(1)

    def distribution(raw: Array) -> Distribution:
        noise = raw[..., module.raw_size :]
        learned = eqx.tree_at(lambda tree: getattr(tree, leaf), module, noise)
        return learned.distribution(raw[..., : module.raw_size]).to_event(1)

    return distribution


def independent(log_prob: Callable[..., Floats]) -> Callable[[Floats, Floats], Floats]:
    """The oracle over features from one of a feature: log_prob(x, *raw numbers of the feature)."""
    return lambda raw, x: log_prob(x, *raw.reshape(-1, P)).sum(axis=-1)


def located(raw: Floats) -> Rule:
    """The rule of a law with loc in the first block and ln scale in the last."""
    return product(*(real_line(raw[j], np.exp(raw[-P + j])) for j in range(P)))


def located_logarithms(raw: Floats) -> Rule:
    """The rule of positive numbers whose logarithms are located so."""
    logarithms, weights = located(raw)
    points = np.exp(np.clip(logarithms, -80.0, 80.0))  # beyond there is nothing, and a product overflows
    return points, weights * points.prod(axis=-1)


def listed(values: Floats) -> Callable[[Floats], Rule]:
    rule = product(*[summation(values)] * P)
    return lambda raw: rule


def between(raw: Floats) -> Rule:
    """The rule of a law on (0, 1) with logits of the mean in the first block and ln precision in the last."""
    mean = scipy.special.expit(raw[:P])
    widths = np.exp(-raw[-P:] / 2) / np.sqrt(mean * (1 - mean))
    return product(*(unit_interval(raw[j], widths[j]) for j in range(P)))


def bernoulli(x: Floats, logits: Floats) -> Floats:
    return -np.logaddexp(0.0, (1.0 - 2.0 * x) * logits)


def continuous_bernoulli(x: Floats, logits: Floats) -> Floats:
    logits = np.where(logits == 0.0, 1e-30, logits)
    return logits * x + np.log(logits / np.expm1(logits))


def normal(x: Floats, loc: Floats, log_std: Floats) -> Floats:
    return scipy.stats.norm.logpdf(x, loc, np.exp(log_std))


def log_normal(x: Floats, loc: Floats, log_std: Floats) -> Floats:
    return scipy.stats.lognorm.logpdf(x, np.exp(log_std), scale=np.exp(loc))


def laplace(x: Floats, loc: Floats, log_scale: Floats) -> Floats:
    return scipy.stats.laplace.logpdf(x, loc, np.exp(log_scale))


def logistic(x: Floats, loc: Floats, log_scale: Floats) -> Floats:
    return scipy.stats.logistic.logpdf(x, loc, np.exp(log_scale))


def student_t(df: float, x: Floats, loc: Floats, log_scale: Floats) -> Floats:
    return scipy.stats.t.logpdf(x, df, loc, np.exp(log_scale))


def categorical(x: Floats, *logits: Floats) -> Floats:
    log_probs = scipy.special.log_softmax(np.stack(logits), axis=0)
    return np.where(x[..., None, :] == np.arange(len(logits))[:, None], log_probs, 0.0).sum(axis=-2)


def poisson(x: Floats, log_mean: Floats) -> Floats:
    return scipy.stats.poisson.logpmf(x, np.exp(log_mean))


def negative_binomial(x: Floats, log_mean: Floats, log_inverse_dispersion: Floats) -> Floats:
    mean, r = np.exp(log_mean), np.exp(log_inverse_dispersion)
    return scipy.stats.nbinom.logpmf(x, r, r / (r + mean))


def zero_inflated(x: Floats, log_mean: Floats, gate_logits: Floats, log_r: Floats) -> Floats:
    counted = np.log(scipy.special.expit(-gate_logits)) + negative_binomial(x, log_mean, log_r)
    return np.where(x == 0, np.logaddexp(np.log(scipy.special.expit(gate_logits)), counted), counted)


def beta(x: Floats, mean_logits: Floats, log_precision: Floats) -> Floats:
    mean, precision = scipy.special.expit(mean_logits), np.exp(log_precision)
    return scipy.stats.beta.logpdf(x, mean * precision, scipy.special.expit(-mean_logits) * precision)


def discretized_logistic(x: Floats, *blocks: Floats) -> Floats:
    logits, loc, log_scale = np.split(np.stack(blocks), 3)
    logistic, x = scipy.stats.logistic(loc, np.exp(log_scale)), np.round(x[..., None, :] * 255) / 255
    low, high = x - 1 / 510, x + 1 / 510
    inside = np.where(low > loc, logistic.sf(low) - logistic.sf(high), logistic.cdf(high) - logistic.cdf(low))
    mass = np.where(low < 0, logistic.cdf(high), np.where(high > 1, logistic.sf(low), inside))
    return np.log(np.sum(scipy.special.softmax(logits, axis=0) * mass, axis=-2))


REALS = (-1e4, -1.0, 0.0, 1e4)
COUNTS = (0.0, 1.0, 1000.0)
BITS = np.arange(2.0)
CODES = np.arange(4.0)
MANY = np.arange(256.0)
LEVELS = np.arange(256) / 255

LIKELIHOOD_EXAMPLES = [
    Example(
        "bernoulli", likelihood("bernoulli"), raw_blocks((-30, 30)), independent(bernoulli), listed(BITS), (0.0, 1.0)
    ),
    Example(
        "continuous_bernoulli",
        likelihood("continuous_bernoulli"),
        raw_blocks((-40, 40)) | raw_blocks((-1, 1)),
        independent(continuous_bernoulli),
        lambda raw: product(*[unit_interval(0.0, 1.0)] * P),
        (0.0, 0.5, 1.0),
    ),
    Example(
        "gaussian:per_dimension",
        likelihood("gaussian", "per_dimension", leaf="log_scale"),
        raw_blocks((-10, 10), (-5, 5)),
        independent(normal),
        located,
        REALS,
    ),
    Example(
        "gaussian:decoder",
        likelihood("gaussian", "decoder"),
        raw_blocks((-10, 10), (-5, 5)),
        independent(normal),
        located,
        REALS,
    ),
    Example(
        "gaussian:fixed:0.5",
        likelihood("gaussian", "fixed:0.5"),
        raw_blocks((-10, 10)),
        independent(partial(normal, log_std=np.log(0.5))),
        lambda raw: located(np.concatenate([raw, np.log([0.5, 0.5])])),
        REALS,
    ),
    Example(
        "laplace",
        likelihood("laplace", leaf="log_scale"),
        raw_blocks((-10, 10), (-5, 5)),
        independent(laplace),
        located,
        REALS,
    ),
    Example(
        "student_t:5",
        likelihood("student_t", 5, leaf="log_scale"),
        raw_blocks((-10, 10), (-5, 5)),
        independent(partial(student_t, 5)),
        located,
        REALS,
    ),
    Example(
        "log_normal",
        likelihood("log_normal", leaf="log_scale"),
        raw_blocks((-3, 3), (-3, 0.5)),
        independent(log_normal),
        located_logarithms,
        (1e-4, 1.0, 1e4),
    ),
    Example(
        "categorical:4",
        likelihood("categorical", 4),
        raw_blocks(*[(-20, 20)] * 4),
        independent(categorical),
        listed(CODES),
        (0.0, 3.0),
    ),
    Example("poisson", likelihood("poisson"), raw_blocks((-10, 4)), independent(poisson), listed(MANY), COUNTS),
    Example(
        "negative_binomial",
        likelihood("negative_binomial", leaf="log_inverse_dispersion"),
        raw_blocks((-10, 2), (0, 12)),
        independent(negative_binomial),
        listed(MANY),
        COUNTS,
    ),
    Example(
        "zero_inflated_negative_binomial",
        likelihood("zero_inflated_negative_binomial", leaf="log_inverse_dispersion"),
        raw_blocks((-10, 2), (-20, 20), (0, 12)),
        independent(zero_inflated),
        listed(MANY),
        COUNTS,
    ),
    Example(
        "discretized_logistic:2",
        likelihood("discretized_logistic", 2),
        raw_blocks(*[(-5, 5)] * 2, *[(-0.5, 1.5)] * 2, *[(-5, 1)] * 2),
        independent(discretized_logistic),
        listed(LEVELS),
        (0.0, 128 / 255, 1.0),
    ),
    Example(
        "beta",
        likelihood("beta"),
        raw_blocks((-2, 2), (1.5, 10)),
        independent(beta),
        between,
        (1e-6, 0.5, 1.0 - 2.0**-20),
    ),
]


def posterior(specification: str, scale: str = "log_variance") -> Callable[[Array], Distribution]:
    return build("posterior", POSTERIORS, specification, P, scale=scale).distribution


def of_std(std: Callable[[Floats], Floats], law: Callable[..., Floats] = normal) -> Callable[[Floats, Floats], Floats]:
    """The oracle of independent coordinates whose standard deviation is ``std`` of the second block."""
    return independent(lambda x, loc, a: law(x, loc, np.log(std(a))))


def spread(std: Callable[[Floats], Floats]) -> Callable[[Floats], Rule]:
    return lambda raw: located(np.concatenate([raw[:P], np.log(std(raw[P:]))]))


def covariance(kind: str, raw: Floats) -> Floats:
    """The covariance that a raw vector stands for, written out."""
    if kind == "full":
        matrix = raw[P:].reshape(P, P)
        return matrix @ matrix.T
    std = np.exp(raw[P : 2 * P] / 2)
    if kind == "cholesky":
        matrix = np.diag(std)
        matrix[np.tril_indices(P, -1)] = raw[2 * P :]
        return matrix @ matrix.T
    factor = raw[2 * P :].reshape(P, -1)
    return np.diag(std**2) + factor @ factor.T


def correlated(kind: str) -> Callable[[Floats, Floats], Floats]:
    return lambda raw, x: scipy.stats.multivariate_normal(raw[:P], covariance(kind, raw)).logpdf(x)


def along_axes(kind: str) -> Callable[[Floats], Rule]:
    """The product rule turned and stretched to the principal axes."""

    def rule(raw: Floats) -> Rule:
        values, vectors = np.linalg.eigh(covariance(kind, raw))
        points, weights = product(*[real_line(0.0, 1.0)] * P)
        return raw[:P] + points @ (vectors * np.sqrt(values)).T, weights * np.sqrt(values.prod())

    return rule


def far_from_singular(raw: Floats) -> bool:
    return bool(np.linalg.cond(covariance("full", raw)) < 1e3)


STDS: dict[str, Callable[[Floats], Floats]] = {
    "log_variance": lambda a: np.exp(a / 2),
    "log_std": np.exp,
    "softplus": lambda a: np.logaddexp(0, a),
    "softplus_variance": lambda a: np.sqrt(np.logaddexp(0, a)),
    "log_precision": lambda a: np.exp(-a / 2),
    "bounded:0.1,10": lambda a: np.exp(a / np.sqrt(1 + (a / np.log(10)) ** 2)),
}

POSTERIOR_EXAMPLES = [
    *(
        Example(
            f"diagonal, {scale}",
            posterior("diagonal", scale),
            raw_blocks((-5, 5), (-4, 4)),
            of_std(std),
            spread(std),
            REALS,
            unbounded=True,
        )
        for scale, std in STDS.items()
    ),
    *(
        Example(
            f"diagonal:{base}",
            posterior(f"diagonal:{base}"),
            raw_blocks((-5, 5), (-4, 4)),
            of_std(STDS["log_variance"], law),
            spread(STDS["log_variance"]),
            REALS,
            unbounded=True,
        )
        for base, law in {"laplace": laplace, "logistic": logistic, "student_t,5": partial(student_t, 5)}.items()
    ),
    *(
        Example(
            kind,
            posterior(kind),
            raw,
            correlated(kind.partition(":")[0]),
            along_axes(kind.partition(":")[0]),
            REALS,
            tolerance=1e-3,
            unbounded=True,
        )
        for kind, raw in {
            "full": raw_blocks((-5, 5), (-3, 3), (-3, 3)).filter(far_from_singular),
            "cholesky": raw_blocks((-5, 5), (-2, 2), (-2, 2), size=P).map(lambda raw: raw[:5]),
            "low_rank:1": raw_blocks((-5, 5), (-2, 2), (-2, 2)),
        }.items()
    ),
]


def mixed(raw: Floats, x: Floats) -> Floats:
    """A code of three levels in the first column, a number in the second; its raw number comes last."""
    log_probs = scipy.special.log_softmax(raw[:3])
    code = np.where(x[:, :1] == np.arange(3.0), log_probs, 0.0).sum(axis=-1)
    return code + normal(x[:, 1], raw[3], np.log(0.5))


TABLE_EXAMPLES = [
    Example(
        "table",
        lambda raw: table_of([("categorical", 3), ("gaussian:fixed:0.5", 0)]).distribution(raw).to_event(1),
        raw_blocks(*[(-20, 20)] * 3, (-10, 10), size=1),
        mixed,
        lambda raw: product(summation(np.arange(3.0)), real_line(raw[3], 0.5)),
        (0.0, 2.0),
    ),
]

EXAMPLES = [*LIKELIHOOD_EXAMPLES, *TABLE_EXAMPLES, *POSTERIOR_EXAMPLES]
