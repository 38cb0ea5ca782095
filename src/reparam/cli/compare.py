"""``reparam compare``: several runs on the same rows."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Annotated

import typer

from reparam.cli.options import Json, Samples, Seed, answer, checked_picture
from reparam.errors import ReparamWarning


def compare(
    what: Annotated[
        list[str],
        typer.Argument(metavar="RUN… [DATA]", help="Run folders, then data if not the rows that the first held out."),
    ],
    *,
    samples: Samples = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", metavar="PNG", help="A picture of the gains.")] = None,
    seed: Seed = None,
    as_json: Json = False,
) -> None:
    """Measure runs on the same rows: settings that differ first, then bounds, nats per datum.

    A gain over the first run is the mean of the rows' differences, with that difference's own standard error.
    """
    from reparam.cli.pictures import save
    from reparam.cli.showing import open_sessions, runs_and_data
    from reparam.errors import DataError
    from reparam.insight.comparison import compare as measure
    from reparam.plots.comparison import paired_gains
    from reparam.reports.compared import told

    runs, data = runs_and_data(what)
    if len(runs) < 2:
        raise DataError(f"compare needs two run folders at least. Got {len(runs)}.")
    place = None if out is None else checked_picture(out)
    sessions = open_sessions(runs, data, None, own=False)
    count = samples if samples is not None else int(sessions[0].vae.bound_samples)
    found = measure(sessions, samples=count, seed=0 if seed is None else seed)
    if place is not None:
        save({place.stem: paired_gains(found)}, place.parent)
    for note in found.notes:
        warnings.warn(note, ReparamWarning, stacklevel=2)
    if as_json:
        answer({**found.to_json(), "plot": None if place is None else str(place)})
        return
    typer.echo(f"{found.source}; nats per datum, K = {found.samples}")
    lines = list(told(found))
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    for first, *rest in lines:
        cells = "  ".join(f"{cell:>{width}}" for cell, width in zip(rest, widths[1:], strict=True))
        typer.echo(f"  {first:{widths[0]}}  {cells}".rstrip())
    if place is not None:
        typer.echo(str(place))
