"""Some rows of a stream, each as likely as any other, in one pass."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass
class Drawn:
    """Rows drawn without replacement from all that are added, at most ``most``: those of the lowest priorities.

    >>> drawn = Drawn(3)
    >>> for start in range(0, 100, 10):
    ...     drawn.add(np.arange(start, start + 10)[:, None])
    >>> drawn.rows.shape, bool((np.diff(drawn.rows[:, 0]) > 0).all())
    ((3, 1), True)
    """

    most: int
    seed: int = 0
    seen: int = 0
    _rows: list[NDArray[Any]] = field(default_factory=list)
    _priorities: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))

    def add(self, rows: NDArray[Any]) -> None:
        """Rows, shape (n, P), that come next."""
        drawn = np.random.default_rng((self.seed, self.seen)).random(len(rows))
        self.seen += len(rows)
        together = np.concatenate([self._priorities, drawn])
        kept = np.sort(np.argsort(together, kind="stable")[: self.most])
        before = len(self._priorities)
        old, new = kept[kept < before], kept[kept >= before] - before
        if len(new):
            self._rows = [np.concatenate([*(part[old] for part in self._rows), rows[new]])]
            self._priorities = together[kept]

    @property
    def rows(self) -> NDArray[Any]:
        """Those that were drawn, in the order in which they came.

        Raises:
            ValueError: nothing was added.
        """
        if not self._rows:
            raise ValueError("no rows were added.")
        return self._rows[0]
