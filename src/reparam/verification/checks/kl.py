"""The KL term: zero at the prior, a sum over latents, and the KL of what the sampler draws."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from reparam.verification.arrays import Array
from reparam.verification.checks.reductions import weighed_against
from reparam.verification.context import CannotTell, Context, SkipCheck, Verdict, failed, passed, warned
from reparam.verification.functions import Function
from reparam.verification.measurements.divergence import DivergenceMeasurement
from reparam.verification.measurements.sampler import RAW, SamplerMeasurement
from reparam.verification.measurements.terms import CLOSE, close
from reparam.verification.oracle import FORMULA, MEANING, SCALES, LogStd, Recognition, gaussian_kl
from reparam.verification.randomness import CRITICAL, LEVEL, SEED, fixed_noise

MEANS = np.array([0.0, 1.5])
FORM = "KL = 0.5 * Σ(mean² + σ² - 1 - log σ²)"


def nonnegative_zero_at_prior(context: Context) -> Verdict:
    """The lowest KL over means and raw numbers is zero, and it lies at mean zero."""
    kl = context.kl
    _present(context)
    if kl.factor < 0:
        return failed(
            f"the KL falls as the mean leaves 0 (its weight is {kl.factor:.3g}): the sign is turned",
            "KL = -0.5 * Σ(1 + log σ² - mean² - σ²): one minus in front",
        )
    at, lowest = kl.lowest
    if not close(lowest / max(1.0, kl.factor), 0.0):
        return failed(
            f"the lowest KL per latent is {lowest:.4g} nats, at mean 0 and raw {at:.3g}",
            _constant_fix(lowest),
        )
    means, raws = (grid.ravel() for grid in np.meshgrid([-2.0, -0.5, 0.5, 2.0], [at, at - 1.0, at + 1.0]))
    values = kl.per_latent(means, raws)
    if values.min() < -CLOSE:
        worst = int(values.argmin())
        return failed(
            f"the KL per latent is {values[worst]:.4g} nats at mean {means[worst]:g}, raw {raws[worst]:.3g}",
            f"the mean enters squared: {FORM}",
        )
    return passed(f"the lowest KL is {lowest:.2g} nats, at mean 0 and raw {at:.3g}")


def _present(context: Context) -> None:
    """SkipCheck where a joint loss has no KL in it: loss-is-their-sum tells that."""
    if not context.subject.has("kl") and context.divergence.absent:
        raise SkipCheck("the loss depends on neither mean nor raw: see loss-is-their-sum")


def _constant_fix(lowest: float) -> str:
    if lowest > 0:
        return f"subtract the 1: {FORM}"
    return "use one reading of raw in all of 0.5 * Σ(mean² + σ² - 1 - log σ²), and the sign of each part"


def sums_over_latents(context: Context) -> Verdict:
    """Every latent twice makes the KL twice as large, and a datum's KL is the sum of its latents'."""
    kl = context.divergence
    if kl.function(*kl.term.example).shape == (context.latent_dim,):
        return failed(
            f"kl returns one number per latent, shape ({context.latent_dim},): summed over the batch",
            "sum over the latents, axis=-1, not over the batch",
        )
    _present(context)
    if kl.term.kind == "elements":
        return failed(
            f"kl returns one number per latent, shape (N, {context.latent_dim})",
            "sum over the latents: kl.sum(axis=-1)",
        )
    if kl.averages_latents:
        if (told := weighed_against(context)) is not None:
            return warned(told, "sum over the latents: kl.sum(axis=-1)")
        return failed(
            "twice the latents leave the KL as it is: a mean over latents, "
            f"with D = {context.latent_dim} an effective β of {1 / context.latent_dim:.3g}",
            "sum over the latents: kl.sum(axis=-1); average over the batch only",
        )
    if not close(kl.growth, 2.0):
        return failed(f"twice the latents make the KL {kl.growth:.4g}-fold", "sum over the latents: kl.sum(axis=-1)")
    if kl.bend is None and kl.additivity_error > CLOSE:
        return failed(
            f"the KL of a datum is {kl.additivity_error:.2g} (relatively) off the sum of its latents'",
            "every latent contributes 0.5 * (mean² + σ² - 1 - log σ²)",
        )
    return passed("twice the latents make the KL 2-fold")


@dataclass(frozen=True)
class Comparison:
    """KL of the user, its constant removed, against the truth on a grid, with the truth's standard error."""

    raw: Array
    kl: Array
    truth: Array
    error: Array

    @property
    def slack(self) -> Array:
        """Rounding and chance, and far out a small floor under σ that only one of the two has."""
        rounding = np.where(np.abs(self.raw) <= 2.0, CLOSE, 10.0 * CLOSE)
        return np.asarray(rounding * (1.0 + self.truth) + CRITICAL * self.error)

    @property
    def agrees(self) -> bool:
        """Equal, up to that."""
        return bool(np.all(np.abs(self.kl - self.truth) <= self.slack))

    @property
    def factor(self) -> float:
        """The KL as a multiple of the truth where that is constant over the grid, else NaN."""
        weighted = self.truth / self.slack**2  # where σ is large, so is the error of one that was measured by chance
        factor = float((self.kl @ weighted) / (self.truth @ weighted))
        off = np.abs(self.kl - factor * self.truth)
        return factor if np.all(off <= abs(factor) * self.slack) else float("nan")


