"""``reparam encode``: data → latent codes."""

from __future__ import annotations

from reparam.cli.options import (
    Data,
    Draw,
    Index,
    Json,
    Output,
    RunPath,
    Seed,
    Unknown,
    check_output,
    rows_done,
    tell_written,
)


def encode(
    run: RunPath,
    data: Data,
    *,
    out: Output,
    draw: Draw = False,
    index: Index = None,
    unknown: Unknown = "refuse",
    seed: Seed = None,
    as_json: Json = False,
) -> None:
    """Write the latent codes of DATA.

    The posterior mean and standard deviation of every row; with --draw one draw z instead.

    Columns mean_0, … and std_0, … (in an .npy the means, then the standard deviations); with --draw z_0, … An .h5ad
    file has the means, or the draws, as obsm["X_reparam"], beside all that DATA had if it was one.
    """
    check_output(out, data, also=(".h5ad",))
    from reparam.cli.sources import given_data
    from reparam.data import write
    from reparam.data.counts import write_codes
    from reparam.estimator import load

    vae, report = load(run), rows_done("q found")
    dataset = given_data(vae, data, index=index, unknown=unknown)
    if draw:
        codes = {"z": vae.transform(dataset, draw=True, random_state=seed, report=report)}
    else:
        codes = dict(zip(("mean", "std"), vae.posterior_moments(dataset, report=report), strict=True))
    if out.suffix.lower() == ".h5ad":
        write_codes(out, data, next(iter(codes.values())), dataset.index)
    else:
        write(out, codes, index=dataset.index, index_name=index or "index")
    document = {"rows": len(dataset.rows), "latent_dim": vae.fitted_.configuration.latents, "arrays": list(codes)}
    tell_written(out, f"{len(dataset.rows):,} codes ({' and '.join(codes)})", document, as_json=as_json)
