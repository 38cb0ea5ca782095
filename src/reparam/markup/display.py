"""Fitted things shown in a notebook: what was set, what came of it, and the curve; no script, light and dark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from reparam.markup.chart import Line, chart, span
from reparam.markup.html import Html, number, table, tag

STYLE = """
.reparam { --c0: #2b83c6; --c1: #d9722a; --soft: #7d8791; --rule: #9aa4ad55; --faint: #8a939c; font-size: .9em; }
.reparam .row { display: flex; flex-wrap: wrap; gap: 1.5em; align-items: flex-start; }
.reparam table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
.reparam th, .reparam td { text-align: left; padding: .1em .9em .1em 0; font-weight: 400; }
.reparam figure { margin: 0; } .reparam svg.chart { width: 24em; max-width: 100%; height: auto; font-size: 11px; }
.reparam .line { fill: none; stroke-width: 1.8; } .reparam .dashed { stroke-dasharray: 5 4; }
.reparam .c0 { stroke: var(--c0); } .reparam .c1 { stroke: var(--c1); } .reparam .dot.c0 { fill: var(--c0); }
.reparam .grid { stroke: var(--rule); } .reparam .base { stroke: var(--faint); } .reparam text { fill: var(--soft); }
.reparam .middle { text-anchor: middle; } .reparam .end { text-anchor: end; }
.reparam .legend { list-style: none; display: flex; gap: 1em; margin: 0; padding: 0; }
.reparam .key.c0 { color: var(--c0); } .reparam .key.c1 { color: var(--c1); }
"""


def display_vae(
    parameters: Mapping[str, Any], defaults: Mapping[str, Any], history: Sequence[Mapping[str, Any]], told: str = ""
) -> Html:
    """A variational autoencoder as a notebook shows it: its settings, its bound, and its curve.

    Args:
        parameters: of ``get_params(deep=False)``.
        defaults: of an estimator that nothing was said to; what differs stands first and bold.
        history: of ``history_``; empty before it is fitted.
        told: what else a reader should know, such as the likelihood that was chosen and why.

    >>> "latent dim" in display_vae({"latent_dim": 3}, {"latent_dim": 2}, [])
    True
    """
    apart = [name for name, value in parameters.items() if value != defaults.get(name)]
    rows = [(tag("b", name.replace("_", " ")), tag("b", _written(parameters[name]))) for name in apart]
    rest = [(name.replace("_", " "), _written(value)) for name, value in parameters.items() if name not in apart]
    others = tag("details", tag("summary", f"{len(rest)} settings at their defaults"), table(("", ""), rest))
    settings = tag("div", table(("setting", "value"), rows) if rows else None, others)
    state = _last(history) if history else tag("p", "not fitted")
    curve = _curve(history) if len(history) > 1 else None
    note = tag("p", told) if told else None
    return _framed("VAE", note, tag("div", settings, state, curve, class_="row"))


def display_evaluation(document: Mapping[str, Any]) -> Html:
    """An evaluation as a notebook shows it: its figures with their errors, and the bound against K.

    Args:
        document: of ``Evaluation.to_json()``.
    """
    names = ("elbo", "reconstruction", "kl", "mutual_information", "aggregate_kl", "bound", "bits_per_dimension")
    errors = {
        "elbo": "elbo_standard_error",
        "bound": "standard_error",
        "mutual_information": "mutual_information_standard_error",
    }
    rows = []
    for name in names:
        if document.get(name) is not None:
            error = document.get(errors.get(name, ""))
            told = f"{number(document[name])} ± {number(error, 2)}" if error else number(document[name])
            rows.append((name.replace("_", " "), told))
    rows.append(("active units", str(document["active_units"])))
    points = document["bound_by_samples"]
    counts, bounds = [point["samples"] for point in points], [point["bound"] for point in points]
    picture = chart(
        [Line(counts, bounds, "K-sample bound", 0, dots=True)],
        title="The bound by number of draws",
        description=f"From {number(bounds[0])} to {number(bounds[-1])} nats.",
        x_label="draws K",
        y_label="nats per datum",
        x=(1.0, float(max(2, counts[-1]))),
        y=span(bounds, [document["elbo"]]),
        log_x=True,
        legend=False,
    )
    notes = [tag("p", text) for text in document["warnings"]]
    heading = f"{document['rows']:,} rows, nats per datum, densities of {document['units']}"
    return _framed(heading, notes, tag("div", table(("quantity", "value"), rows), picture, class_="row"))


def display_progress(text: str, done: float) -> Html:
    """How far something is, from 0 to 1, and what is said of it.

    >>> 'value="0.25" max="1" aria-label="training"></progress> epoch 1/4' in display_progress("epoch 1/4", 0.25)
    True
    """
    bar = tag("progress", value=f"{done:.4g}", max=1, aria_label="training")
    return tag("p", bar, " ", text, style="margin: 0; font-variant-numeric: tabular-nums;")


def _framed(title: str, *inside: Any) -> Html:
    return tag("div", Html(f"<style>{STYLE}</style>"), tag("strong", title), inside, class_="reparam")


def _last(history: Sequence[Mapping[str, Any]]) -> Html:
    """The last epoch, over its own rows and over those held out."""
    line = history[-1]
    held_out = line.get("validation")
    names = ("bound", "reconstruction", "kl", "active_units")
    rows = [(name.replace("_", " "), *(_figure(part, name) for part in (line, held_out) if part)) for name in names]
    header = (f"epoch {line['epoch']}", "trained on", *(("held out",) if held_out else ()))
    return table(header, rows)


def _figure(line: Mapping[str, Any], name: str) -> str:
    return number(line.get(name))


def _curve(history: Sequence[Mapping[str, Any]]) -> Html:
    epochs, values = [line["epoch"] for line in history], [line["bound"] for line in history]
    told = [line["validation"]["bound"] if line.get("validation") else None for line in history]
    held_out = np.asarray(told, np.float64)  # None, which is what was not finite, becomes NaN
    marks = [Line(epochs, values, "trained on", 0)]
    if np.isfinite(held_out).any():
        marks.append(Line(epochs, held_out, "held out", 1, dashed=True))
    settled = len(history) // 20
    return chart(
        marks,
        title="Bound on ln p(x)",
        description=f"From {number(values[0])} to {number(values[-1])} nats in {len(history)} epochs.",
        x_label="epoch",
        y_label="nats per datum",
        x=(float(epochs[0]), float(epochs[-1])),
        y=span(values[settled:], held_out[settled:]),
    )


def _written(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
