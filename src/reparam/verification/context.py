"""What all checks of one audit share: the subject, the sizes of its arrays, and each measurement made once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from reparam.verification.arrays import Array
from reparam.verification.measurements.divergence import DivergenceMeasurement
from reparam.verification.measurements.examples import Examples
from reparam.verification.measurements.objective import ObjectiveMeasurement
from reparam.verification.measurements.reconstruction import ReconstructionMeasurement
from reparam.verification.measurements.sampler import SamplerMeasurement, measure_sampler
from reparam.verification.oracle import LogStd, gaussian_kl, scale_named
from reparam.verification.report import Status
from reparam.verification.subject import Function, Subject, UserError

WITHOUT_EDGES = ("beta", "logit_normal")
"""Likelihoods that give 0 and 1 no density."""


class SkipCheck(Exception):  # noqa: N818 - no error: a check that has nothing to say
    """A check cannot answer; the text says why."""


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
    comparisons: int = field(default=0, init=False)

    def has(self, name: str) -> bool:
        """Whether the file defines that callable."""
        return name in self.subject.functions

    def function(self, name: str) -> Function:
        """The callable of that name; SkipCheck where the file has none."""
        if not self.has(name):
            raise SkipCheck(f"the file defines no {name}")
        return self.subject.functions[name]

    @cached_property
    def latent_dim(self) -> int:
        """D: as declared, else 4."""
        return self.subject.latent_dim or 4

    @cached_property
    def features(self) -> int:
        """P: that of DATA, else 6."""
        try:
            data = self.subject.data_array()
        except UserError:  # told by likelihood-support
            data = None
        return 6 if data is None else int(data.shape[1])

    @cached_property
    def count(self) -> int:
        """N: a number that no other axis has, so that a shape tells which axis it is."""
        taken = {self.latent_dim, 2 * self.latent_dim, self.features, 2 * self.features}
        return next(n for n in (5, 7, 9, 11, 13) if n not in taken)

    @cached_property
    def examples(self) -> Examples:
        """Ordinary arguments of these sizes."""
        inside = self.subject.likelihood in WITHOUT_EDGES
        return Examples(self.count, self.latent_dim, self.features, inside)

    @cached_property
    def sampler(self) -> SamplerMeasurement:
        """The measured sampler, in trouble or not."""
        measured = measure_sampler(self.function("sample"), self.subject, self.latent_dim)
        self.comparisons += measured.comparisons
        return measured

    @cached_property
    def kl(self) -> DivergenceMeasurement:
        """The measured KL."""
        return DivergenceMeasurement(self.function("kl"), self.examples)

    @cached_property
    def reconstruction(self) -> ReconstructionMeasurement:
        """The measured reconstruction term."""
        return ReconstructionMeasurement(self.function("reconstruction_loss"), self.examples)

    @cached_property
    def objective(self) -> ObjectiveMeasurement:
        """The measured loss, its terms being the user's own or, for a missing ``kl``, the closed form."""
        function = self.function("loss")
        reconstruction = self.reconstruction.term.rows if self.has("reconstruction_loss") else None
        kl = self.kl.term.rows if self.has("kl") else self._closed_form()
        return ObjectiveMeasurement(function, kl, reconstruction, self.examples)

    @cached_property
    def declared_log_std(self) -> LogStd | None:
        """ln σ(·) of the declared SCALE."""
        return scale_named(self.subject.scale) if self.subject.scale else None

    def known_log_std(self) -> LogStd | None:
        """ln σ(·) as declared, or as the sampler shows it."""
        if self.declared_log_std or not self.has("sample") or self.sampler.trouble:
            return self.declared_log_std
        recognition = self.sampler.recognition
        return scale_named(str(recognition.name)) if recognition.is_scale else None

    def _closed_form(self) -> Callable[[Array, Array], Array] | None:
        log_std = self.known_log_std()
        return None if log_std is None else lambda mean, raw: gaussian_kl(mean, log_std(raw)).sum(axis=1)
