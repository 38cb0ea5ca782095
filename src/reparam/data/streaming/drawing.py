"""Some rows of a stream, each as likely as any other, in one pass, whoever reads which part."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from reparam.devices.processes import every

LARGEST_PRIORITY = np.iinfo(np.uint64).max


def priorities(seed: int, part: int, rows: int) -> NDArray[np.uint64]:
    """A random number for each row of a part."""
    return np.random.default_rng((seed, part)).integers(LARGEST_PRIORITY, size=rows, dtype=np.uint64)


class Drawn:
    """Rows drawn without replacement from all that are added, at most ``most``: those of the lowest priorities.

    Which they are depends on the seed, and on what the parts hold; not on who adds which of them, or when.

    Args:
        most: how many are kept.
        like: rows of their kind, of which none is added, shape (n, P).
        seed: of the priorities.

    >>> drawn = Drawn(3, np.zeros((0, 1)))
    >>> for part in (2, 0, 1):
    ...     drawn.add(np.arange(10 * part, 10 * part + 10)[:, None], part)
    >>> drawn.rows.shape, drawn.seen, bool((np.diff(drawn.rows[:, 0]) > 0).all())
    ((3, 1), 30, True)
    """

    def __init__(self, most: int, like: NDArray[Any], seed: int = 0):
        self.most, self.seed, self.seen = most, seed, 0
        self.lowest = like[:0]
        """Those that were drawn, by their priorities, (n, P)."""
        self.priorities = np.empty(0, np.uint64)
        self.parts = np.empty(0, np.int64)
        """Which part each is of, (n,)."""
        self._places = np.empty(0, np.int64)

    def add(self, rows: NDArray[Any], part: int) -> None:
        """Rows of a part, all of them, shape (n, P)."""
        drawn = priorities(self.seed, part, len(rows))
        limit = self.priorities[-1] if len(self.priorities) == self.most else LARGEST_PRIORITY
        [low] = np.nonzero(drawn <= limit)
        self._keep(rows[low], drawn[low], np.full(len(low), part), low, seen=len(rows))

    def of_all(self) -> Drawn:
        """What is drawn from the parts that all processes added; each has it."""
        kept = {"rows": self.lowest, "drawn": self.priorities, "parts": self.parts, "places": self._places}
        whole = Drawn(self.most, self.lowest, self.seed)
        for theirs, seen in every(kept, self.seen):
            whole._keep(**theirs, seen=seen)
        return whole

    @property
    def rows(self) -> NDArray[Any]:
        """Those that were drawn, in the order in which they stand."""
        return self.lowest[np.lexsort((self._places, self.parts))]

    def _keep(
        self,
        rows: NDArray[Any],
        drawn: NDArray[np.uint64],
        parts: NDArray[np.int64],
        places: NDArray[np.int64],
        *,
        seen: int,
    ) -> None:
        """Of the rows kept and these, drawn from so many, those with the lowest priorities."""
        together = np.concatenate([self.priorities, drawn])
        order = np.argsort(together, kind="stable")[: self.most]
        self.lowest, self.priorities = np.concatenate([self.lowest, rows])[order], together[order]
        self.parts = np.concatenate([self.parts, parts])[order]
        self._places = np.concatenate([self._places, places])[order]
        self.seen += seen
