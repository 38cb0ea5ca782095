"""The picture of the inference gap: what the encoder loses, what the family loses, and how the bounds rise."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reparam.evaluation.gap import Gap
from reparam.plots.style import BLUE, FAINT, GREEN, INK, ORANGE, count_axis, dress, new_figure

PARTS = (("amortization_gap", "amortisation", ORANGE), ("approximation_gap", "approximation", BLUE))


def inference_gaps(gaps: Mapping[str, Gap], *, title: str = "Inference gap") -> Figure:
    """Bars of the two gaps for each set of rows, with standard errors, and the K-sample bounds against K.

    Args:
        gaps: a decomposition for each set of rows, by name.
        title: what stands above.
    """
    figure = new_figure(4.5 * (1 + len(gaps)), 4.2, title)
    bars, *growths = figure.subplots(1, 1 + len(gaps))
    _bars(bars, gaps)
    for axes, (name, gap) in zip(growths, gaps.items(), strict=True):
        _growth(axes, name, gap)
    return figure


def _bars(axes: Axes, gaps: Mapping[str, Gap]) -> None:
    """Amortisation and approximation, one upon the other, and their sum; what is negative hangs below zero."""
    names = [name.replace("_", " ") for name in gaps]
    above, below = np.zeros(len(gaps)), np.zeros(len(gaps))
    for field, label, colour in PARTS:
        means = [getattr(gap, field) for gap in gaps.values()]
        heights = np.array([mean.value for mean in means])
        errors = [mean.standard_error or np.nan for mean in means]
        bottom = np.where(heights < 0, below, above)
        axes.bar(names, heights, 0.55, bottom=bottom, yerr=errors, color=colour, ecolor=INK, label=label)
        above, below = above + np.maximum(heights, 0), below + np.minimum(heights, 0)
    sums = [gap.inference_gap.value for gap in gaps.values()]
    axes.plot(names, sums, linestyle="", marker="_", markersize=44, color=INK, label="together")
    axes.axhline(0.0, color=FAINT, linewidth=1)
    axes.margins(x=0.25)
    dress(axes, "ln p(x) − ELBO")
    axes.legend(frameon=False, fontsize=9, loc="upper center", ncols=3, bbox_to_anchor=(0.5, -0.1), markerscale=0.4)


def _growth(axes: Axes, name: str, gap: Gap) -> None:
    """The bounds from the amortised and from the optimised q against the number of draws."""
    for growth, label, colour in (
        (gap.bound_by_samples, "q as trained", ORANGE),
        (gap.local_bound_by_samples, "optimised q", BLUE),
    ):
        axes.plot(*zip(*growth, strict=True), "o-", color=colour, markersize=3, label=label)
    if gap.annealed_bound is not None:
        axes.axhline(gap.annealed_bound.value, color=GREEN, linewidth=1, label="annealed")
    axes.axhline(gap.log_prob.value, color=FAINT, linewidth=0.8, linestyle=":")
    count_axis(axes, [count for count, _ in gap.bound_by_samples], "K")
    dress(axes, f"K-sample bound, {name.replace('_', ' ')} rows")
