"""``reparam inspect``: what data look like before anything is trained."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reparam.cli.judgement import NAMES_SHOWN, listed, table_lines
from reparam.cli.options import (
    ChannelsFirst,
    Columns,
    Crop,
    Data,
    Delimiter,
    Drop,
    Gray,
    Index,
    Json,
    Labels,
    Missing,
    NoHeader,
    Quote,
    Resize,
    Shape,
    SkipBroken,
    answer,
    checked_page,
)

if TYPE_CHECKING:
    from reparam.data import Dataset, Summary

COLUMNS_SHOWN = 20
NAMED = 10


def inspect(
    data: Data,
    *,
    labels: Labels = None,
    index: Index = None,
    column: Columns = None,
    drop: Drop = None,
    missing: Missing = None,
    no_header: NoHeader = None,
    delimiter: Delimiter = None,
    quote: Quote = None,
    shape: Shape = None,
    channels_first: ChannelsFirst = None,
    resize: Resize = None,
    crop: Crop = None,
    gray: Gray = None,
    skip_broken: SkipBroken = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="HTML", help="Write a page with a picture of each column too.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Tell what DATA hold, and what 'train' would make of them.

    Of a table each column's kind, range, missing cells, likelihood and coding, with the reason; --column and --drop
    change them. Of other data their range, what the model would see of them, and which likelihood it would choose.
    """
    from reparam.cli.sources import reading_of
    from reparam.data import inspect as summarize
    from reparam.data import load
    from reparam.estimator import choose_likelihood
    from reparam.estimator.columns import choose_for_table

    said: dict[str, Any] = {"labels": labels, "index": index, "column": column, "drop": drop, "missing": missing}
    said |= {"no_header": no_header, "delimiter": delimiter, "quote": quote, "shape": shape, "resize": resize}
    said |= {"channels_first": channels_first, "crop": crop, "gray": gray, "skip_broken": skip_broken}
    reading, place = reading_of(said), None if out is None else checked_page(out)
    dataset = load(data, reading=reading, allow_missing=True)
    summary = summarize(dataset)
    table = dataset.schema.table
    likelihood, reason = choose_likelihood("auto", summary) if table is None else choose_for_table("auto", table)
    if place is not None:
        _write_page(dataset, place)
    if as_json:
        page = {} if out is None else {"page": str(out)}
        answer({**_document(summary, dataset), "likelihood": likelihood, "likelihood_reason": reason, **page})
    else:
        typer.echo(_told(summary, dataset, f"{likelihood} ({reason})"))
        if out is not None:
            typer.echo(str(out))


def _write_page(dataset: Dataset, out: Path) -> None:
    from reparam.cli.showing import write_page
    from reparam.reports.data_page import data_page

    write_page(data_page(dataset), out)


def _document(summary: Summary, dataset: Dataset) -> dict[str, Any]:
    """Every figure as plain values; NaN, which JSON lacks, as null."""
    figures = {
        column.name: {
            name: None if isinstance(value, float) and math.isnan(value) else value
            for name, value in vars(column).items()
        }
        for column in summary.columns
    }
    document = {
        **vars(summary),
        "event_shape": list(summary.event_shape),
        "unit_interval": summary.unit_interval,
        "image": summary.image,
        "constant": list(summary.constant),
        "columns": list(figures.values()),
    }
    judgement = dataset.judgement
    if judgement is None:
        return {**document, "remarks": list(dataset.remarks)}
    from reparam.data import coding

    judged = [{**figures.get(c.name, {}), **c.to_json(), "coding": coding(c)} for c in judgement.columns]
    return {**document, "columns": judged, "remarks": list(judgement.remarks), "plain": judgement.plain}


def _told(summary: Summary, dataset: Dataset, likelihood: str) -> str:
    judgement = dataset.judgement
    if judgement is None:
        facts = {
            "rows": f"{summary.rows:,}",
            "one datum": " × ".join(map(str, summary.event_shape)) + _kind(summary),
            "stored as": f"{summary.dtype}, from {summary.minimum:g} to {summary.maximum:g}",
            "units": f"{summary.units}, from {summary.model_minimum:g} to {summary.model_maximum:g}",
            "constant": _constant(summary),
        }
        notes = [f"  note: {remark}" for remark in dataset.remarks]
        table = notes if summary.image else _table(summary)
    else:
        modelled, left_out = len(judgement.modelled), len(judgement.left_out)
        facts = {
            "rows": f"{summary.rows:,}",
            "columns": f"{modelled:,} in the model" + (f", {left_out:,} left out" if left_out else ""),
            "kept as": f"{summary.dtype}" + (f": {judgement.plain}" if judgement.plain else ""),
        }
        notes = [f"  note: {remark}" for remark in judgement.remarks]
        table = ["", *table_lines(judgement, summary.rows), *([""] if notes else []), *notes]
    facts |= {
        "missing": f"{summary.missing:,} values" + _share(summary),
        "labels": _classes(summary, dataset),
        "likelihood": likelihood,
    }
    return "\n".join([summary.name, *(f"  {name:<12}{text}" for name, text in facts.items()), *table])


def _kind(summary: Summary) -> str:
    """What sort of image a datum is."""
    if not summary.image:
        return ""
    return " (colour image)" if summary.event_shape[2:] == (3,) else " (image)"


def _constant(summary: Summary) -> str:
    """The columns that never change; of many their number too, and of pixels their number alone."""
    found = summary.constant
    if summary.image and len(found) > NAMES_SHOWN:
        return f"{len(found):,} of {len(summary.columns):,} values of a datum"
    count = f"{len(found):,} of {len(summary.columns):,} columns: " if len(found) > NAMES_SHOWN else ""
    return count + listed(found) or "no column"


def _classes(summary: Summary, dataset: Dataset) -> str:
    """How many classes the labels name, and text labels by name while they are few."""
    if summary.labels is None or dataset.labels is None:
        return "none"
    import numpy as np

    names = np.unique(dataset.labels).tolist() if dataset.labels.dtype.kind == "U" else []
    told = ", ".join(names[:NAMED]) + (", …" if len(names) > NAMED else "")
    return f"{summary.labels:,} classes" + (f": {told}" if told else "")


def _share(summary: Summary) -> str:
    cells = summary.rows * max(len(summary.columns), 1)
    return f" ({summary.missing / cells:.1%})" if summary.missing else ""


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
