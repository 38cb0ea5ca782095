"""The reconstruction term as a likelihood: its sign, its constants, its range, and the data it is given."""

from __future__ import annotations

import numpy as np

from reparam.verification.arrays import Array
from reparam.verification.context import Context, SkipCheck, Verdict, failed, passed, warned
from reparam.verification.functions import UserError
from reparam.verification.measurements.reconstruction import Kind, ReconstructionMeasurement
from reparam.verification.measurements.terms import close

ALIASES = {"normal": "gaussian", "mse": "gaussian", "bce": "bernoulli"}
MASS = 5e-3
"""How far the total probability of a claimed density may be from 1: the error of the quadrature."""


def support(context: Context) -> Verdict:
    """The first thing that is wrong with it, in the order in which one mends it."""
    claimed = _claimed(context)
    if not context.has("reconstruction_loss"):
        return _data_alone(context, claimed)
    measured = context.reconstruction
    if measured.shift_invariant:
        return passed("a softmax over the features: categorical")
    kind = measured.kind
    return (
        _sign(measured, kind, claimed)
        or _disagreement(kind, claimed)
        or (
            None
            if _is_shifted(context)
            else _constants(measured, kind, claimed)
            if kind
            else _unknown(measured, claimed)
        )
        or _data(context, kind.likelihood if kind else claimed)
        or passed(_in_words(measured, kind))
    )


def _is_shifted(context: Context) -> bool:
    """Whether a floor under the KL, or a capacity, stays in the loss at the prior as a constant."""
    return context.is_split and not context.subject.has("kl") and context.divergence.bend is not None


def _claimed(context: Context) -> str | None:
    name = context.subject.declared.likelihood
    return None if name is None else ALIASES.get(name, name)


def _data_alone(context: Context, claimed: str | None) -> Verdict:
    if context.subject.declared.data is None or claimed is None:
        raise SkipCheck("the file defines no reconstruction_loss, nor both LIKELIHOOD and DATA")
    return _data(context, claimed) or passed(f"DATA lies in the support of LIKELIHOOD = {claimed}")


LOG_LINKED = ("poisson", "negative_binomial", "zero_inflated_negative_binomial", "categorical", "discretized_logistic")
"""Likelihoods whose decoder output need not be near x where x is likely."""


def _sign(measured: ReconstructionMeasurement, kind: Kind | None, claimed: str | None) -> Verdict | None:
    """For each x the loss at outputs near it is lower than at outputs far from it."""
    near, far = measured.table[[0, 1], [0, -1]], measured.table[[0, 1], [-1, 0]]
    turned = kind.factor < 0 if kind else bool(np.all(near > far + 1e-6))
    if turned:
        return failed(
            "the loss rises as decoded nears x: it is a log-likelihood, not a loss", "return minus the log-likelihood"
        )
    if kind or claimed in LOG_LINKED or np.all(near < far - 1e-6):
        return None
    x = 0 if near[0] >= far[0] - 1e-6 else 1
    return failed(
        f"at x = {x} the loss is {near[x]:.3g} for decoded near x and {far[x]:.3g} for decoded far from it",
        "both parts of the log-likelihood: for Bernoulli x·log p + (1 - x)·log(1 - p)",
    )


def _disagreement(kind: Kind | None, claimed: str | None) -> Verdict | None:
    if kind is None or claimed is None or kind.likelihood == claimed or _refines(kind, claimed):
        return None
    return failed(
        f"LIKELIHOOD declares {claimed}, the loss is a {kind.name} ({kind.likelihood})",
        f"use the {claimed} log-likelihood, or declare {kind.likelihood}",
    )


def _refines(kind: Kind, claimed: str) -> bool:
    """Whether the known loss is the claimed one without a normaliser; its constants tell."""
    return (kind.likelihood, claimed) == ("bernoulli", "continuous_bernoulli")


def _constants(measured: ReconstructionMeasurement, kind: Kind, claimed: str | None) -> Verdict | None:
    if claimed == "continuous_bernoulli":
        return failed(
            "a cross-entropy without the continuous Bernoulli's normaliser",
            "add log C(p), C = 2·artanh(1 - 2p)/(1 - 2p), to the log-likelihood",
        )
    test = {"bernoulli": _bernoulli, "poisson": _poisson}.get(kind.likelihood, _location_family)
    return test(measured, kind, claimed)


def _bernoulli(measured: ReconstructionMeasurement, kind: Kind, claimed: str | None) -> Verdict | None:
    """Σ over x of exp(−loss) is 1, and a decoder can reach every probability."""
    del claimed
    if "already" in kind.name:
        return failed(
            "decoded goes through a sigmoid twice: p never leaves [0.5, 0.73]",
            "give the cross-entropy of logits the logits, or that of probabilities one sigmoid",
        )
    factor = kind.factor / measured.features if measured.averages_features and kind.factor > 1.5 else kind.factor
    if close(factor, 1.0) and close(kind.constant, 0.0):
        return None
    total = float(np.exp(-measured.table[:, 2]).sum())
    bits = " (1/ln 2: bits)" if close(factor, 1.0 / np.log(2.0)) else ""
    return failed(
        f"the loss is {factor:.4g} times the cross-entropy{bits} plus {kind.constant:.3g}: "
        f"Σ over x of exp(-loss) is {total:.3g}",
        "the Bernoulli log-likelihood in nats, with no other factor or constant",
    )


LOCATION_FAMILIES = {"gaussian": (0.5, np.pi, 0.5, "½·log(2πσ²)"), "laplace": (1.0, 2.0, 1.0, "log(2b)")}
"""Likelihood → power, whole and partial normaliser of the loss factor·|x − decoded|^q, and its constant in words."""


