"""``reparam report``: one file that tells a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reparam.cli.options import Json, Labels, OwnData, RunPath, answer, check_labels, checked_page


def report(
    run: RunPath,
    data: OwnData = None,
    *,
    out: Annotated[Path | None, typer.Option("--out", "-o", metavar="HTML", help="By default RUN/report.html.")] = None,
    labels: Labels = None,
    as_json: Json = False,
) -> None:
    """Write a report of RUN: one HTML file that opens without a server, and prints.

    Data, choices, curves, figures with their errors, latents, reconstructions, samples, worst rows, the command and
    versions that make it again.
    """
    from reparam.cli.showing import open_sessions, write_page
    from reparam.reports.report import report as tell_run
    from reparam.runs import REPORT

    check_labels(labels, data)
    place = run / REPORT if out is None else checked_page(out)
    (measured,) = open_sessions([run], data, labels, own=False)
    (shown,) = open_sessions([run], data, labels) if data is None else (measured,)
    write_page(tell_run(measured, shown=shown), place)
    if as_json:
        answer({"run": str(run), "data": measured.source, "report": str(place), "bytes": place.stat().st_size})
    else:
        typer.echo(str(place))
