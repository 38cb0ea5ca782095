"""A row of Table 1 of Burda, Grosse & Salakhutdinov (2016): −L_5000 on MNIST's test images, by the paper's protocol.

One stochastic layer, 784-200-200-50, tanh, Glorot, σ the exponential of an output; Adam with ε = 1e-4; batches of 20;
stage i = 0 … 7 runs 3^i epochs at rate 1e-3 · 10^(−i/7); every visit of an image draws its binarisation anew; the
output bias starts at the logit of the train mean, clipped to 0.001–0.999. The whole is 3280 epochs; --stages 5 stops
after 121. With --state the position is kept after every epoch, and the same command goes on from there; on a GPU
nothing changes but the time.

    python -m benchmarks.iwae_table --data FILE.npz --layers 1 --k 1 --stages 5 --state iwae-k1.npz

Progress goes to standard error; the row, one JSON document, to standard output.
"""

from __future__ import annotations

import argparse
import itertools
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
from reparam.evaluation.weights import importance_bound
from reparam.model import Model, build_model
from reparam.objectives import Objective, build_objective
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
    seconds: Array  # of training, over every sitting


def rates(stages: int) -> list[float]:
    """The rate of every epoch, 3^i of them at 1e-3 · 10^(−i/7)."""
    return [1e-3 * 10 ** (-stage / 7) for stage in range(stages) for _ in range(3**stage)]


def start(pixels: Array, seed: int) -> Position:
    """The untrained model; its output bias is set by the mean image."""
    model_key, key = jax.random.split(jax.random.key(seed))
    x = pixels.astype(jnp.float32) / 255
    model = build_model(
        x, model_key, latent_dim=LATENTS, scale="log_std", likelihood="bernoulli", hidden=HIDDEN, activation="tanh"
    )
    moments = ADAM.start(eqx.filter(model, eqx.is_inexact_array))
    return Position(model, moments, key, jnp.zeros((), jnp.int32), jnp.zeros(()))


def resume(position: Position, state: Path | None) -> Position:
    """Where the file of an earlier sitting stands, or the position given if there is none."""
    if state is None or not state.exists():
        return position
    with np.load(state, allow_pickle=False) as kept:
        return from_tensors(position, dict(kept), str(state))


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
    return position._replace(model=model, moments=moments, epoch=position.epoch + 1), jnp.mean(bounds)


def binarised(pixels: Array, key: PRNGKeyArray) -> Array:
    """Zeros and ones of probability pixels/255."""
    return jax.random.bernoulli(key, pixels.astype(jnp.float32) / 255).astype(jnp.float32)


def train(
    position: Position, pixels: Array, stages: int, objective: Objective, state: Path | None
) -> Iterator[Position]:
    """Go on from a position to the end of the stages; gives the position at the end of each epoch."""
    schedule = rates(stages)
    while (epoch := int(position.epoch)) < len(schedule):
        started = time.perf_counter()
        position, bound = train_epoch(position, pixels, jnp.float32(schedule[epoch]), objective)
        value = float(bound)  # waits for the device
        seconds = time.perf_counter() - started
        position = position._replace(seconds=position.seconds + seconds)
        if state is not None:
            keep(state, position)
        print(f"epoch {epoch + 1}/{len(schedule)}  bound {value:.3f}  {seconds:.1f} s", file=sys.stderr)
        yield position


def keep(path: Path, position: Position) -> None:
    """Write a position whole or not at all."""
    temporary = path.with_suffix(".new.npz")
    np.savez(temporary, **to_tensors(position))
    os.replace(temporary, path)


def glance(position: Position, test: NDArray[Any]) -> None:
    """Print L_500 of the first 2000 test images."""
    first = importance_bound(position.model, test[:2000], SCHEMA, jax.random.key(0), 500)
    said = f"after {int(position.epoch)} epochs: L_500 of {len(first)} test images {np.mean(first):.3f}"
    print(said, file=sys.stderr)


def measure(position: Position, test: NDArray[Any], samples: int, seed: int) -> dict[str, Any]:
    """The table's figures on test images, in nats per image."""
    started = time.perf_counter()
    found = evaluate(position.model, test, SCHEMA, jax.random.key(seed), samples)
    return {
        "epochs": int(position.epoch),
        "elbo": found.elbo,
        "negative_bound_by_samples": {count: -bound for count, bound in found.bound_by_samples},
        "standard_error": found.standard_error,
        "active_units": found.active_units,
        "effective_samples": found.effective_samples,
        "training_seconds": round(float(position.seconds), 1),
        "evaluation_seconds": round(time.perf_counter() - started, 1),
        "device": jax.devices()[0].device_kind,
    }


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="../shared/data/mnist.npz", help="arrays train_x and test_x, uint8")
    parser.add_argument("--layers", type=int, default=1, choices=[1], help="stochastic layers; two are not built")
    parser.add_argument("--k", type=int, default=1, help="draws of the objective")
    parser.add_argument("--estimator", default="pathwise", help="of the gradient; the paper's is pathwise")
    parser.add_argument("--stages", type=int, default=STAGES, choices=range(1, STAGES + 1))
    parser.add_argument("--samples", type=int, default=5000, help="draws of the reported bound")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--state", type=Path, help="a .npz to keep the position in, and to go on from")
    return parser.parse_args()


def main() -> None:
    asked = arguments()
    with np.load(asked.data, allow_pickle=False) as arrays:
        pixels, grey = (jnp.asarray(arrays[name].reshape(len(arrays[name]), -1)) for name in ("train_x", "test_x"))
    test = np.asarray(binarised(grey, jax.random.key(1000 + asked.seed)), np.uint8)
    position = resume(start(pixels, asked.seed), asked.state)
    stage_ends = set(itertools.accumulate(3**stage for stage in range(asked.stages)))
    objective = build_objective(f"iwae:{asked.k}", estimator=asked.estimator)
    for reached in train(position, pixels, asked.stages, objective, asked.state):
        position = reached
        if int(position.epoch) in stage_ends:
            glance(position, test)
    row = {"layers": asked.layers, "k": asked.k, "estimator": asked.estimator}
    print(json.dumps({**row, **measure(position, test, asked.samples, asked.seed)}))


if __name__ == "__main__":
    main()
