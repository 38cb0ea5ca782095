"""``reparam evaluate``: what a run is worth on rows."""

from __future__ import annotations

import typer

from reparam.cli.options import Json, OwnData, RunPath, Samples, Seed, answer


def evaluate(
    run: RunPath, data: OwnData = None, samples: Samples = None, seed: Seed = None, as_json: Json = False
) -> None:
    """Measure RUN on rows it was not trained on.

    The ELBO in its parts, the K-sample bound with its standard error, and the active units; nats per datum.
    """
    from reparam.cli.sources import open_run, rows_for

    vae = open_run(run, samples)
    dataset, shown = rows_for(vae, data, supported=True)
    found = vae.evaluate(dataset, random_state=seed)
    if as_json:
        answer({"run": str(run), "data": shown, **found.to_json()})
        return
    error = f"± {found.standard_error:.3f}" if found.standard_error is not None else ""
    typer.echo(f"{shown}; nats per datum, densities of {found.units}")
    typer.echo(f"  elbo            {found.elbo:10.3f}  = reconstruction − KL")
    typer.echo(f"  reconstruction  {found.reconstruction:10.3f}")
    typer.echo(f"  KL              {found.kl:10.3f}")
    typer.echo(f"  bound           {found.bound:10.3f}  {error} (standard error; {found.samples} draws per datum)")
    typer.echo(f"  active units    {found.active_units} of {vae.latent_dim}")
