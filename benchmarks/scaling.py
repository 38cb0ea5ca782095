"""How time and memory grow: with rows, features, latents, importance samples and width; and data larger than memory.

Each measurement is a process of its own, which trains for one epoch behind one that compiles, and tells the processor's
seconds of it, which another program's load changes less than the clock's, those that went before the first epoch
(statistics, choices, checks), and its peak resident memory. Exponents are fitted on the upper half of each range, for
below it start-up is all; those of memory on the last two values, beyond the least memory of the range, which is the
program's own. Nothing compiled is taken from a cache, for compiling is what a small program needs memory for.

    python -m benchmarks.scaling --json
    python -m benchmarks.scaling --picture docs/images/scaling.png < results.json
    python -m benchmarks.scaling --stream 20 --json              # a table of 20 GB, written here and removed after
    python -m benchmarks.scaling --stream 0.5 --compare 8 --json # streamed and in memory in turn
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import processor

BASE: dict[str, int] = {"rows": 20_000, "features": 50, "latents": 8, "samples": 1, "width": 128}
RANGES: dict[str, tuple[int, ...]] = {
    "rows": (1_000, 10_000, 100_000, 1_000_000, 10_000_000),
    "features": (10, 50, 250, 1_000, 4_000),
    "latents": (2, 8, 32, 128),
    "samples": (1, 5, 25, 100),
    "width": (32, 128, 512, 2_048),
}
BESIDE: dict[str, dict[str, int]] = {"rows": {"features": 10}}
"""What else differs from ``BASE`` along a range: ten million rows of ten features are 400 MB."""
GROWS = 0.1
MEASURED = ("seconds", "begin_seconds", "peak_bytes")
LABELS = {"rows": "rows", "features": "features", "latents": "latents", "samples": "draws K", "width": "width"}
BLOCK_BYTES = 1 << 24
STREAM_COLUMNS, STREAM_WIDTH = 1_024, 64
FILLED = 0.1

IN_MEMORY = """
import json, resource, sys, time
import numpy as np
import reparam
from reparam.data import from_array
from reparam.estimator import fitting
from reparam.estimator.configuration import Configuration
at = json.loads(sys.argv[1])
rng = np.random.default_rng(0)
rows = rng.standard_normal((at["rows"], at["features"]), np.float32)
objective = "elbo" if at["samples"] == 1 else f"iwae:{at['samples']}"
configuration = Configuration(latent_dim=at["latents"], hidden=(at["width"],) * 2, objective=objective, epochs=2,
                              start="random", likelihood="gaussian")
data = from_array(rows)
marks = [time.process_time()]
begun = fitting.begin(configuration, data)
marks.append(time.process_time())
for _ in fitting.train(begun, fitting.task(begun, data)):
    marks.append(time.process_time())
    if marks[-1] - marks[-2] > 60:  # beside which compilation is little
        break
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps({"seconds": marks[-1] - marks[-2], "begin_seconds": marks[1] - marks[0], "peak_bytes": peak}))
"""

STREAMED = """
import json, resource, sys, time
from pathlib import Path
import numpy as np
from reparam.cli.flow import write_arrays
from reparam.data import from_array, stream
from reparam.estimator import fitting
from reparam.estimator.vae import VAE
from reparam.estimator.configuration import Configuration
from reparam.estimator.seeing import survey
place, width = Path(sys.argv[1]), int(sys.argv[2])
configuration = Configuration(latent_dim=8, hidden=(width, width), epochs=1, start="random", likelihood="gaussian")
clocks = lambda: np.asarray([time.perf_counter(), time.process_time()])
started = clocks()
found = survey(stream(place), configuration)
told = {"survey_seconds": (clocks() - started).tolist()}
trained = fitting.begin(configuration, found)
task = fitting.task(trained, found)
marks, busy = [clocks()], []
for trained, record in fitting.train(trained, task):
    marks.append(clocks())
    busy.append(record.seconds)
told["training_seconds"] = (marks[-1] - marks[0]).tolist()
spent, used = np.diff(marks, axis=0)[1:-1], busy[1:-1]  # of one shape, and compiled
if used:
    wall, cpu = spent.sum(0)
    rows = task.rows.chunk_rows * len(used)
    told |= {"rows_per_second": rows / wall, "rows_per_processor_second": rows / cpu,
             "waiting_share": 1 - sum(used) / wall}
