"""The KL term: zero at the prior, a sum over latents, and the KL of what the sampler draws."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reparam.verification.arrays import Array
from reparam.verification.context import Context, SkipCheck, Verdict, failed, passed, warned
from reparam.verification.measurements.sampler import RAW
from reparam.verification.measurements.terms import CLOSE, close
from reparam.verification.oracle import FORMULA, MEANING, SCALES, Recognition, gaussian_kl, moment_kl
from reparam.verification.randomness import CRITICAL, SEED

MEANS = np.array([0.0, 1.5])


def nonnegative_zero_at_prior(context: Context) -> Verdict:
    """The lowest KL over means and raw numbers is zero, and it lies at mean zero."""
    kl = context.kl
    if kl.factor < 0:
        return failed(
            f"the KL falls as the mean leaves 0 (its weight is {kl.factor:.3g}): the sign is turned",
            "KL = -0.5 * Σ(1 + log σ² - mean² - σ²): one minus in front",
        )
    at, lowest = kl.lowest
    if not close(lowest, 0.0):
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
            "the mean enters squared: KL = 0.5 * Σ(mean² + σ² - 1 - log σ²)",
        )
    return passed(f"the lowest KL is {lowest:.2g} nats, at mean 0 and raw {at:.3g}")


def _constant_fix(lowest: float) -> str:
    if lowest > 0:
        return "subtract the 1: KL = 0.5 * Σ(mean² + σ² - 1 - log σ²)"
    return "use one reading of raw in all of 0.5 * Σ(mean² + σ² - 1 - log σ²), and the sign of each part"


def sums_over_latents(context: Context) -> Verdict:
    """Every latent twice makes the KL twice as large, and a datum's KL is the sum of its latents'."""
    kl = context.kl
    if kl.term.kind == "elements":
        return failed(
            f"kl returns one number per latent, shape (N, {context.latent_dim})",
            "sum over the latents: kl.sum(axis=-1)",
        )
    if kl.averages_latents:
        return failed(
            "twice the latents leave the KL as it is: a mean over latents, "
            f"with D = {context.latent_dim} an effective β of {1 / context.latent_dim:.3g}",
            "sum over the latents: kl.sum(axis=-1); average over the batch only",
        )
    if not close(kl.growth, 2.0):
        return failed(f"twice the latents make the KL {kl.growth:.4g}-fold", "sum over the latents: kl.sum(axis=-1)")
    if kl.additivity_error > CLOSE:
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
        factor = float((self.kl @ self.truth) / (self.truth @ self.truth))
        off = np.abs(self.kl - factor * self.truth)
        return factor if np.all(off <= abs(factor) * self.slack) else float("nan")


def matches_sampler(context: Context) -> Verdict:
    """The KL is that of the drawn z; without a sampler, that of the declared scale or of any."""
    kl = context.kl
    if kl.factor < 0:
        raise SkipCheck("the KL's sign is turned: see kl-nonnegative-zero-at-prior")
    if not context.has("sample") or context.sampler.trouble is not None or _blamed_on_noise(context):
        return _without_sampler(context)
    comparison = _against_draws(context)
    uses = f"the sampler uses σ = {context.sampler.recognition}, the KL σ = {kl.recognition}"
    if comparison.agrees:
        return passed(f"{uses}; effective β {kl.factor:.4g}")
    if np.isfinite(comparison.factor):
        return _weighted(context, comparison.factor)
    return failed(f"{uses}; {_worst(comparison)}", _fix(context, context.sampler.recognition, kl.recognition))


def _against_draws(context: Context) -> Comparison:
    """Monte Carlo KL from the moments of z alone; without error where the noise could be chosen."""
    sampler = context.sampler.sampler
    given = sampler.noise == "given"
    means, raws = (grid.ravel() for grid in np.meshgrid(MEANS, RAW))
    keep = (means == 0.0) | (np.abs(raws) <= 2.0)
    means, raws = means[keep], raws[keep]
    draws = np.stack(
        [
            sampler.draw(*sampler.constant(mean, raw, sampler.rows), seed=SEED + 200 + i)
            for i, (mean, raw) in enumerate(zip(means, raws, strict=True))
        ]
    )
    numbers = np.inf if given else draws[0].size
    centre = draws.mean(axis=(1, 2))
    truth, error = moment_kl(centre, ((draws - centre[:, None, None]) ** 2).mean(axis=(1, 2)), numbers)
    context.comparisons += 0 if given else len(means)
    return Comparison(raws, context.kl.per_latent(means, raws) - context.kl.constant, truth, error)


def _blamed_on_noise(context: Context) -> bool:
    """Whether sampler-location-scale has said already that the sampler's noise is scaled."""
    recognition = context.sampler.recognition
    return recognition.name is not None and abs(recognition.factor - 1.0) >= 1e-2 and context.kl.recognition.is_scale


