"""What ``reparam plot`` draws: computes what each picture shows, and writes the pictures."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from reparam import plots
from reparam.cli.sources import given_data, held_out, own_data
from reparam.data import Dataset, grey_limits, is_image, spread
from reparam.data.arrays import column_name
from reparam.errors import DataError, ReparamWarning
from reparam.estimator.use import FittedUse
from reparam.evaluation import draw_prior
from reparam.storage import whole_file

LATENT_ROWS = 5000
RECONSTRUCTED = 36
SAMPLES = 100
GRID = 15
COLUMNS = 40
TABLE_ROWS = 2000
PRIOR_DRAWS = 20_000


def draw_run(vae: FittedUse, data: str | None, labels: str | None) -> dict[str, Figure]:
    """Every picture of a run, by name; without the run's own data those that need them are left out, with a warning."""
    figures = {"training": plots.training_curves(vae.history_, title=f"Training on {vae.schema_.name}")}
    if vae.latent_path_:
        figures["latent_dim"] = plots.latent_path(vae.latent_path_, title=f"How many latents for {vae.schema_.name}?")
    if is_image(vae.schema_.event_shape):
        figures |= _from_the_model(vae)
    try:
        rows, unseen = _rows(vae, data, labels)
    except DataError as error:
        if data is not None:
            raise
        warnings.warn(f"pictures that need data are left out: {error}", ReparamWarning, stacklevel=2)
        return figures
    return {**figures, **_from_data(vae, rows, unseen), "latents": _latents(vae, rows)}


def save(figures: Mapping[str, Figure], folder: Path) -> list[Path]:
    """Write each figure as a PNG in the folder.

    Raises:
        DataError: nothing can be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / f"{name}.png" for name in figures]
        for path, figure in zip(paths, figures.values(), strict=True):
            plots.drawn_as_text(figure)
            with whole_file(path) as file:
                figure.savefig(file, format="png")
    except OSError as error:
        raise DataError(f"{folder} cannot be written: {error.strerror}. Choose another folder with -o.") from error
    return paths


def save_beside(figure: Figure, place: Path) -> str | None:
    """Write the picture of what is told in numbers too: where it cannot be written, warn, for the numbers stand."""
    try:
        save({place.stem: figure}, place.parent)
    except DataError as error:
        warnings.warn(f"no picture: {error}", ReparamWarning, stacklevel=2)
        return None
    return str(place)


def _rows(vae: FittedUse, data: str | None, labels: str | None) -> tuple[Dataset, Dataset]:
    """Rows for the latent space, and rows that the model was not trained on where there are such."""
    if data is not None:
        given = given_data(vae, data, labels=labels)
        return given, given
    own = own_data(vae)
    return own, held_out(vae, own)


def _from_the_model(vae: FittedUse) -> dict[str, Figure]:
    """Samples, and for two latents what each place of their plane decodes to."""
    shape, limits = vae.schema_.event_shape, grey_limits(vae.schema_)
    samples = vae.sample(SAMPLES).reshape(SAMPLES, *shape)
    figures = {"samples": plots.image_grid(samples, title="Samples from the model: means of p(x|z)", limits=limits)}
    if vae.fitted_.configuration.latents == 2:
        x, y = prior_quantiles(vae, GRID)
        images = vae.inverse_transform(plane(x, y)).reshape(-1, *shape)
        title = "What the latent plane decodes to, at the prior's quantiles"
        figures["decoded"] = plots.decoded_grid(images, (x, y), title=title, limits=limits)
    return figures


def prior_quantiles(vae: FittedUse, count: int) -> NDArray[np.float64]:
    """The quantiles 1/(2G), 3/(2G), … of the prior's draws in each latent, shape (K, G)."""
    draws = np.asarray(draw_prior(vae.model_, jax.random.key(0), PRIOR_DRAWS))
    quantiles: NDArray[np.float64] = np.quantile(draws, (np.arange(count) + 0.5) / count, axis=0).T
    return quantiles


def plane(x: NDArray[Any], y: NDArray[Any]) -> NDArray[Any]:
    """Every place (x, y), row by row from the top, where y is largest: shape (len(x) · len(y), 2).

    >>> plane(np.array([0, 1]), np.array([5, 6])).tolist()
    [[0, 6], [1, 6], [0, 5], [1, 5]]
    """
    return np.stack(np.meshgrid(x, y[::-1]), axis=-1).reshape(-1, 2)


def _from_data(vae: FittedUse, rows: Dataset, unseen: Dataset) -> dict[str, Figure]:
    """Reconstructions of rows not trained on; of a table also how its columns are distributed."""
    schema = vae.schema_
    if is_image(schema.event_shape):
        chosen = thinned(unseen, RECONSTRUCTED)
        shape = (len(chosen.rows), *schema.event_shape)
        images, outputs = chosen.rows.reshape(shape), vae.reconstruct(chosen).reshape(shape)
        title = f"{len(images)} rows of {schema.name} above their reconstructions, the means of p(x|z)"
        return {"reconstructions": plots.reconstructions(images, outputs, title=title, limits=grey_limits(schema))}
    chosen, shown = thinned(unseen, TABLE_ROWS), thinned(rows, TABLE_ROWS)
    varies = np.fmax.reduce(chosen.rows) > np.fmin.reduce(chosen.rows)
    varying = np.flatnonzero(varies & ~np.isnan(shown.rows).all(axis=0))[:COLUMNS]  # of a gap there is nothing to draw
    if not len(varying):
        return {}
    names = [column_name(schema.columns, index) for index in varying]
    table = schema.table
    levels = None if table is None else [table[place].levels if table[place].is_coded else None for place in varying]
    samples, outputs = vae.sample(TABLE_ROWS, draw=True), vae.reconstruct(chosen)
    return {
        "marginals": plots.marginals(shown.rows[:, varying], samples[:, varying], names, levels),
        "reconstructions": plots.agreement(chosen.rows[:, varying], outputs[:, varying], names, levels),
    }


def _latents(vae: FittedUse, dataset: Dataset) -> Figure:
    """Posterior means of the two latents that vary most."""
    chosen = thinned(dataset, LATENT_ROWS)
    means, _ = vae.posterior_moments(chosen)
    order = np.argsort(-np.var(means, axis=0), kind="stable")[:2]
    shown = np.sort(order)
    which = (
        ""
        if vae.fitted_.configuration.latents <= 2
        else f", the 2 most active of {vae.fitted_.configuration.latents} latents"
    )
    title = f"Posterior means of {len(means):,} rows of {vae.schema_.name}{which}"
    return plots.latent_space(means[:, shown], chosen.labels, names=[f"latent {index}" for index in shown], title=title)


def thinned(dataset: Dataset, count: int) -> Dataset:
    """At most ``count`` rows, evenly spread over the dataset."""
    return dataset.take(spread(len(dataset.rows), count))
