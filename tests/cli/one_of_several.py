"""The command line as one of several processes on this machine: small parts and chunks, and a pause behind each."""

from __future__ import annotations

import os
import time

from reparam.cli import keeper, main
from reparam.data.streaming import passes

CHUNK_BYTES = 60 * 4 * 7 * 3


def pause() -> None:
    """So that a process can be killed on its way."""
    note = keeper.Keeper.note

    def slowly(self: keeper.Keeper, fitted: object) -> None:
        note(self, fitted)
        time.sleep(float(os.environ["PAUSE"]))

    keeper.Keeper.note = slowly


if __name__ == "__main__":
    passes.CHUNK_BYTES = CHUNK_BYTES
    if "PAUSE" in os.environ:
        pause()
    main()
