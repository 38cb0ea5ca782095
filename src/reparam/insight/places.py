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
        followed: the latent whose lower layers follow it.
    """

    places: NDArray[np.float32]
    names: tuple[str, str]
    origin: NDArray[np.float64] | None
    directions: NDArray[np.float64]
    followed: int = 0
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

    def nearest(self, place: Any, count: int = 1) -> NDArray[np.intp]:
        """The rows that lie nearest."""
        _, found = self.tree.query(np.asarray(place), k=min(count, len(self.places)))
        return np.atleast_1d(np.asarray(found, np.intp))

    def codes(self, places: NDArray[Any], session: Session) -> NDArray[np.float64]:
        """The codes of places (M, 2), shape (M, K); where a place has none, that of the nearest row."""
        places = np.asarray(places, np.float64)
        if self.origin is None:
            return np.asarray(session.codes.mean[self.tree.query(places)[1]], np.float64)
        return session.followed(np.asarray(self.origin + places @ self.directions), self.followed)


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
            (f"{session.latent_names[0]}, mean", "its deviation σ"),
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
    names = session.latent_names[x], session.latent_names[y]
    return Plane(np.ascontiguousarray(codes[:, [x, y]]), names, origin, directions, min(x, y))


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
        return _by_column(session, session.columns.index(name))
    return Colouring(np.zeros(session.rows, np.float32), ("rows",), "rows", (0.0, 1.0))


def _by_label(labels: NDArray[Any]) -> Colouring:
    """Classes while each can have a colour of its own; more numbers are a scale, more names are the most frequent."""
    classes, numbers = np.unique(labels, return_inverse=True)
    if len(classes) > CLASSES_AT_MOST and labels.dtype.kind == "f":
        return _numbers(labels.astype(np.float64), "label")
    return _classes(numbers, tuple(map(str, classes)), "label")


def _by_column(session: Session, place: int) -> Colouring:
    """The numbers of a column, or its levels."""
    values = np.asarray(session.data.rows[:, place], np.float64)
    column = None if session.schema.table is None else session.schema.table[place]
    if column is None or not column.is_coded:
        return _numbers(values, session.columns[place])
    codes = np.where(np.isnan(values), -1, values).astype(np.intp)
    return _classes(codes, column.levels or (), column.name)


def _classes(numbers: NDArray[np.intp], names: tuple[str, ...], name: str) -> Colouring:
    """Classes by number, −1 for none; where they are too many, the most frequent and the others."""
    if len(names) <= CLASSES_AT_MOST:
        return Colouring(numbers.astype(np.float32), names, name, (0.0, 1.0))
    counts = np.bincount(numbers[numbers >= 0], minlength=len(names))
    kept = np.sort(np.argsort(-counts, kind="stable")[: CLASSES_AT_MOST - 1])
    place = np.full(len(names) + 1, len(kept))
    place[kept], place[-1] = np.arange(len(kept)), -1
    return Colouring(place[numbers].astype(np.float32), (*(names[k] for k in kept), "others"), name, (0.0, 1.0))


def _numbers(values: NDArray[np.float64], name: str) -> Colouring:
    finite = values[np.isfinite(values)]
    low, high = (map(float, np.quantile(finite, [0.01, 0.99]))) if finite.size else (0.0, 1.0)
    return Colouring(values.astype(np.float32), None, name, (low, high if high > low else low + 1.0))


@dataclass(frozen=True)
class Marks:
    """What is drawn of a box and its margin: every row in it, or, where they are too many, cells with the rows counted.

    Attributes:
        places: shape (M, 2).
        values: of the colouring, shape (M,); of a cell the mean, or the commonest class.
        weights: between 0 and 1, how opaque.
        cell: width and height of a cell, or None for single rows.
        region: the box with its margin; its cells begin at its lower left corner.
        inside: how many rows the box itself holds.
    """

    places: NDArray[np.float32]
    values: NDArray[np.float32]
    weights: NDArray[np.float32]
    cell: tuple[float, float] | None
    region: Box
    inside: int


def marks(plane: Plane, colours: Colouring, box: Box, *, margin: float = 0.0) -> Marks:
    """The rows of a box, or their density; with so many of its widths and heights around it as ``margin`` says."""
    region = _widened(box, margin)
    chosen = _inside(plane.places, region)
    places, values = plane.places[chosen], colours.values[chosen]
    inside = len(chosen) if margin == 0 else len(_inside(places, box))
    if len(chosen) <= POINTS_AT_MOST:
        return Marks(places, values, np.ones(len(chosen), np.float32), None, region, inside)
    across = round(CELLS_ACROSS * (1 + 2 * margin))
    low, step = np.array(region[::2]), np.array([region[1] - region[0], region[3] - region[2]]) / across
    column, row = ((places - low) / step).astype(np.intp).clip(0, across - 1).T
    all_counts = np.bincount(row * across + column, minlength=across**2)
    cells = np.flatnonzero(all_counts)
    counts = all_counts[cells]
    numbers = (np.cumsum(all_counts > 0) - 1)[row * across + column]
    middle = np.stack([cells % across, cells // across], axis=-1) + 0.5
    density = np.log1p(counts) / np.log1p(counts.max())
    return Marks(
        (middle * step + low).astype(np.float32),
        _of_cells(values, numbers, len(cells), colours),
        density.astype(np.float32),
        (float(step[0]), float(step[1])),
        region,
        inside,
    )


def _inside(places: NDArray[np.float32], box: Box) -> NDArray[np.intp]:
    x0, x1, y0, y1 = box
    x, y = places.T
    return np.flatnonzero((x >= x0) & (x < x1) & (y >= y0) & (y < y1))


def _widened(box: Box, margin: float) -> Box:
    x0, x1, y0, y1 = box
    across, up = margin * (x1 - x0), margin * (y1 - y0)
    return x0 - across, x1 + across, y0 - up, y1 + up


def _of_cells(
    values: NDArray[np.float32], numbers: NDArray[np.intp], cells: int, colours: Colouring
) -> NDArray[np.float32]:
    """The mean of finite values in each cell, or the commonest class."""
    if colours.classes is not None:
        width = len(colours.classes) + 1  # the first is none
        counts = np.bincount(numbers * width + values.astype(np.intp) + 1, minlength=cells * width)
        return np.asarray(counts.reshape(cells, width).argmax(axis=1) - 1, np.float32)
    finite = np.isfinite(values)
    present = np.bincount(numbers[finite], minlength=cells)
    total = np.bincount(numbers[finite], weights=values[finite], minlength=cells)
    return np.asarray(np.where(present > 0, total / np.maximum(present, 1), np.nan), np.float32)
