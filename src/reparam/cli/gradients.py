"""``reparam gradients``: how noisy each gradient estimator is on a run."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reparam.cli.options import Json, OwnData, RunPath, Seed, answer, picture_path, tell
from reparam.errors import ParameterError, ReparamWarning
from reparam.specification import shown

if TYPE_CHECKING:
    from reparam.data import Dataset
    from reparam.estimator.vae import VAE
    from reparam.gradients import PartGradient
    from reparam.model import Model


def gradients(
    run: RunPath,
    data: OwnData = None,
    *,
    objective: Annotated[str, typer.Option(help="iwae, or elbo as a mean over draws.")] = "iwae",
    estimators: Annotated[
        str | None, typer.Option(help="Names such as pathwise,dreg; by default every unbiased one.")
    ] = None,
    samples: Annotated[str, typer.Option(help="Numbers of draws of z per datum.")] = "1,5,25",
    rows: Annotated[int, typer.Option(min=1, help="How many rows the gradients are of.")] = 32,
    repeats: Annotated[
        int, typer.Option(min=4, max=10**6, help="Gradients per estimator and number of draws; even.")
    ] = 100,
    fresh: Annotated[bool, typer.Option("--fresh", help="Measure the model with untrained weights.")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="PNG", help="By default RUN/plots/gradients.png.")
    ] = None,
    seed: Seed = None,
    as_json: Json = False,
) -> None:
    """Measure the mean, variance and signal-to-noise ratio of gradients of RUN on DATA, and draw them."""
    import jax.numpy as jnp

    from reparam.cli.pictures import save_beside
    from reparam.cli.sources import rows_for
    from reparam.estimator import load
    from reparam.estimator.configuration import root_key
    from reparam.estimator.memory import check_room
    from reparam.gradients import compare_gradients
    from reparam.plots import gradient_quality

    place, counts = picture_path(out, run, "gradients"), _numbers(samples)
    vae = load(run)
    dataset, _ = rows_for(vae, data, supported=True)
    configuration = vae.fitted_.configuration
    key = root_key(configuration.seed if seed is None else seed)
    stored, schema = vae.fitted_.stored(dataset.rows[:rows])
    check_room("draws and their rows", len(stored), max(counts), configuration.latents + schema.size)
    x = jnp.asarray(schema.apply(stored))
    results = compare_gradients(
        _untrained(vae, dataset) if fresh else vae.model_,
        x,
        key,
        objective=objective,
        estimators=None if estimators is None else [name.strip() for name in estimators.split(",")],
        samples=counts,
        repeats=repeats,
        report=tell,
    )
    shown = f"{len(x):,} rows of {dataset.schema.name}, {'fresh' if fresh else 'trained'} weights"
    figure = gradient_quality(results, title=f"Gradients of {objective} on {shown}")
    picture = save_beside(figure, place)
    if as_json:
        measured = [result.to_json() for result in results]
        answer(
            {
                "run": str(run),
                "data": shown,
                "fresh": fresh,
                "gradients": measured,
                "plot": picture,
            }
        )
        return
    typer.echo(f"{shown}; {repeats} gradients of each")
    typer.echo(f"{'estimator':15} {'K':>4}  {'encoder: variance':>22} {'SNR':>8}  {'decoder: variance':>22} {'SNR':>8}")
    for result in results:
        typer.echo(f"{result.estimator:15} {result.samples:4}  {_told(result.encoder)}  {_told(result.decoder)}")
    if picture is not None:
        typer.echo(picture)


def _untrained(vae: VAE, dataset: Dataset) -> Model:
    """The run's model as it would start on these rows; what there is to warn of them was said when it was trained."""
    from dataclasses import replace

    from reparam.estimator import fitting

    alone = replace(vae.fitted_.configuration, likelihood=vae.likelihood_, early_stopping=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ReparamWarning)
        return fitting.begin(alone, dataset).model


def _told(part: PartGradient) -> str:
    ratio = "" if part.signal_to_noise is None else f"{part.signal_to_noise:.3g}"
    return f"{part.variance:10.4g} ± {part.standard_error:<9.2g} {ratio:>8}"


def _numbers(text: str) -> tuple[int, ...]:
    """``1,5,25`` as numbers.

    Raises:
        ParameterError: one is none, or beyond what there is room for.
    """
    words = [word.strip() for word in text.split(",")]
    if not all(re.fullmatch(r"[0-9]{1,5}", word) and int(word) for word in words):
        required = "whole numbers from 1 to 99,999, such as 1,5,25"
        raise ParameterError(f"--samples must be {required}. Got {shown(text)} instead.")
    return tuple(map(int, words))
