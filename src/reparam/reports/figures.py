"""Numbers of a run → figures for the page and the report. Nothing is computed here but places."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reparam.insight.comparison import Comparison
from reparam.insight.trick import Gradients, Trick
from reparam.markup import Html, number
from reparam.markup.chart import Arrow, ErrorBars, Line, Mark, Points, chart, heat, span

Histories = Mapping[str, Sequence[Mapping[str, Any]]]

PRIOR_POINTS = 400
CIRCLE = np.stack([np.cos(np.linspace(0, 2 * np.pi, 73)), np.sin(np.linspace(0, 2 * np.pi, 73))])


def latent_plane(told: Trick, x: int, y: int, names: Sequence[str], *, near: bool, standard: bool) -> Html:
    """Q as its ellipse with the axes that S or σ give it, the step from μ to z, and the prior.

    ``standard``: the prior is N(0, I), shown as circles; any other is shown by its draws. ``near`` frames q, otherwise
    what is shown of the prior is all in sight.
    """
    mean, z = (np.asarray(v, np.float64)[[x, y]] for v in (told.passage.mean, told.passage.z))
    factor = told.factor[[x, y]]
    values, vectors = np.linalg.eigh(factor @ factor.T)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    rings = [mean[:, None] + sigmas * root @ CIRCLE for sigmas in (1, 2)]
    axes = [column for column in factor.T if np.hypot(*column) > 1e-9]
    tips = [mean + sign * axis for axis in axes for sign in (1, -1)]
    shown = np.concatenate([rings[1], z[:, None]], axis=1)
    middle = mean if near else np.zeros(2)
    least = 0.0 if near else 2.0 if standard else float(np.quantile(np.abs(told.passage.prior[:, [x, y]]), 0.98))
    reach = 1.15 * max(least, float(np.abs(shown - middle[:, None]).max()))
    prior = np.asarray(told.passage.prior, np.float64)[:PRIOR_POINTS, [x, y]]
    circles: list[Mark] = [
        Line(CIRCLE[0], CIRCLE[1], "prior, 1σ and 2σ", 3, dashed=True),
        Line(2 * CIRCLE[0], 2 * CIRCLE[1], "", 3, dashed=True),
    ]
    drawn: list[Mark] = [Points(prior[:, 0], prior[:, 1], f"the prior, {len(prior)} draws", 7, 1.4)]
    marks = circles if standard else [_within(mark, reach, middle) for mark in drawn]
    marks += [Line(ring[0], ring[1], label, 0) for ring, label in zip(rings, ("q(z|x), 1σ and 2σ", ""), strict=True)]
    marks += [Line([mean[0], tip[0]], [mean[1], tip[1]], "its axes", 0, dashed=True) for tip in tips]
    marks.append(Arrow((float(mean[0]), float(mean[1])), (float(z[0]), float(z[1])), "from μ to z", 1))
    marks += [Points(mean[:1], mean[1:], "μ", 0, 4), Points(z[:1], z[1:], "z", 1, 5)]
    return chart(
        marks,
        title=f"q(z|x) and the draw: {names[x]} and {names[y]}",
        description=f"Ellipse of q around μ = ({number(mean[0])}, {number(mean[1])}), "
        f"with the draw z = ({number(z[0])}, {number(z[1])}).",
        x_label=names[x],
        y_label=names[y],
        x=(middle[0] - reach, middle[0] + reach),
        y=(middle[1] - reach, middle[1] + reach),
        size=(400, 400),
    )


def latent_line(told: Trick, name: str, *, standard: bool) -> Html:
    """The densities of a single latent: q, and the prior or the histogram of its draws, with μ and z below them."""
    mean, std, z = (float(np.asarray(v)[0]) for v in (told.passage.mean, told.passage.std, told.passage.z))
    reach = max(4.0, abs(z) + 1.0, abs(mean) + 3 * std)
    x = np.linspace(-reach, reach, 401)
    q, p = (np.exp(-0.5 * ((x - m) / s) ** 2) / (s * np.sqrt(2 * np.pi)) for m, s in ((mean, std), (0.0, 1.0)))
    drawn = Line(*told.prior_histogram, f"the prior, {len(told.passage.prior)} draws", 3, dashed=True)
    prior = Line(x, p, "the prior, N(0, 1)", 3, dashed=True) if standard else drawn
    marks: list[Mark] = [prior, Line(x, q, "N(μ, σ²)", 0)]
    marks.append(Arrow((mean, 0.0), (z, 0.0), "from μ to z", 1))
    marks += [Points([mean], [0.0], "μ", 0, 4), Points([z], [0.0], "z", 1, 5)]
    return chart(
        marks,
        title="q(z|x), the draw, and the prior",
        description=f"q has mean {number(mean)} and deviation {number(std)}; the draw is {number(z)}.",
        x_label=name,
        y_label="density",
        x=(-reach, reach),
        y=(0.0, 1.08 * float(max(q.max(), np.max(prior.y)))),
    )


def bound_growth(told: Trick) -> Html:
    """The importance-weighted bound as draws come, over the ELBO."""
    bounds = told.bound_by_draws
    counts = np.arange(1, len(bounds) + 1)
    marks: list[Mark] = [
        Line(counts, bounds, "importance-weighted bound of the first k draws", 0),
        Line([1, max(2, len(bounds))], [told.elbo, told.elbo], "ELBO", 1, dashed=True),
        Points(counts[-1:], bounds[-1:], f"K = {len(bounds)}", 0, 4),
    ]
    return chart(
        marks,
        title="The bound grows with K",
        description=f"The bound of {len(bounds)} draws is {number(bounds[-1])} nats, the ELBO {number(told.elbo)}.",
        x_label="draws k",
        y_label="nats",
        x=(1.0, float(max(2, len(bounds)))),
        y=span(bounds, [told.elbo]),
        log_x=True,
    )


def gradient_clouds(found: Gradients, latent: str, scale: str, *, near: bool) -> Html:
    """∂/∂μ against ∂/∂σ: many single-draw estimates of both kinds in one plane, and this draw's as arrows.

    ``near`` frames the pathwise estimates, otherwise both kinds are in sight.
    """
    clouds = (found.score_function_spread, found.pathwise_spread)
    shown = np.concatenate([found.pathwise_spread, found.pathwise[None]] if near else clouds)
    reach = 1.05 * float(np.quantile(np.abs(shown), 0.985)) or 1.0
    single = (found.pathwise, found.score_function)
    marks: list[Mark] = [Points(clouds[1][:, 0], clouds[1][:, 1], "pathwise, 200 estimates", 0, 1.6)]
    if not near:
        marks.insert(0, Points(clouds[0][:, 0], clouds[0][:, 1], "score function, 200 estimates", 1, 1.6))
    names = ("pathwise, this ε", "score function, this ε")
    for gradient, label, colour in zip(single[: 1 if near else 2], names, (0, 1), strict=False):
        end = gradient * min(1.0, reach / max(float(np.abs(gradient).max()), 1e-12))
        marks.append(Arrow((0.0, 0.0), (float(end[0]), float(end[1])), label, colour))
    variances = [float(cloud.var(axis=0, ddof=1).sum()) for cloud in clouds]
    return chart(
        [_within(mark, reach) for mark in marks],
        title=f"{'Nearer: the pathwise' if near else 'The'} gradient of E ln p(x|z), one draw each, {latent}",
        description=f"Variance of the score function {number(variances[0])}, of the pathwise {number(variances[1])}.",
        x_label=f"∂/∂μ, {latent}, nats per unit",
        y_label=f"∂/∂{scale}",
        x=(-reach, reach),
        y=(-reach, reach),
        size=(400, 400),
    )


def _within(mark: Mark, reach: float, middle: ArrayLike = (0.0, 0.0)) -> Mark:
    """A cloud without the points that lie outside the frame."""
    if not isinstance(mark, Points):
        return mark
    x, y = np.asarray(mark.x), np.asarray(mark.y)
    away = np.abs(np.stack([x, y], axis=-1) - np.asarray(middle))
    kept = away.max(axis=-1) <= reach
    return Points(x[kept], y[kept], mark.label, mark.colour, mark.radius)


def training_curves(histories: Histories, *, first: int = 1, log: bool = False) -> list[Html]:
    """Bound, reconstruction and KL over the epochs, of one run or of several, trained and held out."""
    titles = {"bound": "Bound on ln p(x)", "reconstruction": "Reconstruction, E ln p(x|z)", "kl": "KL(q‖p)"}
    return [_curve(histories, name, title, first, log) for name, title in titles.items()]


def _curve(histories: Histories, name: str, title: str, first: int, log: bool) -> Html:
    marks, shown = [], []
    for place, (run, history) in enumerate(histories.items()):
        lines = [line for line in history if line["epoch"] >= first]
        epochs = [line["epoch"] for line in lines]
        which = f"{run}, " if len(histories) > 1 else ""
        values = np.asarray([line[name] for line in lines], np.float64)
        told = [line["validation"][name] if line["validation"] else None for line in lines]
        held_out = np.asarray(told, np.float64)  # None, which is what was not finite, becomes NaN
        shown += [values, held_out]
        marks.append(Line(epochs, values, f"{which}trained on", place % 10))
        if np.isfinite(held_out).any():
            marks.append(Line(epochs, held_out, f"{which}held out", place % 10, dashed=True))
    last = max(history[-1]["epoch"] for history in histories.values())
    flat = np.concatenate([part[len(part) // 20 :] for part in shown])
    return chart(
        marks,
        title=title,
        description=f"{title} over the epochs {first} to {last} of {', '.join(histories)}.",
        x_label="epoch",
        y_label="nats per datum",
        x=(float(first), float(max(last, first + 1))),
        y=span(flat),
        log_x=log,
    )


def rate_distortion(histories: Histories) -> Html:
    """The way of training in the plane of rate, the KL, and distortion, −E ln p(x|z) (Alemi et al. 2018)."""
    marks, rates, distortions = [], [], []
    for place, (run, history) in enumerate(histories.items()):
        kept = history[len(history) // 20 :]
        rate, distortion = [line["kl"] for line in kept], [-line["reconstruction"] for line in kept]
        rates += rate
        distortions += distortion
        marks.append(Line(rate, distortion, run, place % 10, dots=len(kept) <= 60))
        marks.append(Line(rate[-1:], distortion[-1:], "", place % 10, dots=True))
    return chart(
        marks,
        title="Rate and distortion, epoch by epoch",
        description="The KL against the negative reconstruction as training goes on.",
        x_label="rate: KL, nats per datum",
        y_label="distortion, nats",
        x=span(rates),
        y=span(distortions),
    )


def collapse_monitor(history: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Html | None:
    """The KL of each latent over the epochs, by name, the most used on top; None where it has no closed form."""
    if not history or not history[-1]["kl_per_dimension"]:
        return None
    parts = np.array([line["kl_per_dimension"] for line in history], np.float64).T
    order = np.argsort(-parts[:, -1], kind="stable")
    thinned = parts[order][:, np.unique(np.linspace(0, parts.shape[1] - 1, 80).round().astype(int))]
    active = history[-1]["active_units"]
    used = "" if active is None else f"; {active} of {len(parts)} in use at the end"
    return heat(
        thinned,
        title=f"KL of each latent{used}",
        description="A row for each latent, darker where its KL is larger; a latent that stays white is dead.",
        x_label="epoch",
        y_labels=[names[index] for index in order],
        x=(float(history[0]["epoch"]), float(max(history[-1]["epoch"], history[0]["epoch"] + 1))),
    )


def bound_by_samples(points: Sequence[tuple[int, float]], elbo: float) -> Html:
    """The K-sample bound of an evaluation against K."""
    counts, bounds = zip(*points, strict=True)
    marks: list[Mark] = [
        Line(counts, bounds, "K-sample bound", 0, dots=True),
        Line([1, max(2, counts[-1])], [elbo, elbo], "ELBO", 1, dashed=True),
    ]
    return chart(
        marks,
        title="The bound by number of draws",
        description=f"From {number(bounds[0])} nats with {counts[0]} draws to {number(bounds[-1])} with {counts[-1]}.",
        x_label="draws K",
        y_label="nats per datum",
        x=(1.0, float(max(2, counts[-1]))),
        y=span(bounds, [elbo]),
        log_x=True,
    )


def code_map(places: NDArray[Any], classes: NDArray[Any], names: Sequence[str], axes: tuple[str, str]) -> Html:
    """Codes in a plane, a colour for each class."""
    parts = [places[classes == index] for index in range(len(names))]
    marks = [
        Points(part[:, 0], part[:, 1], name, index % 10, 1.5)
        for index, (part, name) in enumerate(zip(parts, names, strict=True))
    ]
    return chart(
        marks,
        title="Where the rows lie: posterior means",
        description=f"{len(places)} rows in the plane of {axes[0]} and {axes[1]}.",
        x_label=axes[0],
        y_label=axes[1],
        x=span(places[:, 0]),
        y=span(places[:, 1]),
        size=(520, 460),
        legend=len(names) > 1,
    )


def paired_differences(found: Comparison) -> Html | None:
    """What every run gains over the first in the bound and the ELBO, each with the difference's own error."""
    paired = [run for run in found.runs if run.differences is not None]
    if not paired:
        return None
    places = np.arange(1, len(paired) + 1, dtype=np.float64)
    marks: list[Mark] = [Line([0.4, len(paired) + 0.6], [0, 0], "", 7)]
    shown: list[float] = [0.0]
    for colour, (name, label) in enumerate((("bound", f"{found.samples}-sample bound"), ("elbo", "ELBO"))):
        means = [(run.differences or {})[name] for run in paired]
        values, errors = [m.value for m in means], [m.standard_error or 0.0 for m in means]
        shown += [v + s * e for v, e in zip(values, errors, strict=True) for s in (-1, 1)]
        marks.append(ErrorBars(places + 0.14 * (colour - 0.5), values, errors, label, colour))
    return chart(
        marks,
        title=f"Gain over {found.runs[0].name} on the same {found.rows:,} rows, ± 1 standard error of the difference",
        description="; ".join(f"{run.name}: {number((run.differences or {})['bound'].value)} nats" for run in paired),
        x_label="run",
        y_label="nats per datum",
        x=(0.4, len(paired) + 0.6),
        y=span(shown, margin=0.15),
        ticks_x=[(float(place), run.name) for place, run in zip(places, paired, strict=True)],
    )
