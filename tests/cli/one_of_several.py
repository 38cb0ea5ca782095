"""The command line as one of several processes on this machine: small parts and chunks, and a pause behind each.

Of several commands, in a JSON list, each is run by the same processes, which meet once.
"""

from __future__ import annotations

import json
import os
import sys
import time

from reparam.cli import keeper, main
from reparam.data.streaming import passes
from reparam.devices.shares import LAUNCHERS
from reparam.estimator import use

CHUNK_BYTES, DRAWN_ROWS = 60 * 4 * 7 * 3, 100


def pause() -> None:
    """So that a process can be killed on its way."""
    note = keeper.Keeper.note

    def slowly(self: keeper.Keeper, fitted: object) -> None:
        note(self, fitted)
        time.sleep(float(os.environ["PAUSE"]))

    keeper.Keeper.note = slowly


def each(commands: list[list[str]], options: list[str]) -> None:
    """The commands one after the other; the first that fails ends all."""
    for number, command in enumerate(commands):
        try:
            main([*command, *(options if number == 0 else [])])
        except SystemExit as end:
            if end.code:
                raise
        for name in LAUNCHERS:
            os.environ.pop(name, None)


if __name__ == "__main__":
    passes.CHUNK_BYTES, use.DRAWN_ROWS = CHUNK_BYTES, DRAWN_ROWS
    if "PAUSE" in os.environ:
        pause()
    if sys.argv[1].startswith("["):
        each(json.loads(sys.argv[1]), sys.argv[2:])
    else:
        main()
