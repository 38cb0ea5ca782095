"""The map: where rows lie in a plane of the latent space, and what lies where, for a million rows as for a hundred."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from reparam.errors import ParameterError
from reparam.insight.session import Session

POINTS_AT_MOST = 40_000
CELLS_ACROSS = 240
CLASSES_AT_MOST = 10
UMAP_ROWS_AT_MOST = 20_000

Box = tuple[float, float, float, float]


@dataclass
class Plane:
    """Two coordinates of every row, and the way back from a place to a code where there is one.

    Attributes:
        places: shape (N, 2).
        names: of the two coordinates.
        origin: the code of the place (0, 0), shape (K,), or None where no place has a code of its own.
        directions: how the code changes with either coordinate, shape (2, K).
    """

    places: NDArray[np.float32]
    names: tuple[str, str]
    origin: NDArray[np.float64] | None
    directions: NDArray[np.float64]
    lock: Any = field(default_factory=threading.Lock, repr=False)

    @property
    def tree(self) -> cKDTree:
        """The places, to be searched for the nearest."""
        with self.lock:
            return self._tree

    @cached_property
    def _tree(self) -> cKDTree:
        return cKDTree(self.places, balanced_tree=False, compact_nodes=False)

    @cached_property
    def box(self) -> Box:
        """x from, x to, y from, y to: all but the outermost thousandth of the rows, with a margin."""
        low, high = np.quantile(self.places, [0.0005, 0.9995], axis=0)
        room = 0.06 * np.maximum(high - low, 1e-6)
        (x0, y0), (x1, y1) = low - room, high + room
        return float(x0), float(x1), float(y0), float(y1)

    def nearest(self, place: tuple[float, float], count: int = 1) -> NDArray[np.intp]:
        """The rows that lie nearest."""
        _, found = self.tree.query(np.asarray(place), k=min(count, len(self.places)))
        return np.atleast_1d(np.asarray(found, np.intp))

    def codes(self, places: NDArray[Any], session: Session) -> NDArray[np.float64]:
        """The codes of places (M, 2), shape (M, K); where a place has none, that of the nearest row."""
        places = np.asarray(places, np.float64)
        if self.origin is None:
            return np.asarray(session.codes.mean[self.tree.query(places)[1]], np.float64)
        return np.asarray(self.origin + places @ self.directions)


def plane(session: Session, projection: str, x: int, y: int) -> Plane:
    """The plane of the map; the last few of a session are kept with their search trees.

    Raises:
        ParameterError: ``umap`` is not installed.
    """
    key = ("plane", projection, x, y) if projection == "latents" else ("plane", projection)
    found: Plane = session.keep(key, lambda: _plane(session, projection, x, y))
    return found


def _plane(session: Session, projection: str, x: int, y: int) -> Plane:
    """The plane of two latents (``latents``), of the two main directions of the codes (``linear``), or ``umap``.

    Off the plane of two latents the others stand at the mean of their codes. With one latent, the ordinate is its
    posterior deviation.
    """
    codes = session.codes.mean
    if session.latents == 1:
        return Plane(
            np.column_stack([codes[:, 0], session.codes.std[:, 0]]),
            ("latent 0, mean", "its deviation σ"),
            np.zeros(1),
            np.array([[1.0], [0.0]]),
        )
    if projection == "linear":
        return _linear(codes)
    if projection == "umap":
        return Plane(_umap(codes), ("UMAP 1", "UMAP 2"), None, np.zeros((2, session.latents)))
    directions = np.eye(session.latents)[[x, y]]
    origin = codes.mean(axis=0, dtype=np.float64)
    origin[[x, y]] = 0.0
    return Plane(np.ascontiguousarray(codes[:, [x, y]]), (f"latent {x}", f"latent {y}"), origin, directions)


def _linear(codes: NDArray[np.float32]) -> Plane:
    """Principal components of the codes."""
    origin = codes.mean(axis=0, dtype=np.float64)
    centred = codes - origin
    _, vectors = np.linalg.eigh(centred.T @ centred)
    directions = vectors[:, ::-1].T[:2]
    places = np.asarray(centred @ directions.T, np.float32)
    return Plane(places, ("main direction 1", "main direction 2"), origin, directions)


def has_umap() -> bool:
    """Whether umap-learn can be imported."""
    from importlib.util import find_spec

    return find_spec("umap") is not None


def _umap(codes: NDArray[np.float32]) -> NDArray[np.float32]:
    if not has_umap():
        raise ParameterError("the projection 'umap' needs umap-learn: pip install 'reparam[explore]'.")
    import umap

    shown = codes[:: -(-len(codes) // UMAP_ROWS_AT_MOST)]
    reducer = umap.UMAP(n_components=2, random_state=0).fit(shown)
    return np.asarray(reducer.transform(codes) if len(shown) < len(codes) else reducer.embedding_, np.float32)


@dataclass(frozen=True)
class Colouring:
    """A value for each row: classes by number, −1 for none, or numbers, NaN for none.

    Attributes:
        values: shape (N,).
        classes: their names, or None where values are numbers.
        name: what the values are.
        limits: the numbers at the ends of the colour scale.
    """

    values: NDArray[np.float32]
    classes: tuple[str, ...] | None
    name: str
    limits: tuple[float, float]


def colouring(session: Session, name: str) -> Colouring:
    """By ``label``, ``score``, ``kl``, a column's name, or ``none``; the last few are kept."""
    found: Colouring = session.keep(("colouring", name), lambda: _colouring(session, name))
    return found


