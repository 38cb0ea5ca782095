"""The loss: reconstruction + β·KL, and the β that it has."""

from __future__ import annotations

import numpy as np

from reparam.verification.context import Context, SkipCheck, Verdict, failed, passed
from reparam.verification.measurements.objective import Combination
from reparam.verification.measurements.terms import CLOSE, close


def is_their_sum(context: Context) -> Verdict:
    """The loss is an affine function of its terms with weight 1 for the reconstruction and no constant."""
    if not context.has("reconstruction_loss"):
        raise SkipCheck("the file defines no reconstruction_loss")
    fit = _combination(context)
    measured = _in_words(fit)
    if fit.residual > CLOSE:
        return failed(
            f"the loss is no sum of the two: {fit.residual:.2g} of its variation remains",
            "loss = reconstruction + β·KL",
        )
    if abs(fit.kl) < CLOSE:
        return failed(f"{measured}: the KL does not enter", "loss = reconstruction + β·KL")
    if fit.kl < 0:
        return failed(f"{measured}: the KL is subtracted", "add the KL to the loss: it is a penalty")
    if fit.reconstruction < 0:
        return failed(f"{measured}: the reconstruction loss is subtracted", "add the reconstruction loss")
    if not close(fit.reconstruction, 1.0):
        return failed(measured, "give the reconstruction loss weight 1, and β to the KL alone")
    if not close(fit.constant, 0.0, 10 * CLOSE):
        return failed(measured, "add nothing else to the loss")
    return passed(measured)


def beta_effective(context: Context) -> Verdict:
    """The KL's weight relative to the reconstruction's is BETA."""
    fit = _combination(context)
    if fit.residual > CLOSE or fit.kl < CLOSE or (np.isfinite(fit.reconstruction) and fit.reconstruction < CLOSE):
        raise SkipCheck("the loss is no sum of the two with positive weights: see loss-is-their-sum")
    beta = fit.kl / (fit.reconstruction if np.isfinite(fit.reconstruction) else 1.0)
    declared = 1.0 if context.subject.declared.beta is None else context.subject.declared.beta
    measured = f"effective β {beta:.4g}{_true_beta(context, beta)}"
    inside = _inside_kl(context, beta, declared)
    if close(beta, declared) or inside:
        return _slope(context, declared if inside else 1.0) or passed(measured)
    if context.subject.declared.beta is None:
        return failed(
            f"{measured}, no BETA declared", f"weigh the KL by 1, or declare BETA = {beta:.4g} if it is meant"
        )
    return failed(f"{measured}, BETA = {declared:.4g}", "multiply the KL, and nothing else, by BETA, once")


def _slope(context: Context, inside: float) -> Verdict | None:
    """d loss/dβ is the KL, where BETA or a parameter ``beta`` can be moved: a β of 1 too must be in its place."""
    objective = context.objective
    if objective.kl is None:
        return None
    kl = objective.kl(*objective.posteriors) / inside
    slope = objective.slope_in_beta(context.subject)
    if slope is None or close(slope, kl, 10 * CLOSE):
        return None
    return failed(
        f"one more β raises the loss by {slope[0]:.4g} where the KL is {kl[0]:.4g}",
        "multiply the KL, and nothing else, by BETA, once",
    )


def _inside_kl(context: Context, beta: float, declared: float) -> bool:
    """Whether the user's ``kl`` carries BETA already, of which kl-matches-sampler warns."""
    return context.has("kl") and close(beta, 1.0) and close(context.kl.factor, declared)


def _true_beta(context: Context, beta: float) -> str:
    """Β relative to the KL in nats, summed over latents, where the user's ``kl`` is another multiple of it."""
    if not context.has("kl"):
        return ""
    factor = context.kl.factor / (context.latent_dim if context.kl.averages_latents else 1)
    return "" if close(factor, 1.0) or not np.isfinite(factor) else f" of kl, {beta * factor:.4g} of the KL in nats"


def _combination(context: Context) -> Combination:
    if context.objective.kl is None:
        raise SkipCheck(
            "the file defines no kl, and neither SCALE nor the sampler says which σ(raw) its closed form has"
        )
    return context.objective.combination


def _in_words(fit: Combination) -> str:
    constant = "" if close(fit.constant, 0.0, 10 * CLOSE) else f" + {fit.constant:.4g}"
    return f"loss = {fit.reconstruction:.4g}·reconstruction + {fit.kl:.4g}·KL{constant}"
