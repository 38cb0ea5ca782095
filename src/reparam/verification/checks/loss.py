"""The loss: reconstruction + β·KL, and the β that it has."""

from __future__ import annotations

import numpy as np

from reparam.verification.checks.reductions import weighed_against, written_as_sum, written_batch
from reparam.verification.context import CannotTell, Context, SkipCheck, Verdict, failed, passed, warned
from reparam.verification.measurements.objective import Combination
from reparam.verification.measurements.terms import CLOSE, close

MENDED = "loss = reconstruction + β·KL"


def is_their_sum(context: Context) -> Verdict:
    """The loss is an affine function of its terms with weight 1 for the reconstruction and no constant."""
    if not context.subject.is_joint:
        return failed("the loss hands its KL the data in the place of the mean and the scale: no KL enters", MENDED)
    if context.is_split and not context.subject.has("kl") and context.divergence.absent:
        return failed("the loss depends on neither mean nor raw: the KL does not enter", MENDED)
    fit = context.objective.combination
    measured = _in_words(fit)
    if fit.residual > CLOSE:
        if context.objective.term.reduction == "neither":
            raise CannotTell(COUPLED)
        return failed(f"the loss is no sum of the two: {fit.residual:.2g} of its variation remains", MENDED)
    if abs(fit.kl) < 1e-9:
        return failed(f"{measured}: the KL does not enter", MENDED)
    if fit.kl < 0:
        return failed(f"{measured}: the KL is subtracted", "add the KL to the loss: it is a penalty")
    if fit.reconstruction < 0:
        return failed(f"{measured}: the reconstruction loss is subtracted", "add the reconstruction loss")
    if not close(fit.reconstruction, 1.0):
        return failed(measured, "give the reconstruction loss weight 1, and β to the KL alone")
    if not close(fit.constant, 0.0, 10 * CLOSE):
        return failed(measured, "add nothing else to the loss")
    return passed(measured)


COUPLED = (
    "the loss couples the data of a batch (a total correlation, a covariance, an MMD?), so that it is no sum of terms "
    "per datum, and its terms cannot be told apart"
)


def beta_effective(context: Context) -> Verdict:
    """The KL's weight relative to the reconstruction's is BETA."""
    fit = context.objective.combination
    if fit.residual > CLOSE or fit.kl < 1e-9:
        raise SkipCheck("the loss is no sum of the two with positive weights: see loss-is-their-sum")
    beta = fit.kl / fit.reconstruction
    declared = 1.0 if context.subject.declared.beta is None else context.subject.declared.beta
    measured = f"effective β {beta:.4g}{_true_beta(context, beta)}"
    inside = _inside_kl(context, beta, declared)
    if _same(beta, declared) or inside:
        return _slope(context, declared if inside else 1.0) or passed(measured)
    if context.subject.declared.beta is not None:
        return failed(f"{measured}, BETA = {declared:.4g}", "multiply the KL, and nothing else, by BETA, once")
    return _undeclared(context, beta, measured)


def _same(value: float, truth: float) -> bool:
    """Relatively: a weight of 0.00025 is as much a weight as one of 4."""
    return abs(value - truth) <= CLOSE * abs(truth)


def _undeclared(context: Context, beta: float, measured: str) -> Verdict:
    """A weight without BETA: one that the code names is meant; beside squared errors it is a σ_x; else it is told."""
    fix = f"weigh the KL by 1, or declare BETA = {beta:.4g} if it is meant"
    named = {name: value for name, value in context.subject.weights().items() if _same(beta, value)}
    if named:
        return passed(f"{measured}, which the code calls {next(iter(named))}")
    share = context.reconstruction.implied_std
    if (written := written_batch(context)) is not None:
        return passed(written)
    if (told := weighed_against(context)) is not None:
        if context.kl.averages_latents or not written_as_sum(context, context.reconstruction):
            teller = "kl-sums-over-latents" if context.kl.averages_latents else "reconstruction-sums-over-features"
            raise SkipCheck(f"the effective β is told by {teller}, which warns")
        return warned(told, fix)
    if context.is_split and share is not None:
        kind = context.reconstruction.kind
        factor = kind.factor if kind is not None else 1.0
        return warned(f"{measured} beside squared errors: a bound of σ_x = {np.sqrt(0.5 * beta / factor):.4g}", fix)
    return failed(f"{measured}, no BETA declared", fix)


def _slope(context: Context, inside: float) -> Verdict | None:
    """d loss/dβ is the KL, where BETA or a parameter ``beta`` can be moved: a β of 1 too must be in its place."""
    objective = context.objective
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
    return context.subject.has("kl") and close(beta, 1.0) and _same(context.kl.factor, declared)


def _true_beta(context: Context, beta: float) -> str:
    """Β relative to the KL in nats, summed over latents, where the user's ``kl`` is another multiple of it."""
    if not context.subject.has("kl"):
        return ""
    factor = context.kl.factor / (context.latent_dim if context.kl.averages_latents else 1)
    return "" if close(factor, 1.0) or not np.isfinite(factor) else f" of kl, {beta * factor:.4g} of the KL in nats"


def _in_words(fit: Combination) -> str:
    constant = "" if close(fit.constant, 0.0, 10 * CLOSE) else f" + {fit.constant:.4g}"
    return f"loss = {fit.reconstruction:.4g}·reconstruction + {fit.kl:.4g}·KL{constant}"
