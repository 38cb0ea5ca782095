"""``reparam impute``: data with gaps → data without."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from reparam.cli.options import (
    Data,
    Engine,
    Index,
    Json,
    Output,
    RunPath,
    Samples,
    Seed,
    Streamed,
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
        typer.Option(
            metavar="M",
            min=1,
            max=10_000,
            help="Write M completed tables OUT-1 … OUT-M, each with cells drawn, not expected.",
        ),
    ] = None,
    std: Annotated[
        bool, typer.Option("--std", help="Beside each column its deviation; of a level P(another is true).")
    ] = False,
    samples: Samples = None,
    seed: Seed = None,
    index: Index = None,
    unknown: Unknown = "refuse",
    stream: Streamed = None,
    engine: Engine = None,
    as_json: Json = False,
) -> None:
    """Fill the missing cells of DATA; a cell that is there stays what it is.

    A missing number becomes its mean given the cells of its row that are there, a missing level the most probable one;
    with --draws each table holds draws of them, so that an analysis of all tables knows what filling in leaves open.
    """
    places = [out] if draws is None else [out.with_stem(f"{out.stem}-{draw + 1}") for draw in range(draws)]
    for place in places:
        check_output(place, data)
    import numpy as np

    from reparam.cli.engines import Order, by_engine, check_engine
    from reparam.cli.flow import flow, flows, of_all
    from reparam.cli.sources import read_as, rows_for
    from reparam.data.arrays import column_name
    from reparam.data.completion import write_completed
    from reparam.devices.processes import share
    from reparam.estimator.keeping import opened

    if check_engine(engine, draws=draws, std=std):
        how = {"samples": samples, "random_state": seed}
        told = by_engine(engine, Order(str(run.resolve()), "impute", how, index, unknown), data, out)
        tell_written(out, f"{told['rows']:,} rows without gaps", told, as_json=as_json)
        return
    vae = opened(run)
    schema, reading = vae.schema_, replace(read_as(vae), index=index)
    chosen: Any = {"samples": samples, "random_state": seed, "report": rows_done("imputed")}

    def tell_imputed(filled: int, missing: int, rows: int) -> None:
        kept = missing - filled
        document = {"rows": rows, "missing": filled, "unknown": kept, "files": [str(place) for place in places]}
        done = (
            f"{filled:,} cells of {rows:,} rows filled in" if filled else f"no cell of {rows:,} rows is missing, copied"
        )
        done += f"; {kept:,} of levels that the model never saw left as they are" if kept else ""
        tell_written(out, done, document, as_json=as_json)

    def named(deviation: Any) -> dict[str, Any]:
        columns = () if deviation is None else deviation.T
        return {f"{column_name(schema.columns, place)}_std": values for place, values in enumerate(columns)}

    if flows(data, stream, draws=draws):
        chosen["report"] = None
        counted = np.zeros(3, np.int64)
        with flow(vae, data, out, index=index, unknown=unknown) as through:
            for sheet, part in through.parts(supported=True):
                found = vae.impute(part, std=std, **chosen)
                whole, deviation = found if std else (found, None)
                filled = through.add_completed(sheet, whole, named(deviation), part)
                counted += filled, int(np.isnan(part.rows).sum()), len(part.rows)
        told = of_all(dict(zip(("filled", "missing", "rows"), counted.tolist(), strict=True)))
        tell_imputed(*(int(told[name]) for name in ("filled", "missing", "rows")))
        return
    dataset, _ = rows_for(vae, data, supported=True, index=index, unknown=unknown)
    found = vae.impute(dataset, draws=draws, std=std, **chosen)
    if not share().leads:
        return
    whole, deviation = found if std else (found, None)
    beside, missing = named(deviation), int(np.isnan(dataset.rows).sum())
    holes: int | None = missing
    for place, rows in zip(places, [whole] if draws is None else whole, strict=True):
        holes = write_completed(place, data, rows, schema, reading=reading, beside=beside)
        if holes is None:
            _write_numbers(place, rows, beside, vae)
    tell_imputed(missing if holes is None else holes, missing, len(dataset.rows))


def _write_numbers(place: Path, rows: Any, beside: Mapping[str, Any], vae: Any) -> None:
    """What came from no table, in the format that the ending names."""
    from reparam.data import write, write_rows
    from reparam.data.writing import names_of

    if beside:
        write(place, {"x": rows, **beside}, columns=names_of(vae.schema_))
    else:
        write_rows(place, rows, vae.schema_)
