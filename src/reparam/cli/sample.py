"""``reparam sample``: new rows from the model."""

from __future__ import annotations

from typing import Annotated

import typer

from reparam.cli.options import Json, Output, RunPath, Seed, check_output, tell_written
from reparam.errors import ParameterError


def sample(
    run: RunPath,
    *,
    out: Output,
    count: Annotated[int, typer.Option("--count", "-n", max=10**8, help="How many.")] = 100,
    temperature: Annotated[
        float, typer.Option(help="What the noise ε of z is multiplied by: below 1 typical rows, above 1 strange ones.")
    ] = 1.0,
    draw: Annotated[bool, typer.Option("--draw", help="Draw x from p(x|z), instead of the mean of p(x|z).")] = False,
    given: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN=VALUE", help="What a column of the model's condition holds. Repeatable."),
    ] = None,
    seed: Seed = None,
    as_json: Json = False,
) -> None:
    """Write new rows from the model.

    Draws z from the prior, and writes the mean of p(x|z); with --draw a draw of x.
    """
    check_output(out)
    from reparam.data import write_rows
    from reparam.estimator import load

    vae = load(run)
    rows = vae.sample(count, temperature=temperature, draw=draw, given=_values(given or []), random_state=seed)
    write_rows(out, rows, vae.schema_)
    document = {"rows": len(rows), "temperature": temperature, "draw": draw}
    tell_written(out, f"{len(rows):,} samples", document, as_json=as_json)


def _values(given: list[str]) -> dict[str, str]:
    """Values by column.

    Raises:
        ParameterError: one is not COLUMN=VALUE.
    """
    parted = {text: text.partition("=") for text in given}
    for text, (name, equals, _) in parted.items():
        if not (name and equals):
            raise ParameterError(f"--given must be COLUMN=VALUE, such as class=3. Got {text!r} instead.")
    return {name: value for name, _, value in parted.values()}