told["training_peak_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
vae = VAE().adopt(trained)
vae.source_ = {}
moments = lambda part: dict(zip(("mean", "std"), vae.posterior_moments(part), strict=True))
begun = clocks()
write_arrays(vae, str(place), place.with_name("codes.npy"), moments, index=None, unknown="refuse")
told["encoding_seconds"] = (clocks() - begun).tolist()
told["peak_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps(told))
"""


IN_TURN = """
import json, sys, time
from pathlib import Path
import numpy as np
from reparam.data import from_array, stream
from reparam.estimator import fitting
from reparam.estimator.configuration import Configuration
from reparam.estimator.seeing import survey
place, width, rounds = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
configuration = Configuration(latent_dim=8, hidden=(width, width), epochs=rounds + 1, start="random",
                              likelihood="gaussian")
clocks = lambda: np.asarray([time.perf_counter(), time.process_time()])

def begun(found):
    fitted = fitting.begin(configuration, found)
    task = fitting.task(fitted, found)
    return task, fitting.train(fitted, task)

memory, epochs = begun(from_array(np.load(place)))
streamed, chunks = begun(survey(stream(place), configuration))
told = []
for turn in range(rounds + 1):
    time.sleep(0.5)  # in which the chunk that comes next is read
    marks = [clocks()]
    next(epochs)
    marks.append(clocks())
    next(chunks)
    marks.append(clocks())
    busy = sum(next(chunks)[1].seconds for _ in range(streamed.chunks - 1))
    marks.append(clocks())
    spent = np.diff(marks, axis=0)[[0, 2]]
    per_second = np.asarray([[memory.rows.total], [streamed.rows.total - streamed.rows.chunk_rows]]) / spent
    told.append({"rows_per_second": per_second[:, 0].tolist(), "rows_per_processor_second": per_second[:, 1].tolist(),
                 "waiting_share": 1 - busy / spent[1, 0]})
print(json.dumps({"turns": told[1:]}))  # behind the one that compiles
"""


def run(program: str, *arguments: str) -> dict[str, Any]:
    """What a program in a process of its own prints last, as JSON; what it dies of is told, and nothing measured."""
    command = [sys.executable, "-W", "ignore", "-c", program, *arguments]
    anew = {**os.environ, "JAX_ENABLE_COMPILATION_CACHE": "false"}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=anew)
    if done.returncode != 0:
        return {"failed": (done.stderr.strip().splitlines() or [f"signal {-done.returncode}"])[-1]}
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def grown(names: Sequence[str], shorter: int = 0) -> list[dict[str, Any]]:
    """The processor's seconds of an epoch and peak memory along each range, everything else as in ``BASE``."""
    results = []
    for name in names:
        for value in RANGES[name][: len(RANGES[name]) - shorter]:
            at = {**BASE, **BESIDE.get(name, {}), name: value}
            results.append({"varied": name, "value": value, **run(IN_MEMORY, json.dumps(at))})
            print(results[-1], file=sys.stderr, flush=True)
    return results


def exponents(results: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float | None]]:
    """Of each range, the slope of ln of each of ``MEASURED`` over ln value; None of memory that does not grow."""
    slopes: dict[str, dict[str, float | None]] = {}
    for name in dict.fromkeys(result["varied"] for result in results):
        there = [result for result in results if result["varied"] == name and "seconds" in result]
        values = [result["value"] for result in there]
        if len(there) < 2:
            continue  # of which there is no slope
        slopes[name] = {what: _slope(values, [result[what] for result in there]) for what in MEASURED}
        own = min(result["peak_bytes"] for result in there)
        added = [max(result["peak_bytes"] - own, 1) for result in there]
        grows = added[-1] > GROWS * own and added[-2] > GROWS / 4 * own
        slopes[name]["peak_bytes"] = _slope(values[-2:], added[-2:]) if grows else None
    return slopes


def _slope(values: Sequence[float], measured: Sequence[float]) -> float:
    """Of the line through the upper half of points, both axes logarithmic."""
    upper = slice(-max(2, math.ceil(len(values) / 2)), None)
    return float(np.polyfit(np.log(values[upper]), np.log(measured[upper]), 1)[0])


def write_table(place: Path, gigabytes: float) -> int:
    """A ``.npy`` of float32 rows of about that size, most of whose cells are 0; the number of its rows.

    Each block has the rows of one bank in another order, each times a number of its own: so it is written as fast as a
    disk takes it, and no two rows are equal.
    """
    block = BLOCK_BYTES // (4 * STREAM_COLUMNS)
    blocks = max(1, int(gigabytes * 1e9 / BLOCK_BYTES))
    rng = np.random.default_rng(0)
    loadings = rng.standard_normal((2, STREAM_COLUMNS), np.float32)
    bank = np.tanh(rng.standard_normal((block, 2), np.float32) @ loadings)
    bank *= rng.random(bank.shape, np.float32) < FILLED
    with place.open("wb") as file:
        head = {"descr": "<f4", "fortran_order": False, "shape": (blocks * block, STREAM_COLUMNS)}
        np.lib.format.write_array_header_1_0(file, head)
        for _ in range(blocks):
            rows = bank[rng.permutation(block)]
            rows *= rng.uniform(0.9, 1.1, (block, 1)).astype(np.float32)
            file.write(rows.data)
    return blocks * block


@contextmanager
def passing_folder() -> Iterator[Path]:
    """A temporary folder that is removed when this process ends, even by SIGKILL: by one that waits for its end."""
    with tempfile.TemporaryDirectory(prefix="reparam-scaling-") as folder:
        wait = ["sh", "-c", 'cat > /dev/null; rm -rf "$0"', folder]
        with subprocess.Popen(wait, stdin=subprocess.PIPE, start_new_session=True):
            yield Path(folder)


def streamed(gigabytes: float, width: int) -> dict[str, Any]:
    """A table that is written, trained on for an epoch, encoded, and removed."""
    with passing_folder() as folder:
        place = folder / "table.npy"
        rows, started = write_table(place, gigabytes), time.perf_counter()
        found = {"gigabytes": gigabytes, "table_rows": rows, "width": width, **run(STREAMED, str(place), str(width))}
        return found | {"process_seconds": time.perf_counter() - started, "load": os.getloadavg()[0]}


def compared(gigabytes: float, rounds: int, width: int) -> dict[str, Any]:
    """A table in memory and streamed, in one process, a pass of each in turn; the medians of the ratios.

    Of a pass that is streamed all chunks count but the first, which was read before the pass began.
    """
    with passing_folder() as folder:
        place = folder / "table.npy"
        rows = write_table(place, gigabytes)
        found = run(IN_TURN, str(place), str(width), str(rounds))
    turns = found.get("turns", [])
    for name in ("rows_per_second", "rows_per_processor_second") if turns else ():
        found[f"streamed to in memory, {name}"] = float(np.median([turn[name][1] / turn[name][0] for turn in turns]))
    if turns:
        found["waiting_share"] = float(np.median([turn["waiting_share"] for turn in turns]))
    return {"gigabytes": gigabytes, "table_rows": rows, "width": width, **found, "load": os.getloadavg()[0]}


def draw(document: Mapping[str, Any], file: str) -> None:
    """Seconds and memory along each range, both axes logarithmic, with the fitted exponents."""
    from matplotlib.figure import Figure

    results, slopes = document["results"], document["exponents"]
    names = list(dict.fromkeys(result["varied"] for result in results))
    figure = Figure(figsize=(2.5 * len(names), 5.0), dpi=120, layout="constrained", facecolor="white")
    axes = figure.subplots(2, len(names), squeeze=False, sharey="row", sharex="col")
    for column, name in enumerate(names):
        there = [r for r in results if r["varied"] == name and "seconds" in r]
        values = [r["value"] for r in there]
        for row, (what, scale) in enumerate((("seconds", 1.0), ("peak_bytes", 2.0**-30))):
            panel, slope = axes[row, column], slopes.get(name, {}).get(what)
            panel.loglog(values, [r[what] * scale for r in there], "o-", color="#0072B2")
            panel.spines[["top", "right"]].set_visible(False)
            panel.grid(visible=True, which="major", color="0.9")
            told = "does not grow" if slope is None else f"exponent {slope:.2f}"
            panel.set_title(told, fontsize=10)
        axes[1, column].set_xlabel(LABELS[name])
    axes[1, 0].set_ylim(0.25, 4)
    axes[1, 0].set_yticks([0.25, 0.5, 1, 2, 4], ["¼", "½", "1", "2", "4"], minor=False)
    axes[1, 0].minorticks_off()
    axes[0, 0].set_ylabel("processor seconds of an epoch")
    axes[1, 0].set_ylabel("peak memory, GiB")
    figure.savefig(file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vary", default=",".join(RANGES), help="by commas")
    parser.add_argument("--shorter", type=int, default=0, metavar="N", help="without the last N values of each range")
    parser.add_argument("--stream", type=float, metavar="GB", help="only a table of this size, larger than memory")
    parser.add_argument("--compare", type=int, metavar="ROUNDS", help="with --stream: beside the same in memory")
    parser.add_argument("--width", type=int, default=STREAM_WIDTH, help="with --stream: of both layers")
    parser.add_argument("--picture", help="draw the results that come as JSON on standard input to this file")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.picture:
        draw(json.load(sys.stdin), arguments.picture)
        return
    document: dict[str, Any] = {"processor": processor(), "load": os.getloadavg()[0]}
    if arguments.stream:
        size, rounds, width = arguments.stream, arguments.compare, arguments.width
        document["stream"] = compared(size, rounds, width) if rounds else streamed(size, width)
    else:
        document["results"] = grown(arguments.vary.split(","), arguments.shorter)
        document["exponents"] = exponents(document["results"])
    print(json.dumps(document, indent=2) if arguments.json else document)


if __name__ == "__main__":
    main()
