"""Saves killed at every instant: run as a program, without JAX, so that it may fork.

Each child writes a checkpoint and is killed before the n-th line that its save runs; the parent then looks at what is
there. Lines of this project and of shutil are counted: whatever a line does, a kill comes before and after it.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from reparam.errors import RunError
from reparam.runs import FORMAT, Run, checkpoints, reserve
from reparam.runs.folder import SUMMED, summed

WATCHED = ("reparam/runs/folder.py", "reparam/runs/place.py", "shutil.py", "reparam/storage.py")


def run_of(epoch: int) -> Run:
    tensors = {"weight": np.full((5, 3), epoch, np.float32)}
    line = {"epoch": 1, "bound": 0.0, "reconstruction": 0.0, "kl": 0.0, "coefficients": {}, "validation": None}
    config = {
        "format": FORMAT, "version": str(epoch), "parameters": {}, "handed_over": [], "likelihood": None,
        "likelihood_reason": "", "start": "",
    }  # fmt: skip
    lines = tuple({**line, "epoch": number} for number in range(1, epoch + 1))
    return Run(config, {"schema": {}, "sha256": "", "rows": epoch}, tensors, tensors, lines)


def epoch_of(checkpoint: Any) -> int:
    """The epoch of a checkpoint, all files of which are of it.

    Raises:
        RunError: they are not.
    """
    config = checkpoint.config()
    epoch = int(config.version)
    found = {
        *checkpoint.tensors("model.safetensors", config)["weight"].ravel().tolist(),
        *checkpoint.tensors("state.safetensors", config)["weight"].ravel().tolist(),
        len(checkpoint.metrics(config)),
        checkpoint.data(config)["rows"],
    }
    if found != {epoch} or {name: vars(entry) for name, entry in config.files.items()} != {
        name: summed(checkpoint.path(name)) for name in SUMMED
    }:
        raise RunError(f"a mixture: {found}")
    return epoch


def whole(place: Path) -> list[int]:
    """The epochs of the checkpoints that are whole, the newest first."""
    found = []
    for checkpoint in checkpoints(place):
        try:
            found.append(epoch_of(checkpoint))
        except RunError:
            continue
    return found


def killed_before(line: int, place: Path, epoch: int, **options: bool) -> bool:
    """Save in a child that dies before its ``line``-th line; whether it lived to the end."""
    child = os.fork()
    if child == 0:
        left = [line]

        def trace(frame: FrameType, event: str, _: Any) -> Any:
            if not frame.f_code.co_filename.endswith(WATCHED):
                return None
            if event == "line":
                left[0] -= 1
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
            return trace

        with reserve(place, **options) as held:
            sys.settrace(trace)
            held.write(run_of(epoch))
            sys.settrace(None)
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def write(place: Path, epoch: int, **options: bool) -> None:
    with reserve(place, **options) as held:
        held.write(run_of(epoch))


def enumerate_instants(folder: Path, saved: int) -> int:
    """Kill the save after ``saved`` others at every instant, and save once more after each; how many there were."""
    line, before = 0, folder / f"saved-{saved}"
    before.mkdir()
    for epoch in range(1, saved + 1):
        write(before, epoch, resume=epoch > 1)
    while True:
        line += 1
        place = shutil.copytree(before, folder / f"run-{saved}-{line}")
        lived = killed_before(line, place, saved + 1, resume=saved > 0)
        found = whole(place) if any(place.iterdir()) and (saved or lived or _committed(place)) else []
        if saved:
            assert found[0] in (saved, saved + 1), (line, found)
            assert len({*found}) >= saved, (line, found)  # two are whole from the second save on
        elif found:
            assert found[0] == 1
        assert not lived or found[0] == saved + 1
        with reserve(place, resume=True):  # a dead process's work is finished by the next
            assert len({*whole(place)}) >= saved, line
        write(place, saved + 2, resume=True)
        assert whole(place)[0] == saved + 2
        assert {path.name for path in place.iterdir()} <= {*FINISHED, "previous"}, sorted(place.iterdir())
        shutil.rmtree(place)
        if lived:
            return line


def overwritten_instants(folder: Path) -> int:
    """The same of a save that replaces another run: at every instant one of the two is whole."""
    line = 0
    while True:
        line += 1
        place = shutil.copytree(folder / "saved-2", folder / f"over-{line}")
        lived = killed_before(line, place, 7, overwrite=True)
        assert whole(place)[0] in (2, 7), line
        if lived:
            assert whole(place) == [7]
            return line


def _committed(place: Path) -> bool:
    return (place / ".next").is_dir() or (place / "config.json").is_file()


FINISHED = ("config.json", "data.json", "metrics.jsonl", "model.safetensors", "state.safetensors")

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    print(*(enumerate_instants(folder, saved) for saved in (0, 1, 2)), overwritten_instants(folder))
