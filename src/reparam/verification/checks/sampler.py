"""The sampler: z = μ + σ(raw)·ε."""

from __future__ import annotations

import numpy as np

from reparam.verification.arrays import Array
from reparam.verification.context import CannotTell, Context, SkipCheck, Verdict, failed, passed
from reparam.verification.functions import UserError
from reparam.verification.measurements.sampler import RAW
from reparam.verification.measurements.terms import close
from reparam.verification.oracle import FORMULA, gaussian_kl
from reparam.verification.randomness import CRITICAL

HELD = "the sampler's noise cannot be held still: let it take eps, a key, or draw from a generator that can be seeded"


def location_scale(context: Context) -> Verdict:
    """Z is the mean plus σ(raw) times unit noise, and σ(·) is the declared one or one that the KL shares."""
    measured = context.sampler
    if not measured.held:
        raise CannotTell(HELD)
    if measured.trouble is not None:
        return failed(measured.trouble.measured, measured.trouble.fix)
    found = f"z = mean + σ(raw)·ε with σ(raw) = {measured.recognition}, σ(0) = {measured.std_at(np.zeros(1))[0]:.4g}"
    if context.declared_log_std is not None:
        return _against_declared(context, found)
    if measured.recognition.name is not None and not measured.recognition.is_scale and _kl_has_unit_noise(context):
        return failed(
            found + f": ε has standard deviation {measured.recognition.factor:.3g}",
            "draw eps from N(0, 1), or declare SCALE and use the same σ in the KL",
        )
    return passed(found)


def _against_declared(context: Context, found: str) -> Verdict:
    """Where the KL disagrees with the sampler, kl-matches-sampler says which of them is not as declared."""
    name, declared = str(context.subject.declared.scale), context.declared_log_std
    if declared is None or _agrees(context, declared(RAW)):
        return passed(found)
    if not _noise_is_scaled(context) and _has_kl(context) and not _kl_agrees_with_sampler(context):
        return passed(found + f"; SCALE declares {name}: see kl-matches-sampler")
    formula = FORMULA.get(name.partition(":")[0], name)
    return failed(found + f", but SCALE declares {name}", f"use σ = {formula} in the sampler, or declare its own SCALE")


def _has_kl(context: Context) -> bool:
    """Whether a KL can be measured beside the sampler."""
    try:
        return context.has("kl") and np.isfinite(context.kl.factor) and bool(context.kl.factor)
    except (CannotTell, SkipCheck, UserError):  # told by the checks of the KL itself
        return False


def _agrees(context: Context, log_std: Array) -> bool:
    """Whether the sampler's ln σ is this one where scales differ, up to a small floor and chance."""
    near = np.abs(RAW) <= 2.0
    off = np.abs(context.sampler.log_std - log_std)[near]
    return bool(np.all(off <= 2e-2 + CRITICAL * context.sampler.error))


def _noise_is_scaled(context: Context) -> bool:
    return context.sampler.recognition.name is not None and not context.sampler.recognition.is_scale


def _kl_has_unit_noise(context: Context) -> bool:
    """Whether the factor in front of the sampler's σ is the noise's: the KL, if there is one, does not share it."""
    recognition = context.sampler.recognition
    if abs(recognition.factor - 1.0) < 1e-2:
        return False
    return not _has_kl(context) or not _kl_agrees_with_sampler(context)


def _kl_agrees_with_sampler(context: Context) -> bool:
    """Whether the KL is, at mean 0, that of the sampler's σ."""
    try:
        kl = context.kl.per_latent(0.0, RAW) - context.kl.constant
    except UserError:  # told by the check of the KL itself
        return False
    truth = gaussian_kl(np.zeros_like(RAW), context.sampler.log_std)
    slack = 10.0 * context.sampler.error * np.exp(2.0 * np.abs(context.sampler.log_std))
    return bool(np.all(np.abs(kl - truth) <= 2e-2 * (1.0 + truth) + slack)) or close(kl, truth)
