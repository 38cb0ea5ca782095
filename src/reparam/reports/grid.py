"""What every place of one or two latents decodes to, computed beforehand: a file without a server can show it."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reparam.insight import Session
from reparam.insight.latents import grid
from reparam.markup import Html, tag
from reparam.markup.html import join, table
from reparam.markup.picture import image, shrunk
from reparam.reports.data_views import cell, column_scale

PIXELS = 1_200_000
LEAST_PLACES = 7
MOST = 21
COLUMNS = 12

Axes = list[NDArray[np.float64]]


def decoding_grid(session: Session) -> Html | None:
    """A grid at the prior's quantiles that can be walked by pointer or keys; None where more than two explain x."""
    if session.explaining > 2:
        return None
    count = int(np.clip(math.isqrt(PIXELS // session.schema.size), LEAST_PLACES, MOST))
    axes, decoded = grid(session, count)
    names = session.latent_names[: session.explaining]
    told = f"At the prior's quantiles of {' and '.join(names)}. Move the pointer, or use the arrow keys."
    walked = (
        _image_grid(session, axes, names, decoded)
        if session.kind == "image"
        else _table_grid(session, axes, names, decoded)
    )
    return join((tag("p", told, class_="note"), walked))


def _image_grid(session: Session, axes: Axes, names: Sequence[str], decoded: NDArray[Any]) -> Html:
    """One picture of all; its parts are shown large by the file's own script."""
    across, down = len(axes[0]), len(axes[1]) if len(axes) > 1 else 1
    channels = session.schema.size // math.prod(session.schema.event_shape[:2])
    images = decoded.reshape(down, across, *session.schema.event_shape[:2], channels)[::-1]
    shaped = shrunk(images, math.isqrt(PIXELS // (across * down * channels)))
    height, width = shaped.shape[2:4]
    whole = shaped.swapaxes(1, 2).reshape(down * height, across * width, -1)
    picture = image(whole, "decoded places", limits=session.limits, class_="datum mosaic")
    large = tag("canvas", "the place, larger", width=width, height=height, class_="datum large")
    return _walk(axes, names, picture, large)


def _table_grid(session: Session, axes: Axes, names: Sequence[str], decoded: NDArray[Any]) -> Html:
    """The columns that move most, as numbers."""
    moved = np.argsort(-np.ptp(decoded, axis=0) / column_scale(session), kind="stable")[:COLUMNS]
    values = [[cell(session, j, row[j]) for j in moved] for row in decoded]
    middle = values[len(decoded) // 2]
    shown = table(("column", "decoded"), [(session.columns[j], v) for j, v in zip(moved, middle, strict=True)])
    board = tag("div", "", class_="board", aria_hidden="true")
    return _walk(axes, names, board, tag("div", shown, class_="large"), values)


def _walk(axes: Axes, names: Sequence[str], board: Html, large: Html, values: Any = None) -> Html:
    data = json.dumps({"axes": [[round(float(v), 3) for v in axis] for axis in axes], "names": names, "values": values})
    return tag(
        "div",
        tag(
            "div",
            board,
            tag("i", "", class_="mark"),
            class_="field",
            tabindex=0,
            role="application",
            aria_label="places of the latent space; arrow keys move",
        ),
        tag("div", large, tag("output", "", class_="told", aria_live="polite")),
        class_="walk pair",
        data_walk=data,
    )
