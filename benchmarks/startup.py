"""What a user waits for before anything is computed: whole processes, each begun anew, as CPU and as wall seconds.

``warm`` has what an earlier process compiled in its cache folder, ``cold`` an empty one. A fit is of iris with
every default; sampling and evaluating are of the run that it leaves. Medians over ``--processes``, which take turns.

    python -m benchmarks.startup --json
    python -m benchmarks.startup --only help,mistyped,sample --processes 5
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from sklearn.datasets import load_iris

FIT = "import sys, numpy, reparam; reparam.VAE(latent_dim=2).fit(numpy.load(sys.argv[1]))"
NUMPY_VAE = """
import numpy as np

def reparameterize(mu, log_var, eps):
    return mu + np.exp(0.5 * log_var) * eps

def kl_divergence(mu, log_var):
    return 0.5 * np.sum(mu**2 + np.exp(log_var) - log_var - 1.0, axis=-1)
"""


@dataclass(frozen=True)
class Kind:
    """A process: the arguments of Python, the wall seconds that are asked of it, and whether its cache is empty."""

    arguments: tuple[str, ...]
    asked: float
    cold: bool = False


@dataclass(frozen=True)
class Result:
    """Medians of a kind of process."""

    process: str
    asked: float
    wall: float
    cpu: float
    processes: int


def kinds(folder: Path) -> dict[str, Kind]:
    """Every process by name; what they read and write lies in ``folder``."""
    table, run, program = str(folder / "iris.npy"), str(folder / "run"), ("-m", "reparam")
    return {
        "import": Kind(("-c", "import reparam"), 0.1),
        "help": Kind((*program, "--help"), 0.2),
        "mistyped": Kind((*program, "train", str(folder / "irsi.npy"), "--out", str(folder / "no")), 0.5),
        "verify": Kind((*program, "verify", str(folder / "vae.py")), 1.5),
        "sample": Kind((*program, "sample", run, "-n", "5", "-o", str(folder / "rows.npy")), 2.0),
        "evaluate": Kind((*program, "evaluate", run), 4.0),
        "fit": Kind(("-c", FIT, table), 2.0),
        "fit cold": Kind(("-c", FIT, table), 5.0, cold=True),
    }


def seconds(kind: Kind, folder: Path) -> tuple[float, float]:
    """Wall and CPU seconds of one process with all that it begins."""
    cache = tempfile.mkdtemp(dir=folder) if kind.cold else str(folder / "cache")
    environment = {**os.environ, "XDG_CACHE_HOME": cache}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, *kind.arguments], env=environment, capture_output=True, check=False)
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(names: list[str], processes: int) -> list[Result]:
    """Each kind as often as asked, in turns, after one of each that only fills the cache."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        np.save(folder / "iris.npy", load_iris().data)
        (folder / "vae.py").write_text(NUMPY_VAE)
        known = kinds(folder)
        train = (*("-m", "reparam", "train", str(folder / "iris.npy")), "--out", str(folder / "run"), "--quiet")
        if {"sample", "evaluate"} & set(names):
            seconds(Kind(train, 0.0), folder)
        for name in names:
            if not known[name].cold:
                seconds(known[name], folder)
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
        for _ in range(processes):
            for name in names:
                taken[name].append(seconds(known[name], folder))
    return [
        Result(
            name,
            known[name].asked,
            *(round(statistics.median(each), 3) for each in zip(*taken[name], strict=True)),
            processes,
        )
        for name in names
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = list(kinds(Path()))
    parser.add_argument("--only", default=",".join(names), help="names, with commas between them")
    parser.add_argument("--processes", type=int, default=5, help="of each kind; a cold fit takes the longest")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    results = measure(options.only.split(","), options.processes)
    if options.json:
        print(json.dumps({"load": load, "results": [asdict(result) for result in results]}, indent=2))
        return
    print(f"load before {load:.1f}, medians of {options.processes} processes, seconds")
    for found in results:
        print(f"{found.process:10} wall {found.wall:7.2f}   CPU {found.cpu:7.2f}   asked {found.asked:g}")


if __name__ == "__main__":
    main()
