"""A term of the objective, one number per datum: however the user's function reduces over the batch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from reparam.verification.arrays import Array
from reparam.verification.functions import Numeric, UserError
from reparam.verification.measurements.examples import contrast

Kind = Literal["rows", "scalar", "elements"]
Reduction = Literal["mean", "sum", "rows", "neither"]

CLOSE = 2e-3
"""Relative difference below which two exact measurements agree: far above single precision, far below a mistake."""


def close(value: Array | float, truth: Array | float, tolerance: float = CLOSE) -> bool:
    """Whether all numbers agree up to ``tolerance`` of their size (of 1 for small ones)."""
    value, truth = np.asarray(value), np.asarray(truth)
    return bool(np.all(np.abs(value - truth) <= tolerance * (1.0 + np.abs(truth))))


BATCH = 32
"""Rows are asked for in batches of one size: a framework that compiles for each shape compiles once."""


@dataclass
class Term:
    """One of ``kl``, ``reconstruction_loss`` or ``loss`` with the batch on the first axis of its arrays."""

    function: Numeric
    example: tuple[Array, ...]

    @cached_property
    def kind(self) -> Kind:
        """What it returns for the example batch: (N,), a scalar, or (wrongly) one number per element."""
        value = self.function(*self.example)
        count, shape = len(self.example[0]), value.shape
        if value.size == 1 and count > 1:
            return "scalar"
        if shape in ((count,), (count, 1), (1, count)):
            return "rows"
        if shape == self.example[0].shape:
            return "elements"
        raise UserError(
            self.function.name,
            f"{self.function.name} returned shape {shape} for arrays of shape {self.example[0].shape}; "
            f"required ({count},) or a scalar",
        )

    def rows(self, *arrays: NDArray[np.float64]) -> Array:
        """One number per datum: asked datum by datum where the function gives the whole batch one number."""
        count = len(arrays[0])
        if self.kind == "scalar":
            return np.array([self._alone(arrays, i) for i in range(count)])
        starts = range(0, count, BATCH)
        return np.concatenate([self._piece([_rows(a, i) for a in arrays]) for i in starts])[:count]

    def _piece(self, arrays: list[Array]) -> Array:
        value = self.function(*arrays)
        if self.kind == "elements":
            return np.asarray(value.reshape(BATCH, -1).sum(axis=1))
        if value.size != BATCH:
            name = self.function.name
            raise UserError(
                name, f"{name} returned shape {value.shape} for N = {BATCH}; required ({BATCH},) or a scalar"
            )
        return value.reshape(BATCH)

    def _alone(self, arrays: tuple[Array, ...], i: int) -> float:
        value = self.function(*(array[i : i + 1] for array in arrays))
        if value.size != 1:
            raise UserError(self.function.name, f"{self.function.name} returned shape {value.shape} for N = 1")
        return float(value.reshape(()))

    @cached_property
    def reduction(self) -> Reduction:
        """How the example batch's number follows from those of its data: their mean, their sum, none, or neither."""
        if self.kind == "elements":
            return "rows"
        alone = np.array([self._alone(self.example, i) for i in range(self.count)])
        if self.kind != "scalar":
            return "rows" if close(self.rows(*self.example), alone) else "neither"
        whole = float(self.function(*self.example).reshape(()))
        off = {"mean": abs(whole - alone.mean()), "sum": abs(whole - alone.sum())}
        nearer: Reduction = "mean" if off["mean"] <= off["sum"] else "sum"  # of small numbers both are close
        return nearer if close(whole, alone.mean() if nearer == "mean" else alone.sum()) else "neither"

    @cached_property
    def growth(self) -> float:
        """By what its variation is multiplied when every column is there twice: 2 for a sum, 1 for a mean.

        Raises:
            UserError: it takes no other number of columns.
        """
        doubled = tuple(np.tile(array, 2) for array in self.example)
        weights = contrast(self.count)
        return float((Term(self.function, doubled).rows(*doubled) @ weights) / (self.rows(*self.example) @ weights))

    @property
    def count(self) -> int:
        """N of the example batch."""
        return len(self.example[0])

    def batch(self, *arrays: Array) -> float:
        """The number of a whole batch; the mean over rows where the function gives rows."""
        value = self.function(*arrays)
        return float(value.reshape(())) if value.size == 1 else float(self.rows(*arrays).mean())


def _rows(array: Array, start: int) -> Array:
    """``BATCH`` rows from ``start``, the last one repeated where there are no more."""
    return array[np.minimum(np.arange(start, start + BATCH), len(array) - 1)]
