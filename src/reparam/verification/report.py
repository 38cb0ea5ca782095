"""What an audit answers: one finding per check, and the report that holds them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

from reparam.errors import VerificationError

Status = Literal["pass", "fail", "warn", "skipped", "unusable"]
PASSED, FAILED, NOT_ENOUGH = 0, 1, 3


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
    ``false_alarm_rate / comparisons`` or less; ``account`` says what was found and how it was read, ``left_out`` what
    was not taken, ``missing`` what could not be checked, and ``places`` where each job's function stands (file, line).

    >>> report = Report((Finding("scale-range", "fail", "σ in [1, 4]", "σ below 0.2", "drop the ReLU"),), 0, 0, 0.0)
    >>> report.passed, report.exit_code, [finding.check for finding in report.failures]
    (False, 1, ['scale-range'])
    """

    findings: tuple[Finding, ...]
    seed: int
    comparisons: int
    false_alarm_rate: float
    notes: tuple[str, ...] = ()
    account: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    places: tuple[tuple[str, str, int], ...] = ()

    @property
    def failures(self) -> tuple[Finding, ...]:
        """The findings that say no."""
        return tuple(finding for finding in self.findings if finding.status == "fail")

    @property
    def passed(self) -> bool:
        """Whether no check failed; a warning is no failure."""
        return not self.failures

    @property
    def exit_code(self) -> int:
        """1: a check failed; 3: none did, but what matters could not be checked; 0: all is well."""
        if self.failures:
            return FAILED
        return NOT_ENOUGH if self.missing else PASSED

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
            VerificationError: a check failed, or a function that was found could not be used; one paragraph each.
        """
        told = [finding for finding in self.findings if finding.status in ("fail", "unusable")]
        if told:
            raise VerificationError("\n".join(_paragraph(finding) for finding in told))


def _paragraph(finding: Finding) -> str:
    return f"{finding.check}: {finding.measured}. Expected: {finding.expected}. {finding.fix}".rstrip()
