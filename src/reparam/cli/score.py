"""``reparam score``: a bound on ln p(x) of every row."""

from __future__ import annotations

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


def score(
    run: RunPath,
    data: Data,
    *,
    out: Output,
    explain: Annotated[
        bool, typer.Option("--explain", help="What each cell adds, too, and a picture of the worst rows beside OUT.")
    ] = False,
    samples: Samples = None,
    seed: Seed = None,
    index: Index = None,
    unknown: Unknown = "refuse",
    stream: Streamed = None,
    engine: Engine = None,
    as_json: Json = False,
) -> None:
    """Write how likely every row of DATA is.

    The K-sample bound on ln p(x), in nats: the rows with the lowest are the strangest. With --explain the ELBO in its
    parts beside it: what each cell adds, E_q ln p(x_j|z), less the column kl. A cell that is missing adds nothing.
    """
    check_output(out, data)
    import numpy as np

    from reparam.cli.engines import Order, by_engine, check_engine
    from reparam.cli.flow import flows, write_arrays
    from reparam.cli.sources import rows_for
    from reparam.data import write
    from reparam.data.arrays import column_name
    from reparam.devices.processes import share
    from reparam.estimator.keeping import opened

    if check_engine(engine, explain=explain):
        how = {"samples": samples, "random_state": seed}
        found = by_engine(engine, Order(str(run.resolve()), "score", how, index, unknown), data, out)
        tell_written(out, f"{found['rows']:,} scores, {found['bound']:.3f} nats on average", found, as_json=as_json)
        return
    vae = opened(run)
    chosen: Any = {"samples": samples, "random_state": seed, "report": rows_done("scored")}
    reads: dict[str, Any] = {"supported": True, "index": index, "unknown": unknown}
    told: dict[str, Any] = {"samples": samples or vae.fitted_.configuration.bound_samples, "units": vae.schema_.units}
    if flows(data, stream, explain=explain):
        chosen["report"] = None
        rows, sums = write_arrays(vae, data, out, lambda part: {"score": vae.score_samples(part, **chosen)}, **reads)
        mean = sums["score"] / rows
        document = {"rows": rows, "bound": mean, **told}
        tell_written(out, f"{rows:,} scores, {mean:.3f} nats on average", document, as_json=as_json)
        return
    dataset, _ = rows_for(vae, data, **reads)
    scores = vae.score_samples(dataset, **chosen)
    cells = vae.contributions(dataset, **chosen) if explain else None
    if not share().leads:
        return
    written: dict[str, Any] = {"score": scores}
    mean, empty = float(scores.mean(dtype="float64")), _empty(dataset.rows)
    document = {"rows": len(scores), "bound": mean, "empty": empty, **told}
    if cells is not None:
        names = [column_name(vae.schema_.columns, place) for place in range(vae.schema_.size)]
        places = {f"{name}_nats" if name in ("score", "kl", "index") else name: n for n, name in enumerate(names)}
        written |= {"kl": cells.kl, **{name: cells.cells[:, place] for name, place in places.items()}}
        document["picture"] = str(
            _draw(out, scores, np.where(np.isnan(dataset.rows), np.nan, cells.cells), names, dataset.index)
        )
    write(out, written, index=dataset.index, index_name=index or "index")
    nothing = f"; {empty:,} of rows of nothing, whose ln p is 0, less what q misses of the prior" if empty else ""
    tell_written(out, f"{len(scores):,} scores, {mean:.3f} nats on average{nothing}", document, as_json=as_json)


def _empty(rows: Any) -> int:
    """How many rows have no cell; those of a sparse matrix have all."""
    import numpy as np

    return int(np.isnan(rows).all(axis=1).sum()) if isinstance(rows, np.ndarray) else 0


def _draw(out: Any, scores: Any, cells: Any, names: Any, index: Any) -> Any:
    """The picture of the worst rows beside OUT."""
    from reparam.cli.pictures import save
    from reparam.plots import worst_rows

    place = out.with_name(f"{out.stem}-worst.png")
    save({place.stem: worst_rows(scores, cells, names, names=index)}, place.parent)
    return place
