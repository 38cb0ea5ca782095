"""How fast bounds are measured: the K-sample bound beside a PyTorch loop and beside its matrix products alone; the gap.

The model is 784-400-20, Bernoulli; weights as they begin, since no time depends on them. Each contender stands in a
process of its own and takes its turn round after round; ratios are taken round by round. The bound of the speed is the
products of the decoder, (K, 20) @ (20, 400) and (K, 400) @ (400, 784) for each row, by the quickest library at hand.
Of encoding, ``python -m benchmarks.encoding --rows 1000000`` tells.

    python -m benchmarks.evaluation --rows 100 --samples 5000 --rounds 5 --gap-rows 200
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import processor
from benchmarks.throughput.__main__ import Worker, ratio
from benchmarks.throughput.contenders import Epoch as Work
from benchmarks.throughput.contenders.products import repeated
from benchmarks.throughput.worker import serve

LATENTS, HIDDEN, PIXELS = 20, 400, 784
OURS, BOUND = "reparam", "bound"


def data(rows: int) -> NDArray[np.uint8]:
    return (np.random.default_rng(0).random((rows, PIXELS)) < 0.2).astype(np.uint8)


def begun(rows: int) -> tuple[Any, Any, NDArray[np.uint8]]:
    """A model, the schema of its rows, and the rows."""
    import jax
    import jax.numpy as jnp

    from reparam.data import from_array
    from reparam.model import build_model

    found = from_array(data(rows), name="bits")
    shape = {"latent_dim": LATENTS, "hidden": (HIDDEN,), "activation": "relu"}
    model = build_model(jnp.zeros((1, PIXELS)), jax.random.key(0), likelihood="bernoulli", **shape)
    return model, found.schema, found.rows


def own(rows: int, samples: int) -> Work:
    """``reparam evaluate``'s bound."""
    import jax

    from reparam.evaluation import importance_bound

    model, schema, stored = begun(rows)
    return lambda: -float(np.mean(importance_bound(model, stored, schema, jax.random.key(1), samples)))


def torch_loop(rows: int, samples: int) -> Work:
    """What a careful person writes in PyTorch: the draws of a row at once, one row after the other."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    torch.set_num_threads(os.cpu_count() or 1)
    x = torch.from_numpy(data(rows).astype(np.float32))
    encoder = nn.Sequential(nn.Linear(PIXELS, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 2 * LATENTS))
    decoder = nn.Sequential(nn.Linear(LATENTS, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, PIXELS))

    def bound(row: Any) -> Any:
        loc, log_variance = encoder(row).chunk(2)
        eps = torch.randn(samples, LATENTS)
        z = loc + torch.exp(0.5 * log_variance) * eps
        logits = decoder(z)
        log_p = (row * logits - nn.functional.softplus(logits)).sum(-1) - 0.5 * (z**2).sum(-1)
        log_q = -0.5 * (eps**2 + log_variance).sum(-1)
        return torch.logsumexp(log_p - log_q, 0) - np.log(samples)

    def run() -> float:
        with torch.inference_mode():
            return -float(torch.stack([bound(row) for row in x]).mean())

    return run


def products_of_numpy(rows: int, samples: int) -> Work:
    return repeated(rows, _operands(samples), np.matmul)


def products_of_torch(rows: int, samples: int) -> Work:
    import torch

    torch.set_num_threads(os.cpu_count() or 1)
    pairs = [(torch.from_numpy(a), torch.from_numpy(b)) for a, b in _operands(samples)]
    return repeated(rows, pairs, torch.matmul)


def _operands(samples: int) -> list[tuple[Any, Any]]:
    """The factors of the decoder's products for the draws of one row."""
    rng = np.random.default_rng(0)

    def normal(*shape: int) -> Any:
        return rng.normal(size=shape).astype(np.float32)

    return [
        (normal(samples, LATENTS), normal(LATENTS, HIDDEN)),
        (normal(samples, HIDDEN), normal(HIDDEN, PIXELS)),
    ]


CONTENDERS: dict[str, tuple[str, Callable[[int, int], Work]]] = {
    OURS: ("reparam", own),
    "torch-loop": ("torch", torch_loop),
    "products-numpy": ("numpy", products_of_numpy),
    "products-torch": ("torch", products_of_torch),
}
"""Name → what it needs, and what makes the work of a round."""


def measure(rows: int, samples: int, rounds: int) -> dict[str, Any]:
    """Draws of rows per second of every contender, and how many times as fast reparam is."""
    found: dict[str, Any] = {}
    seconds: dict[str, list[float]] = {}
    with ExitStack() as stack:
        workers = {}
        for name, (needs, _) in CONTENDERS.items():
            if importlib.util.find_spec(needs) is None:
                found[name] = {"missing": f"{needs} is not installed"}
                continue
            arguments = ("--serve", name, "--rows", str(rows), "--samples", str(samples))
            workers[name] = stack.enter_context(Worker("benchmarks.evaluation", *arguments))
        for _ in range(rounds):
            for worker in workers.values():
                worker.train()
        seconds = {name: [each["seconds"] for each in worker.rounds] for name, worker in workers.items()}
    bounds = [times for name, times in seconds.items() if name.startswith("products")]
    seconds[BOUND] = [min(of_round) for of_round in zip(*bounds, strict=True)]
    for name, times in seconds.items():
        found[name] = {"draws_per_second": round(rows * samples / statistics.median(times))}
        if name != OURS:
            found[name] |= ratio([other / own for other, own in zip(times, seconds[OURS], strict=True)])
    return found


def gap_seconds(rows: int) -> float:
    """Of ``reparam gap`` on a thousand rows, compiled before: optimising q of each row, and both bounds."""
    import jax

    from reparam.evaluation.gap import measure_gap

    model, schema, stored = begun(rows)
    measure_gap(model, stored, schema, jax.random.key(0))
    started = time.perf_counter()
    measure_gap(model, stored, schema, jax.random.key(1))
    return (time.perf_counter() - started) * 1000 / rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--samples", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--gap-rows", type=int, default=200, help="rows whose gap is measured; 0 for none")
    parser.add_argument("--serve", choices=CONTENDERS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(lambda: CONTENDERS[arguments.serve][1](arguments.rows, arguments.samples))
        return
    told = {
        "processor": f"{processor()}, {os.cpu_count()} processors",
        "load": round(os.getloadavg()[0], 2),
        "rows": arguments.rows,
        "samples": arguments.samples,
        "found": measure(arguments.rows, arguments.samples, arguments.rounds),
    }
    if arguments.gap_rows:
        told["gap_seconds_per_1000_rows"] = round(gap_seconds(arguments.gap_rows), 2)
    print(json.dumps(told, indent=2))


if __name__ == "__main__":
    main()