def matches_sampler(context: Context) -> Verdict:
    """The KL is that of the drawn z; without a sampler, that of the declared scale or of any."""
    if context.subject.has("kl") and context.is_random(context.function("kl")):
        return _in_expectation(context)
    kl = context.divergence
    if kl.bend is not None:
        return _above_the_floor(context, kl)
    _present(context)
    if not np.isfinite(kl.factor) or abs(kl.factor) < CLOSE * abs(kl.per_latent(2.0, 2.0)[0]):
        return failed("the KL is not ½·mean² plus a function of raw", FORM)
    drawn = None if not context.subject.has("sample") or _blamed_on_noise(context) else context.sampler
    if drawn is None and context.declared_log_std is None and not kl.recognition.is_scale:
        return _of_no_scale(context)
    comparison = _comparison(context, drawn)
    uses = f"the KL σ = {kl.recognition}"
    uses = (
        f"{uses}, against {_source(context)}" if drawn is None else f"the sampler uses σ = {drawn.recognition}, {uses}"
    )
    if comparison.agrees:
        return passed(f"{uses}; effective β {kl.factor:.4g}")
    if np.isfinite(comparison.factor):
        return _weighted(context, comparison.factor)
    if drawn is None:
        return failed(f"{uses}; {_worst(comparison)}", FORM)
    if _differ_in_coordinate(context) and kl.recognition.is_scale and drawn.recognition.is_scale:
        raise CannotTell(
            f"{uses}: one of them is handed σ itself, and how it is made of the network's output is not seen"
        )
    return failed(f"{uses}; {_worst(comparison)}", _fix(context, drawn.recognition, kl.recognition))


def _comparison(context: Context, drawn: SamplerMeasurement | None) -> Comparison:
    """The KL beside that of the drawn z, or of the declared scale, or of the one that it shows."""
    raw = RAW if drawn is not None else RAW[np.abs(RAW) <= 2.0]
    means, raws = (grid.ravel() for grid in np.meshgrid(MEANS, raw))
    keep = (means == 0.0) | (np.abs(raws) <= 2.0)
    means, raws = means[keep], raws[keep]
    if drawn is not None:
        log_std, error = np.interp(raws, RAW, drawn.log_std), drawn.error
    else:
        shown = context.declared_log_std or SCALES[str(context.kl.recognition.name)]
        log_std, error = shown(raws), 0.0
    truth = gaussian_kl(means, log_std)
    return Comparison(raws, _values(context, means, raws), truth, error * np.abs(np.expm1(2.0 * log_std)))


def _source(context: Context) -> str:
    declared = context.subject.declared.scale
    return "the scale that it shows" if declared is None else f"SCALE = {declared}"


def _differ_in_coordinate(context: Context) -> bool:
    """Whether one of sampler and KL takes a number of any sign, and the other σ or σ²."""
    kl = context.function("kl" if context.subject.has("kl") else "loss")
    return (kl.call.coordinate == "raw") != (context.function("sample").call.coordinate == "raw")


def _values(context: Context, means: Array, raws: Array) -> Array:
    """The KL per latent without its constant; of a joint loss also without its weight: beta-effective tells that."""
    values = context.kl.per_latent(means, raws) - context.kl.constant
    return values if context.subject.has("kl") else values / context.kl.factor


def _above_the_floor(context: Context, kl: DivergenceMeasurement) -> Verdict:
    """Far from the prior, where a floor or a capacity is passed, it is a + b·KL of the drawn z."""
    rng, (mean, _) = np.random.default_rng(SEED), kl.examples.posteriors(24)
    raw = rng.choice(RAW[np.abs(RAW) <= 2.0], mean.shape)
    truth = gaussian_kl(mean, _drawn(context, str(kl.bend))(raw)).sum(axis=1)
    rows = kl.term.rows(mean, raw)
    slope, intercept = np.polyfit(truth, rows, 1)
    off = float(np.abs(slope * truth + intercept - rows).max() / np.ptp(rows))
    far = f"{kl.bend}; far from the prior it is"
    if slope > 0 and off < CLOSE + 10.0 * context.sampler_error:
        return passed(f"{far} {slope:.4g} times the KL of the drawn z, and a constant")
    return failed(f"{far} no multiple of the KL of the drawn z ({off:.2g} off)", FORM)


