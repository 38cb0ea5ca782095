"""Pictures of a table column by column: how it is distributed, and how it is reconstructed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from reparam.plots.style import BLUE, FAINT, INK, ORANGE, fitted, new_figure, tidied

PANELS_ACROSS = 4
PANEL = 2.7
LEVELS = 7
LETTERS = 14

Levels = Sequence[tuple[str, ...] | None] | None
"""Of each column the names of its codes, or None where it holds numbers."""


def marginals(data: NDArray[Any], samples: NDArray[Any], names: Sequence[str], levels: Levels = None) -> Figure:
    """How each column is distributed in data (N, P), NaN where missing, and in samples of the model (M, P).

    Numbers as densities, levels as shares of what is present; of many levels the commonest.
    """
    figure, panels = _panels(names, "Columns of the data and of samples from the model")
    for axes, truth, drawn, named in zip(panels, data.T, samples.T, levels or [None] * len(names), strict=True):
        present = truth[~np.isnan(truth)]
        if named is None:
            _densities(axes, present, drawn)
        else:
            _shares(axes, present, drawn, named)
    panels[0].legend(frameon=False, fontsize=9)
    return tidied(figure)


def agreement(inputs: NDArray[Any], outputs: NDArray[Any], names: Sequence[str], levels: Levels = None) -> Figure:
    """Reconstructed against given values, column by column, both (N, P); missing ones are left out.

    On the line numbers agree; of levels, from left to right as from top to bottom, the colour tells which share of a
    given level is reconstructed as each: on the diagonal they agree.
    """
    figure, panels = _panels(names, "Reconstructed values against given values")
    for axes, given, found, named in zip(panels, inputs.T, outputs.T, levels or [None] * len(names), strict=True):
        present = ~np.isnan(given)
        if named is None:
            axes.scatter(given[present], found[present], s=5, color=BLUE, alpha=0.4, linewidths=0)
            centre = float(np.mean(given[present]))
            axes.axline((centre, centre), slope=1, color=FAINT, linewidth=1)
        else:
            _confusion(axes, given[present], found[present], named)
    figure.supxlabel("given", fontsize=10, color=INK)
    figure.supylabel("reconstructed", fontsize=10, color=INK)
    return tidied(figure)


def _densities(axes: Axes, truth: NDArray[Any], drawn: NDArray[Any]) -> None:
    low, high = np.quantile(truth, [0.002, 0.998])
    bins = np.linspace(low, high if high > low else low + 1, 31).tolist()
    axes.hist(truth, bins=bins, density=True, color=FAINT, alpha=0.45, label="data")
    axes.hist(drawn, bins=bins, density=True, histtype="step", color=ORANGE, linewidth=1.8, label="samples")
    axes.set_yticks([])


def _shares(axes: Axes, truth: NDArray[Any], drawn: NDArray[Any], levels: tuple[str, ...]) -> None:
    names, place = _shown(truth, levels)
    at = np.arange(len(names))
    shares = [np.bincount(place[codes.astype(int)], minlength=len(names)) / len(codes) for codes in (truth, drawn)]
    axes.barh(at, shares[0], color=FAINT, alpha=0.45, label="data")
    axes.barh(at, shares[1], 0.55, fill=False, edgecolor=ORANGE, linewidth=1.8, label="samples")
    axes.set_yticks(at, names)
    axes.invert_yaxis()


def _confusion(axes: Axes, given: NDArray[Any], found: NDArray[Any], levels: tuple[str, ...]) -> None:
    names, place = _shown(given, levels)
    counts = np.zeros((len(names), len(names)))
    np.add.at(counts, (place[found.astype(int)], place[given.astype(int)]), 1)
    axes.imshow(counts / np.maximum(counts.sum(axis=0), 1), cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_yticks(range(len(names)), names)
    axes.set_xticks([])  # in the order of the rows


def _shown(codes: NDArray[Any], levels: tuple[str, ...]) -> tuple[list[str], NDArray[np.intp]]:
    """The names of at most ``LEVELS`` places, and the place of each code; of more levels the commonest are apart."""
    kept = np.arange(len(levels))
    if len(levels) > LEVELS:
        kept = np.argsort(-np.bincount(codes.astype(int), minlength=len(levels)), kind="stable")[: LEVELS - 1]
    place = np.full(len(levels), len(kept))
    place[kept] = np.arange(len(kept))
    names = [name if len(name) <= LETTERS else f"{name[: LETTERS - 1]}…" for name in (levels[code] for code in kept)]
    return names + [f"{len(levels) - len(kept)} others"] * (len(levels) > len(kept)), place


def _panels(names: Sequence[str], title: str) -> tuple[Figure, list[Axes]]:
    """A panel per column, at most four side by side."""
    down = math.ceil(len(names) / PANELS_ACROSS)
    across = min(len(names), PANELS_ACROSS)
    figure = new_figure(0.6 + PANEL * across, 0.7 + 2.1 * down, title)
    panels = list(np.ravel(figure.subplots(down, across, squeeze=False)))
    for axes, name in zip(panels, names, strict=False):
        axes.set_title(fitted(name, PANEL - 0.3, 10), fontsize=10, color=INK)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=4))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=4))
        axes.ticklabel_format(scilimits=(-3, 5))  # longer ones would run into each other
    for axes in panels[len(names) :]:
        axes.remove()
    return figure, panels[: len(names)]
