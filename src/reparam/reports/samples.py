"""What a model draws, beside what it was trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reparam.data import spread
from reparam.insight import Session
from reparam.markup import Html, tag
from reparam.markup.html import table
from reparam.markup.picture import image, shrunk
from reparam.plots import mosaic
from reparam.reports.data_views import captioned, cell

PIXELS = 300_000
SIDE = 96  # pixels of an image's side in the file at most
SAMPLES = 64
TABLE_COLUMNS = 24
LEVELS = 4


def shown_at_most(session: Session, most: int) -> int:
    """How many data a section can show without growing heavy."""
    return int(np.clip(PIXELS // min(session.schema.size, 3 * SIDE**2), 4, most))


def samples(session: Session) -> Html:
    """Images side by side; of tables where numbers lie, and how often levels stand."""
    count = min(shown_at_most(session, SAMPLES), session.rows)
    if session.kind == "image":
        rows = session.take(spread(session.rows, count)).rows
        drawn = session.sample(count)
        sides = ((rows, "data"), (drawn, "samples: means of p(x|z) at draws of the prior"))
        return tag("div", (captioned(_mosaic(session, values, name), name) for values, name in sides), class_="pair")
    both = [v.astype(np.float64) for v in (session.data.rows[:20_000], session.sample(2000, draw=True))]
    levels = {j: len(column.levels or ()) for j, column in enumerate(session.schema.table or ()) if column.is_coded}
    plain = [j for j in range(session.schema.size) if j not in levels]
    return tag("div", _quantiles(session, plain[:TABLE_COLUMNS], both), _shares(session, levels, both))


def _quantiles(session: Session, columns: Sequence[int], both: Sequence[NDArray[np.float64]]) -> Html | None:
    """Where the numbers of data and samples lie."""
    if not columns:
        return None
    levels = (0.05, 0.5, 0.95)
    rows = []
    for j in columns:
        seen = [values[:, j][~np.isnan(values[:, j])] for values in both]
        found = [np.quantile(values, levels) if values.size else np.full(len(levels), np.nan) for values in seen]
        rows.append((session.columns[j], *(cell(session, j, v) for pair in zip(*found, strict=True) for v in pair)))
    header = ("column", *(f"{which}, {level:.0%}" for level in levels for which in ("data", "samples")))
    return table(header, rows, caption="Quantiles of the data and of 2,000 draws from the model")


def _shares(session: Session, levels: Mapping[int, int], both: Sequence[NDArray[np.float64]]) -> Html | None:
    """How often the commonest levels stand in data and samples."""
    rows = []
    for j, count in list(levels.items())[:TABLE_COLUMNS]:
        seen = [values[:, j][~np.isnan(values[:, j])].astype(np.intp) for values in both]
        counts = [np.bincount(codes, minlength=count) for codes in seen]
        for code in np.argsort(-counts[0], kind="stable")[:LEVELS]:
            if counts[0][code]:
                shares = (f"{found[code] / max(1, found.sum()):.1%}" for found in counts)
                rows.append((session.columns[j], cell(session, j, float(code)), *shares))
    caption = f"The {LEVELS} commonest levels of a column: their share of the data and of 2,000 draws"
    return table(("column", "level", "data", "samples"), rows, caption=caption) if rows else None


def _mosaic(session: Session, values: NDArray[Any], name: str) -> Html:
    across = int(np.ceil(np.sqrt(len(values))))
    images = shrunk(values.reshape(len(values), *session.schema.event_shape[:2], -1), SIDE)
    shaped = mosaic(images, session.limits, across)
    return image(shaped, name, limits=(0.0, 1.0), class_="datum mosaic")
