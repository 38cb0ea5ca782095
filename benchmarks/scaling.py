"""How time and memory grow: with rows, features, latents, importance samples and width; and data larger than memory.

Each measurement is a process of its own, which trains for one epoch behind one that compiles, and tells the processor's
seconds of it, which another program's load changes less than the clock's, and its peak resident memory. Exponents are
fitted on the upper half of each range, for below it start-up is all.

    python -m benchmarks.scaling --json
    python -m benchmarks.scaling --picture docs/images/scaling.png < results.json
    python -m benchmarks.scaling --stream 20 --json          # a table of 20 GB, written here and removed after
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
from collections.abc import Mapping, Sequence
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
BLOCK = 1 << 16
STREAM_COLUMNS, STREAM_WIDTH = 64, 128

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
begun = fitting.begin(configuration, data)
marks = [time.process_time(), *(time.process_time() for _ in fitting.train(begun, fitting.task(begun, data)))]
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps({"seconds": marks[-1] - marks[-2], "peak_bytes": peak}))
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
place, width, in_memory = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "memory"
configuration = Configuration(latent_dim=8, hidden=(width, width), epochs=1, start="random", likelihood="gaussian")
started = time.perf_counter()
found = from_array(np.load(place)) if in_memory else survey(stream(place), configuration)
surveyed = time.perf_counter()
begun = fitting.begin(configuration, found)
task = fitting.task(begun, found)
trained, busy, ready, cpu = begun, [], time.perf_counter(), time.process_time()
for trained, record in fitting.train(begun, task):
    busy.append(record.seconds)
done, cpu_done = time.perf_counter(), time.process_time()
rows = task.rows.total
told = {"rows": rows, "survey_seconds": surveyed - started, "training_seconds": done - ready,
        "waiting_share": 1 - sum(busy) / (done - ready), "rows_per_second": rows / (done - ready),
        "rows_per_processor_second": rows / (cpu_done - cpu)}
if not in_memory:
    vae = VAE().adopt(trained)
    vae.source_ = {}
    moments = lambda part: dict(zip(("mean", "std"), vae.posterior_moments(part), strict=True))
    begun = time.perf_counter()
    write_arrays(vae, str(place), place.with_name("codes.npy"), moments, index=None, unknown="refuse")
    told["encoding_seconds"] = time.perf_counter() - begun
told["peak_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps(told))
"""


def run(program: str, *arguments: str) -> dict[str, Any]:
    """What a program in a process of its own prints last, as JSON; what it dies of is told, and nothing measured."""
    command = [sys.executable, "-W", "ignore", "-c", program, *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
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


def exponents(results: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The slope of ln seconds over ln value on the upper half of each range."""
    slopes = {}
    for name in dict.fromkeys(result["varied"] for result in results):
        there = [(r["value"], r["seconds"]) for r in results if r["varied"] == name and "seconds" in r]
        upper = np.log(np.asarray(there[len(there) // 2 - (len(there) < 4) :]))
        if len(upper) > 1:
            slopes[name] = float(np.polyfit(upper[:, 0], upper[:, 1], 1)[0])
    return slopes


def write_table(place: Path, gigabytes: float) -> int:
    """A ``.npy`` of float32 rows of about that size, from two latents; the number of its rows."""
    rows = int(gigabytes * 1e9 / (4 * STREAM_COLUMNS)) // BLOCK * BLOCK or BLOCK
    rng = np.random.default_rng(0)
    loadings = rng.standard_normal((2, STREAM_COLUMNS), np.float32)
    with place.open("wb") as file:
        head = {"descr": "<f4", "fortran_order": False, "shape": (rows, STREAM_COLUMNS)}
        np.lib.format.write_array_header_1_0(file, head)
        for _ in range(rows // BLOCK):
            block = np.tanh(rng.standard_normal((BLOCK, 2), np.float32) @ loadings)
            file.write((block + 0.1 * rng.standard_normal(block.shape, np.float32)).tobytes())
    return rows


def streamed(gigabytes: float, compare: bool) -> list[dict[str, Any]]:
    """A table that is written, trained on for an epoch, encoded and removed; a small one in memory beside it."""
    results = []
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        place = Path(folder) / "table.npy"
        for size, kind in (
            (gigabytes, "stream"),
            *(((min(gigabytes, 1.0), k) for k in ("stream", "memory")) if compare else ()),
        ):
            rows = write_table(place, size)
            started = time.perf_counter()
            found = run(STREAMED, str(place), str(STREAM_WIDTH), kind)
            results.append({"kind": kind, "gigabytes": size, "table_rows": rows, **found})
            results[-1]["process_seconds"] = time.perf_counter() - started
            print(results[-1], file=sys.stderr, flush=True)
    return results


def draw(document: Mapping[str, Any], file: str) -> None:
    """Seconds and memory along each range, both axes logarithmic, with the fitted exponent."""
    from matplotlib.figure import Figure

    results, slopes = document["results"], document["exponents"]
    names = list(dict.fromkeys(result["varied"] for result in results))
    figure = Figure(figsize=(3.0 * len(names), 5.2), dpi=130, layout="constrained", facecolor="white")
    axes = figure.subplots(2, len(names), squeeze=False)
    for column, name in enumerate(names):
        there = [r for r in results if r["varied"] == name and "seconds" in r]
        values = [r["value"] for r in there]
        for row, (what, scale) in enumerate((("seconds", 1.0), ("peak_bytes", 2.0**-30))):
            panel = axes[row, column]
            panel.loglog(values, [r[what] * scale for r in there], "o-", color="#0072B2")
            panel.spines[["top", "right"]].set_visible(False)
            panel.set_xlabel(name)
        axes[0, column].set_title(f"{name}: exponent {slopes.get(name, math.nan):.2f}", fontsize=10)
    axes[0, 0].set_ylabel("processor seconds of an epoch")
    axes[1, 0].set_ylabel("peak memory, GiB")
    figure.savefig(file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vary", default=",".join(RANGES), help="by commas")
    parser.add_argument("--shorter", type=int, default=0, metavar="N", help="without the last N values of each range")
    parser.add_argument("--stream", type=float, metavar="GB", help="only a table of this size, larger than memory")
    parser.add_argument("--compare", action="store_true", help="with --stream: 1 GB streamed and in memory, too")
    parser.add_argument("--picture", help="draw the results that come as JSON on standard input to this file")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.picture:
        draw(json.load(sys.stdin), arguments.picture)
        return
    document: dict[str, Any] = {"processor": processor(), "load": os.getloadavg()[0]}
    if arguments.stream:
        document["streams"] = streamed(arguments.stream, arguments.compare)
    else:
        document["results"] = grown(arguments.vary.split(","), arguments.shorter)
        document["exponents"] = exponents(document["results"])
    print(json.dumps(document, indent=2) if arguments.json else document)


if __name__ == "__main__":
    main()
