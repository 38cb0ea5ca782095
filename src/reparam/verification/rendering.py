"""A report for machines: SARIF 2.1.0, and the workflow commands that GitHub shows beside the line."""

from __future__ import annotations

import json
from typing import Any

from reparam.verification.checks import CHECKS
from reparam.verification.report import Finding, Report

SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
LEVELS = {"fail": "error", "warn": "warning", "unusable": "warning"}


def to_github(file: str, report: Report) -> str:
    """One annotation per failure, warning and check that could not be made."""
    return "\n".join(_annotation(file, report, finding) for finding in report.findings if finding.status in LEVELS)


def to_sarif(reports: dict[str, Report]) -> str:
    """One SARIF log of the reports of several files."""
    results = [
        _result(file, report, finding)
        for file, report in reports.items()
        for finding in report.findings
        if finding.status in LEVELS
    ]
    rules = [{"id": check.name, "shortDescription": {"text": check.expected}} for check in CHECKS]
    driver = {"name": "reparam verify", "rules": rules}
    log = {"version": "2.1.0", "$schema": SARIF_SCHEMA, "runs": [{"tool": {"driver": driver}, "results": results}]}
    return json.dumps(log, indent=2)


def _annotation(file: str, report: Report, finding: Finding) -> str:
    path, line = _place(file, report, finding)
    text = _text(finding).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return f"::{LEVELS[finding.status]} file={path},line={line},title={finding.check}::{text}"


def _result(file: str, report: Report, finding: Finding) -> dict[str, Any]:
    path, line = _place(file, report, finding)
    where = {"physicalLocation": {"artifactLocation": {"uri": path}, "region": {"startLine": line}}}
    message = {"text": _text(finding)}
    return {"ruleId": finding.check, "level": LEVELS[finding.status], "message": message, "locations": [where]}


def _text(finding: Finding) -> str:
    mending = f" To mend: {finding.fix}." if finding.fix else ""
    return f"{finding.measured}. Expected: {finding.expected}.{mending}"


def _place(file: str, report: Report, finding: Finding) -> tuple[str, int]:
    """The function that the check is about, where it stands in the file; else the file's first line."""
    needs = next((check.needs for check in CHECKS if check.name == finding.check), ())
    places = {job: (path, line) for job, path, line in report.places}
    order = [*needs, "loss", "kl", "sample", "reconstruction_loss"]
    return next((places[job] for job in order if job in places), (file, 1))
