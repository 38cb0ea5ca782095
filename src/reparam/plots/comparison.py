"""The picture of a comparison: what every run gains over the first, with the difference's own error."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from reparam.insight.comparison import Comparison
from reparam.plots.style import BLUE, FAINT, ORANGE, dress, fitted, new_figure

PER_RUN = 1.2


def paired_gains(found: Comparison) -> Figure:
    """Gains in the K-sample bound and in the ELBO, a run each, with whiskers of one standard error."""
    runs = [run for run in found.runs if run.differences is not None]
    figure = new_figure(2.6 + PER_RUN * max(1, len(runs)), 4.2, f"Gain over {found.runs[0].name}")
    axes = figure.subplots()
    axes.axhline(0.0, color=FAINT, linewidth=1)
    for offset, (name, label, colour) in zip(
        (-0.1, 0.1), (("bound", f"{found.samples}-sample bound", BLUE), ("elbo", "ELBO", ORANGE)), strict=True
    ):
        means = [(run.differences or {})[name] for run in runs]
        values, errors = [m.value for m in means], [m.standard_error or np.nan for m in means]
        axes.errorbar(np.arange(len(runs)) + offset, values, yerr=errors, fmt="o", color=colour, capsize=3, label=label)
    axes.set_xticks(range(len(runs)), [fitted(run.name, PER_RUN, 9) for run in runs])
    axes.margins(x=0.4)
    dress(axes, f"the same {found.rows:,} rows")
    return figure
