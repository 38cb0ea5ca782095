"""``reparam gap``: where a run's ELBO loses nats."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reparam.cli.options import Json, OwnData, RunPath, Seed, answer, rows_done, tell
from reparam.errors import ReparamWarning

if TYPE_CHECKING:
    from reparam.data import Dataset
    from reparam.estimator import VAE
    from reparam.evaluation.gap import Gap


def gap(
    run: RunPath,
    data: OwnData = None,
    *,
    rows: Annotated[int, typer.Option(min=2, help="How many rows of each set, the first ones.")] = 200,
    samples: Annotated[int, typer.Option(min=1, help="K, the draws per row of every bound.")] = 1000,
    family: Annotated[
        str | None, typer.Option(help="A richer family of q to optimise as well: full, flow, low-rank:2, …")
    ] = None,
    annealing: Annotated[
        int, typer.Option(min=0, metavar="TEMPERATURES", help="Annealed importance sampling too; 0 leaves it out.")
    ] = 0,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="PNG", help="By default RUN/plots/gap.png.")
    ] = None,
    seed: Seed = None,
    as_json: Json = False,
) -> None:
    """Split ln p(x) − ELBO of RUN into what its encoder loses and what its family of q loses.

    Without DATA, on training rows and on the rows that the run held out: their difference is the encoder's.
    """
    from reparam.cli.pictures import save
    from reparam.cli.sources import open_run
    from reparam.evaluation.annealing import Annealing
    from reparam.plots import inference_gaps

    vae = open_run(run, samples)
    careful = Annealing(temperatures=annealing) if annealing else None
    found: dict[str, Gap] = {}
    for name, dataset in _sets(vae, data).items():
        tell(f"{name}: optimising q of {min(rows, len(dataset.rows)):,} rows")
        first, report = _first(dataset, rows), rows_done(f"{name}, q optimised")
        found[name] = vae.gap(first, family=family, annealing=careful, random_state=seed, report=report)
    place = run / "plots" / "gap.png" if out is None else out
    save({place.stem: inference_gaps(found, title=f"Inference gap of {run}")}, place.parent)
    if as_json:
        answer({"run": str(run), **{name: result.to_json() for name, result in found.items()}, "plot": str(place)})
        return
    for name, result in found.items():
        typer.echo(_told(name, result))
    typer.echo(str(place))


def _sets(vae: VAE, data: str | None) -> dict[str, Dataset]:
    """DATA, or the run's training rows and those that it held out, if any, by name."""
    from reparam.cli.sources import own_data, rows_for
    from reparam.data import Dataset, split

    if data is not None:
        return {"data": rows_for(vae, data, supported=True)[0]}
    own = own_data(vae)
    if not vae.early_stopping:
        return {"training": own}
    train, held_out = split(len(own.rows), vae.validation_fraction, vae.seed_)
    return {"training": Dataset(own.rows[train], own.schema), "held_out": Dataset(own.rows[held_out], own.schema)}


def _first(dataset: Dataset, rows: int) -> Dataset:
    from reparam.data import Dataset

    return Dataset(dataset.rows[:rows], dataset.schema)


def _told(name: str, found: Gap) -> str:
    """The decomposition as lines, and a warning of rows that did not converge."""
    if found.not_converged:
        text = f"{name}: the search for q had not converged on {found.not_converged} of {found.rows} rows."
        warnings.warn(text, ReparamWarning, stacklevel=2)
    figures = [
        ("ln p(x), at least", found.log_prob, found.log_prob_by.replace("_", " ")),
        ("approximation gap", found.approximation_gap, "the family of q"),
        ("best ELBO of the family", found.local_elbo, "q optimised for each row"),
        ("amortisation gap", found.amortization_gap, "the encoder"),
        ("ELBO", found.amortized_elbo, "as trained"),
    ]
    if found.family_elbo is not None:
        figures.insert(1, (f"best ELBO of {found.family}", found.family_elbo, "q optimised for each row"))
    lines = [f"{name}, {found.rows} rows; nats per datum ± standard error; {found.samples} draws per row"]
    for label, mean, remark in figures:
        lines.append(f"  {label:24} {mean.value:10.3f} ± {mean.standard_error or 0.0:<7.3f} {remark}")
    cost = found.seconds_per_row
    times = f"{_time(cost.as_trained)} as trained, {_time(cost.search)} by a search of its own"
    lines.append(f"  {'time for a new row':24} {times}")
    return "\n".join(lines)


def _time(seconds: float) -> str:
    return f"{1e6 * seconds:.0f} µs" if seconds < 1e-3 else f"{1e3 * seconds:.1f} ms"
