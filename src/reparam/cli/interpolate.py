"""``reparam interpolate``: the way from one datum to another, through the latent space."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reparam.cli.options import Given, Json, RowsOrPictures, RunPath, check_output, given_values, tell_written
from reparam.errors import DataError, ParameterError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from reparam.data import Dataset
    from reparam.estimator.vae import VAE

Between = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[A B | DATA]",
        help="Two ends, each a file of one datum or the number of a row of the run's own data; or DATA, with --rows.",
    ),
]


def interpolate(
    run: RunPath,
    between: Between = None,
    *,
    out: RowsOrPictures,
    rows: Annotated[
        str | None, typer.Option(metavar="I,J", help="Two rows of DATA, or of the run's own; counted from 0.")
    ] = None,
    steps: Annotated[int, typer.Option(min=2, max=1000, help="How many places, both ends among them.")] = 9,
    spherical: Annotated[
        bool, typer.Option("--spherical", help="Along the great circle, instead of the straight way.")
    ] = False,
    given: Given = None,
    as_json: Json = False,
) -> None:
    """Decode the way between two data.

    Encodes both ends, goes from one mean of q(z|x) to the other, and writes the mean of p(x|z) at every step. A .png is
    a strip, with the ends as they were given at its sides; a table has the place t, 0 to 1, beside every row.
    """
    check_output(out, *(between or ()), pictures=True)
    import numpy as np

    from reparam.data import check_pictures, is_folder, write_mosaic, write_rows
    from reparam.data.writing import atomic
    from reparam.estimator import load
    from reparam.insight import paths

    vae, told = load(run), given_values(given or []) or None
    check_pictures(out, vae.schema_)
    ends = _ends(vae, between or [], rows)
    a, b = (np.asarray(vae.transform(end)[0], np.float64) for end in ends)
    t = np.linspace(0, 1, steps)
    codes = (paths.spherical if spherical else paths.linear)(a, b, t)
    decoded: NDArray[np.float32] = vae.inverse_transform(codes, told)
    if out.suffix.lower() == ".png" and not is_folder(out):
        with atomic(out.expanduser()) as file:
            write_mosaic(file, [ends[0].rows, decoded, ends[1].rows], vae.schema_)
    else:
        write_rows(out, decoded, vae.schema_, index=t, index_name="t")
    document = {"rows": steps, "spherical": spherical, "distance": float(np.linalg.norm(b - a))}
    tell_written(out, f"{steps} steps", document, as_json=as_json)


def _ends(vae: VAE, between: list[str], rows: str | None) -> tuple[Dataset, Dataset]:
    """The two data, a dataset of one row each.

    Raises:
        ParameterError: there are not two.
        DataError: they cannot be read, or there is no such row.
    """
    from reparam.cli.sources import given_data, own_data

    if rows is None and len(between) == 2:
        own = own_data(vae) if any(map(_is_number, between)) else None
        return _end(vae, own, between[0]), _end(vae, own, between[1])
    if rows is None or len(between) > 1:
        raise ParameterError(
            "two ends are required: A and B, each a file of one datum or the number of a row of the run's own data; or "
            f"DATA and --rows I,J. Got {' '.join(between) or 'none'}{'' if rows is None else ' and --rows ' + rows}."
        )
    numbers = rows.split(",")
    if len(numbers) != 2 or not all(map(_is_number, numbers)):
        raise ParameterError(f"--rows must be two numbers of rows, such as 3,17. Got {rows!r} instead.")
    data = given_data(vae, between[0]) if between else own_data(vae)
    return _row(data, int(numbers[0])), _row(data, int(numbers[1]))


def _end(vae: VAE, own: Dataset | None, word: str) -> Dataset:
    """A row of the run's own, by its number; or a file of one.

    Raises:
        DataError: there is no such row, or the file holds several.
    """
    from reparam.cli.sources import given_data

    if own is not None and _is_number(word):
        return _row(own, int(word))
    data = given_data(vae, word)
    if len(data.rows) != 1:
        raise DataError(f"{word} holds {len(data.rows):,} rows: an end is one. Say DATA and --rows I,J instead.")
    return data


def _is_number(word: str) -> bool:
    """Whether a word is the number of a row, and no file."""
    return word.isascii() and word.isdigit() and len(word) < 19 and not Path(word).exists()


def _row(data: Dataset, number: int) -> Dataset:
    if number >= len(data.rows):
        raise DataError(f"{data.schema.name} has {len(data.rows):,} rows, counted from 0: there is no row {number}.")
    return data.take(slice(number, number + 1))
