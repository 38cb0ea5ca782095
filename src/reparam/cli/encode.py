"""``reparam encode``: data → latent codes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reparam.cli.options import (
    Data,
    Draw,
    Engine,
    Index,
    Json,
    Output,
    RunPath,
    Seed,
    Streamed,
    Unknown,
    check_output,
    rows_done,
    tell_written,
)

if TYPE_CHECKING:
    from reparam.data import Dataset


def encode(
    run: RunPath,
    data: Data,
    *,
    out: Output,
    draw: Draw = False,
    index: Index = None,
    unknown: Unknown = "refuse",
    seed: Seed = None,
    stream: Streamed = None,
    engine: Engine = None,
    as_json: Json = False,
) -> None:
    """Write the latent codes of DATA.

    The posterior mean and standard deviation of every row; with --draw one draw z instead.

    Columns mean_0, … and std_0, … (in an .npy the means, then the standard deviations); with --draw z_0, … Of several
    layers of latents mean_z1_0, …, mean_z2_0, … and so on. An .h5ad file has the means, or the draws, as
    obsm["X_reparam"], beside all that DATA had if it was one; a latent that says how deep a cell was counted is not
    among them.
    """
    check_output(out, data, also=(".h5ad",))
    import numpy as np

    from reparam.cli.engines import Order, by_engine, check_engine
    from reparam.cli.flow import flows, write_arrays
    from reparam.cli.sources import given_data
    from reparam.data import write
    from reparam.data.counts import write_codes
    from reparam.devices.processes import share
    from reparam.estimator.keeping import opened

    names = ["z"] if draw else ["mean", "std"]
    if check_engine(engine):
        how = {"draw": True, "random_state": seed} if draw else {"draw": False}
        found = by_engine(engine, Order(str(run.resolve()), "encode", how, index, unknown), data, out)
        tell_written(
            out, f"{found['rows']:,} codes ({' and '.join(names)})", {**found, "arrays": names}, as_json=as_json
        )
        return
    vae, streamed = opened(run), flows(data, stream)
    report = None if streamed else rows_done("q found")
    layers = vae.fitted_.configuration.layers

    def codes_of(dataset: Dataset) -> dict[str, Any]:
        if draw:
            return {"z": vae.transform(dataset, draw=True, random_state=seed, report=report)}
        return dict(zip(names, vae.posterior_moments(dataset, report=report), strict=True))

    def tell_codes(rows: int) -> None:
        document = {"rows": rows, "latent_dim": vae.fitted_.configuration.latents, "arrays": names}
        tell_written(out, f"{rows:,} codes ({' and '.join(names)})", document, as_json=as_json)

    def columns_of(dataset: Dataset) -> dict[str, Any]:
        return by_layer(codes_of(dataset), layers)

    if streamed:
        tell_codes(write_arrays(vae, data, out, columns_of, index=index, unknown=unknown)[0])
        return
    dataset = given_data(vae, data, index=index, unknown=unknown)
    codes = columns_of(dataset) if out.suffix.lower() != ".h5ad" else codes_of(dataset)
    if not share().leads:
        return
    if out.suffix.lower() == ".h5ad":
        (told, *_), own = codes.values(), vae.fitted_.model.likelihood.own_latents
        write_codes(out, data, np.delete(told, range(layers[0] - own, layers[0]), axis=1), dataset.index)
    else:
        write(out, codes, index=dataset.index, index_name=index or "index")
    tell_codes(len(dataset.rows))


def by_layer(codes: dict[str, Any], layers: tuple[int, ...]) -> dict[str, Any]:
    """Codes (N, K) as a file names them: where there are several layers, those of each.

    >>> import numpy as np
    >>> {name: array.shape for name, array in by_layer({"mean": np.zeros((2, 5))}, (3, 2)).items()}
    {'mean_z1': (2, 3), 'mean_z2': (2, 2)}
    """
    if len(layers) == 1:
        return codes
    from reparam.probability.distributions.chain import split_layers

    return {
        f"z{layer}" if name == "z" else f"{name}_z{layer}": part
        for name, array in codes.items()
        for layer, part in enumerate(split_layers(array, layers), start=1)
    }
