"""Which rows each copy of a model is trained without, so that every copy is judged by rows that it never saw."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FEW, MANY = 1_000, 5_000
MOST_HELD_OUT, ENOUGH_HELD_OUT = 2_000, 200


class Folds(NamedTuple):
    """Copies of one model, trained side by side on the same batches and noise; each leaves out a fold of its own.

    Args:
        held_out: numbers of the rows that each judged copy leaves out, shape (F, H); N where a fold has fewer.
        whole: whether there is one more copy, the last, that is trained on every row.
    """

    held_out: NDArray[np.int32]
    whole: bool

    @property
    def copies(self) -> int:
        """M: the judged ones, and the one of all rows; the last of them is used."""
        return len(self.held_out) + self.whole

    def weights(self, count: int) -> NDArray[np.float32]:
        """1 where a copy is trained on a row, 0 where it is not, shape (M, N)."""
        weights = np.ones((self.copies, count + 1), np.float32)
        np.put_along_axis(weights[: len(self.held_out)], self.held_out.astype(np.int64), 0.0, axis=1)
        return weights[:, :count]


def numbers_seen(weights: NDArray[np.float32]) -> NDArray[np.int64]:
    """The numbers of the rows that each copy is trained on, as many as every copy has, (M, C), of weights (M, N)."""
    seen = [np.flatnonzero(of_copy) for of_copy in weights]
    return np.stack([numbers[: min(map(len, seen))] for numbers in seen])


def is_gain(now: NDArray[np.float64], before: NDArray[np.float64]) -> bool:
    """Whether the bounds of the same rows rose, on the mean, by more than the standard error of that mean.

    >>> before = np.zeros(100)
    >>> is_gain(before + 0.1, before), is_gain(before + np.resize([3.0, -2.9], 100), before)
    (True, False)
    """
    if not np.isfinite(before).all():
        return bool(np.isfinite(now).all())
    rise = now - before
    return bool(rise.mean() > rise.std() / len(rise) ** 0.5)


def folds(count: int, seed: int, *, several: bool = True) -> Folds:
    """Five folds of few rows; of more a fifth is left out by one copy, and of many, at most 2,000, by the only one.

    Where copies side by side cost too much (``several=False``), few rows have one copy too, and a tenth of them is left
    out: the draws of each cost what training on several rows does.

    >>> folds(7, 0).weights(7).sum(axis=0).tolist()  # each row trains four of the five, and the copy of all rows
    [5.0, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0]
    >>> folds(100_000, 0).weights(100_000).sum(axis=1).tolist()
    [98000.0]
    """
    order = np.random.default_rng(seed).permutation(count).astype(np.int32)
    if count > FEW or not several:
        share = count // 5 if several else max(count // 10, min(count // 5, ENOUGH_HELD_OUT), 1)
        return Folds(order[None, : min(MOST_HELD_OUT, share)], several and count <= MANY)
    parts = min(count, 5)
    longest = -(-count // parts)
    padded = np.full(parts * longest, count, np.int32)
    padded[:count] = order
    return Folds(np.ascontiguousarray(padded.reshape(longest, parts).T), True)


def one_held_out(count: int) -> Folds:
    """So many rows apart, which are numbered by themselves: no copy is trained on them, and there is one copy."""
    return Folds(np.arange(count, dtype=np.int32)[None], False)
