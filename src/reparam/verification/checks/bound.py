"""The importance-weighted bound: log-mean-exp of the log-weights over the samples."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import special

from reparam.verification.arrays import Array
from reparam.verification.context import CannotTell, Context, SkipCheck, Verdict, failed, passed
from reparam.verification.finding.sizes import numbers_of
from reparam.verification.functions import Function, UserError
from reparam.verification.measurements.terms import close
from reparam.verification.oracle import log_mean_exp
from reparam.verification.randomness import SEED

DATA, SAMPLES = 5, 8
MEND = "logsumexp(log_w, sample axis) - log(K)"
Confusion = tuple[Callable[[Array], Array], str, str]

CONFUSIONS: tuple[Confusion, ...] = (
    (
        lambda w: -log_mean_exp(w),
        "minus the bound: it falls as the log-weights rise",
        "return the bound itself; negate it where a loss is needed",
    ),
    (
        lambda w: (special.softmax(w, axis=-1) * w).sum(axis=-1),
        "Σ w̃ log w with w̃ = softmax(log_w), which is too high and only has the bound's gradient",
        f"report {MEND}; Σ w̃ log w with w̃ detached serves for its gradient alone",
    ),
    (
        lambda w: w.mean(axis=-1),
        "the mean of the log-weights: the ELBO, no better for more samples",
        f"take the log of the mean of exp(log_w): {MEND}",
    ),
    (
        lambda w: special.logsumexp(w, axis=-1),
        "log Σ exp(log_w): too high by log K",
        "subtract log(K): the weights are averaged, not summed",
    ),
    (
        lambda w: log_mean_exp(w) - np.log(w.shape[-1]),
        "log K is subtracted twice: the bound falls as samples are added",
        "subtract log(K) once",
    ),
    (
        lambda w: special.logsumexp(w, axis=-1) - np.log(w.shape[0]),
        "log N is subtracted in the place of log K",
        "subtract log(K), K being the number of samples",
    ),
    (lambda w: w.max(axis=-1), "the largest log-weight", MEND),
    (lambda w: np.exp(w).mean(axis=-1), "the mean of the weights, without its logarithm", MEND),
    (
        lambda w: np.full(len(w), log_mean_exp(w.reshape(1, -1))[0]),
        "over a batch the mean of the weights is over samples and data together",
        "log-mean-exp over the sample axis alone, then the mean over the batch",
    ),
)
"""What is returned in the place of the bound, in words, and the mending."""


def _example() -> Array:
    return np.random.default_rng(SEED).normal(-2.0, 1.5, (DATA, SAMPLES))


def _asked(context: Context) -> Callable[[Array], Array]:
    """The user's function on (N, K) log-weights, the axes as declared."""
    function, first = context.function("bound"), context.subject.declared.sample_axis == 0
    return lambda log_w: function(log_w.T if first else log_w)


def _reductions(values: Array) -> tuple[Array, ...]:
    """A bound per datum, and what a batch makes of it."""
    return values, np.atleast_1d(values.mean()), np.atleast_1d(values.sum())


def _is(found: Array, values: Array) -> bool:
    return any(found.size == np.size(one) and close(found.ravel(), one) for one in _reductions(np.asarray(values)))


def is_log_mean_exp(context: Context) -> Verdict:
    """The bound is the log of the mean weight, over the samples and of each datum; else the confusion is named."""
    if not context.subject.has("bound"):
        return _of_a_loss(context)
    asked, log_w = _asked(context), _example()
    found = asked(log_w)
    if _is(found, log_mean_exp(log_w)):
        return passed("log-mean-exp over the samples")
    wrong_axis = log_mean_exp(log_w, axis=0)
    if _is(found, wrong_axis) or _is(found, wrong_axis + np.log(DATA)):
        return failed(
            "the mean of the weights is over the data, not the samples",
            "reduce over the sample axis; declare SAMPLE_AXIS = 0 if log_w is (K, N)",
        )
    for confused, measured, fix in CONFUSIONS:
        if _is(found, confused(log_w)):
            return failed(measured, fix)
    return _by_numbers(context, found, log_mean_exp(log_w))


def _of_a_loss(context: Context) -> Verdict:
    """A loss over an axis of samples: what it makes of samples whose losses ℓ are known, each from K alike."""
    loss, mixed, alike = _samples_of(context)
    losses = np.array([loss(*arrays).mean() for arrays in alike])
    found, share = float(loss(*mixed).mean()), special.softmax(-losses)
    if close(found, losses.mean()):
        return passed("over the samples the loss is averaged: the ELBO")
    if close(found, -log_mean_exp(-losses)):
        return passed("over the samples the loss is minus log-mean-exp")
    if close(found, share @ losses):
        return passed("over the samples Σ w̃ ℓ with w̃ = softmax(-ℓ), which has the bound's gradient where w̃ is detached")
    turned = (special.softmax(losses) @ losses, log_mean_exp(losses))
    if any(close(found, one) for one in turned):
        return failed(
            "the sign of the weights is turned: the worst of the samples weighs most",
            "weights are softmax(log p(x, z) - log q(z|x)): minus the loss of each sample",
        )
    raise CannotTell("the loss of several samples is no mean, log-mean-exp or weighted sum of their losses")


def _samples_of(context: Context) -> tuple[Function, list[Array], list[list[Array]]]:
    """The loss; K samples at the prior with other outputs each; and K times each of them."""
    loss, (x, _) = context.function("loss"), context.examples.data()
    for count in dict.fromkeys([*(n for n in numbers_of(loss.call) if n < 100), 2, 3, 5]):
        latents = np.zeros((len(x), count, context.latent_dim))
        nearness = np.linspace(0.1, 0.9, count)
        outputs = np.stack([x + t * (1.0 - 2.0 * x) for t in nearness], axis=1)
        alike = [[x, latents, latents, np.repeat(outputs[:, i : i + 1], count, axis=1)] for i in range(count)]
        try:
            loss(x, latents, latents, outputs)
        except UserError:
            continue
        return loss, [x, latents, latents, outputs], alike
    raise SkipCheck("the number of samples that the loss takes was not found")


def _by_numbers(context: Context, found: Array, truth: Array) -> Verdict:
    """A confusion without a name: its sign, its value at K = 1, or how far it is off."""
    asked, log_w = _asked(context), _example()
    fix = f"{MEND}; declare SAMPLE_AXIS if the samples are not on the last axis"
    if float((asked(log_w + 1.0) - found).mean()) < 0:
        return failed("the bound falls as the log-weights rise", "return the bound itself, not minus the bound")
    rows = np.resize(found.ravel(), truth.shape)
    alone = np.resize(asked(log_w[:, :1]).ravel(), truth.shape)
    off = float(np.abs(alone - log_w[:, 0]).max())
    at_one = "" if close(alone, log_w[:, 0]) or found.size == 1 else f", and off the log-weight by {off:.4g} at K = 1"
    return failed(f"the bound is up to {np.abs(rows - truth).max():.4g} off log-mean-exp over the samples{at_one}", fix)


def stable(context: Context) -> Verdict:
    """The bound is right near ±1000, where one weight outweighs all others, and where data are far apart."""
    asked = _asked(context)
    for name, log_w in _extremes().items():
        try:
            found = asked(log_w)
        except UserError as error:
            return failed(f"{name}: {error}", STABLE)
        if not np.all(np.isfinite(found)) or not _is(found, log_mean_exp(log_w)):
            value = found[~np.isfinite(found)]
            return failed(f"{name}: the bound is {value[0] if value.size else 'wrong'}", STABLE)
    return passed("right near ±1000, where one weight dominates and where data are far apart")


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
