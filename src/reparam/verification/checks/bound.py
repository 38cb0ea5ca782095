"""The importance-weighted bound: log-mean-exp of the log-weights over the samples."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
from scipy import special

from reparam.verification.arrays import Array
from reparam.verification.context import Context, SkipCheck, Verdict, failed, passed
from reparam.verification.measurements.terms import Term, close
from reparam.verification.oracle import log_mean_exp
from reparam.verification.randomness import SEED
from reparam.verification.subject import UserError

Rows = Callable[[Array], Array]
DATA, SAMPLES = 5, 8


def _weighted_mean(log_w: Array) -> Array:
    return np.asarray((special.softmax(log_w, axis=-1) * log_w).sum(axis=-1))


CONFUSIONS: dict[str, tuple[Rows, str, str]] = {
    "mean of the log-weights": (
        lambda log_w: log_w.mean(axis=-1),
        "the mean of the log-weights: the ELBO, no better for more samples",
        "take the log of the mean of exp(log_w): logsumexp(log_w) - log(K)",
    ),
    "no log K": (
        lambda log_w: special.logsumexp(log_w, axis=-1),
        "log Σ exp(log_w): too high by log K",
        "subtract log(K): the weights are averaged, not summed",
    ),
    "largest": (
        lambda log_w: log_w.max(axis=-1),
        "the largest log-weight",
        "logsumexp(log_w) - log(K)",
    ),
    "mean of the weights": (
        lambda log_w: np.exp(log_w).mean(axis=-1),
        "the mean of the weights, without its logarithm",
        "logsumexp(log_w) - log(K)",
    ),
}
"""What is returned in the place of the bound, in words, and the mending."""


def _example() -> Array:
    return np.random.default_rng(SEED).normal(-2.0, 1.5, (DATA, SAMPLES))


def _given(context: Context, log_w: Array) -> Array:
    """(N, K) log-weights with the axes as the user's function takes them."""
    return log_w if context.subject.sample_axis == -1 else log_w.T


def _term(context: Context) -> Term:
    batch_axis = 0 if context.subject.sample_axis == -1 else 1
    return Term(context.function("bound"), (_given(context, _example()),), batch_axis)


def _asked(context: Context) -> Rows:
    """The user's bound on (N, K) log-weights: one number per datum, asked datum by datum if it gives a scalar."""
    if _over_data_axis(context):
        raise SkipCheck("the mean is over the data, not the samples: see bound-log-mean-exp")
    term = _term(context)
    return lambda log_w: term.rows(_given(context, log_w))


def _over_data_axis(context: Context) -> bool:
    """Whether a batch's bound is log-mean-exp over its data instead of its samples."""
    log_w, function = _example(), context.function("bound")
    found = function(_given(context, log_w))
    wrong = log_mean_exp(log_w, axis=0)
    summed = wrong + np.log(DATA)
    candidates = [values for one in (wrong, summed) for values in (one, one.mean(), one.sum())]
    return any(found.size == np.size(values) and close(found.ravel(), np.ravel(values)) for values in candidates)


def _sign(rows: Rows) -> float:
    """-1 where the bound falls as the log-weights rise."""
    log_w = _example()
    return -1.0 if float((rows(log_w + 1.0) - rows(log_w)).mean()) < 0 else 1.0


def _upright(context: Context) -> Rows:
    """The bound with its sign set right: told by bound-sign alone."""
    rows = _asked(context)
    sign = _sign(rows)
    return lambda log_w: sign * rows(log_w)


def sign(context: Context) -> Verdict:
    """All log-weights one higher, the bound one higher."""
    rise = float((_asked(context)(_example() + 1.0) - _asked(context)(_example())).mean())
    measured = f"log-weights 1 higher, bound {rise:.4g} higher"
    if rise < 0:
        return failed(measured, "return the bound itself; negate it where a loss is needed")
    return passed(measured)


def single_sample(context: Context) -> Verdict:
    """One sample: the log-weight."""
    rows, log_w = _upright(context), _example()[:, :1]
    off = float(np.abs(rows(log_w) - log_w[:, 0]).max())
    if close(rows(log_w), log_w[:, 0]):
        return passed("K = 1 gives the log-weight")
    return failed(
        f"K = 1 gives the log-weight up to {off:.4g}", "at K = 1 the bound is the log-weight: logsumexp(log_w) - log(K)"
    )