def _location_family(measured: ReconstructionMeasurement, kind: Kind, claimed: str | None) -> Verdict | None:
    """``constant`` makes the loss a density; ``partial`` leaves out the number that no parameter enters."""
    power, whole, part, formula = LOCATION_FAMILIES[kind.likelihood]
    constant, partial = power * np.log(whole / kind.factor), power * np.log(part / kind.factor)
    if close(kind.constant, constant):
        return None
    found = f"the constant per feature is {kind.constant:.4g}, that of a density {constant:.4g}"
    fix = f"add {formula} per feature where LIKELIHOOD claims a log-likelihood"
    if claimed is not None:
        return failed(f"{found}: the bound is off by {constant - kind.constant:.4g} nats per feature", fix)
    if close(kind.constant, 0.0) or close(kind.constant, partial):
        return None
    return warned(f"{found}; no LIKELIHOOD is declared", fix)


def _poisson(measured: ReconstructionMeasurement, kind: Kind, claimed: str | None) -> Verdict | None:
    """At x = 0 and 1 the log-factorial is zero; at x = 3 it is log 6."""
    rates = measured.per_feature(3.0, 0.5)[0]
    output = 0.5 if kind.name.endswith(" rates") else np.exp(0.5)
    bare = output - 3.0 * np.log(output)
    if close(kind.factor, 1.0) and close(kind.constant, 0.0) and (close(rates, bare + np.log(6.0)) or claimed is None):
        return None
    return failed(
        f"the loss is {kind.factor:.4g} times the Poisson loss plus {kind.constant:.3g}; "
        f"at x = 3 it is {rates:.4g}, of a density {bare + np.log(6.0):.4g}",
        "the Poisson log-likelihood: x·log λ - λ - log x!",
    )


DENSITIES: dict[str, Array] = {
    "gaussian": np.linspace(-60.0, 60.0, 4001),
    "laplace": np.linspace(-60.0, 60.0, 4001),
    "student_t": np.sinh(np.linspace(-12.0, 12.0, 2001)),
    "continuous_bernoulli": np.linspace(0.0, 1.0, 201),
}
"""Likelihood → the x over which exp(−loss) must integrate to 1."""


def _unknown(measured: ReconstructionMeasurement, claimed: str | None) -> Verdict | None:
    """A loss of no known form: is it the density that it claims to be?"""
    if claimed is None:
        total = float(np.exp(-measured.table[:, 2]).sum())
        if close(np.exp(-measured.table).sum(axis=0), 1.0):
            return None
        return warned(
            f"no known log-likelihood (Σ over x = 0, 1 of exp(-loss) is {total:.3g})",
            "declare LIKELIHOOD; the bound of a loss that is no log-likelihood is in no units",
        )
    if claimed != "bernoulli" and claimed not in DENSITIES:
        return None
    masses = [_mass(measured, claimed, decoded) for decoded in (0.2, 0.6)]
    if all(abs(mass - 1.0) < MASS for mass in masses):
        return None
    return failed(
        f"LIKELIHOOD declares {claimed}, but exp(-loss) has total mass {masses[0]:.4g} at decoded = 0.2",
        f"return minus the {claimed} log-density, with all of its constants",
    )


def _mass(measured: ReconstructionMeasurement, claimed: str, decoded: float) -> float:
    if claimed == "bernoulli":
        return float(np.exp(-measured.per_feature(np.array([0.0, 1.0]), decoded)).sum())
    return measured.total_mass(decoded, DENSITIES[claimed])


def _data(context: Context, likelihood: str | None) -> Verdict | None:
    """Whether DATA lies where the likelihood puts its probability."""
    data = context.subject.declared.data_array()
    if data is None or likelihood is None:
        return None
    seen = data[np.isfinite(data)]
    low, high = float(seen.min()), float(seen.max())
    if likelihood in ("bernoulli", "continuous_bernoulli", "beta") and (low < 0.0 or high > 1.0):
        return failed(f"DATA reaches from {low:.3g} to {high:.3g}, outside [0, 1]", "scale DATA into [0, 1]")
    if likelihood == "bernoulli" and np.any((seen != 0.0) & (seen != 1.0)):
        share = float(np.mean((seen != 0.0) & (seen != 1.0)))
        return failed(
            f"{share:.1%} of DATA is neither 0 nor 1: a Bernoulli has no probability there",
            "binarise DATA (draw each pixel), or use a continuous Bernoulli, beta or Gaussian likelihood",
        )
    counts = ("poisson", "negative_binomial", "zero_inflated_negative_binomial")
    if likelihood in counts and (low < 0.0 or np.any(seen != np.round(seen))):
        return failed(f"DATA reaches from {low:.3g} to {high:.3g} and is no counts", "give counts: 0, 1, 2, …")
    return None


def _in_words(measured: ReconstructionMeasurement, kind: Kind | None) -> str:
    if kind is None:
        return "a density as declared, or no known form"
    if kind.likelihood == "gaussian":
        return f"{kind.name}, implied σ_x {measured.implied_std:.4g}, constant {kind.constant:.4g} per feature"
    return kind.name + (_clipping(measured) if kind.name == "cross-entropy of probabilities" else "")


def _clipping(measured: ReconstructionMeasurement) -> str:
    """What becomes of outputs that are no probabilities."""
    try:
        accepted = bool(np.all(np.isfinite(measured.per_feature(1.0, np.array([-2.0, 3.0])))))
    except UserError:
        accepted = False
    silently = ", and outputs outside (0, 1) are clipped silently" if accepted else ""
    return f"; decoded must be probabilities (a sigmoid ends the decoder){silently}"
