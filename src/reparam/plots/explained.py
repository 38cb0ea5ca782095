"""The picture of strange rows: which of their cells make them so."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from reparam.plots.style import FAINT, INK, fitted, new_figure

MOST_ROWS, MOST_COLUMNS = 24, 40
NAME = 2.0


def worst_rows(
    scores: NDArray[Any],
    cells: NDArray[Any],
    columns: Sequence[str],
    *,
    names: Sequence[Any] | None = None,
    title: str = "The strangest rows",
) -> Figure:
    """The rows of lowest score, the worst on top; a cell is dark where it adds less than its column does elsewhere.

    Args:
        scores: ln p of each row, nats, shape (N,).
        cells: what each cell adds, nats, shape (N, P), NaN where it is missing; the median of its column is taken off.
        columns: P names; of many, those that tell most of these rows are shown.
        names: of the N rows, by default their numbers.
        title: what stands above.
    """
    order = np.argsort(scores, kind="stable")[:MOST_ROWS]
    with warnings.catch_warnings(action="ignore"):  # of a column that is missing throughout
        median = np.nanmedian(cells, axis=0)
    lacking = np.maximum(np.nan_to_num(median - cells[order]), 0.0)
    shown = np.sort(np.argsort(-lacking.max(axis=0), kind="stable")[:MOST_COLUMNS])
    figure = new_figure(3.5 + 0.42 * len(shown), 2.4 + 0.27 * len(order), title)
    axes = figure.add_subplot()
    picture = axes.imshow(lacking[:, shown], cmap="Oranges", vmin=0.0, aspect="auto")
    labels = [fitted(str(row if names is None else names[row]), NAME, 8, 1) for row in order]
    axes.set_yticks(
        range(len(order)), [f"{label}  {scores[row]:.1f}" for label, row in zip(labels, order, strict=True)]
    )
    below = [fitted(str(columns[column]), NAME, 8, 1) for column in shown]
    axes.set_xticks(range(len(shown)), below, rotation=60, ha="right")
    axes.set_ylabel("row, and its score in nats")
    axes.tick_params(color=FAINT, labelcolor=INK, labelsize=8)
    axes.spines[:].set_visible(False)
    figure.colorbar(picture, ax=axes, label="nats below the column's median", shrink=0.8)
    return figure
