"""``reparam sample``: new rows from the model."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reparam.cli.options import Json, Output, RunPath, Seed, check_output, tell_written
from reparam.errors import ParameterError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from reparam.data import Schema

PICTURED, LEAST_PIXELS = 400, 600


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
    from reparam.estimator import load

    vae = load(run)
    rows = vae.sample(count, temperature=temperature, draw=draw, given=_values(given or []), random_state=seed)
    _write(out, rows, vae.schema_)
    document = {"rows": len(rows), "temperature": temperature, "draw": draw}
    tell_written(out, f"{len(rows):,} samples", document, as_json=as_json)


def _write(out: Path, rows: NDArray[Any], schema: Schema) -> None:
    """Write rows; images of few pixels as pictures that can be looked at, each pixel a square of several."""
    from reparam.data import grey_limits, write, write_rows

    height, width, *channels = schema.event_shape if len(schema.event_shape) > 1 else (1, schema.size)
    across = math.ceil(math.sqrt(min(len(rows), PICTURED)))
    larger = LEAST_PIXELS // max(1, across * max(height, width))
    if out.suffix.lower() != ".png" or len(schema.event_shape) < 2 or larger < 2:
        write_rows(out, rows, schema)
        return
    images = rows.reshape(len(rows), *schema.event_shape)[:PICTURED].repeat(larger, axis=1).repeat(larger, axis=2)
    shape = (larger * height, larger * width, *channels)
    write(out, images, event_shape=shape, limits=grey_limits(schema))


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
