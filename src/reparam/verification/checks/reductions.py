"""Sums and means: over features a sum, over the batch the same for all terms."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from reparam.verification.context import CannotTell, Context, SkipCheck, Verdict, failed, passed, warned
from reparam.verification.finding.sizes import numbers_of
from reparam.verification.finding.words import role
from reparam.verification.functions import UserError
from reparam.verification.measurements.objective import ObjectiveMeasurement
from reparam.verification.measurements.reconstruction import ReconstructionMeasurement
from reparam.verification.measurements.terms import CLOSE, Term, close

SUM_FEATURES = "sum over the features (reduction='sum', then divide by the batch; or .sum(axis=-1).mean())"

BOTH_MEANS = "the KL is a mean over latents beside a mean over features: effective β P/D times"


def reconstruction_sums_over_features(context: Context) -> Verdict:
    """Every feature twice makes the loss twice as large."""
    measured = context.reconstruction
    if measured.term.kind == "elements":
        return failed(f"one number per feature, shape (N, {measured.features})", SUM_FEATURES)
    if measured.shift_invariant:
        raise SkipCheck("a softmax over the features: one categorical variable, which cannot be doubled")
    implied = _implied(measured)
    if measured.averages_features and not written_as_sum(context, measured):
        if (written := written_batch(context)) is not None:
            return passed(f"the whole loss is 1/P of a bound, P = {measured.features}; {written}")
        if (told := weighed_against(context)) is not None:
            if context.kl.averages_latents:
                raise SkipCheck(f"a mean over features{implied}, of which kl-sums-over-latents warns")
            return warned(f"a mean over features{implied}; {told}", SUM_FEATURES)
        if not context.has("kl"):
            return warned(f"a mean over features{implied}; what the KL weighs beside it was not found", SUM_FEATURES)
        return failed(
            f"twice the features leave the loss as it is: a mean over features, with P = {measured.features} an "
            f"effective β of {measured.features}{implied}",
            SUM_FEATURES,
        )
    if not measured.averages_features and not close(measured.growth, 2.0):
        return failed(f"twice the features make the loss {measured.growth:.4g}-fold{implied}", SUM_FEATURES)
    return passed(f"twice the features make the loss {measured.growth:.4g}-fold{implied}")


def weighed_against(context: Context) -> str | None:
    """The effective β, where a mean over features meets a KL that is a mean too, or has a weight that was chosen."""
    try:
        kl, features = context.kl, context.features if context.reconstruction.averages_features else 1
        if features > 1 and kl.averages_latents and not context.subject.has("loss"):
            return f"{BOTH_MEANS} its weight, P = {features} here"
        weight = kl.factor if context.is_split else context.objective.combination.kl
    except (CannotTell, SkipCheck, UserError):
        return None
    if not np.isfinite(weight) or (features == 1) != (not context.reconstruction.averages_features):
        return None
    latents = context.latent_dim if kl.averages_latents else 1
    if features > 1 and latents > 1:
        return f"{BOTH_MEANS} {weight:.4g}, here {features * weight / latents:.4g}"
    given = [a.name for a in context.function("loss").call.arguments if role(a.name) == "weight"]
    if features > 1 and given:
        return f"the KL's weight {given[0]} is an argument: it must be of the size 1/P for an ELBO"
    meant = context.subject.declared.beta or 1.0
    if features > 1 and latents == 1 and not close(weight, 1.0, 1e-2) and not close(weight, meant, 1e-2):
        return f"the KL's weight is {weight:.4g}: effective β P times that, here {features * weight:.4g}"
    return None


def _implied(measured: ReconstructionMeasurement) -> str:
    std = measured.implied_std
    return "" if std is None else f"; implied σ_x {std:.4g}"


def written_as_sum(context: Context, measured: ReconstructionMeasurement) -> bool:
    """Whether it is P · mean with the P of the declared DATA, or one that the code names: then it is the sum."""
    loss = context.function("loss" if context.is_split else "reconstruction_loss")
    known = context.subject.declared.data is not None or measured.features in numbers_of(loss.call)
    if not known or measured.kind is None:
        return False
    factor = measured.kind.factor / measured.features
    return any(abs(factor - one) < CLOSE for one in ((0.5, 1.0) if measured.kind.likelihood == "gaussian" else (1.0,)))


def batch_reduction_consistent(context: Context) -> Verdict:
    """Each term over a batch is the mean of its data's, or each is the sum."""
    if (written := written_batch(context)) is not None:
        return passed(written)
    terms = _terms(context)
    if not terms:
        raise SkipCheck("the file defines neither kl, reconstruction_loss nor loss")
    found = {name: term.reduction for name, term in terms.items()}
    measured = ", ".join(f"{name}: {_in_words(reduction)}" for name, reduction in found.items())
    if "loss" in terms and found["loss"] == "neither":
        return failed(
            _mixed(context.objective) or measured, "reduce the KL and the reconstruction alike over the batch"
        )
    if "neither" in found.values():
        return failed(measured, "sum over the elements of a datum, and average (or sum) over the batch")
    scalars = {reduction for reduction in found.values() if reduction != "rows"}
    alike = {found[name] for name in found if name != "loss"} - {"rows"}
    if len(scalars) > 1 and not ("loss" in terms and len(alike) < 2):
        return failed(f"{measured}{_beta(found, context.count)}", "average all terms over the batch, or sum all")
    declared = context.subject.declared.reduction
    if declared is not None and scalars - {declared}:
        return failed(
            f"{measured}, but REDUCTION declares {declared}",
            f"take the {declared} over the batch, or declare the other",
        )
    return passed(measured)


