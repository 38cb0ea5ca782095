"""The picture of an evaluation: how the bound rises with K, and what each latent carries."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from reparam.evaluation import Evaluation
from reparam.plots.style import BLUE, CLASSES, INK, ORANGE, count_axis, dress, new_figure


def bound_by_samples(found: Evaluation, *, title: str = "Evaluation") -> Figure:
    """The K-sample bound against K, and the KL of each latent, largest first; nats per datum.

    Args:
        found: of :meth:`reparam.VAE.evaluate`.
        title: what stands above.
    """
    panels = 1 if found.kl_per_dimension is None else 2
    figure = new_figure(5.4 * panels, 4.2, title)
    bound, *rest = np.ravel(figure.subplots(1, panels)).tolist()
    _growth(bound, found)
    for axes in rest:
        _latents(axes, np.asarray(found.kl_per_dimension), [layer.latents for layer in found.layers or ()])
    return figure


def _growth(axes: Axes, found: Evaluation) -> None:
    """Where the curve still rises at its end, K is too small; the last point bears its standard error over data."""
    counts, bounds = zip(*found.bound_by_samples, strict=True)
    axes.axhline(found.elbo, color=ORANGE, linewidth=1, label="ELBO")
    axes.plot(counts, bounds, "o-", color=BLUE, markersize=4, label="K-sample bound")
    axes.errorbar(counts[-1:], bounds[-1:], yerr=found.standard_error, color=INK, capsize=3, linewidth=1)
    count_axis(axes, counts, "K")
    dress(axes, f"Half of the rows have over {found.effective_samples:.0f} effective draws")


def _latents(axes: Axes, terms: NDArray[np.float64], layers: Sequence[int]) -> None:
    """A bar for each latent, the largest first; where there are several layers, each has its colour."""
    order, places = np.argsort(-terms, kind="stable"), np.arange(1, len(terms) + 1)
    owner = np.repeat(np.arange(len(layers)), layers)[order] if layers else np.zeros(len(terms), int)
    for layer in range(max(1, len(layers))):
        colour, own = CLASSES[layer % len(CLASSES)] if layers else BLUE, owner == layer
        axes.bar(places[own], terms[order][own], color=colour, label=f"layer {layer + 1}" if layers else None)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("latent, the most used first")
    dress(axes, f"KL of each latent, {terms.sum():.2f} in all")
