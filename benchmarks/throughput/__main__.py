"""How many examples per second: every contender in a process of its own, one epoch each in turn, round after round.

A figure is the median over the rounds; a ratio is taken round by round, so that a machine that slows down slows all of
them, and told with its quartiles. A library that is not installed is told as missing, one that fails with its error.
The bound is the time of a step's matrix products alone, by the quickest library at hand.

    python -m benchmarks.throughput --json
    python -m benchmarks.throughput --configurations tutorial --contenders reparam torch-eager --rounds 3
    python -m benchmarks.throughput --picture docs/images/throughput.png < results.json
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterable
from contextlib import ExitStack
from typing import Any

from benchmarks.machine import processor
from benchmarks.throughput.configurations import CONFIGURATIONS
from benchmarks.throughput.contenders import CONTENDERS, OURS
from benchmarks.throughput.picture import draw

LIBRARIES = ("jax", "numpyro", "torch", "pyro-ppl", "pythae", "keras", "numpy")
BOUND = "bound"


class Worker:
    """A contender that waits for its turn: a module that works once at its start, and again for each line it gets."""

    def __init__(self, module: str, *arguments: str):
        command = [sys.executable, "-m", module, *arguments]
        piped = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(command, **piped)
        self.rounds: list[dict[str, float]] = []
        self.first = self._answer()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def train(self) -> None:
        self.process.stdin.write("epoch\n")
        self.process.stdin.flush()
        self.rounds.append(self._answer())

    def _answer(self) -> dict[str, float]:
        line = self.process.stdout.readline()
        if not line:
            complaint = self.process.stderr.read().strip().splitlines()
            raise RuntimeError(complaint[-1] if complaint else "it ended")
        answer: dict[str, float] = json.loads(line)
        return answer


def measure(configuration: str, names: Iterable[str], rounds: int) -> dict[str, Any]:
    """One configuration: the contenders in rotation."""
    found: dict[str, Any] = {}
    with ExitStack() as stack:
        workers: dict[str, Worker] = {}
        for name in names:
            if not CONTENDERS[name].has(CONFIGURATIONS[configuration]):
                continue
            if CONTENDERS[name].missing:
                found[name] = {"missing": f"{CONTENDERS[name].needs} is not installed"}
                continue
            try:
                workers[name] = stack.enter_context(Worker("benchmarks.throughput.worker", name, configuration))
            except RuntimeError as error:
                found[name] = {"failed": str(error)}
        for _ in range(rounds):
            for worker in workers.values():
                worker.train()
    seconds = {name: [each["seconds"] for each in worker.rounds] for name, worker in workers.items()}
    for name, worker in workers.items():
        found[name] = {
            "examples_per_second": round(CONFIGURATIONS[configuration].rows / statistics.median(seconds[name])),
            "first_epoch_seconds": round(worker.first["seconds"], 2),
            "loss": round(worker.rounds[-1]["loss"], 3),
        }
    bounds = [times for name, times in seconds.items() if name.startswith("products")]
    if bounds:
        seconds[BOUND] = [min(of_round) for of_round in zip(*bounds, strict=True)]
        found[BOUND] = {
            "examples_per_second": round(CONFIGURATIONS[configuration].rows / statistics.median(seconds[BOUND]))
        }
    for name, times in seconds.items():
        if OURS in seconds and name != OURS:
            found[name] |= ratio([other / own for other, own in zip(times, seconds[OURS], strict=True)])
    return found


def ratio(ratios: list[float]) -> dict[str, Any]:
    """So many times as fast as the other reparam is, round by round."""
    quarters = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else [ratios[0]] * 3
    return {
        "reparam_is_times_as_fast": round(statistics.median(ratios), 3),
        "quartiles": [round(quarters[0], 3), round(quarters[2], 3)],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="timed epochs of each contender")
    parser.add_argument("--configurations", nargs="+", choices=CONFIGURATIONS, default=list(CONFIGURATIONS))
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--json", action="store_true", help="one JSON document")
    parser.add_argument("--picture", help="draw the results that come as JSON on standard input to this file")
    arguments = parser.parse_args()
    if arguments.picture:
        draw(json.load(sys.stdin), arguments.picture)
        return
    told: dict[str, Any] = {
        "processor": f"{processor()}, {os.cpu_count()} processors",
        "load": round(os.getloadavg()[0], 2),
        "rounds": arguments.rounds,
        "versions": {
            each.name: each.version for each in importlib.metadata.distributions() if each.name.lower() in LIBRARIES
        },
    }
    if not arguments.json:
        print(told)
    told["found"] = {}
    for configuration in arguments.configurations:
        found = measure(configuration, arguments.contenders, arguments.rounds)
        told["found"][configuration] = found
        if not arguments.json:
            show(configuration, found)
    if arguments.json:
        print(json.dumps(told, indent=2))


def show(configuration: str, found: dict[str, Any]) -> None:
    print(configuration)
    for name, of in found.items():
        if "examples_per_second" not in of:
            print(f"  {name:16s} {of.get('missing') or 'failed: ' + of['failed']}")
            continue
        times = f"   reparam is {of['reparam_is_times_as_fast']:6.2f} times as fast" if "quartiles" in of else ""
        print(f"  {name:16s} {of['examples_per_second']:9,d} examples/s{times}")


if __name__ == "__main__":
    main()