def _colouring(session: Session, name: str) -> Colouring:
    if name == "score":
        return _numbers(session.scores.of_all(session.rows), "score, nats")
    if name == "kl":
        return _numbers(np.asarray(session.codes.kl, np.float64), "KL(q‖p), nats")
    if name == "label" and session.labels is not None:
        return _by_label(session.labels)
    if name in session.columns:
        return _numbers(np.asarray(session.data.rows[:, session.columns.index(name)], np.float64), name)
    return Colouring(np.zeros(session.rows, np.float32), ("rows",), "rows", (0.0, 1.0))


def _by_label(labels: NDArray[Any]) -> Colouring:
    """Classes while each can have a colour of its own; more numbers are a scale, more names are the most frequent."""
    classes, numbers, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if len(classes) <= CLASSES_AT_MOST:
        return Colouring(numbers.astype(np.float32), tuple(map(str, classes)), "label", (0.0, 1.0))
    if labels.dtype.kind == "f":
        return _numbers(labels.astype(np.float64), "label")
    kept = np.sort(np.argsort(-counts, kind="stable")[: CLASSES_AT_MOST - 1])
    place = np.full(len(classes), len(kept))
    place[kept] = np.arange(len(kept))
    return Colouring(
        place[numbers].astype(np.float32), (*(str(classes[k]) for k in kept), "others"), "label", (0.0, 1.0)
    )


def _numbers(values: NDArray[np.float64], name: str) -> Colouring:
    finite = values[np.isfinite(values)]
    low, high = (map(float, np.quantile(finite, [0.01, 0.99]))) if finite.size else (0.0, 1.0)
    return Colouring(values.astype(np.float32), None, name, (low, high if high > low else low + 1.0))


@dataclass(frozen=True)
class Marks:
    """What is drawn of a box: every row in it, or, where they are too many, cells with the rows counted.

    Attributes:
        places: shape (M, 2).
        values: of the colouring, shape (M,); of a cell the mean, or the commonest class.
        weights: between 0 and 1, how opaque.
        cell: width and height of a cell, or None for single rows.
        inside: how many rows the box holds.
    """

    places: NDArray[np.float32]
    values: NDArray[np.float32]
    weights: NDArray[np.float32]
    cell: tuple[float, float] | None
    inside: int


