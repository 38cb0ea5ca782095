"""``reparam score``: a bound on ln p(x) of every row."""

from __future__ import annotations

from reparam.cli.options import Data, Json, Output, RunPath, Samples, Seed, check_output, rows_done, tell_written


def score(
    run: RunPath, data: Data, *, out: Output, samples: Samples = None, seed: Seed = None, as_json: Json = False
) -> None:
    """Write how likely every row of DATA is.

    The K-sample bound on ln p(x), in nats: the rows with the lowest are the strangest.
    """
    check_output(out, data)
    from reparam.cli.sources import rows_for
    from reparam.data import write
    from reparam.estimator import load

    vae = load(run)
    dataset, _ = rows_for(vae, data, supported=True)
    scores = vae.score_samples(dataset, samples=samples, random_state=seed, report=rows_done("scored"))
    write(out, {"score": scores})
    mean = float(scores.mean(dtype="float64"))
    document = {"rows": len(scores), "bound": mean, "samples": samples or vae.bound_samples, "units": vae.schema_.units}
    tell_written(out, f"{len(scores):,} scores, {mean:.3f} nats on average", document, as_json=as_json)
