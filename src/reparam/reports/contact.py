"""Images before anything is trained: some of each class side by side, as on a photographer's contact sheet."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from reparam.data import Dataset, grey_limits, spread
from reparam.data.pictures import enlarged, grid, levels
from reparam.markup import Html, tag
from reparam.markup.html import join
from reparam.markup.picture import data_uri, shrunk

CLASSES, OF_A_CLASS, WITHOUT_LABELS = 30, 14, 112
LEAST_SIDE, MOST_SIDE = 56, 127  # pixels on the page


def contact_sheet(data: Dataset) -> Html:
    """A strip of evenly spread images for each class, the largest classes first; without labels one sheet."""
    if data.labels is None:
        sheet = _sheet(data, spread(len(data.rows), WITHOUT_LABELS), "evenly spread over the data")
        return tag("div", sheet, class_="contact")
    names, numbers, counts = np.unique(data.labels, return_inverse=True, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:CLASSES]
    chosen = (np.flatnonzero(numbers == place)[spread(counts[place], OF_A_CLASS)] for place in order)
    told = (f"{names[place]}: {counts[place]:,}" for place in order)
    strips = (_sheet(data, rows, name) for rows, name in zip(chosen, told, strict=True))
    more = len(names) - len(order)
    rest = tag("p", f"and {more:,} more classes", class_="note") if more else None
    return tag("div", join(strips), rest, class_="contact")


def _sheet(data: Dataset, chosen: NDArray[np.intp], name: str) -> Html:
    """These rows side by side, under what they are."""
    shape = data.schema.event_shape
    images = data.rows[chosen].reshape(len(chosen), *shape[:2], -1)
    limits = grey_limits(data.schema) or (float(np.nanmin(data.rows)), float(np.nanmax(data.rows)))
    shown = levels(shrunk(images, MOST_SIDE), limits)
    larger = math.ceil(LEAST_SIDE / max(shown.shape[1:3]))
    picture = grid(enlarged(shown, larger), min(len(chosen), OF_A_CLASS), line=3)
    plain = picture[..., 0] if picture.shape[2:] == (1,) else picture
    height, width = plain.shape[:2]
    image = tag("img", src=data_uri(plain), alt=f"images of {name}", width=width, height=height)
    return tag("figure", tag("figcaption", name), image)
