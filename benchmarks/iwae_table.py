"""A row of Table 1 of Burda, Grosse & Salakhutdinov (2016): −L_5000 on MNIST's test images, by the paper's protocol.

One stochastic layer, 784-200-200-50, tanh, Glorot; Adam with ε = 1e-4; batches of 20; stage i = 0 … 7 runs 3^i epochs
at rate 1e-3 · 10^(−i/7); every visit of an image draws its binarisation anew; the output bias starts at the logit of
the train mean, clipped to 0.001–0.999. The whole is 3280 epochs; --stages 5 stops after 121. With --state the position
is kept after every epoch, and the same command goes on from there; on a GPU nothing changes but the time.

    python -m benchmarks.iwae_table --data FILE.npz --layers 1 --k 1 --stages 5 --state iwae-k1.npz
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray
from numpy.typing import NDArray

from reparam.data import Schema
from reparam.evaluation import evaluate
from reparam.evaluation.weights import encoded, row_bounds
from reparam.model import Model, build_model
from reparam.objectives import build_objective
from reparam.training.adam import Adam, Moments
from reparam.training.tensors import from_tensors, to_tensors

LATENTS, HIDDEN, BATCH = 50, (200, 200), 20
STAGES = 8
ADAM = Adam(epsilon=1e-4)
SCHEMA = Schema("binarised MNIST", (28, 28), "uint8")


class Position(NamedTuple):
    """Where training stands."""

    model: Model
    moments: Moments
    key: PRNGKeyArray
    epoch: Array


def rates(stages: int) -> list[float]:
    """The rate of every epoch, 3^i of them at 1e-3 · 10^(−i/7)."""
    return [1e-3 * 10 ** (-stage / 7) for stage in range(stages) for _ in range(3**stage)]


def start(pixels: Array, seed: int) -> Position:
    """The untrained model; its output bias is set by the mean image."""
    model_key, key = jax.random.split(jax.random.key(seed))
    x = pixels.astype(jnp.float32) / 255
    model = build_model(x, model_key, latent_dim=LATENTS, likelihood="bernoulli", hidden=HIDDEN, activation="tanh")
    return Position(model, ADAM.start(eqx.filter(model, eqx.is_inexact_array)), key, jnp.zeros((), jnp.int32))


@eqx.filter_jit
def train_epoch(position: Position, pixels: Array, rate: Array, objective: Any) -> tuple[Position, Array]:
    """One pass, and the mean bound in nats; no batch is left over, for 20 divides the number of images."""
    order_key, noise_key = jax.random.split(jax.random.fold_in(position.key, position.epoch))
    order = jax.random.permutation(order_key, len(pixels)).reshape(-1, BATCH)
    trained, fixed = eqx.partition(position.model, eqx.is_inexact_array)

    def loss(trained: Any, x: Array, key: PRNGKeyArray) -> tuple[Array, Array]:
        terms = objective(eqx.combine(trained, fixed), x, key)
        return -jnp.mean(terms.surrogate), jnp.mean(terms.bound)

    def step(carry: Any, batch: tuple[Array, PRNGKeyArray]) -> tuple[Any, Array]:
        trained, moments = carry
        rows, key = batch
        draw_key, key = jax.random.split(key)
        gradient, bound = jax.grad(loss, has_aux=True)(trained, binarised(pixels[rows], draw_key), key)
        return ADAM.step(trained, gradient, moments, rate), bound

    keys = jax.random.split(noise_key, len(order))
    (trained, moments), bounds = jax.lax.scan(step, (trained, position.moments), (order, keys))
    model = eqx.combine(trained, fixed)
    return Position(model, moments, position.key, position.epoch + 1), jnp.mean(bounds)


def binarised(pixels: Array, key: PRNGKeyArray) -> Array:
    """Zeros and ones of probability pixels/255."""
    return jax.random.bernoulli(key, pixels.astype(jnp.float32) / 255).astype(jnp.float32)


def train(position: Position, pixels: Array, stages: int, k: int, state: Path | None) -> Iterator[Position]:
    """Go on from a position to the end of the stages, a position at the end of each epoch."""
    objective = build_objective(f"iwae:{k}")
    schedule = rates(stages)
    while int(position.epoch) < len(schedule):
        started = time.perf_counter()
        rate = jnp.float32(schedule[int(position.epoch)])
        position, bound = train_epoch(position, pixels, rate, objective)
        if state is not None:
            keep(state, position)
        seconds = time.perf_counter() - started
        print(
            f"epoch {int(position.epoch)}/{len(schedule)}  bound {float(bound):.3f}  {seconds:.1f} s", file=sys.stderr
        )
        yield position


def keep(path: Path, position: Position) -> None:
    """Write a position whole or not at all."""
    temporary = path.with_suffix(".new.npz")
    np.savez(temporary, **to_tensors(position))
    os.replace(temporary, path)


def measure(model: Model, test: NDArray[Any], samples: int, seed: int) -> dict[str, Any]:
    """The table's figures on test images, binarised once by ``seed``."""
    found = evaluate(model, test, SCHEMA, jax.random.key(seed), samples)
    return {
        "elbo": found.elbo,
        f"nll_{samples}": -found.bound,
        "standard_error": found.standard_error,
        "active_units": found.active_units,
        "effective_samples": found.effective_samples,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="../shared/data/mnist.npz", help="arrays train_x and test_x, uint8")
    parser.add_argument("--layers", type=int, default=1, choices=[1], help="stochastic layers; two are not built")
    parser.add_argument("--k", type=int, default=1, help="draws of the objective")
    parser.add_argument("--stages", type=int, default=STAGES, choices=range(1, STAGES + 1))
    parser.add_argument("--samples", type=int, default=5000, help="draws of the reported bound")
    parser.add_argument("--test-rows", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--state", type=Path, help="a .npz to keep the position in, and to go on from")
    arguments = parser.parse_args()
    with np.load(arguments.data, allow_pickle=False) as arrays:
        pixels = jnp.asarray(arrays["train_x"].reshape(len(arrays["train_x"]), -1))
        grey = jnp.asarray(arrays["test_x"].reshape(len(arrays["test_x"]), -1))
    test = np.asarray(binarised(grey, jax.random.key(1000 + arguments.seed)), np.uint8)[: arguments.test_rows]
    position = start(pixels, arguments.seed)
    if arguments.state is not None and arguments.state.exists():
        with np.load(arguments.state, allow_pickle=False) as kept:
            position = from_tensors(position, dict(kept), str(arguments.state))
    started = time.perf_counter()
    ends = {sum(3**i for i in range(stage + 1)) for stage in range(arguments.stages)}
    for reached in train(position, pixels, arguments.stages, arguments.k, arguments.state):
        position = reached
        if int(position.epoch) in ends:
            first = row_bounds(
                position.model,
                test[:2000],
                SCHEMA,
                jax.random.key(0),
                500,
                encoded(position.model, test[:2000], SCHEMA),
            )
            print(
                f"after {int(position.epoch)} epochs: L_500 of 2000 test images {np.mean(first.bound):.3f}",
                file=sys.stderr,
            )
    trained = time.perf_counter() - started
    document = {
        "layers": arguments.layers,
        "k": arguments.k,
        "epochs": int(position.epoch),
        **measure(position.model, test, arguments.samples, arguments.seed),
        "training_seconds": round(trained, 1),
        "evaluation_seconds": round(time.perf_counter() - started - trained, 1),
        "device": str(jax.devices()[0]),
    }
    json.dump(document, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
