"""What a step costs when processes share it: its time against their number, and the bytes that it sends.

Processes on this machine talk by Gloo over loopback. Each takes part in the tutorial VAE (784-400-20, Bernoulli, Adam)
at one global batch, an epoch behind one that compiles, and holds its share of the rows, as it does where it reads them
from a stream: they are dealt out to those who visit them, and then the steps are taken. Bytes are those of the
collectives that the compiled programs have, by their own text (HLO); at least every gradient must be sent once, which
are the bytes of the parameters, and every row that its reader does not visit. Seconds of CPU are told beside those of
the wall, for on a busy machine only they mean something.

    python -m benchmarks.distributed --json
    python -m benchmarks.distributed --processes 1 2 --batch 512 --steps 40
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import re
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

PIXELS, HIDDEN, LATENTS = 784, 400, 20
BYTES = {"f32": 4, "f64": 8, "bf16": 2, "s32": 4, "u32": 4, "pred": 1, "u8": 1}
COLLECTIVE = re.compile(r"= (.*?) (all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute)(?:-start)?\(")
SHAPE = re.compile(r"(\w+)\[([\d,]*)\]")


def sent(program: str) -> dict[str, int]:
    """Bytes of the arrays that collectives of a compiled program give, within its loops and beside them.

    >>> sent('''%body (a: f32[3]) -> f32[3] {
    ...   %r = (f32[3,7]{1,0}, f32[]) all-reduce(%a, %b), channel_id=1
    ... }
    ... ENTRY %main () -> f32[3] {
    ...   %g = f32[5]{0} all-gather(%c), channel_id=2
    ... }''')
    {'in_loops': 88, 'beside': 20}
    """
    found = {"in_loops": 0, "beside": 0}
    place = "in_loops"
    for line in program.splitlines():
        if line.rstrip().endswith("{") and not line.startswith(" "):
            place = "beside" if line.startswith("ENTRY") else "in_loops"
        collective = COLLECTIVE.search(line)
        if collective is not None:
            for kind, lengths in SHAPE.findall(collective[1]):
                size = math.prod(int(length) for length in lengths.split(",") if length)
                found[place] += BYTES.get(kind, 0) * size
    return found


def one_of_several(batch: int, steps: int, rounds: int, where: Sequence[str]) -> dict[str, Any]:
    """What this process of several measures; they all do the same."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from reparam.data import Schema
    from reparam.devices.dealing import Held, exchanged
    from reparam.devices.mesh import devices
    from reparam.devices.processes import join, share
    from reparam.devices.shares import Share
    from reparam.model import build_model
    from reparam.objectives import ELBO
    from reparam.training import Recipe, Settings, initial_state
    from reparam.training.epoch import train_epoch
    from reparam.training.order import Laid, numbers_visited
    from reparam.training.pace import Clock
    from reparam.training.state import spread

    if int(where[1]) > 1:
        join(where[0], int(where[1]), int(where[2]))
    shared = devices("all")
    x = (np.random.default_rng(0).random((batch * steps, PIXELS)) < 0.3).astype(np.uint8)
    schema = Schema("binary", (28, 28), "uint8", None, 0.0, 1.0, "x")
    model = build_model(
        jnp.asarray(x[:64], jnp.float32),
        jax.random.key(0),
        latent_dim=LATENTS,
        likelihood="bernoulli",
        hidden=(HIDDEN,),
    )
    recipe, settings = Recipe(batch, devices=shared), Settings(10**6, 1e-3)
    state, key = spread(initial_state(model, jax.random.key(1), recipe), shared), jax.random.key(2)
    clock = Clock(*map(jnp.asarray, (0, steps, 10**6)))
    ends = np.asarray([Share(index, int(where[1])).range(len(x)) for index in range(int(where[1]))])
    held = Held(x[slice(*ends[share().index])], np.arange(len(ends)), ends[:, 1] - ends[:, 0])
    how = {"objective": ELBO(), "schema": schema, "recipe": recipe}

    def dealt() -> Laid | jax.Array:
        """One process has what it visits, and looks it up by number."""
        return jnp.asarray(x) if shared.count == 1 else Laid(held.dealt(order(), shared), len(x))

    def order() -> np.ndarray:
        return numbers_visited(key, len(x), recipe)

    def epoch(rows: Laid | jax.Array) -> tuple:
        return (state, rows, key, jnp.asarray(settings.learning_rate), clock)

    rows = dealt()
    program = sent(train_epoch.lower(*epoch(rows), **how).compile().compiled.as_text())
    moved = 0
    if shared.count > 1:
        parts = held.packed(order(), shared)
        moved = sent(exchanged.lower(*parts, devices=shared, steps=steps).compile().as_text())["beside"]
    jax.block_until_ready(train_epoch(*epoch(rows), **how))
    times: dict[str, list[float]] = {name: [] for name in ("step", "step_cpu", "deal", "deal_cpu")}
    for _ in range(rounds):
        clocks = [(time.perf_counter(), time.process_time())]
        rows = jax.block_until_ready(dealt())
        clocks.append((time.perf_counter(), time.process_time()))
        jax.block_until_ready(train_epoch(*epoch(rows), **how))
        clocks.append((time.perf_counter(), time.process_time()))
        for name, start, kind in (("deal", 0, 0), ("deal_cpu", 0, 1), ("step", 1, 0), ("step_cpu", 1, 1)):
            times[name].append((clocks[start + 1][kind] - clocks[start][kind]) / steps)
    parameters = sum(leaf.nbytes for leaf in jax.tree.leaves(model) if hasattr(leaf, "nbytes"))
    return {
        "processes": int(where[1]),
        **{f"{name}_seconds": sorted(found)[rounds // 2] for name, found in times.items()},
        "bytes_per_step": program["in_loops"],
        "bytes_per_epoch_beside": program["beside"],
        "parameter_bytes": parameters,
        "row_bytes_per_step": moved * (shared.count - 1) // shared.count // steps,  # a process keeps a block itself
        "least_row_bytes_per_step": x[:batch].nbytes * (shared.count - 1) // shared.count**2,
    }


def measured(count: int, batch: int, steps: int, rounds: int) -> dict[str, Any]:
    """What the first of so many processes measured."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        coordinator = f"127.0.0.1:{free.getsockname()[1]}"
    sizes = ["--batch", str(batch), "--steps", str(steps), "--rounds", str(rounds)]
    each = [sys.executable, "-m", "benchmarks.distributed", *sizes, "--one-of", coordinator, str(count)]
    environment = {**os.environ, "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false", "OMP_NUM_THREADS": "1"}
    pipes = {"stdout": subprocess.PIPE, "text": True, "env": environment}
    started = [subprocess.Popen([*each, str(index)], **pipes) for index in range(count)]
    told = [process.communicate()[0] for process in started]
    return json.loads(told[0].splitlines()[-1])


def fitted(results: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Seconds of CPU of a step in each of P processes, by least squares: work / P + messages · log₂ P."""
    import numpy as np

    counts = np.asarray([result["processes"] for result in results], float)
    seconds = np.asarray([result["step_cpu_seconds"] for result in results])
    work, messages = np.linalg.lstsq(np.stack([1.0 / counts, np.log2(counts)], axis=1), seconds, rcond=None)[0]
    return {"work_seconds": float(work), "seconds_per_doubling": float(messages)}


def planning(rows: int) -> float:
    """Seconds of CPU for a row of a chunk to find when it is visited, and who sends it: every process does it for all.

    Rows are of one byte, so that they cost nothing to carry, and one process has all, which makes it dearer.
    """
    import jax
    import numpy as np

    from reparam.devices.dealing import Held
    from reparam.devices.mesh import Devices
    from reparam.training import Recipe
    from reparam.training.order import numbers_visited

    held = Held(np.zeros((rows, 1), np.uint8), np.asarray([0]), np.asarray([rows]))
    numbers_visited(jax.random.key(0), rows, Recipe(rows))
    started = time.process_time()
    held.packed(numbers_visited(jax.random.key(1), rows, Recipe(rows)), Devices(1))
    return (time.process_time() - started) / rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--plan-rows", type=int, default=2_000_000)
    parser.add_argument("--one-of", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    if given.one_of:
        print(json.dumps(one_of_several(given.batch, given.steps, given.rounds, given.one_of)))
        return
    results = [measured(count, given.batch, given.steps, given.rounds) for count in given.processes]
    one = (results[0]["step_seconds"] + results[0]["deal_seconds"]) * results[0]["processes"]
    for result in results:
        result["efficiency"] = one / (result["step_seconds"] + result["deal_seconds"]) / result["processes"]
    document = {
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "batch": given.batch,
        "results": results,
        "fit": fitted(results) if len(results) > 1 else None,
        "plan_cpu_seconds_per_row": planning(given.plan_rows),
    }
    if given.json:
        print(json.dumps(document, indent=2))
        return
    for result in results:
        over = result["bytes_per_step"] / result["parameter_bytes"]
        step, processor, deal, dealing = (
            1e3 * result[f"{name}_seconds"] for name in ("step", "step_cpu", "deal", "deal_cpu")
        )
        print(
            f"{result['processes']} processes: {step:.1f} ms a step ({processor:.1f} ms of CPU each) and {deal:.1f} ms "
            f"for its rows ({dealing:.1f}), efficiency {result['efficiency']:.2f}, "
            f"{result['bytes_per_step']:,} bytes of collectives, {over:.4f} of the parameters' own, and "
            f"{result['row_bytes_per_step']:,} of rows, at least {result['least_row_bytes_per_step']:,}"
        )
    print(f"{1e6 * document['plan_cpu_seconds_per_row']:.3f} µs of CPU for each row of a chunk in every process's plan")


if __name__ == "__main__":
    main()
