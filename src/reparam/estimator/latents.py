"""How many latents? The data answer: models along a path of K, judged by the same rows, which none of them saw."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reparam.data import Dataset, Survey
from reparam.errors import ParameterError, ReparamWarning
from reparam.estimator import fitting
from reparam.estimator.beginning import thinned
from reparam.estimator.configuration import AUTO, Configuration
from reparam.estimator.fitting import Fitted
from reparam.estimator.seeing import Data, split_rows

PATH = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
PATIENCE = 2
"""So many K in a row without a gain beyond its standard error end the path."""


@dataclass(frozen=True)
class Trial:
    """One K of the path.

    Args:
        latent_dim: K.
        bound: on rows that the model was trained without, nats per row.
        behind: how far below the best bound of the path, nats per row.
        standard_error: of that difference, which is paired: both are bounds of the same rows.
        chosen: whether this is the K that is used.
    """

    latent_dim: int
    bound: float
    behind: float
    standard_error: float
    chosen: bool

    def to_json(self) -> dict[str, Any]:
        """The fields as plain values."""
        return dict(vars(self))


def choose_latents(
    configuration: Configuration, data: Data, report: Callable[[str], None] | None = None
) -> tuple[Configuration, tuple[Trial, ...]]:
    """The configuration with a number of latents, and the path by which it was chosen.

    The smallest K is chosen whose bound is within one standard error of the best (the rule of Breiman et al. 1984,
    Section 3.4.3, here of paired differences). Where rows are real the path ends beyond twice the K of Minka (2000).

    Args:
        configuration: with ``latent_dim="auto"``; any other is given back as it is.
        data: the rows; of a stream some of them, drawn at random, are compared.
        report: called with a line for each K.

    Raises:
        ParameterError: training is not told when to stop by folds, so that no K can be judged.
    """
    if configuration.latent_dim != AUTO:
        return configuration, ()
    asked, configuration = configuration, fitting.with_network(configuration, data)[0]
    if isinstance(data, Survey):
        data = data.dataset(data.some)
    train, _ = split_rows(configuration, len(data.rows))
    folds = configuration.folds(len(train))
    if folds is None:
        raise ParameterError(
            "latent_dim='auto' compares bounds on rows left out in turn: it needs epochs='auto', an objective that is "
            "the bound itself (no β but 1) and an encoder. Or say how many latents: latent_dim=2."
        )
    bounds: dict[int, NDArray[np.float64]] = {}
    there = folds.held_out < len(train)
    for latents in _path(configuration, data, train):
        bounds[latents] = _bounds(replace(configuration, latent_dim=latents), data)[there]
        if report is not None:
            report(f"{latents} latents: {bounds[latents].mean():.3f} nats per row on rows left out")
        if _has_ended(bounds):
            break
    trials = compared(bounds)
    chosen = next(trial.latent_dim for trial in trials if trial.chosen)
    return replace(asked, latent_dim=chosen), trials


def compared(bounds: Mapping[int, NDArray[np.float64]]) -> tuple[Trial, ...]:
    """Bounds of the same rows for each K, by K ascending, held against the best; the smallest K as good is chosen.

    >>> rows = np.random.default_rng(0).normal(size=400)
    >>> [trial.chosen for trial in compared({1: rows - 1.0, 2: rows, 3: rows + np.resize([0.3, -0.29], 400)})]
    [False, True, False]
    """
    best = max(bounds, key=lambda latents: bounds[latents].mean())
    rises = {latents: bounds[best] - rows for latents, rows in bounds.items()}
    behind = {latents: (rise.mean(), rise.std() / len(rise) ** 0.5) for latents, rise in rises.items()}
    chosen = next(latents for latents, (mean, error) in behind.items() if mean <= error)
    return tuple(
        Trial(latents, float(rows.mean()), float(behind[latents][0]), float(behind[latents][1]), latents == chosen)
        for latents, rows in bounds.items()
    )


def _path(configuration: Configuration, data: Dataset, train: NDArray[np.int64]) -> list[int]:
    """Numbers of latents worth trying, ascending; each is fewer than the features."""
    features = data.rows.shape[1]
    most, anchor = max(1, min(features - 1, len(train) - 1)), 1
    begun = _quietly_begun(replace(configuration, latent_dim=1), data)
    if str(begun.likelihood).startswith("gaussian") and len(train) >= features > 1:
        from sklearn.decomposition import PCA

        rows = thinned(data.rows[train], begun.schema)
        anchor = int(PCA("mle", svd_solver="full").fit(rows).n_components_)
        most = min(most, 2 * anchor)
    return sorted({latents for latents in (*PATH, anchor) if latents <= most})


def _bounds(configuration: Configuration, data: Dataset) -> NDArray[np.float64]:
    """The bound of each row under the copy that never saw it, (F, H), in the data's units."""
    fitted = _quietly_begun(configuration, data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ReparamWarning)
        for reached, _ in fitting.train(fitted, fitting.task(fitted, data)):
            fitted = reached
    judged = np.asarray(fitted.state.judged.best, np.float64)  # type: ignore[union-attr]  # folds did judge
    train, _ = split_rows(configuration, len(data.rows))
    folds = configuration.folds(len(train))
    volumes = np.broadcast_to(fitted.schema.log_volume_of(data.rows[train]), len(train))
    return judged - np.append(volumes, 0.0)[folds.held_out]  # type: ignore[union-attr]


def _quietly_begun(configuration: Configuration, data: Dataset) -> Fitted:
    """What the model that is kept will warn of need not be told for each that is tried."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ReparamWarning)
        return fitting.begin(configuration, data)


def _has_ended(bounds: Mapping[int, NDArray[np.float64]]) -> bool:
    """Whether the last few K gained nothing beyond the noise on what went before."""
    trials = compared(bounds)
    chosen = next(place for place, trial in enumerate(trials) if trial.chosen)
    return len(trials) - 1 - chosen >= PATIENCE