def _without_sampler(context: Context) -> Verdict:
    """The KL against the closed form of the declared scale, or of whichever scale it shows."""
    kl, declared = context.kl, context.declared_log_std
    found = kl.recognition
    if declared is None and not found.is_scale:
        return _of_no_scale(context)
    log_std = declared if declared is not None else SCALES[str(found.name)]
    means, raws = (grid.ravel() for grid in np.meshgrid(MEANS, RAW[np.abs(RAW) <= 2.0]))
    truth = gaussian_kl(means, log_std(raws))
    comparison = Comparison(raws, kl.per_latent(means, raws) - kl.constant, truth, np.zeros_like(truth))
    source = f"SCALE = {context.subject.scale}" if declared is not None else "the scale that it shows"
    if comparison.agrees:
        return passed(f"the KL uses σ = {found} (compared with {source}); effective β {kl.factor:.4g}")
    if np.isfinite(comparison.factor):
        return _weighted(context, comparison.factor)
    return failed(
        f"the KL uses σ = {found}, not {source}; {_worst(comparison)}", "KL = 0.5 * Σ(mean² + σ² - 1 - log σ²)"
    )


def _of_no_scale(context: Context) -> Verdict:
    """Any σ(·) has a KL of the form ½μ² + f(raw) with f ≥ 0; more cannot be said without a sampler."""
    factor = context.kl.factor
    if not np.isfinite(factor):
        return failed("the KL is not ½·mean² plus a function of raw", "KL = 0.5 * Σ(mean² + σ² - 1 - log σ²)")
    if not close(factor, 1.0):
        return _weighted(context, factor)
    return passed("the KL is ½·mean² plus a function of raw; its σ(·) is no scale of the list")


def _weighted(context: Context, factor: float) -> Verdict:
    """The KL times a number."""
    beta = context.subject.beta
    if beta is not None and beta != 1.0 and close(factor, beta):
        return warned(
            f"kl returns {factor:.4g} times the KL: BETA is inside it",
            "return the KL in nats and multiply by BETA in loss",
        )
    unit = " (1/ln 2: bits)" if close(factor, 1.0 / np.log(2.0)) else ""
    return failed(
        f"kl returns {factor:.4g} times the KL{unit}: effective β {factor:.4g}",
        "KL = 0.5 * Σ(mean² + σ² - 1 - log σ²), in nats, no other factor",
    )


def _worst(comparison: Comparison) -> str:
    i = int(np.argmax(np.abs(comparison.kl - comparison.truth) / (1.0 + comparison.truth)))
    return f"where the drawn z have KL {comparison.truth[i]:.4g}, kl returns {comparison.kl[i]:.4g}"


def _fix(context: Context, drawn: Recognition, closed: Recognition) -> str:
    if not (drawn.is_scale and closed.is_scale and drawn.name != closed.name):
        return "let kl and sample compute σ by one function: KL = 0.5 * Σ(mean² + σ² - 1 - log σ²)"
    reads = f"the sampler treats raw as {MEANING[str(drawn.name)]}, the KL as {MEANING[str(closed.name)]}"
    if context.subject.scale == drawn.name:
        return f"{reads}: compute the KL with σ = {FORMULA[str(drawn.name)]}, as SCALE declares"
    return f"{reads}: use {FORMULA[str(closed.name)]} in the sampler"
