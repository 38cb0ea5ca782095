"""The picture of how many latents the data support."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from reparam.plots.style import BLUE, INK, ORANGE, count_axis, dress, new_figure


def latent_path(trials: Sequence[Mapping[str, Any]], *, title: str = "How many latents?") -> Figure:
    """How far each number of latents is behind the best of them, with the standard error of that difference.

    Args:
        trials: one for each number of latents: ``latent_dim``, ``behind``, ``standard_error``, ``chosen``.
        title: what stands above.
    """
    figure = new_figure(6.0, 4.0, title)
    axes = figure.subplots()
    counts = [int(trial["latent_dim"]) for trial in trials]
    heights = [-float(trial["behind"]) for trial in trials]
    errors = [float(trial["standard_error"]) for trial in trials]
    axes.axhline(0.0, color=INK, linewidth=0.8)
    axes.errorbar(counts, heights, yerr=errors, fmt="o-", color=BLUE, ecolor=BLUE, capsize=3, markersize=4)
    for count, height, trial in zip(counts, heights, trials, strict=True):
        if trial["chosen"]:
            label = f"chosen: {count}, the fewest within one standard error"
            axes.plot([count], [height], "o", color=ORANGE, markersize=10, label=label)
    count_axis(axes, counts, "latents K")
    dress(axes, "Bound on rows left out, less the best", "nats per row")
    axes.legend(frameon=False, fontsize=9, loc="lower right")
    return figure
