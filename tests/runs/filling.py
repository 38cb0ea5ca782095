"""A run in a folder that is a small disk of its own, which fills: run as a program, with mounts of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from saving import run_of, whole, write

from reparam.errors import RunError
from reparam.runs import reserve

if __name__ == "__main__":
    place = Path(sys.argv[1])
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", place], check=True)
    write(place, 1)
    told = ""
    with reserve(place, resume=True) as held:
        try:
            held.write(replace(run_of(2), model={"weight": np.zeros((300, 300), np.float32)}))
        except RunError as error:
            told = str(error)
        kept = whole(place)
        left = sorted(path.name for path in place.iterdir())
        held.write(run_of(3))  # what fits is written again
    print(json.dumps({"told": told, "kept": kept, "left": left, "after": whole(place)}))
