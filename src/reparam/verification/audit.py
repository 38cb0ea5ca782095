"""The audit: every check in turn, each answered once, and what follows from a failure not asked at all."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Any

import numpy as np

from reparam.errors import UnknownNameError
from reparam.verification.checks import CHECKS, Check
from reparam.verification.context import CannotTell, Context, SkipCheck
from reparam.verification.declarations import JOBS, DataTroubleError
from reparam.verification.functions import UserError
from reparam.verification.loading import Loaded, describe
from reparam.verification.oracle import scale_named
from reparam.verification.randomness import LEVEL, SEED
from reparam.verification.report import Finding, Report
from reparam.verification.subject import Subject, subject_of


def verify(
    namespace: Any,
    module: ModuleType | None = None,
    *,
    declared: Mapping[str, Any] | None = None,
    select: Iterable[str] = (),
    ignore: Iterable[str] = (),
) -> Report:
    r"""Audit the variational autoencoder whose functions ``namespace`` holds, against Monte Carlo and closed forms.

    ``namespace``: a module, class, instance or anything with attributes. Its sampler, KL, reconstruction loss, joint
    loss and importance bound are found by the names that the field gives them, their arguments by name, in any order;
    formulas inside longer functions are found where the source can be read. ``module``: where declarations (``SCALE``,
    ``BETA``, …) are looked for that ``namespace`` has not. ``declared``: declarations that go before those.
    ``select``, ``ignore``: names of checks to ask alone, or not at all.

    Random comparisons together raise a false alarm in at most 1 of 10,000 runs on correct code.

    Raises:
        DataError: nothing that an audit could use is there.
        ParameterError: a declaration has a value that it cannot have, or a check has no such name.

    >>> import types, numpy as np
    >>> vae = types.SimpleNamespace(
    ...     sample=lambda mean, raw, eps: mean + np.exp(raw) * eps,
    ...     kl=lambda mean, raw: 0.5 * (mean**2 + np.exp(raw) - 1 - raw).sum(axis=1),
    ... )
    >>> print(verify(vae)["kl-matches-sampler"].fix)
    the sampler treats raw as log σ, the KL as log σ²: use exp(0.5·raw) in the sampler
    """
    return _report(subject_of(namespace, module, flags=declared), {*select}, {*ignore})


def verify_loaded(
    loaded: Loaded,
    declared: Mapping[str, Any] | None = None,
    select: Iterable[str] = (),
    ignore: Iterable[str] = (),
) -> Report:
    """Audit what was loaded from a file; see :func:`verify`.

    Raises:
        DataError, ParameterError: as :func:`verify` does.
    """
    subject = subject_of(loaded.namespace, loaded.module, loaded.tree, loaded.demand, declared)
    if loaded.script_skipped:
        subject.left_out.append("the script: only imports, definitions and literals of the file were run")
    if loaded.missing:
        subject.left_out.append(f"not installed and stood in for: {', '.join(loaded.missing)}")
    if loaded.supplied:
        subject.left_out.append(f"never imported by the file, and supplied: {', '.join(loaded.supplied)}")
    return _report(subject, {*select}, {*ignore})


BOUND = ("sample", "kl", "reconstruction_loss")
"""What a bound is made of, and a file has to have so that it can be judged."""


def _chosen(select: set[str], ignore: set[str]) -> tuple[Check, ...]:
    known = {check.name for check in CHECKS}
    for name in select | ignore:
        if name not in known:
            raise UnknownNameError("check", name, known)
    return tuple(check for check in CHECKS if (not select or check.name in select) and check.name not in ignore)


def _report(subject: Subject, select: set[str], ignore: set[str]) -> Report:
    checks = _chosen(select, ignore)
    if subject.declared.scale is not None:
        scale_named(subject.declared.scale)
    parts = subject.declared.parts or (JOBS if select else BOUND)
    wanted = {job for check in checks for job in check.about} & {*parts}
    context = Context(subject)
    engine = _Engine(context)
    with np.errstate(all="ignore"):  # the user's numbers may be infinite, which the checks tell
        findings = tuple(engine.answer(check) for check in checks)
        comparisons = context.comparisons
    return Report(
        findings,
        SEED,
        comparisons,
        comparisons * LEVEL,
        tuple(_notes(subject)),
        tuple(subject.account),
        tuple(dict.fromkeys(subject.left_out)),
        tuple(_missing(context, wanted, findings)),
        tuple(_places(subject)),
    )


class _Engine:
    """Answers checks once each; a check that rests on a failed one is skipped and points there."""

    def __init__(self, context: Context):
        self.context = context
        self.findings: dict[str, Finding] = {}
        self.told: dict[str, str] = {}

    def answer(self, check: Check) -> Finding:
        """The finding of a check, those that it rests on first."""
        if check.name not in self.findings:
            self.findings[check.name] = self._after(check) or self._answer(check)
        return self.findings[check.name]

    def _after(self, check: Check) -> Finding | None:
        for name in check.after:
            ground = self.answer(next(one for one in CHECKS if one.name == name))
            if ground.status in ("fail", "unusable"):
                return Finding(check.name, "skipped", f"rests on what failed: see {name}", check.expected)
        return None

    def _answer(self, check: Check) -> Finding:
        missing = [job for job in check.needs if not self.context.has(job)]
        if missing:
            return Finding(check.name, "skipped", f"the file defines no {missing[0]}", check.expected)
        try:
            verdict = check.answer(self.context)
        except SkipCheck as reason:
            return Finding(check.name, "skipped", str(reason), check.expected)
        except (UserError, DataTroubleError, CannotTell) as error:
            return self._cannot(check, error)
        except Exception as error:
            measured = f"the numbers that came back cannot be analysed: {describe(error)}"
            fix = "return finite numbers for ordinary arguments"
            return Finding(check.name, "unusable", measured, check.expected, fix)
        return Finding(check.name, verdict.status, verdict.measured, check.expected, verdict.fix)

    def _status(self, name: str) -> str:
        return self.findings[name].status if name in self.findings else ""

    def _cannot(self, check: Check, error: Exception) -> Finding:
        """A function, or the data, that could not be used: told once, then referred to."""
        if isinstance(error, CannotTell):
            source, fix = str(error), ""
        elif isinstance(error, UserError):
            source = error.name
            fix = "mend the function, or declare LATENT_DIM and DATA where it needs arrays of other sizes"
        else:
            source, fix = "DATA", "DATA: an (N, P) array of numbers, or a function without arguments that gives one"
        failed = (one.name for one in CHECKS if source in one.needs and self._status(one.name) == "fail")
        first = self.told.setdefault(source, next(failed, check.name))
        if first != check.name:
            name = "what it needs" if isinstance(error, CannotTell) else source
            return Finding(check.name, "skipped", f"{name} could not be used: see {first}", check.expected)
        return Finding(check.name, "unusable", str(error), check.expected, fix)


MISSED = {
    "sample": "no sampler was found, so that its σ could not be compared with the KL's",
    "kl": "neither a KL nor a joint loss was found",
    "reconstruction_loss": "neither a reconstruction loss nor a joint loss was found",
    "loss": "no joint loss was found",
    "bound": "no importance-weighted bound was found",
}


def _missing(context: Context, wanted: set[str], findings: tuple[Finding, ...]) -> list[str]:
    """What matters and could not be checked."""
    missing = [words for job, words in MISSED.items() if job in wanted and not context.has(job)]
    return missing + [f"{f.check}: {f.measured}" for f in findings if f.status == "unusable"]


def _notes(subject: Subject) -> list[str]:
    """Which arrays each callable was given, where that is not the first choice, and what stands without the rest."""
    notes = []
    for name, function in subject.functions.items():
        if function.kind is not None and function.kind[0] is not function.frameworks[0]:
            used, refused = function.kind[0].name, function.frameworks[0].name
            notes.append(f"{name} refused {refused} arrays and was given {used} ones")
    if {"kl", "reconstruction_loss"} <= {*subject.functions} and not subject.has("loss"):
        notes.append("no joint loss was found, so that the KL's weight was not looked at")
    return notes


def _places(subject: Subject) -> list[tuple[str, str, int]]:
    """(job, file, line) of every function."""
    places = []
    for job, function in subject.functions.items():
        code = getattr(inspect.unwrap(function.call.target), "__code__", None)
        if code is not None:
            places.append((job, str(code.co_filename), int(code.co_firstlineno)))
    return places
