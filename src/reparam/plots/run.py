"""Pictures of a run: its training, its codes, what it decodes, samples and reconstructions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from reparam.plots.style import BLUE, CLASSES, FAINT, INK, ORANGE, dress, fitted, new_figure, tidied

NAMED_CLASSES = 60
LEGEND = 2.0
LINES_AT_MOST = 8

Limits = tuple[float, float] | None
History = Sequence[Mapping[str, Any]]


def training_curves(history: History, *, title: str = "Training") -> Figure:
    """The bound, the reconstruction and the divergence with its parts over the epochs, nats per datum.

    Args:
        history: a mapping per epoch, as ``VAE.history_`` and ``metrics.jsonl`` hold them.
        title: what stands above.
    """
    figure = new_figure(13, 4.2, title)
    bound, reconstruction, divergence = figure.subplots(1, 3)
    _curves(bound, history, "bound", "Bound on ln p(x)", best=True)
    _curves(reconstruction, history, "reconstruction", "Reconstruction, E ln p(x|z)")
    if history[-1].get("kl_per_layer"):
        _divergence_lines(divergence, history, "kl_per_layer", "layer", 1)
    elif history[-1]["kl_per_dimension"] and len(history[-1]["kl_per_dimension"]) > LINES_AT_MOST:
        _divergence_map(figure, divergence, history)
    else:
        _divergence_lines(divergence, history, "kl_per_dimension", "latent", 0)
    for axes in (bound, reconstruction, divergence):
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    return figure


def reconstructions(
    inputs: NDArray[Any], outputs: NDArray[Any], *, title: str, limits: Limits = None, across: int = 12
) -> Figure:
    """Images above their reconstructions, both (N, height, width[, channels]).

    Args:
        inputs: what went in.
        outputs: what came out.
        title: what stands above.
        limits: the values shown black and white; by default the smallest and the largest of the inputs.
        across: how many stand side by side.
    """
    limits = limits or _limits(inputs)
    bands = [(inputs[i : i + across], outputs[i : i + across]) for i in range(0, len(inputs), across)]
    height, width = inputs.shape[1:3]
    figure = new_figure(9.5, 0.9 + len(bands) * 2 * 8.3 / across * height / width * 1.08, title)
    for axes, band in zip(np.ravel(figure.subplots(len(bands), 1, squeeze=False)), bands, strict=True):
        tall = np.concatenate([mosaic(part, limits, across) for part in band])
        _show(axes, tall)
        quarter = tall.shape[0] / 4
        axes.set_yticks([quarter, 3 * quarter], ["input", "recon-\nstruction"], fontsize=9, color=INK)
        axes.tick_params(length=0)
    return figure


def image_grid(images: NDArray[Any], *, title: str, limits: Limits = None) -> Figure:
    """Images (N, height, width[, channels]) in a square."""
    across = math.ceil(math.sqrt(len(images)))
    picture = mosaic(images, limits or _limits(images), across)
    figure = new_figure(6.5, 0.4 + 6.3 * picture.shape[0] / picture.shape[1], title)
    axes = figure.subplots()
    _show(axes, picture)
    axes.set_axis_off()
    return figure


def decoded_grid(
    images: NDArray[Any], values: tuple[NDArray[Any], NDArray[Any]], *, title: str, limits: Limits = None
) -> Figure:
    """What every place of a two-dimensional latent space decodes to.

    Args:
        images: shape (G·G, height, width[, channels]); the first latent runs from left to right, the second upwards,
            row by row from the top.
        values: the G coordinates of either latent, rising.
        title: what stands above.
        limits: the values shown black and white.
    """
    across = len(values[0])
    picture = mosaic(images, limits or _limits(images), across)
    figure = new_figure(7.2, 0.4 + 7.0 * picture.shape[0] / picture.shape[1], title)
    axes = figure.subplots()
    _show(axes, picture)
    shown = np.unique(np.linspace(0, across - 1, 5).round().astype(int))
    step_y, step_x = picture.shape[0] / across, picture.shape[1] / across
    axes.set_xticks((shown + 0.5) * step_x, [_number(values[0][i]) for i in shown])
    axes.set_yticks((shown + 0.5) * step_y, [_number(values[1][across - 1 - i]) for i in shown])
    axes.set_xlabel("latent 0")
    axes.set_ylabel("latent 1")
    axes.tick_params(length=0, labelsize=9)
    return figure


def traversals(
    images: NDArray[Any], names: Sequence[str], levels: Sequence[float], *, title: str, limits: Limits = None
) -> Figure:
    """What each of K latents decodes to at G quantiles of the prior.

    Args:
        images: shape (K·G, height, width[, channels]), latent by latent.
        names: of the latents.
        levels: of the quantiles, rising.
        title: what stands above.
        limits: the values shown black and white.
    """
    across, down = len(levels), len(names)
    picture = mosaic(images, limits or _limits(images), across)
    width = 0.78 * across
    figure = new_figure(width + 1.3, 0.8 + width * picture.shape[0] / picture.shape[1], title)
    axes = figure.subplots()
    _show(axes, picture)
    step_y, step_x = picture.shape[0] / down, picture.shape[1] / across
    axes.set_xticks((np.arange(across) + 0.5) * step_x, [f"{100 * level:.2g} %" for level in levels])
    axes.set_yticks((np.arange(down) + 0.5) * step_y, names)
    axes.set_xlabel("quantile of the prior")
    axes.tick_params(length=0, labelsize=9)
    return figure


def latent_space(
    codes: NDArray[Any], labels: NDArray[Any] | None = None, *, names: Sequence[str], title: str
) -> Figure:
    """Posterior means of two latents, coloured by label; of one latent, its histogram.

    Args:
        codes: shape (N, 2) or (N, 1).
        labels: shape (N,): up to ten classes get a colour each, more numbers a colour scale.
        names: of the latents.
        title: what stands above.
    """
    figure = new_figure(7, 6.2, title)
    axes = figure.subplots()
    axes.set_xlabel(names[0])
    if codes.shape[1] == 1:
        axes.hist(codes[:, 0], bins=40, color=BLUE)
        axes.set_ylabel("rows")
        return tidied(figure)
    axes.set_ylabel(names[1])
    axes.set_aspect("equal", adjustable="datalim")
    size = float(np.clip(24_000 / len(codes), 5, 30))
    classes = np.unique(labels) if labels is not None else np.zeros(0)
    if labels is None:
        axes.scatter(codes[:, 0], codes[:, 1], s=size, color=BLUE, alpha=0.6, linewidths=0)
    elif len(classes) <= len(CLASSES) or labels.dtype.kind not in "iuf":
        _classes(axes, codes, labels, classes, size)
    elif labels.dtype.kind in "iuf":
        points = axes.scatter(codes[:, 0], codes[:, 1], s=size, c=labels, cmap="viridis", linewidths=0)
        figure.colorbar(points, ax=axes, label="label", shrink=0.8)
    return tidied(figure)


def mosaic(images: NDArray[Any], limits: tuple[float, float], across: int) -> NDArray[np.float64]:
    """Images (N, H, W[, C]) as one picture of values in [0, 1], white lines between them, the last row filled up."""
    low, high = limits
    grey = np.clip((images.astype(np.float64) - low) / (high - low if high > low else 1.0), 0, 1)
    grey = grey[..., 0] if grey.ndim == 4 and grey.shape[-1] == 1 else grey
    edge = max(1, round(images.shape[2] / 16))
    missing = -len(grey) % across
    borders = [(0, missing), (0, edge), (0, edge)] + [(0, 0)] * (grey.ndim - 3)
    framed = np.pad(grey, borders, constant_values=1.0)
    down, (height, width) = len(framed) // across, framed.shape[1:3]
    rest = framed.shape[3:]
    picture: NDArray[np.float64] = (
        framed.reshape(down, across, height, width, *rest).swapaxes(1, 2).reshape(down * height, across * width, *rest)
    )
    return picture


def _curves(axes: Axes, history: History, name: str, title: str, *, best: bool = False) -> None:
    epochs = [line["epoch"] for line in history]
    axes.plot(epochs, [line[name] for line in history], color=BLUE, label="training")
    told = [line["validation"][name] for line in history if line["validation"]]
    held_out = np.asarray(told, np.float64)  # None, which is what was not finite, becomes NaN
    if told:
        axes.plot(epochs, held_out, color=ORANGE, label="held out")
    best_yet = [place for place, line in enumerate(history) if line["kept"] and line["validation"]]
    if best and best_yet:
        top = best_yet[-1]
        axes.plot(epochs[top], held_out[top], "o", color=ORANGE, label=f"kept, {_number(held_out[top])}")
    axes.set_ylim(*_range([[line[name] for line in history], held_out.tolist()]))
    dress(axes, title)


def _range(curves: Sequence[Sequence[float]]) -> tuple[float, float]:
    """Limits that show what is finite of every curve but the fall of its first epochs, which would flatten the rest."""
    values = np.concatenate([np.asarray(curve, np.float64) for curve in curves])
    settled = np.concatenate([np.asarray(curve, np.float64)[len(curve) // 20 :] for curve in curves])
    low = float(np.min(settled, where=np.isfinite(settled), initial=np.inf))
    high = float(np.max(values, where=np.isfinite(values), initial=-np.inf))
    if low > high:
        return 0.0, 1.0  # nothing is finite
    margin = 0.05 * (high - low or 1.0)
    return low - margin, high + margin


def _divergence_lines(axes: Axes, history: History, name: str, part_of: str, first: int) -> None:
    """The divergence and its parts, which are counted from ``first``; of layers those may be below zero."""
    epochs = [line["epoch"] for line in history]
    axes.plot(epochs, [line["kl"] for line in history], color=INK, linewidth=2, label="sum")
    parts = np.array([line[name] or () for line in history], np.float64)
    for index, part in enumerate(parts.T):
        axes.plot(epochs, part, color=CLASSES[index % len(CLASSES)], label=f"{part_of} {first + index}")
    axes.set_ylim(bottom=min(0.0, float(np.min(parts, where=np.isfinite(parts), initial=0.0))))
    dress(axes, "KL(q(z|x) ‖ p(z))")


def _divergence_map(figure: Figure, axes: Axes, history: History) -> None:
    """Many latents: a row each, the most used on top, the divergence as a colour."""
    parts = np.array([line["kl_per_dimension"] for line in history], np.float64).T
    order = np.argsort(-parts[:, -1], kind="stable")
    first, last = history[0]["epoch"], history[-1]["epoch"]
    image = axes.imshow(
        parts[order],
        aspect="auto",
        cmap="viridis",
        vmin=0,
        extent=(first - 0.5, last + 0.5, len(parts), 0),
        interpolation="nearest",
    )
    figure.colorbar(image, ax=axes, label="nats per datum")
    axes.set_title(f"KL of each latent; in all {history[-1]['kl']:.1f}", fontsize=11, color=INK)
    axes.set_ylabel("latents, most used on top")
    axes.set_yticks([])


def _classes(axes: Axes, codes: NDArray[Any], labels: NDArray[Any], classes: NDArray[Any], size: float) -> None:
    """A colour and, in the middle of its points, a name for each class; of very many classes a note in their place."""
    few = len(classes) <= len(CLASSES)
    colours = CLASSES if few else [to_hex(colormaps["turbo"](place)) for place in np.linspace(0.03, 0.97, len(classes))]
    named = len(classes) <= NAMED_CLASSES
    if not named:
        axes.set_title(f"{len(classes)} classes, coloured in their order", fontsize=10, color=FAINT)
    for colour, label in zip(colours, classes, strict=False):
        points, name = codes[labels == label], fitted(str(label), LEGEND, 10, 1)
        axes.scatter(points[:, 0], points[:, 1], s=size, color=colour, alpha=0.75, linewidths=0, label=name)
        if not named:
            continue
        middle = np.median(points, axis=0)
        axes.annotate(
            name,
            (float(middle[0]), float(middle[1])),
            ha="center",
            va="center",
            fontsize=12 if few else 8,
            fontweight="bold",
            color=INK,
            path_effects=[withStroke(linewidth=3.5, foreground="white")],
            zorder=3,
        )
    if not named:
        return
    legend = axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=10, handletextpad=0.1)
    for handle in legend.legend_handles:
        if isinstance(handle, PathCollection):
            handle.set_sizes([40.0])


def _number(value: float) -> str:
    return f"{round(value, 1) + 0.0:.1f}".replace("-", "−")


def _limits(images: NDArray[Any]) -> tuple[float, float]:
    return float(np.min(images)), float(np.max(images))


def _show(axes: Axes, picture: NDArray[Any]) -> None:
    """A mosaic without its last white lines."""
    height, width = picture.shape[:2]
    axes.imshow(picture, cmap="gray", vmin=0, vmax=1, extent=(0, width, height, 0), interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
