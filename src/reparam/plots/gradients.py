"""The picture of gradient quality: why the reparameterisation trick, and what more draws do to it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter, LogLocator, NullLocator

from reparam.gradients import GradientQuality
from reparam.plots.style import BLUE, GREEN, INK, ORANGE, count_axis, dress, new_figure

COLOURS = {"pathwise": BLUE, "stl": "#CC79A7", "dreg": GREEN, "score_function": ORANGE, "vimco": "#E69F00"}
MARKS = {"pathwise": "o", "stl": "v", "dreg": "s", "score_function": "^", "vimco": "D"}
PARTS = ("encoder", "decoder")


def gradient_quality(results: Sequence[GradientQuality], *, title: str = "Gradient estimators") -> Figure:
    """Variance and signal-to-noise ratio against the number of draws, and the estimators side by side.

    Args:
        results: as :func:`reparam.gradients.compare_gradients` gives them.
        title: what stands above.
    """
    figure = new_figure(13, 7.4, title)
    for part, row in zip(PARTS, figure.subplots(2, 3), strict=True):
        variance, ratio, bars = row
        _lines(variance, results, part, "variance", f"{part}: variance, tr Cov g")
        _lines(ratio, results, part, "signal_to_noise", f"{part}: signal-to-noise, ‖E g‖ / √(tr Cov g)")
        _bars(bars, results, part)
    figure.axes[0].legend(frameon=False, fontsize=9)
    return figure


def _lines(axes: Axes, results: Sequence[GradientQuality], part: str, quantity: str, title: str) -> None:
    """One line per estimator over the number of draws; a signal that is lost in its noise has no mark."""
    for place, estimator in enumerate(dict.fromkeys(r.estimator for r in results)):  # as they were measured
        own = sorted((r for r in results if r.estimator == estimator), key=lambda r: r.samples)
        draws = [r.samples for r in own]
        values = np.array([getattr(getattr(r, part), quantity) or np.nan for r in own], np.float64)
        errors = [getattr(r, part).standard_error for r in own] if quantity == "variance" else None
        axes.errorbar(
            draws,
            values,
            yerr=errors,
            color=COLOURS[estimator],
            marker=MARKS[estimator],
            label=estimator.replace("_", " "),
            linewidth=1.5,
            markersize=4 + 2 * place,  # those that agree lie around each other
            fillstyle="none",
            capsize=2,
        )
    count_axis(axes, sorted({r.samples for r in results}), "draws of z per datum, K")
    _logarithmic(axes)
    dress(axes, title, "")


def _bars(axes: Axes, results: Sequence[GradientQuality], part: str) -> None:
    """Variances with the least number of draws."""
    draws = min(r.samples for r in results)
    shown = {r.estimator: getattr(r, part).variance for r in results if r.samples == draws}
    bars = axes.bar(
        [name.replace("_", "\n") for name in shown], list(shown.values()), color=[COLOURS[n] for n in shown]
    )
    axes.bar_label(bars, [f"{value:.3g}" for value in shown.values()], fontsize=9, color=INK, padding=2)
    if min(shown.values()) > 0.0:
        axes.set_ylim(min(shown.values()) / 5.0, max(shown.values()) * 4.0)
        _logarithmic(axes)
    dress(axes, f"{part}: variance with K = {draws}", "")


def _logarithmic(axes: Axes) -> None:
    """A logarithmic ordinate, with ticks at 1, 2 and 5 where it spans less than three decades; a bare one stays."""
    if not 0.0 < axes.dataLim.y1 < np.inf:
        return
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    if high < 1e3 * low:
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_major_formatter(FormatStrFormatter("%g"))
    axes.yaxis.set_minor_locator(NullLocator())
