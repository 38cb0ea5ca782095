"""The matrix products of a step and nothing else: no loop can be faster than the best library at them.

A layer (B, in) → (B, out) costs one product forward and two back: of the weights, and of what entered, which the first
layer of the encoder does not need. More draws are more rows of the decoder; a refined q passes the decoder once more
for each step, forward and back to z.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks.throughput.configurations import (
    SEMI_AMORTIZED_DRAWS,
    SEMI_AMORTIZED_STEPS,
    Configuration,
)
from benchmarks.throughput.contenders import Epoch

Shape = tuple[int, int, int]


def products(configuration: Configuration) -> Iterator[Shape]:
    """(n, k, m) of every product (n, k) @ (k, m) of a step."""
    batch, drawn = configuration.batch, configuration.batch * configuration.draws
    encoder = (configuration.entering, *configuration.hidden, configuration.raw_size)
    decoder = (configuration.latents, *configuration.hidden[::-1], configuration.leaving)
    for i, (one, other) in enumerate(itertools.pairwise(encoder)):
        yield batch, one, other
        yield one, batch, other
        if i:
            yield batch, other, one
    for one, other in itertools.pairwise(decoder):
        yield from ((drawn, one, other), (one, drawn, other), (drawn, other, one))
        if configuration.refined:
            for _ in range(SEMI_AMORTIZED_STEPS):
                yield SEMI_AMORTIZED_DRAWS * batch, one, other
                yield SEMI_AMORTIZED_DRAWS * batch, other, one


def operands(configuration: Configuration) -> list[tuple[Any, Any]]:
    rng = np.random.default_rng(0)

    def normal(*shape: int) -> Any:
        return rng.normal(size=shape).astype(np.float32)

    return [(normal(n, k), normal(k, m)) for n, k, m in products(configuration)]


def steps(configuration: Configuration) -> int:
    return configuration.rows // configuration.batch


def by_numpy(configuration: Configuration) -> Epoch:
    """The BLAS that NumPy was built with."""
    return repeated(steps(configuration), operands(configuration), np.matmul)


def by_torch(configuration: Configuration) -> Epoch:
    """PyTorch's: MKL or oneDNN."""
    import torch

    torch.set_num_threads(os.cpu_count() or 1)
    pairs = [(torch.from_numpy(a), torch.from_numpy(b)) for a, b in operands(configuration)]
    return repeated(steps(configuration), pairs, torch.matmul)


def repeated(times: int, pairs: list[tuple[Any, Any]], product: Callable[..., Any]) -> Epoch:
    """So many times all these products, each into the same place."""
    kept = [product(a, b) for a, b in pairs]

    def run() -> float:
        for _ in range(times):
            for (a, b), out in zip(pairs, kept, strict=True):
                product(a, b, out=out)
        return 0.0

    return run


def by_xla(configuration: Configuration) -> Epoch:
    """XLA's, inside one compiled loop; a number that changes keeps each step from being done once for all."""
    import jax
    import jax.numpy as jnp

    pairs = [(jnp.asarray(a), jnp.asarray(b)) for a, b in operands(configuration)]

    def step(pairs: Any, _: None) -> Any:
        whole = [jax.lax.optimization_barrier(a @ b) for a, b in pairs]
        moved = [(a.at[0, 0].add(1e-9 * out[0, 0]), b) for (a, b), out in zip(pairs, whole, strict=True)]
        return moved, None

    compiled = jax.jit(lambda pairs: jax.lax.scan(step, pairs, None, length=steps(configuration))[0])

    def run() -> float:
        jax.block_until_ready(compiled(pairs))
        return 0.0

    return run
