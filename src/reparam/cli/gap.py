"""``reparam gap``: where a run's ELBO loses nats."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reparam.cli.options import (
    Json,
    OwnData,
    RunPath,
    Seed,
    Streamed,
    Temperatures,
    answer,
    picture_path,
    rows_done,
    tell,
)
from reparam.errors import ReparamWarning

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from reparam.data import Dataset
    from reparam.estimator.vae import VAE
    from reparam.evaluation.gap import Gap


def gap(
    run: RunPath,
    data: OwnData = None,
    *,
    rows: Annotated[int, typer.Option(min=2, help="How many rows of each set, evenly spread.")] = 200,
    samples: Annotated[int, typer.Option(min=1, max=10**6, help="K, the draws per row of every bound.")] = 1000,
    family: Annotated[
        str | None, typer.Option(help="A richer family of q to optimise as well: full, flow, low-rank:2, …")
    ] = None,
    annealing: Temperatures = 0,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="PNG", help="By default RUN/plots/gap.png.")
    ] = None,
    seed: Seed = None,
    stream: Streamed = None,
    as_json: Json = False,
) -> None:
    """Split ln p(x) − ELBO of RUN into what its encoder loses and what its family of q loses.

    Without DATA, on training rows and on the rows that the run held out: their difference is the encoder's.
    """
    from reparam.cli.pictures import save_beside
    from reparam.data import spread
    from reparam.devices.processes import share
    from reparam.estimator import load
    from reparam.evaluation.annealing import Annealing
    from reparam.evaluation.local import richer_family
    from reparam.plots import inference_gaps

    place = picture_path(out, run, "gap")
    vae = load(run)
    if family is not None:
        richer_family(family, vae.model_)  # told before anything is computed, where it is none
    careful = Annealing(temperatures=annealing) if annealing else None
    found: dict[str, Gap] = {}
    for name, (dataset, raw) in _sets(vae, data, rows, stream).items():
        which = spread(len(dataset.rows), rows)
        tell(f"{name}: optimising q of {len(which):,} rows")
        found[name] = vae.gap(
            dataset.take(which),
            family=family,
            annealing=careful,
            samples=samples,
            raw=None if raw is None else raw[which],
            random_state=seed,
            report=rows_done(f"{name}, q optimised"),
        )
        for text in found[name].warnings:
            warnings.warn(f"{name}: {text}", ReparamWarning, stacklevel=2)
    if not share().leads:
        return
    picture = save_beside(inference_gaps(found, title=f"Inference gap of {run}"), place)
    if as_json:
        answer(
            {
                "run": str(run),
                **{name: result.to_json() for name, result in found.items()},
                "plot": picture,
            }
        )
        return
    for name, result in found.items():
        typer.echo(_told(name, result, str(vae.inference)))
    if picture is not None:
        typer.echo(picture)


def _sets(
    vae: VAE, data: str | None, rows: int, streamed: bool | None
) -> dict[str, tuple[Dataset, NDArray[Any] | None]]:
    """DATA, or the run's training rows and those that it held out, if any, by name; with their q where it is stored."""
    from reparam.cli.flow import drawn_from, flows
    from reparam.cli.sources import own_data, rows_for
    from reparam.estimator.seeing import split_rows

    if data is not None and flows(data, streamed):
        return {"data": (drawn_from(vae, data, rows)[0], None)}
    if data is not None:
        return {"data": (rows_for(vae, data, supported=True)[0], None)}
    own, raw = own_data(vae), vae.row_raw_ if hasattr(vae, "row_raw_") else None
    train, held_out = split_rows(vae.fitted_.configuration, len(own.rows))
    if held_out is None:
        return {"training": (own, raw)}
    return {
        "training": (own.take(train), None if raw is None else raw[train]),
        "held_out": (own.take(held_out), None),
    }


def _told(name: str, found: Gap, inference: str) -> str:
    """The decomposition as lines."""
    encoder = "the encoder" if inference == "amortized" else f"how {inference} finds q"
    figures = [
        ("ln p(x), at least", found.log_prob, found.log_prob_by.replace("_", " ")),
        ("approximation gap", found.approximation_gap, "the family of q"),
        ("best ELBO of the family", found.local_elbo, "q optimised for each row"),
        ("amortisation gap", found.amortization_gap, encoder),
        ("ELBO", found.amortized_elbo, "as trained"),
        ("inference gap", found.inference_gap, "both together"),
    ]
    if found.family_elbo is not None and found.family_approximation_gap is not None:
        figures.append((f"best ELBO of {found.family}", found.family_elbo, "q optimised for each row"))
        figures.append((f"gap of {found.family}", found.family_approximation_gap, "ln p(x) − that"))
    lines = [f"{name}, {found.rows} rows; nats per datum ± standard error; {found.samples} draws per row"]
    for label, mean, remark in figures:
        error = "" if mean.standard_error is None else f"± {mean.standard_error:.3f}"
        lines.append(f"  {label:24} {mean.value:10.3f} {error:9} {remark}")
    cost = found.seconds_per_row
    times = f"{_time(cost.as_trained)} as trained, {_time(cost.search)} by a search of its own"
    lines.append(f"  {'time for a new row':24} {times}")
    return "\n".join(lines)


def _time(seconds: float) -> str:
    return f"{1e6 * seconds:.0f} µs" if seconds < 1e-3 else f"{1e3 * seconds:.1f} ms"