def marks(plane: Plane, colours: Colouring, box: Box) -> Marks:
    """The rows of a box, or their density."""
    x0, x1, y0, y1 = box
    x, y = plane.places.T
    chosen = np.flatnonzero((x >= x0) & (x < x1) & (y >= y0) & (y < y1))
    places, values = plane.places[chosen], colours.values[chosen]
    if len(chosen) <= POINTS_AT_MOST:
        return Marks(places, values, np.ones(len(chosen), np.float32), None, len(chosen))
    step = np.array([x1 - x0, y1 - y0]) / CELLS_ACROSS
    column, row = ((places - [x0, y0]) / step).astype(np.intp).clip(0, CELLS_ACROSS - 1).T
    all_counts = np.bincount(row * CELLS_ACROSS + column, minlength=CELLS_ACROSS**2)
    cells = np.flatnonzero(all_counts)
    counts = all_counts[cells]
    numbers = (np.cumsum(all_counts > 0) - 1)[row * CELLS_ACROSS + column]
    middle = np.stack([cells % CELLS_ACROSS, cells // CELLS_ACROSS], axis=-1) + 0.5
    density = np.log1p(counts) / np.log1p(counts.max())
    return Marks(
        (middle * step + [x0, y0]).astype(np.float32),
        _of_cells(values, numbers, len(cells), colours),
        density.astype(np.float32),
        (float(step[0]), float(step[1])),
        len(chosen),
    )


def _of_cells(
    values: NDArray[np.float32], numbers: NDArray[np.intp], cells: int, colours: Colouring
) -> NDArray[np.float32]:
    """The mean of finite values in each cell, or the commonest class."""
    if colours.classes is not None:
        width = len(colours.classes)
        counts = np.bincount(numbers * width + values.astype(np.intp), minlength=cells * width)
        return np.asarray(counts.reshape(cells, width).argmax(axis=1), np.float32)
    finite = np.isfinite(values)
    present = np.bincount(numbers[finite], minlength=cells)
    total = np.bincount(numbers[finite], weights=values[finite], minlength=cells)
    return np.asarray(np.where(present > 0, total / np.maximum(present, 1), np.nan), np.float32)


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
    """How chosen rows differ from the rest in one column: means, and their difference in pooled deviations."""

    column: str
    chosen: float
    rest: float
    effect: float


def differences(session: Session, chosen: NDArray[np.intp]) -> list[Difference]:
    """Every column's difference, the largest first; NaN is left out."""
    mask = np.zeros(session.rows, bool)
    mask[chosen] = True
    rows = session.data.rows
    parts = rows[mask], rows[~mask]
    means = [_nan_moment(np.nanmean, part) for part in parts]
    variances = [_nan_moment(np.nanvar, part) for part in parts]
    pooled = np.sqrt(0.5 * (variances[0] + variances[1]))
    effect = np.divide(means[0] - means[1], pooled, out=np.zeros_like(pooled), where=pooled > 0)
    order = np.argsort(-np.abs(np.nan_to_num(effect)), kind="stable")
    return [Difference(session.columns[j], *(float(v[j]) for v in (*means, effect))) for j in order]


def _nan_moment(moment: Any, part: NDArray[Any]) -> NDArray[np.float64]:
    if not len(part):
        return np.full(part.shape[1], np.nan)
    return np.asarray(moment(part.astype(np.float32, copy=False), axis=0, dtype=np.float64))


def label_shares(session: Session, chosen: NDArray[np.intp]) -> list[tuple[str, int, int]]:
    """Each label with its count among the chosen and in all, the commonest first; at most a dozen."""
    if session.labels is None:
        return []
    labels, counts = np.unique(session.labels, return_counts=True)
    found = dict(zip(*np.unique(session.labels[chosen], return_counts=True), strict=True))
    shares = [(str(label), int(found.get(label, 0)), int(count)) for label, count in zip(labels, counts, strict=True)]
    return sorted(shares, key=lambda share: -share[1])[:12]
