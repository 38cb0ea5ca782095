"""``reparam verify``: audit a file's sampler, KL, losses and bound."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from reparam.verification import Finding, Report


def verify(
    target: Annotated[
        str, typer.Argument(metavar="FILE.py[:NAME]", help="The file; NAME: a class or namespace in it.")
    ],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a list of {check, status, measured, expected, fix} and nothing else.")
    ] = False,
) -> None:
    """Audit the VAE in a Python file: sampler, KL, reductions, likelihood, loss, gradients, importance bound.

    The file is your own program and IS RUN. It may define any of sample(mean, raw, eps) or sample(mean, raw),
    kl(mean, raw), reconstruction_loss(x, decoded), loss(x, mean, raw, decoded), bound(log_w), and declare any of
    SCALE, LIKELIHOOD, REDUCTION, BETA, LATENT_DIM, DATA, SAMPLE_AXIS, FRAMEWORK. What it prints goes to standard
    error.

    Exit code 0: nothing fails; 1: a check fails; 2: the file cannot be used.
    """
    from reparam.verification import verify as audit
    from reparam.verification.loading import load, prints_on_stderr

    with prints_on_stderr():
        namespace, module = load(target)
        report = audit(namespace, module)
    if as_json:
        _print_json(report)
    else:
        _print_table(target, report)
    raise typer.Exit(0 if report.passed else 1)


def _print_json(report: Report) -> None:
    import json
    import sys

    unicode = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    print(json.dumps(report.to_json(), indent=2, ensure_ascii=not unicode))


def _print_table(target: str, report: Report) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    table = Table(title=Text(f"Audit of {target}"), title_justify="left", show_lines=False)
    table.add_column("check", no_wrap=True)
    table.add_column("status", no_wrap=True)
    table.add_column("measured")
    for finding in report.findings:
        table.add_row(finding.check, Text(finding.status, style=STYLES[finding.status]), Text(finding.measured))
    console.print(table)
    for finding in report.findings:
        if finding.fix:
            console.print(_mending(finding), soft_wrap=False)
    for line in _closing(report):
        console.print(Text(line))


STYLES = {"pass": "green", "fail": "bold red", "warn": "yellow", "skipped": "dim"}


def _mending(finding: Finding) -> str:
    from rich.markup import escape

    style = STYLES[finding.status]
    text = f"{finding.check}: expected {finding.expected}. To mend: {finding.fix}."
    return f"[{style}]{finding.status}[/] {escape(text)}"


def _closing(report: Report) -> list[str]:
    chance = (
        f"{report.comparisons} random comparisons, false alarm in at most {report.false_alarm_rate:.1e} of runs"
        if report.comparisons
        else "no random comparison, no false alarm by chance"
    )
    count = len(report.failures)
    verdict = "no check failed" if count == 0 else f"{count} check{'s' if count > 1 else ''} failed"
    return [*(f"Note: {note}." for note in report.notes), f"Seed {report.seed}; {chance}.", f"{verdict.capitalize()}."]
