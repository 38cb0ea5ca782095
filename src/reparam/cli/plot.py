"""``reparam plot``: pictures of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reparam.cli.options import Json, OwnData, RunPath, answer, check_labels, checked_folder


def plot(
    run: RunPath,
    data: OwnData = None,
    *,
    out: Annotated[Path | None, typer.Option("--out", "-o", metavar="FOLDER", help="By default RUN/plots.")] = None,
    labels: Annotated[str | None, typer.Option(help="The column of DATA to colour the latent space by.")] = None,
    as_json: Json = False,
) -> None:
    """Draw pictures of RUN.

    Training curves, reconstructions, samples, the latent space, and what its places decode to.
    """
    from reparam.cli.pictures import draw_run, save
    from reparam.cli.showing import check_unconditional
    from reparam.estimator.keeping import opened
    from reparam.runs import PICTURES

    check_labels(labels, data)
    folder = run / PICTURES if out is None else checked_folder(out)
    vae = opened(run)
    check_unconditional(run, vae)
    paths = save(draw_run(vae, data, labels), folder)
    if as_json:
        answer({"run": str(run), "plots": [str(path) for path in paths]})
    else:
        typer.echo("\n".join(map(str, paths)))
