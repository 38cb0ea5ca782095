"""Encoding in chunks against one jitted call over all rows, in turn in one process: a ratio of 1 is no loss.

python -m benchmarks.encoding --rows 20000 --features 64
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import processor
from reparam.data import Schema
from reparam.evaluation import posterior_moments
from reparam.evaluation.local import find_rows
from reparam.inference import AMORTIZED
from reparam.model import Model, build_model


def in_chunks(model: Model, rows: NDArray[Any], schema: Schema) -> NDArray[Any]:
    """The mean of q of each row, as the estimator's ``transform`` finds it."""
    key = jax.random.key(0)
    raw = np.asarray(find_rows(AMORTIZED, model, rows, schema, key).raw)
    return posterior_moments(model, rows, schema, key, raw=raw)[0]


@eqx.filter_jit
def at_once(model: Model, rows: jax.Array, schema: Schema) -> jax.Array:
    """The same in one call."""
    mean: jax.Array = model.encode(schema.apply(rows)).mean
    return mean


def seconds(work: Callable[[], Any]) -> tuple[float, float]:
    """On the clock, and of all processors together, which others who use the machine disturb less."""
    started = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - started[0], time.process_time() - started[1]


def measure(rows: int, features: int, latents: int, hidden: int, rounds: int) -> dict[str, Any]:
    """Quartiles over the rounds of (time of one call) / (time in chunks)."""
    data = np.random.default_rng(0).normal(size=(rows, features)).astype(np.float32)
    schema = Schema("noise", (features,))
    model = build_model(jnp.asarray(data[:100]), jax.random.key(0), latent_dim=latents, hidden=(hidden,))
    chunked, whole = lambda: in_chunks(model, data, schema), lambda: np.asarray(at_once(model, data, schema))
    np.testing.assert_allclose(chunked(), whole(), rtol=1e-4, atol=1e-5)  # and compiles both
    times = [(seconds(chunked), seconds(whole)) for _ in range(rounds)]
    clock, work = ([one[i] / parts[i] for parts, one in times] for i in (0, 1))
    return {
        "rows": rows,
        "features": features,
        "ratio_quartiles": statistics.quantiles(clock, n=4),
        "ratio_quartiles_of_processor_time": statistics.quantiles(work, n=4),
        "seconds": statistics.median(parts[0] for parts, _ in times),
        "processor": processor(),
        "devices": [str(device) for device in jax.devices()],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--features", type=int, default=64)
    parser.add_argument("--latents", type=int, default=8)
    parser.add_argument("--hidden", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=15)
    json.dump(measure(**vars(parser.parse_args())), sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
