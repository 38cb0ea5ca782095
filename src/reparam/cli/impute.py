"""``reparam impute``: data with gaps → data without."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from reparam.cli.options import (
    Data,
    Index,
    Json,
    Output,
    RunPath,
    Samples,
    Seed,
    Unknown,
    check_output,
    rows_done,
    tell_written,
)


def impute(
    run: RunPath,
    data: Data,
    *,
    out: Output,
    draws: Annotated[
        int | None,
        typer.Option(metavar="M", help="Write M completed tables OUT-1 … OUT-M, each with cells drawn, not expected."),
    ] = None,
    std: Annotated[
        bool, typer.Option("--std", help="Beside each column its deviation; of a level P(another is true).")
    ] = False,
    samples: Samples = None,
    seed: Seed = None,
    index: Index = None,
    unknown: Unknown = "refuse",
    as_json: Json = False,
) -> None:
    """Fill the missing cells of DATA; a cell that is there stays what it is.

    A missing number becomes its mean given the cells of its row that are there, a missing level the most probable one;
    with --draws each table holds draws of them, so that an analysis of all tables knows what filling in leaves open.
    """
    check_output(out)
    import numpy as np

    from reparam.cli.sources import read_as, rows_for
    from reparam.data.sources import read_table
    from reparam.estimator import load

    vae = load(run)
    dataset, _ = rows_for(vae, data, supported=True, index=index, unknown=unknown)
    chosen: Any = {"samples": samples, "random_state": seed, "report": rows_done("imputed")}
    found = vae.impute(dataset, draws=draws, std=std, **chosen)
    whole, deviation = found if std else (found, None)
    places = [out] if draws is None else [out.with_stem(f"{out.stem}-{draw + 1}") for draw in range(draws)]
    of_cells = vae.schema_.table is not None and out.suffix.lower() in (".csv", ".parquet")
    sheet = read_table(data, read_as(vae)) if of_cells else None
    for place, rows in zip(places, [whole] if draws is None else whole, strict=True):
        _write(place, rows, deviation, sheet, vae.schema_)
    missing = int(np.isnan(dataset.rows).sum())
    document = {"rows": len(dataset.rows), "missing": missing, "files": [str(place) for place in places]}
    tell_written(out, f"{missing:,} cells of {len(dataset.rows):,} rows filled in", document, as_json=as_json)


def _write(place: Path, rows: Any, deviation: Any, sheet: Any, schema: Any) -> None:
    """A table as its file has it, with the cells that it lacks; numbers that came from no table as they are."""
    from reparam.data import write, write_filled, write_rows
    from reparam.data.arrays import column_name

    if deviation is None:
        deviation = rows[:, :0]
    beside = {f"{column_name(schema.columns, number)}_std": values for number, values in enumerate(deviation.T)}
    if sheet is not None:
        write_filled(place, sheet.beside(beside), rows, schema)
    elif beside:
        write(place, {"x": rows, **beside})
    else:
        write_rows(place, rows, schema)
