"""Rows chosen on the map, and how they differ from the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reparam.data import Column
from reparam.insight.session import Session


def inside_polygon(places: NDArray[np.float32], polygon: NDArray[np.float64]) -> NDArray[np.intp]:
    """The numbers of the places within a polygon (V, 2), by the crossings of a ray (Shimrat 1962).

    >>> square = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    >>> inside_polygon(np.array([[0.5, 0.5], [1.5, 0.5]], np.float32), square).tolist()
    [0]
    """
    (x0, y0), (x1, y1) = polygon.min(axis=0), polygon.max(axis=0)
    x, y = places.T
    near = np.flatnonzero((x >= x0) & (x <= x1) & (y >= y0) & (y <= y1))
    x, y = x[near].astype(np.float64), y[near].astype(np.float64)
    inside = np.zeros(len(near), bool)
    for (ax, ay), (bx, by) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        crosses = (ay > y) != (by > y)
        slope = (bx - ax) / (by - ay) if by != ay else 0.0
        inside ^= crosses & (x < ax + (y - ay) * slope)
    return near[inside]


@dataclass(frozen=True)
class Difference:
    """How chosen rows differ from the rest in one column: means, and their difference in pooled deviations.

    Of a coded column the means are shares of the level that differs most, which is named: ``sex = Male``.
    """

    column: str
    chosen: float
    rest: float
    effect: float


def differences(session: Session, chosen: NDArray[np.intp]) -> list[Difference]:
    """Every column's difference, the largest first; NaN is left out."""
    mask = np.zeros(session.rows, bool)
    mask[chosen] = True
    rows = session.data.rows
    found = _compared(session.columns, rows[mask], rows[~mask])
    for place, column in enumerate(session.schema.table or ()):
        if column.is_coded:
            found[place] = _levels_compared(column, rows[mask, place], rows[~mask, place])
    return sorted(found, key=lambda one: -abs(np.nan_to_num(one.effect)))


def _compared(names: Sequence[str], chosen: NDArray[Any], rest: NDArray[Any]) -> list[Difference]:
    means, variances = zip(*(_moments(part) for part in (chosen, rest)), strict=True)
    pooled = np.sqrt(0.5 * (variances[0] + variances[1]))
    effect = np.divide(means[0] - means[1], pooled, out=np.zeros_like(pooled), where=pooled > 0)
    return [Difference(name, *(float(v[j]) for v in (*means, effect))) for j, name in enumerate(names)]


def _levels_compared(column: Column, chosen: NDArray[Any], rest: NDArray[Any]) -> Difference:
    """The level whose shares differ most; of two the second, which is the yes."""
    levels = tuple(enumerate(column.levels or ()))[1 if column.kind == "binary" else 0 :]
    seen = [part[~np.isnan(part)] for part in (chosen, rest)]
    codes = np.array([float(code) for code, _ in levels])
    shares = _compared([f"{column.name} = {level}" for _, level in levels], *(v[:, None] == codes for v in seen))
    return max(shares, key=lambda one: abs(np.nan_to_num(one.effect)))


def _moments(part: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and variance of each column's cells that are there; NaN where there is none."""
    values = part.astype(np.float64)
    seen = ~np.isnan(values)
    count = seen.sum(axis=0)
    with np.errstate(invalid="ignore"):
        mean = np.where(seen, values, 0.0).sum(axis=0) / count
        return mean, np.where(seen, (values - mean) ** 2, 0.0).sum(axis=0) / count


def label_shares(session: Session, chosen: NDArray[np.intp]) -> list[tuple[str, int, int]]:
    """Each label with its count among the chosen and in all, the commonest first; at most a dozen."""
    if session.labels is None:
        return []
    labels, counts = np.unique(session.labels, return_counts=True)
    found = dict(zip(*np.unique(session.labels[chosen], return_counts=True), strict=True))
    shares = [(str(label), int(found.get(label, 0)), int(count)) for label, count in zip(labels, counts, strict=True)]
    return sorted(shares, key=lambda share: -share[1])[:12]
