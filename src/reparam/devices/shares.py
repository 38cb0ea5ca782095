"""Which of several processes this is, and what is its own; needs nothing that takes time to import."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

LAUNCHERS = {"SLURM_PROCID": "SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_RANK": "OMPI_COMM_WORLD_SIZE"}
"""Which process this is, and how many there are, in the words of Slurm and of Open MPI."""


@dataclass(frozen=True)
class Share:
    """Which of so many processes this is: it reads, and works on, the things whose number leaves ``index``.

    >>> [number for number in range(7) if Share(1, 3).has(number)]
    [1, 4]
    """

    index: int = 0
    count: int = 1

    def has(self, number: int) -> bool:
        """Whether the thing of that number is this process's own."""
        return number % self.count == self.index

    def range(self, total: int) -> tuple[int, int]:
        """The first and the end of this process's range of so many things, where they are to stay together.

        >>> [Share(index, 3).range(8) for index in range(3)]
        [(0, 2), (2, 5), (5, 8)]
        """
        return total * self.index // self.count, total * (self.index + 1) // self.count

    @property
    def leads(self) -> bool:
        """Whether it is the one that writes and speaks."""
        return self.index == 0


ALONE = Share()


def launched() -> Share | None:
    """Which process this is of the several that Slurm or Open MPI started, or None where it is alone."""
    for which, many in LAUNCHERS.items():
        told = os.environ.get(which, ""), os.environ.get(many, "")
        if all(re.fullmatch(r"[0-9]{1,9}", word) for word in told) and int(told[1]) > 1:
            return Share(*map(int, told))
    return None
