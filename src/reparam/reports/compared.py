"""A comparison told: as a section of a page, and as lines of text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from reparam.evaluation.results import Estimate
from reparam.insight.comparison import QUANTITIES, Compared, Comparison
from reparam.markup import Html, number, tag
from reparam.markup.html import join, table
from reparam.reports import figures

NAMES = {"bound": "bound", "elbo": "ELBO", "reconstruction": "reconstruction", "kl": "KL"}


def comparison_section(found: Comparison) -> Html:
    """Tables and picture of a comparison."""
    names = [run.name for run in found.runs]
    title = tag("h2", f"Measured on the same {found.rows:,} rows, K = {found.samples}")
    notes = (tag("p", note, class_="note") for note in found.notes)
    measured = table(("nats per datum", *names), list(_measured(found)))
    told = "A gain is the mean over the rows of their differences, ± its own standard error: runs find the same rows "
    told += "hard, so two bars that overlap say little of it."
    return join((title, notes, measured, tag("p", told, class_="note"), figures.paired_differences(found)))


def told(found: Comparison) -> Iterator[tuple[str, ...]]:
    """The lines of a table in text: the settings that differ first, then what was measured."""
    yield ("", *(run.name for run in found.runs))
    for name in found.differing:
        yield (name, *(shown_setting(run.settings.get(name)) for run in found.runs))
    yield from _measured(found)


def shown_setting(value: Any) -> str:
    """A setting as a reader writes it."""
    if isinstance(value, tuple | list):
        return ", ".join(map(str, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else "none" if value is None else str(value)


def with_error(mean: Estimate) -> str:
    """A mean ± its standard error, both to the error's second digit.

    >>> with_error(Estimate(-12.3456, 0.0234)), with_error(Estimate(1.5, None))
    ('−12.346 ± 0.023', '1.5')
    """
    if not mean.standard_error:
        return number(mean.value)
    digits = max(0, 1 - int(f"{mean.standard_error:e}".partition("e")[2]))
    return f"{mean.value:.{digits}f} ± {mean.standard_error:.{digits}f}".replace("-", "−")


def _measured(found: Comparison) -> Iterator[tuple[str, ...]]:
    for name in QUANTITIES:
        yield (NAMES[name], *(with_error(run.means[name]) for run in found.runs))
        yield (f"{NAMES[name]}, gain over {found.runs[0].name}", *(_gain(run, name) for run in found.runs))
    yield ("active units", *(str(run.active_units) for run in found.runs))
    yield ("trained numbers", *(f"{run.parameters:,}" for run in found.runs))
    yield ("epochs", *(str(run.epochs) for run in found.runs))


def _gain(run: Compared, name: str) -> str:
    return "–" if run.differences is None else with_error(run.differences[name])