def _drawn(context: Context, because: str) -> LogStd:
    """Ln σ(·) as it is declared, or of the z that are drawn.

    Raises:
        CannotTell: there is neither.
    """
    if context.declared_log_std is not None:
        return context.declared_log_std
    if not context.subject.has("sample") or context.sampler.trouble is not None:
        raise CannotTell(f"{because}, and there is no sampler to compare it with")
    log_std = context.sampler.log_std
    return lambda raw: np.interp(raw, RAW, log_std)


REPEATS, ROWS = 8, 4096


def _in_expectation(context: Context) -> Verdict:
    """A KL estimated by sampling: its mean over many draws against the closed form, at a few posteriors."""
    function, dim = context.function("kl"), context.latent_dim
    log_std = _drawn(context, "the KL is a Monte Carlo estimate")
    found, truth, slack = [], [], []
    for mean, raw in ((0.0, -2.0), (1.5, 0.0), (0.5, 1.0)):
        shape = (ROWS, dim)
        with fixed_noise(context.subject.namespaces):
            values = [_mean_of(function, np.full(shape, mean), np.full(shape, raw)) for _ in range(REPEATS)]
        found.append(float(np.mean(values)))
        truth.append(dim * float(gaussian_kl(np.array(mean), np.asarray(log_std(np.array(raw))))))
        slack.append(STUDENT * float(np.std(values, ddof=1)) / np.sqrt(REPEATS) + 0.01 * (1.0 + truth[-1]))
    told = "; ".join(f"{f:.3g} for {t:.3g}" for f, t in zip(found, truth, strict=True))
    if np.all(np.abs(np.subtract(found, truth)) <= slack):
        return passed(f"a Monte Carlo estimate whose expectation is the KL of the drawn z: {told}")
    return failed(f"a Monte Carlo estimate whose expectation is not the KL of the drawn z: {told}", MONTE_CARLO)


STUDENT = float(-special.stdtrit(REPEATS - 1, LEVEL / 2))
MONTE_CARLO = "average log q(z|x) - log p(z) over z from q, with the sampler's σ in log q"


def _mean_of(function: Function, mean: Array, raw: Array) -> float:
    """The mean over the rows, whether the function gives rows, their mean or their sum."""
    value = function(mean, raw)
    if value.size > 1:
        return float(value.reshape(len(mean), -1).sum(axis=1).mean())
    half = float(function(mean[: len(mean) // 2], raw[: len(mean) // 2]).ravel()[0])
    whole = float(value.ravel()[0])
    return whole / len(mean) if abs(half) < 0.75 * abs(whole) else whole


def _blamed_on_noise(context: Context) -> bool:
    """Whether sampler-location-scale has said already that the sampler's noise is scaled."""
    recognition = context.sampler.recognition
    return recognition.name is not None and abs(recognition.factor - 1.0) >= 1e-2 and context.kl.recognition.is_scale


def _of_no_scale(context: Context) -> Verdict:
    """Any σ(·) has a KL of the form ½μ² + f(raw) with f ≥ 0; more cannot be said without a sampler."""
    if not close(context.kl.factor, 1.0):
        return _weighted(context, context.kl.factor)
    return passed("the KL is ½·mean² plus a function of raw; its σ(·) is no scale of the list")


def _weighted(context: Context, factor: float) -> Verdict:
    """The KL times a number."""
    beta = context.subject.declared.beta
    if beta is not None and beta != 1.0 and close(factor, beta):
        return warned(
            f"kl returns {factor:.4g} times the KL: BETA is inside it",
            "return the KL in nats and multiply by BETA in loss",
        )
    unit = " (1/ln 2: bits)" if close(factor, 1.0 / np.log(2.0)) else ""
    return failed(
        f"kl returns {factor:.4g} times the KL{unit}: effective β {factor:.4g}",
        f"{FORM}, in nats, no other factor",
    )


def _worst(comparison: Comparison) -> str:
    i = int(np.argmax(np.abs(comparison.kl - comparison.truth) / (1.0 + comparison.truth)))
    return f"where the drawn z have KL {comparison.truth[i]:.4g}, kl returns {comparison.kl[i]:.4g}"


def _fix(context: Context, drawn: Recognition, closed: Recognition) -> str:
    if not (drawn.is_scale and closed.is_scale and drawn.name != closed.name):
        return f"let kl and sample compute σ by one function: {FORM}"
    reads = f"the sampler treats raw as {MEANING[str(drawn.name)]}, the KL as {MEANING[str(closed.name)]}"
    if context.subject.declared.scale == drawn.name:
        return f"{reads}: compute the KL with σ = {FORMULA[str(drawn.name)]}, as SCALE declares"
    return f"{reads}: use {FORMULA[str(closed.name)]} in the sampler"
