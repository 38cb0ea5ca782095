"""``reparam reconstruct``: data → codes → data."""

from __future__ import annotations

from typing import Any

from reparam.cli.options import (
    Data,
    Draw,
    Index,
    Json,
    RowsOrPictures,
    RunPath,
    Seed,
    Streamed,
    Unknown,
    check_output,
    rows_done,
    tell_written,
)


def reconstruct(
    run: RunPath,
    data: Data,
    *,
    out: RowsOrPictures,
    draw: Draw = False,
    index: Index = None,
    unknown: Unknown = "refuse",
    seed: Seed = None,
    stream: Streamed = None,
    as_json: Json = False,
) -> None:
    """Encode DATA and decode them again.

    Writes the mean of p(x|z) of every row, at the mean of q(z|x); with --draw at a draw of q(z|x). A .png shows every
    image above its reconstruction.
    """
    check_output(out, data, pictures=True)
    from reparam.cli.flow import flow, flows
    from reparam.cli.sources import given_data
    from reparam.data import check_pictures, cut_note, write_rows
    from reparam.estimator.keeping import opened

    vae, count = opened(run), 0
    check_pictures(out, vae.schema_)
    chosen: Any = {"draw": draw, "random_state": seed, "report": rows_done("q found")}
    if flows(data, stream):
        chosen["report"] = None
        with flow(vae, data, out, index=index, unknown=unknown) as through:
            for _, part in through.parts():
                through.add_rows(vae.reconstruct(part, **chosen), part)
                count += len(part.rows)
    else:
        dataset = given_data(vae, data, index=index, unknown=unknown)
        rows, count = vae.reconstruct(dataset, **chosen), len(dataset.rows)
        write_rows(out, rows, vae.schema_, index=dataset.index, index_name=index or "index", above=dataset.rows)
    tell_written(
        out, f"{count:,} reconstructions{cut_note(out, count, 2)}", {"rows": count, "draw": draw}, as_json=as_json
    )
