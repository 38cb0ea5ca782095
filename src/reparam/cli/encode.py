"""``reparam encode``: data → latent codes."""

from __future__ import annotations

from reparam.cli.options import Data, Draw, Json, Output, RunPath, Seed, check_output, rows_done, tell_written


def encode(
    run: RunPath, data: Data, *, out: Output, draw: Draw = False, seed: Seed = None, as_json: Json = False
) -> None:
    """Write the latent codes of DATA.

    The posterior mean and standard deviation of every row; with --draw one draw z instead.

    Columns mean_0, … and std_0, … (in an .npy the means, then the standard deviations); with --draw z_0, …
    """
    check_output(out, data)
    from reparam.data import conform, write
    from reparam.estimator import load

    vae, report = load(run), rows_done("q found")
    dataset = conform(data, vae.schema_)
    if draw:
        codes = {"z": vae.transform(dataset, draw=True, random_state=seed, report=report)}
    else:
        codes = dict(zip(("mean", "std"), vae.posterior_moments(dataset, report=report), strict=True))
    write(out, codes)
    document = {"rows": len(dataset.rows), "latent_dim": vae.fitted_.configuration.latents, "arrays": list(codes)}
    tell_written(out, f"{len(dataset.rows):,} codes ({' and '.join(codes)})", document, as_json=as_json)
