"""``reparam decode``: latent codes → data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reparam.cli.options import Given, Json, RowsOrPictures, RunPath, check_output, given_values, tell_written
from reparam.errors import DataError

if TYPE_CHECKING:
    from reparam.data import Dataset

Codes = Annotated[
    str,
    typer.Argument(metavar="CODES", help="K columns, or a file written by 'reparam encode', of which the means count."),
]


def decode(run: RunPath, codes: Codes, *, out: RowsOrPictures, given: Given = None, as_json: Json = False) -> None:
    """Turn latent codes into rows.

    Writes the mean of p(x|z) of every code, in the units of the data.
    """
    check_output(out, codes, pictures=True)
    from reparam.data import check_pictures, write_rows
    from reparam.estimator import load

    vae, told = load(run), given_values(given or []) or None
    check_pictures(out, vae.schema_)
    rows = vae.inverse_transform(_latents(_read(codes), vae.fitted_.configuration.latents), told)
    write_rows(out, rows, vae.schema_)
    tell_written(out, f"{len(rows):,} decoded rows", {"rows": len(rows)}, as_json=as_json)


def _read(codes: str) -> Dataset:
    """The codes; of an archive with a ``mean`` that one, as encode writes it."""
    from reparam.data import load

    if codes.lower().endswith(".npz") and Path(codes).is_file():
        try:
            return load(f"{codes}:mean")
        except DataError:
            return load(codes)
    return load(codes)


def _latents(codes: Dataset, latent_dim: int) -> Any:
    """The K columns to decode, shape (N, K): ``mean_0``, … by name, or the first half of means and deviations."""
    names = codes.schema.columns or ()
    means = [f"mean_{index}" for index in range(latent_dim)]
    if set(means) <= set(names):
        return codes.rows[:, [names.index(name) for name in means]]
    if not names and codes.schema.size == 2 * latent_dim:
        return codes.rows[:, :latent_dim]
    return codes.rows
