"""What an audit answers: one finding per check, and the report that holds them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

from reparam.errors import VerificationError

Status = Literal["pass", "fail", "warn", "skipped"]


@dataclass(frozen=True)
class Finding:
    """The answer of one check: its name, its status, what was measured, what was expected, and the mending line."""

    check: str
    status: Status
    measured: str
    expected: str
    fix: str = ""


@dataclass(frozen=True)
class Report:
    """All findings of one audit, in the order of the checks.

    ``comparisons`` is the number of random comparisons that were made, each with the false-alarm rate
    ``false_alarm_rate / comparisons`` or less; ``notes`` says what else a reader should know, such as the kind of
    array that each callable was given.

    >>> report = Report((Finding("scale-range", "fail", "σ in [1, 4]", "σ below 0.2", "drop the ReLU"),), 0, 0, 0.0, ())
    >>> report.passed, [finding.check for finding in report.failures]
    (False, ['scale-range'])
    """

    findings: tuple[Finding, ...]
    seed: int
    comparisons: int
    false_alarm_rate: float
    notes: tuple[str, ...]

    @property
    def failures(self) -> tuple[Finding, ...]:
        """The findings that say no."""
        return tuple(finding for finding in self.findings if finding.status == "fail")

    @property
    def passed(self) -> bool:
        """Whether no check failed; a warning is no failure."""
        return not self.failures

    def __getitem__(self, check: str) -> Finding:
        """Return the finding of the check of that name."""
        for finding in self.findings:
            if finding.check == check:
                return finding
        raise KeyError(check)

    def to_json(self) -> list[dict[str, str]]:
        """Return the findings as a list of ``{check, status, measured, expected, fix}``."""
        return [asdict(finding) for finding in self.findings]

    def raise_if_failed(self) -> None:
        """Raise for a test suite.

        Raises:
            VerificationError: a check failed; the text has one paragraph per failure.
        """
        if not self.passed:
            raise VerificationError("\n".join(_paragraph(finding) for finding in self.failures))


def _paragraph(finding: Finding) -> str:
    return f"{finding.check}: {finding.measured}. Expected: {finding.expected}. {finding.fix}".rstrip()
