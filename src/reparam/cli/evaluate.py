"""``reparam evaluate``: what a run is worth on rows."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reparam.cli.options import (
    Json,
    OwnData,
    RunPath,
    Samples,
    Seed,
    Streamed,
    Temperatures,
    answer,
    picture_path,
    rows_done,
)
from reparam.errors import ReparamWarning

if TYPE_CHECKING:
    from reparam.evaluation import Evaluation
    from reparam.evaluation.annealing import Annealed


def evaluate(
    run: RunPath,
    data: OwnData = None,
    *,
    samples: Samples = None,
    annealing: Temperatures = 0,
    annealed_rows: Annotated[
        int, typer.Option(min=2, help="How many rows are annealed, evenly spread; as many are simulated.")
    ] = 100,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="PNG", help="By default RUN/plots/bound.png.")
    ] = None,
    seed: Seed = None,
    stream: Streamed = None,
    as_json: Json = False,
) -> None:
    """Measure RUN on rows it was not trained on; nats per datum.

    The ELBO in its parts, the K-sample bound with its standard error, how far that bound can be trusted, and what the
    latents do. With --annealing a second lower bound on ln p(x), and bounds from both sides on rows that RUN simulates.
    """
    from reparam.cli.flow import flows, rows_of
    from reparam.cli.pictures import save_beside, thinned
    from reparam.cli.sources import rows_for
    from reparam.devices.processes import share
    from reparam.estimator.keeping import opened
    from reparam.evaluation.annealing import Annealing
    from reparam.plots import bound_by_samples

    place = picture_path(out, run, "bound")
    vae = opened(run)
    if data is not None and flows(data, stream):
        found, dataset = vae.evaluate_parts(rows_of(vae, data), samples=samples, random_state=seed)
        shown = f"{found.rows:,} rows of {data}"
    else:
        dataset, shown = rows_for(vae, data, supported=True)
        found = vae.evaluate(dataset, samples=samples, random_state=seed, report=rows_done("evaluated"))
    annealed = None
    if annealing:
        chosen, report = thinned(dataset, annealed_rows), rows_done("annealed")
        annealed = vae.anneal(
            chosen,
            annealing=Annealing(temperatures=annealing),
            samples=samples,
            random_state=seed,
            report=report,
        )
    if not share().leads:
        return
    picture = save_beside(bound_by_samples(found, title=f"{run} on {shown}"), place)
    for text in (*found.warnings, *(() if annealed is None else annealed.warnings)):
        warnings.warn(text, ReparamWarning, stacklevel=2)
    if as_json:
        further = {
            "annealed": None if annealed is None else annealed.to_json(),
            "plot": picture,
        }
        answer({"run": str(run), "data": shown, **found.to_json(), **further})
        return
    typer.echo(f"{shown}; nats per datum, densities of {found.units}")
    lines = [*_told(found, vae.fitted_.configuration.latents), *(() if annealed is None else _told_annealed(annealed))]
    typer.echo("\n".join(f"  {name:22} {value:>10}  {remark}".rstrip() for name, value, remark in lines))
    if picture is not None:
        typer.echo(picture)


def _told(found: Evaluation, latent_dim: int) -> Iterator[tuple[str, str, str]]:
    """Name, value and remark of each line."""
    yield "elbo", _number(found.elbo), f"{_error(found.elbo_standard_error)}= reconstruction − KL"
    yield "reconstruction", _number(found.reconstruction), ""
    yield "KL", _number(found.kl), "= mutual information + aggregate KL"
    yield "mutual information", _number(found.mutual_information), "between a row and its code"
    yield "aggregate KL", _number(found.aggregate_kl), "of the codes of all rows from the prior"
    yield "bound", _number(found.bound), f"{_error(found.standard_error)}by {found.samples} draws per datum"
    few = f"the median; fewer than 10 in {found.rows_below_10_effective} of {found.rows} rows"
    yield "effective draws", f"{found.effective_samples:.1f}", few
    if found.bits_per_dimension is not None:
        yield (
            "bits per dimension",
            _number(found.bits_per_dimension),
            (found.bits_per_dimension_convention or "").partition(":")[0],
        )
    yield "active units", str(found.active_units), f"of {latent_dim}"
    for number, layer in enumerate(found.layers or (), 1):
        kl = "" if layer.kl is None else _number(layer.kl)
        yield f"KL of layer {number}", kl, f"{layer.active_units} of {layer.latents} latents active"
    noise = found.observation_noise
    if noise is not None:
        remark = f"σ√β; the errors' own is {noise.residual_scale:.4g}, an effective β of {noise.effective_beta:.3g}"
        yield "implied σ of x", f"{noise.implied_scale:.4g}", remark


def _told_annealed(found: Annealed) -> Iterator[tuple[str, str, str]]:
    """The same for the annealed bounds."""
    lower, upper, width = found.simulated
    plain = f"by {found.samples} draws theirs is {_number(found.importance_bound.value)}"
    error = _error(found.bound.standard_error)
    yield "annealed bound", _number(found.bound.value), f"{error}of {found.rows} rows; {plain}"
    sides = f"{_number(lower.value)} from below, {_number(upper.value)} from above"
    yield "annealed, uncertainty", _number(width.value), f"{_error(width.standard_error)}on simulated rows: {sides}"


def _number(value: float) -> str:
    return f"{value:.3f}"


def _error(value: float | None) -> str:
    return "" if value is None else f"± {value:.3f} "