def is_log_mean_exp(context: Context) -> Verdict:
    """The bound is the log of the mean weight, over the samples and of each datum."""
    if _over_data_axis(context):
        return failed(
            "the mean of the weights is over the data, not the samples",
            "reduce over the sample axis; declare SAMPLE_AXIS = 0 if log_w is (K, N)",
        )
    rows, log_w = _upright(context), _example()
    found, truth = rows(log_w), log_mean_exp(log_w)
    if close(found, truth):
        return _over_batch(context) or passed("log-mean-exp over the samples")
    if close(found, _weighted_mean(log_w)):
        raise SkipCheck("the bound is Σ w̃ log w: see bound-not-weighted-mean")
    for confused, measured, fix in CONFUSIONS.values():
        if close(found, confused(log_w)):
            return failed(measured, fix)
    return failed(
        f"the bound is up to {np.abs(found - truth).max():.4g} off log-mean-exp over the samples",
        "logsumexp(log_w, sample axis) - log(K); declare SAMPLE_AXIS if the samples are not on the last axis",
    )


def _over_batch(context: Context) -> Verdict | None:
    """A scalar bound of a batch is the mean or sum of its data's."""
    if _term(context).reduction != "neither":
        return None
    return failed(
        "over a batch the bound is neither the mean nor the sum of its data's",
        "log-mean-exp over the sample axis alone, then the mean over the batch",
    )


def not_weighted_mean(context: Context) -> Verdict:
    """Not Σ w̃ log w, which only has the bound's gradient."""
    rows, log_w = _upright(context), _example()
    if close(rows(log_w), _weighted_mean(log_w)):
        high = float((rows(log_w) - log_mean_exp(log_w)).mean())
        return failed(
            f"the bound is Σ w̃ log w with w̃ = softmax(log_w): too high by {high:.4g} nats here",
            "report logsumexp(log_w) - log(K); Σ w̃ log w with w̃ detached serves for its gradient alone",
        )
    return passed("not Σ w̃ log w")


def increases(context: Context) -> Verdict:
    """Averaged over all subsets of K of eight samples, the bound does not fall as K grows: exact, no chance in it."""
    rows, log_w = _upright(context), _example()[:1]
    sizes = (1, 2, 4, SAMPLES)
    means = [_mean_over_subsets(rows, log_w[0], size) for size in sizes]
    measured = ", ".join(f"K = {size}: {mean:.4g}" for size, mean in zip(sizes, means, strict=True))
    if np.all(np.diff(means) > -1e-4):
        return passed(measured)
    return failed(measured, "logsumexp(log_w) - log(K), K being the number of samples, subtracted once")


def _mean_over_subsets(rows: Rows, log_w: Array, size: int) -> float:
    return float(rows(np.array(list(itertools.combinations(log_w, size)))).mean())


def stable(context: Context) -> Verdict:
    """The bound is right near ±1000, where one weight outweighs all others, and where data are far apart."""
    rows, whole = _upright(context), context.function("bound")
    for name, log_w in _extremes().items():
        try:
            found = np.append(rows(log_w), whole(_given(context, log_w)))
        except UserError as error:
            return failed(f"{name}: {error}", STABLE)
        if not np.all(np.isfinite(found)):
            return failed(f"{name}: the bound is {found[~np.isfinite(found)][0]}", STABLE)
    return passed("finite near ±1000, where one weight dominates and where data are far apart")


STABLE = "use logsumexp over the samples: subtract each datum's largest log-weight before exp"


def _extremes() -> dict[str, Array]:
    near = _example()
    dominated = np.full_like(near, -1000.0)
    dominated[:, 0] = -3.0
    return {
        "log-weights near -1000": near - 1000.0,
        "log-weights near 1000": near + 1000.0,
        "one weight dominates": dominated,
        "data far apart": near + np.linspace(-1000.0, 1000.0, DATA)[:, None],
    }
