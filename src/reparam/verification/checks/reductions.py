"""Sums and means: over features a sum, over the batch the same for all terms."""

from __future__ import annotations

from collections.abc import Mapping

from reparam.verification.context import Context, SkipCheck, Verdict, failed, passed
from reparam.verification.measurements.objective import ObjectiveMeasurement
from reparam.verification.measurements.reconstruction import ReconstructionMeasurement
from reparam.verification.measurements.terms import CLOSE, Term, close

SUM_FEATURES = "sum over the features (reduction='sum', then divide by the batch; or .sum(axis=-1).mean())"


def reconstruction_sums_over_features(context: Context) -> Verdict:
    """Every feature twice makes the loss twice as large."""
    measured = context.reconstruction
    if measured.term.kind == "elements":
        return failed(f"one number per feature, shape (N, {measured.features})", SUM_FEATURES)
    if measured.shift_invariant:
        raise SkipCheck("a softmax over the features: one categorical variable, which cannot be doubled")
    implied = _implied(measured)
    if measured.averages_features and not _written_as_sum(context, measured):
        return failed(
            f"twice the features leave the loss as it is: a mean over features, with P = {measured.features} an "
            f"effective β of {measured.features}{implied}",
            SUM_FEATURES,
        )
    if not measured.averages_features and not close(measured.growth, 2.0):
        return failed(f"twice the features make the loss {measured.growth:.4g}-fold{implied}", SUM_FEATURES)
    return passed(f"twice the features make the loss {measured.growth:.4g}-fold{implied}")


def _implied(measured: ReconstructionMeasurement) -> str:
    std = measured.implied_std
    return "" if std is None else f"; implied σ_x {std:.4g}"


def _written_as_sum(context: Context, measured: ReconstructionMeasurement) -> bool:
    """Whether it is P · mean with the P of the declared DATA written as a number: then it is the sum."""
    if context.subject.declared.data is None or measured.kind is None:
        return False
    factor = measured.kind.factor / measured.features
    return any(abs(factor - one) < CLOSE for one in ((0.5, 1.0) if measured.kind.likelihood == "gaussian" else (1.0,)))


def batch_reduction_consistent(context: Context) -> Verdict:
    """Each term over a batch is the mean of its data's, or each is the sum."""
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
    if len(scalars) > 1:
        return failed(f"{measured}{_beta(found, context.count)}", "average all terms over the batch, or sum all")
    declared = context.subject.declared.reduction
    if declared is not None and scalars - {declared}:
        return failed(
            f"{measured}, but REDUCTION declares {declared}",
            f"take the {declared} over the batch, or declare the other",
        )
    return passed(measured)


def _terms(context: Context) -> dict[str, Term]:
    terms: dict[str, Term] = {}
    if context.has("kl"):
        terms["kl"] = context.kl.term
    if context.has("reconstruction_loss"):
        terms["reconstruction_loss"] = context.reconstruction.term
    if context.has("loss"):
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
