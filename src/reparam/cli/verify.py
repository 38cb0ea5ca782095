"""``reparam verify``: audit the variational autoencoder in a file, as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from reparam.errors import ParameterError

if TYPE_CHECKING:
    from reparam.verification import Finding, Report


def verify(  # noqa: PLR0917 - typer takes the options from here
    targets: Annotated[
        list[str] | None,
        typer.Argument(metavar="FILE.py[:NAME]…", help="Files, notebooks or package.module:NAME; NAME: a class in it."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a list of {check, status, measured, expected, fix} and nothing else.")
    ] = False,
    output: Annotated[str, typer.Option("--format", help="table, json, github (annotations) or sarif.")] = "table",
    call: Annotated[str | None, typer.Option("--call", help='What makes the object to audit: "VAE(20)".')] = None,
    definitions_only: Annotated[
        bool | None,
        typer.Option(
            "--definitions-only/--run-all",
            help="Run imports, definitions and literals alone, or all. By default alone, if there is a script.",
        ),
    ] = None,
    declare: Annotated[
        list[str] | None, typer.Option("--declare", help="NAME=VALUE, as SCALE=log_std; repeat for more.")
    ] = None,
    select: Annotated[list[str] | None, typer.Option("--select", help="Ask this check alone; repeat for more.")] = None,
    ignore: Annotated[list[str] | None, typer.Option("--ignore", help="Leave this check out; repeat for more.")] = None,
    explain: Annotated[
        str | None, typer.Option("--explain", help="Say what a check asks, why, and how code is mended.")
    ] = None,
    timeout: Annotated[float, typer.Option("--timeout", help="Seconds after which the audit stops.")] = 120.0,
    memory: Annotated[float, typer.Option("--memory", help="GiB of memory that the file may take.")] = 16.0,
) -> None:
    """Audit the VAE in a Python file: sampler, KL, reductions, likelihood, loss, gradients, importance bound.

    The file is your own program and IS RUN: all of it, or without its training script where it has one. Functions are
    found by the names that the field gives them, their arguments by name; what was found is printed first. What the
    file prints goes to standard error.

    Exit code 0: nothing fails; 1: a check fails; 2: the file cannot be used; 3: nothing fails, but there was not
    enough to judge.
    """
    if explain is not None:
        from reparam.verification.checks import check_named

        print(check_named(explain))
        raise typer.Exit(0)
    if not targets:
        raise ParameterError("the 'targets' parameter of verify must be a file. Give FILE.py, or --explain CHECK.")
    style = "json" if as_json else output
    if style not in ("table", "json", "github", "sarif"):
        raise ParameterError(f"the 'format' parameter of verify must be table, json, github or sarif. Got {style!r}.")
    flags = _declared(declare or [])
    reports = {
        target: _audited(target, (call, definitions_only), (flags, select or [], ignore or []), (timeout, memory))
        for target in targets
    }
    _print(reports, style)
    codes = {report.exit_code for report in reports.values()}
    raise typer.Exit(next((code for code in (1, 3) if code in codes), 0))


def _audited(
    target: str,
    loading: tuple[str | None, bool | None],
    asking: tuple[dict[str, str], list[str], list[str]],
    bounds: tuple[float, float],
) -> Report:
    """``loading``: --call, --definitions-only; ``asking``: --declare, --select, --ignore; ``bounds``: time, memory."""
    from reparam.verification.audit import verify_loaded
    from reparam.verification.loading import limits, load, prints_on_stderr

    with prints_on_stderr(), limits(*bounds):
        return verify_loaded(load(target, *loading), *asking)


def _declared(words: list[str]) -> dict[str, str]:
    for word in words:
        if "=" not in word:
            raise ParameterError(f"the 'declare' parameter of verify must be NAME=VALUE. Got {word!r} instead.")
    return {name.strip(): value.strip() for name, _, value in (word.partition("=") for word in words)}


def _print(reports: dict[str, Report], style: str) -> None:
    from reparam.verification.rendering import to_github, to_sarif

    if style == "json":
        _print_json([finding for report in reports.values() for finding in report.to_json()])
    elif style == "sarif":
        print(to_sarif(reports))
    else:
        for target, report in reports.items():
            if style == "github":
                print(to_github(target, report))
            else:
                _print_table(target, report)


def _print_json(findings: list[dict[str, str]]) -> None:
    import json
    import sys

    unicode = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    print(json.dumps(findings, indent=2, ensure_ascii=not unicode))


def _print_table(target: str, report: Report) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    for line in _opening(report):
        console.print(Text(line))
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


STYLES = {"pass": "green", "fail": "bold red", "warn": "yellow", "skipped": "dim", "unusable": "bold yellow"}


def _opening(report: Report) -> list[str]:
    return [*(f"Found {line}." for line in report.account), *(f"Left out: {line}." for line in report.left_out)]


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
    lines = [*(f"Note: {note}." for note in report.notes), f"Seed {report.seed}; {chance}."]
    count = len(report.failures)
    if count:
        return [*lines, f"{count} check{'s' if count > 1 else ''} failed."]
    if report.missing:
        return [*lines, f"Not enough to judge: {'; '.join(report.missing)}."]
    return [*lines, "No check failed."]
