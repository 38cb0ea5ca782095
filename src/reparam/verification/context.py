"""What all checks of one audit share: the subject, the sizes of its arrays, and each measurement made once."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from reparam.verification.arrays import Array
from reparam.verification.functions import Function, Numeric, UserError
from reparam.verification.measurements.divergence import DivergenceMeasurement
from reparam.verification.measurements.examples import Examples
from reparam.verification.measurements.objective import ObjectiveMeasurement
from reparam.verification.measurements.reconstruction import ReconstructionMeasurement
from reparam.verification.measurements.sampler import RAW, SamplerMeasurement
from reparam.verification.measurements.split import Split
from reparam.verification.oracle import LogStd, gaussian_kl, scale_named
from reparam.verification.randomness import SEED, fixed_noise
from reparam.verification.report import Status
from reparam.verification.subject import Subject, standard_deviation

WITHOUT_EDGES = ("beta", "logit_normal")
"""Likelihoods that give 0 and 1 no density."""


LOSS = re.compile(r"loss|nll|err|cost|neg", re.IGNORECASE)
"""In the name of what is meant to be small; a term without it may be a log-likelihood."""


class SkipCheck(Exception):  # noqa: N818 - no error: a check that has nothing to say
    """A check has nothing to say, and nothing is lost by it; the text says why."""


class CannotTell(Exception):  # noqa: N818 - no error: a check that cannot say
    """What should be checked cannot be; the text says what is missing."""


@dataclass(frozen=True)
class Verdict:
    """What a check answers; its name and what it expects stand in the registry."""

    status: Status
    measured: str
    fix: str = ""


def passed(measured: str) -> Verdict:
    """All is well."""
    return Verdict("pass", measured)


def failed(measured: str, fix: str) -> Verdict:
    """Something is wrong, and this is how to mend it."""
    return Verdict("fail", measured, fix)


def warned(measured: str, fix: str) -> Verdict:
    """Nothing is wrong yet, but somebody should look."""
    return Verdict("warn", measured, fix)


@dataclass
class Context:
    """The subject and what has been measured of it."""

    subject: Subject

    def has(self, job: str) -> bool:
        """Whether the file defines a function for that job, or a loss that it is a part of."""
        weighs_samples = job == "bound" and self.subject.has("loss") and self.subject.functions["loss"].call.between
        return self.subject.has(job) or weighs_samples or (job in ("kl", "reconstruction_loss") and self.is_split)

    def function(self, job: str) -> Function:
        """The user's function for that job; SkipCheck where the file has none."""
        if not self.subject.has(job):
            raise SkipCheck(f"the file defines no {job}")
        return self.subject.functions[job]

    @property
    def comparisons(self) -> int:
        """How many random comparisons are made."""
        return self.sampler.comparisons if self.subject.has("sample") else 0

    @cached_property
    def is_split(self) -> bool:
        """Whether the terms are had by splitting a joint loss, because one of them has no function of its own."""
        terms = [self.subject.has(job) for job in ("kl", "reconstruction_loss")]
        return self.subject.is_joint and not all(terms)

    @property
    def latent_dim(self) -> int:
        """D."""
        return self.subject.layout.latent_dim

    @property
    def features(self) -> int:
        """P."""
        return self.subject.layout.features

    @property
    def count(self) -> int:
        """N."""
        return self.subject.layout.count

    @cached_property
    def examples(self) -> Examples:
        """Ordinary arguments of these sizes."""
        inside = self.subject.declared.likelihood in WITHOUT_EDGES
        return Examples(self.count, self.latent_dim, self.features, inside)

    @cached_property
    def sampler(self) -> SamplerMeasurement:
        """The measured sampler, in trouble or not."""
        return SamplerMeasurement(self.function("sample"), self.subject.namespaces)

    @property
    def sampler_error(self) -> float:
        """Standard error of the sampler's ln σ; 0 without one."""
        return self.sampler.error if self.subject.has("sample") else 0.0

    @cached_property
    def split(self) -> Split:
        """The joint loss in its two parts."""
        loss = self._given_z(self.function("loss"))
        if self.is_random(loss):
            raise CannotTell(
                "the loss draws noise of its own: its KL is seen only on average (take z or eps as an argument)"
            )
        return Split(loss, self.examples)

    @property
    def _unit(self) -> float:
        """The raw number at which the sampler has σ = 1; 0 where that is not known."""
        if not self.subject.has("sample") or self.sampler.trouble is not None or self.sampler.log_std[-1] < 0:
            return 0.0
        return float(np.interp(0.0, self.sampler.log_std, RAW))

    def _given_z(self, function: Function) -> Function:
        """A function that is given a z draws it with the sampler's own σ."""
        if "z" in function.call.takes and self.subject.has("sample"):
            name = None if self.sampler.trouble else self.sampler.recognition.name
            function.call = replace(function.call, spread=standard_deviation(str(name)))
        return function

    def is_random(self, function: Function) -> bool:
        """Whether two calls differ."""
        arrays = function.examples()
        with fixed_noise(self.subject.namespaces, SEED):
            first, second = function(*arrays), function(*arrays)
        return not np.array_equal(first, second, equal_nan=True)

    @cached_property
    def divergence(self) -> DivergenceMeasurement:
        """The measured KL, a function of its own or the part of the loss that leaves the prior, bent or not."""
        own: Numeric = self._given_z(self.function("kl")) if self.subject.has("kl") else self.split.kl
        if isinstance(own, Function) and self.is_random(own):
            raise SkipCheck("the KL is a Monte Carlo estimate, which kl-matches-sampler compares in expectation")
        measured = DivergenceMeasurement(own, self.examples, self._unit)
        return measured if measured.bend is None else replace(measured, examples=replace(self.examples, far=True))

    @property
    def kl(self) -> DivergenceMeasurement:
        """The same where it is a multiple of the KL; SkipCheck where it is one above a floor or a capacity alone."""
        if self.divergence.bend is not None:
            raise SkipCheck(f"{self.divergence.bend}, of which kl-matches-sampler tells")
        return self.divergence

    @cached_property
    def reconstruction(self) -> ReconstructionMeasurement:
        """The measured reconstruction term."""
        own = self.subject.has("reconstruction_loss")
        function: Numeric = self.function("reconstruction_loss") if own else self.split.reconstruction
        measured = ReconstructionMeasurement(function, self.examples)
        if isinstance(function, Function) and self._is_subtracted(measured):
            function.call = replace(function.call, negated=not function.call.negated)
            return ReconstructionMeasurement(function, self.examples)
        return measured

    def _is_subtracted(self, measured: ReconstructionMeasurement) -> bool:
        """Whether what rises as the outputs near the data is a log-likelihood, because the loss subtracts it."""
        rising = measured.kind.factor < 0 if measured.kind is not None else bool(np.all(np.diff(measured.table[1]) > 0))
        if not rising or not self.subject.has("loss"):
            call = measured.function.call if isinstance(measured.function, Function) else None
            return rising and call is not None and call.is_formula and not LOSS.search(call.title.split()[0])
        loss = self.function("loss")
        (mean, raw), (x, decoded) = self.examples.posteriors(1), self.examples.data(1)
        far, near = 1.0 - x, 0.9 * x + 0.1 * decoded
        return bool(np.mean(loss(x, mean, raw, near)) < np.mean(loss(x, mean, raw, 0.9 * far + 0.1 * decoded)))

    @cached_property
    def objective(self) -> ObjectiveMeasurement:
        """The measured loss, its terms being the user's own, or the parts into which it was split."""
        function = self._given_z(self.function("loss"))
        kl = self.divergence.term.rows if self.subject.has("kl") else self._closed_form()
        return ObjectiveMeasurement(function, kl, self.reconstruction.term.rows, self.divergence.examples)

    @cached_property
    def declared_log_std(self) -> LogStd | None:
        """ln σ(·) of the declared SCALE."""
        return scale_named(self.subject.declared.scale) if self.subject.declared.scale else None

    def _closed_form(self) -> Callable[..., Array]:
        """The KL in nats of the σ(·) that the KL itself shows; the KL as it is where it shows none."""
        name = self.kl.recognition.name if np.isfinite(self.kl.factor) and self.kl.factor else None
        try:
            log_std = scale_named(str(name))
        except ValueError:
            return self.kl.term.rows
        return lambda mean, raw: gaussian_kl(mean, log_std(raw)).sum(axis=1)


__all__ = ["CannotTell", "Context", "SkipCheck", "UserError", "Verdict", "failed", "passed", "warned"]
