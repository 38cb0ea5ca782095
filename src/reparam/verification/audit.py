"""The audit: every check in turn, each answered once, whatever the user's code does."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from reparam.verification.checks import CHECKS, Check
from reparam.verification.context import Context, SkipCheck
from reparam.verification.loading import describe
from reparam.verification.oracle import scale_named
from reparam.verification.randomness import LEVEL, SEED
from reparam.verification.report import Finding, Report
from reparam.verification.subject import Subject, UserError, subject_of


def verify(namespace: Any, module: ModuleType | None = None) -> Report:
    r"""Audit the variational autoencoder whose functions ``namespace`` holds, against Monte Carlo and closed forms.

    ``namespace``: a module, class, instance or anything with attributes that has at least one of
    ``sample(mean, raw, eps)`` or ``sample(mean, raw)`` → z, ``kl(mean, raw)``, ``reconstruction_loss(x, decoded)``,
    ``loss(x, mean, raw, decoded)`` and ``bound(log_w)``. Shapes: ``mean``, ``raw``, ``eps``, z (N, D); ``x``,
    ``decoded`` (N, P); ``log_w`` (N, K); terms (N,) or a scalar over the batch, in nats. ``module``: where
    declarations (``SCALE``, ``BETA``, …) are looked for that ``namespace`` has not.

    Random comparisons together raise a false alarm in at most 1 of 10,000 runs on correct code.

    Raises:
        DataError: none of the functions is there.
        ParameterError: a declaration has a value that it cannot have.

    >>> import types, numpy as np
    >>> vae = types.SimpleNamespace(
    ...     sample=lambda mean, raw, eps: mean + np.exp(raw) * eps,
    ...     kl=lambda mean, raw: 0.5 * (mean**2 + np.exp(raw) - 1 - raw).sum(axis=1),
    ... )
    >>> print(verify(vae)["kl-matches-sampler"].fix)
    the sampler treats raw as log σ, the KL as log σ²: use exp(0.5·raw) in the sampler
    """
    subject = subject_of(namespace, module)
    if subject.scale is not None:
        scale_named(subject.scale)
    context = Context(subject)
    with np.errstate(all="ignore"):  # the user's numbers may be infinite, which the checks tell
        findings = tuple(_answers(context))
    rate = context.comparisons * LEVEL
    return Report(findings, SEED, context.comparisons, rate, tuple(_notes(subject)))


def _answers(context: Context) -> list[Finding]:
    """One finding per check; the same failure of the same function is told once and then referred to."""
    told: dict[str, str] = {}
    return [_answer(check, context, told) for check in CHECKS]


def _answer(check: Check, context: Context, told: dict[str, str]) -> Finding:
    missing = [name for name in check.needs if not context.has(name)]
    if missing:
        return Finding(check.name, "skipped", f"the file defines no {missing[0]}", check.expected)
    try:
        verdict = check.answer(context)
    except SkipCheck as reason:
        return Finding(check.name, "skipped", str(reason), check.expected)
    except UserError as error:
        first = told.setdefault(error.name, check.name)
        if first != check.name:
            return Finding(check.name, "skipped", f"{error.name} could not be used: see {first}", check.expected)
        fix = (
            "mend the function; where it needs other sizes, declare LATENT_DIM and DATA so that the arrays have them"
            if error.name != "DATA"
            else "DATA: an (N, P) array of numbers, or a function without arguments that gives one"
        )
        return Finding(check.name, "fail", str(error), check.expected, fix)
    except Exception as error:
        measured = f"the numbers that came back cannot be analysed: {describe(error)}"
        return Finding(check.name, "fail", measured, check.expected, "return finite numbers for ordinary arguments")
    return Finding(check.name, verdict.status, verdict.measured, check.expected, verdict.fix)


def _notes(subject: Subject) -> list[str]:
    """Which arrays each callable was given, where that is not the first choice."""
    notes = []
    for name, function in subject.functions.items():
        if function.kind is not None and function.kind[0] is not function.frameworks[0]:
            used, refused = function.kind[0].name, function.frameworks[0].name
            notes.append(f"{name} refused {refused} arrays and was given {used} ones")
    return notes
