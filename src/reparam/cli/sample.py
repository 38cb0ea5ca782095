"""``reparam sample``: new rows from the model."""

from __future__ import annotations

from typing import Annotated

import typer

from reparam.cli.options import Given, Json, RowsOrPictures, RunPath, Seed, check_output, given_values, tell_written


def sample(
    run: RunPath,
    *,
    out: RowsOrPictures,
    count: Annotated[int, typer.Option("--count", "-n", max=10**8, help="How many.")] = 100,
    temperature: Annotated[
        float, typer.Option(help="What the noise ε of z is multiplied by: below 1 typical rows, above 1 strange ones.")
    ] = 1.0,
    draw: Annotated[
        bool | None,
        typer.Option("--draw/--mean", help="Draw x from p(x|z), or write its mean; a table of several kinds is drawn."),
    ] = None,
    given: Given = None,
    seed: Seed = None,
    as_json: Json = False,
) -> None:
    """Write new rows from the model.

    Draws z from the prior, and writes the mean of p(x|z); of a table of several kinds, or with --draw, a draw of x.
    """
    check_output(out, pictures=True)
    from reparam.data import check_pictures, cut_note, write_rows
    from reparam.estimator.keeping import opened

    vae = opened(run)
    check_pictures(out, vae.schema_)
    draw = vae.schema_.table is not None if draw is None else draw
    rows = vae.sample(count, temperature=temperature, draw=draw, given=given_values(given or []), random_state=seed)
    write_rows(out, rows, vae.schema_)
    document = {"rows": len(rows), "temperature": temperature, "draw": draw}
    tell_written(out, f"{len(rows):,} samples{cut_note(out, len(rows))}", document, as_json=as_json)
