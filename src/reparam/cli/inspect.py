"""``reparam inspect``: what data look like before anything is trained."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import typer

from reparam.cli.options import Data, Json, Labels, answer

if TYPE_CHECKING:
    from reparam.data import Summary

COLUMNS_SHOWN = 20


def inspect(
    data: Data,
    labels: Labels = None,
    as_json: Json = False,
) -> None:
    """Tell what DATA hold.

    Their range, what the model would see of them, and which likelihood it would choose and why.
    """
    from reparam.data import inspect as summarize
    from reparam.data import load
    from reparam.estimator import choose_likelihood

    summary = summarize(load(data, labels=labels, allow_missing=True))
    likelihood, reason = choose_likelihood("auto", summary)
    if as_json:
        answer({**_document(summary), "likelihood": likelihood, "likelihood_reason": reason})
    else:
        typer.echo(_told(summary, f"{likelihood} ({reason})"))


def _document(summary: Summary) -> dict[str, Any]:
    """Every figure as plain values; NaN, which JSON lacks, as null."""
    return {
        **vars(summary),
        "event_shape": list(summary.event_shape),
        "unit_interval": summary.unit_interval,
        "image": summary.image,
        "constant": list(summary.constant),
        "columns": [
            {
                name: None if isinstance(value, float) and math.isnan(value) else value
                for name, value in vars(column).items()
            }
            for column in summary.columns
        ],
    }


def _told(summary: Summary, likelihood: str) -> str:
    facts = {
        "rows": f"{summary.rows:,}",
        "one datum": " × ".join(map(str, summary.event_shape)) + (" (image)" if summary.image else ""),
        "stored as": f"{summary.dtype}, from {summary.minimum:g} to {summary.maximum:g}",
        "units": f"{summary.units}, from {summary.model_minimum:g} to {summary.model_maximum:g}",
        "missing": f"{summary.missing:,} values",
        "labels": "none" if summary.labels is None else f"{summary.labels:,} classes",
        "constant": ", ".join(summary.constant) or "no column",
        "likelihood": likelihood,
    }
    lines = [summary.name, *(f"  {name:<12}{text}" for name, text in facts.items())]
    return "\n".join([*lines, *([] if summary.image else _table(summary))])


def _table(summary: Summary) -> list[str]:
    """The columns of a table, a line each."""
    shown = summary.columns[:COLUMNS_SHOWN]
    width = max(len("column"), *(len(column.name) for column in shown))
    head = f"  {'column':<{width}}  {'minimum':>10}  {'maximum':>10}  {'mean':>10}  {'std':>10}  {'missing':>8}"
    lines = [
        f"  {c.name:<{width}}  {c.minimum:>10.4g}  {c.maximum:>10.4g}  {c.mean:>10.4g}  {c.std:>10.4g}  {c.missing:>8,}"
        for c in shown
    ]
    more = len(summary.columns) - len(shown)
    return ["", head, *lines, *([f"  … and {more:,} more columns (--json tells all)"] if more else [])]
