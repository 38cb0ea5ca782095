"""``reparam decode``: latent codes → data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reparam.cli.options import Given, Json, RowsOrPictures, RunPath, check_output, given_values, tell_written
from reparam.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

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
    from reparam.estimator.keeping import opened

    vae, told = opened(run), given_values(given or []) or None
    check_pictures(out, vae.schema_)
    found = _read(codes, vae.fitted_.configuration.layers)
    _check(codes, found)
    rows = vae.inverse_transform(found, told)
    write_rows(out, rows, vae.schema_)
    tell_written(out, f"{len(rows):,} decoded rows", {"rows": len(rows)}, as_json=as_json)


def _read(codes: str, layers: tuple[int, ...]) -> NDArray[Any]:
    """The K columns to decode, shape (N, K): the means by name, as encode writes them, or else what the file holds."""
    import numpy as np

    from reparam.cli.encode import by_layer
    from reparam.data import load

    means = {name: part.shape[1] for name, part in by_layer({"mean": np.empty((1, sum(layers)))}, layers).items()}
    if codes.lower().endswith(".npz") and Path(codes).is_file():
        try:
            return np.concatenate([load(f"{codes}:{name}").rows for name in means], axis=1)
        except DataError:
            return load(codes).rows
    found = load(codes)
    names = found.schema.columns or ()
    wanted = [f"{name}_{place}" for name, size in means.items() for place in range(size)]
    if set(wanted) <= set(names):
        return found.rows[:, [names.index(name) for name in wanted]]
    halved = not names and found.schema.size == 2 * sum(layers)  # means and deviations
    return found.rows[:, : sum(layers)] if halved else found.rows


def _check(codes: str, found: NDArray[Any]) -> None:
    """Refuse codes with a gap, which a table may have.

    Raises:
        DataError: there is such a code.
    """
    import numpy as np

    gaps = np.argwhere(np.isnan(found))
    if len(gaps):
        row, column = gaps[0]
        raise DataError(f"{codes}: row {row}, column {column} is missing, but a code has no gaps. Fill it in.")