def written_batch(context: Context) -> str | None:
    """Where a KL summed over the batch is divided by the batch size of training, written out: right at that size."""
    kl = context.divergence if context.is_split and not context.subject.has("kl") else None
    if kl is None or kl.absent or kl.bend is not None:
        return None
    share = context.features if context.reconstruction.averages_features else 1
    sizes = [n for n in numbers_of(context.function("loss").call) if n > 1]
    factor = kl.factor * share
    size = next((n for n in sizes if factor > 0 and abs(factor * n - 1.0) < CLOSE), None)
    if size is None or (kl.term.reduction, context.reconstruction.term.reduction) != ("sum", "mean"):
        return None
    return f"the KL's sum over the batch is divided by {size}, written out: right for batches of that size"


def _terms(context: Context) -> dict[str, Term]:
    terms: dict[str, Term] = {}
    if context.has("kl") and not (context.is_split and context.divergence.absent):
        terms["kl"] = context.divergence.term
    if context.has("reconstruction_loss"):
        terms["reconstruction_loss"] = context.reconstruction.term
    if context.subject.is_joint:
        terms["loss"] = context.objective.term
    return terms


def _in_words(reduction: str) -> str:
    return {
        "mean": "mean over the batch",
        "sum": "sum over the batch",
        "rows": "one number per datum",
        "neither": "neither the mean nor the sum of its data's",
    }[reduction]


def _beta(found: Mapping[str, str], count: int) -> str:
    """What the KL weighs when one term is summed and the other averaged."""
    pair = found.get("kl"), found.get("reconstruction_loss")
    if pair == ("mean", "sum"):
        return f"; effective β 1/N, here {1 / count:.3g}"
    return f"; effective β N, here {count}" if pair == ("sum", "mean") else ""


def _mixed(objective: ObjectiveMeasurement) -> str:
    """Which part of the loss is summed and which averaged."""
    kl, reconstruction = objective.parts_growth()
    if not (close(max(kl, reconstruction), objective.term.count, 1e-2) and close(min(kl, reconstruction), 1.0, 1e-2)):
        return ""
    summed, averaged = ("KL", "reconstruction") if kl > reconstruction else ("reconstruction", "KL")
    beta = f"effective β {kl / reconstruction:.3g} at N = {objective.term.count}"
    return f"loss sums the {summed} over the batch and averages the {averaged}: {beta}"
