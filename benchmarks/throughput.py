"""How many examples per second: reparam beside a loop written by hand, NumPyro and PyTorch, in turn in one run.

Every contender trains the tutorial VAE (784-400-20, ReLU, Bernoulli, Adam 1e-3, batch 128) on the same 60,000 binary
rows, one epoch at a time, in rotation; a figure is the median over the rounds, and a ratio is taken round by round, so
that a machine that slows down slows all of them.

    python -m benchmarks.throughput --json
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
import optax

ROWS, PIXELS, HIDDEN, LATENTS, BATCH, RATE = 60_000, 784, 400, 20, 128, 1e-3

Epoch = Callable[[], float]
"""Train one epoch, wait for it, and return its mean loss."""


def reparam_epochs(x: np.ndarray) -> Epoch:
    """The library's own training loop, as ``VAE.fit`` runs it."""
    from reparam.data import Schema
    from reparam.model import build_model
    from reparam.objectives import ELBO
    from reparam.training import Recipe, Record, Rows, Settings, Task, fit, initial_state

    schema = Schema("binary", (28, 28), "uint8", None, 0.0, 1.0, "x")
    model = build_model(
        jnp.asarray(x, jnp.float32),
        jax.random.key(0),
        latent_dim=LATENTS,
        likelihood="bernoulli",
        hidden=(HIDDEN,),
    )
    state = initial_state(model, jax.random.key(1))
    task = Task(Rows(jnp.asarray(x), schema), None, ELBO(), Recipe(BATCH), Settings(10**6, RATE))
    records: Iterator[Record] = fit(state, task)
    return lambda: -next(records).training.bound


def handwritten_epochs(x: np.ndarray) -> Epoch:
    """What a careful person writes: one jitted scan per epoch, data on the device, optax."""
    data = jnp.asarray(x, jnp.float32)
    parameters = _initial_parameters(jax.random.key(0))
    optimizer = optax.adam(RATE)
    state = optimizer.init(parameters)
    batches = ROWS // BATCH

    def loss(parameters: dict[str, jax.Array], x: jax.Array, key: jax.Array) -> jax.Array:
        hidden = jax.nn.relu(x @ parameters["w1"] + parameters["b1"])
        loc, log_variance = jnp.split(hidden @ parameters["w2"] + parameters["b2"], 2, axis=-1)
        z = loc + jnp.exp(0.5 * log_variance) * jax.random.normal(key, loc.shape)
        logits = jax.nn.relu(z @ parameters["w3"] + parameters["b3"]) @ parameters["w4"] + parameters["b4"]
        reconstruction = jnp.sum(x * logits - jax.nn.softplus(logits), axis=-1)
        kl = 0.5 * jnp.sum(jnp.exp(log_variance) - 1.0 - log_variance + loc**2, axis=-1)
        return jnp.mean(kl - reconstruction)

    @jax.jit
    def epoch(parameters: dict[str, jax.Array], state: optax.OptState, key: jax.Array) -> tuple:
        order_key, noise_key = jax.random.split(key)
        order = jax.random.permutation(order_key, ROWS)[: batches * BATCH].reshape(batches, BATCH)

        def step(carry: tuple, batch: tuple) -> tuple:
            parameters, state = carry
            rows, key = batch
            value, gradient = jax.value_and_grad(loss)(parameters, data[rows], key)
            updates, state = optimizer.update(gradient, state, parameters)
            return (optax.apply_updates(parameters, updates), state), value

        (parameters, state), losses = jax.lax.scan(
            step, (parameters, state), (order, jax.random.split(noise_key, batches))
        )
        return parameters, state, jnp.mean(losses)

    position = {"parameters": parameters, "state": state, "epoch": 0}

    def run() -> float:
        key = jax.random.fold_in(jax.random.key(2), position["epoch"])
        parameters, state, value = epoch(position["parameters"], position["state"], key)
        position.update(parameters=parameters, state=state, epoch=position["epoch"] + 1)
        return float(value)

    return run


def numpyro_epochs(x: np.ndarray) -> Epoch:
    """NumPyro's SVI with an epoch in one ``fori_loop``."""
    import numpyro
    import numpyro.distributions as dist
    from numpyro.infer import SVI, Trace_ELBO

    data = jnp.asarray(x, jnp.float32)
    initial = _initial_parameters(jax.random.key(0))
    batches = ROWS // BATCH

    def model(x: jax.Array) -> None:
        p = {name: numpyro.param(name, initial[name]) for name in ("w3", "b3", "w4", "b4")}
        with numpyro.plate("rows", BATCH):
            z = numpyro.sample("z", dist.Normal(jnp.zeros(LATENTS), 1.0).to_event(1))
            logits = jax.nn.relu(z @ p["w3"] + p["b3"]) @ p["w4"] + p["b4"]
            numpyro.sample("x", dist.Bernoulli(logits=logits).to_event(1), obs=x)

    def guide(x: jax.Array) -> None:
        p = {name: numpyro.param(name, initial[name]) for name in ("w1", "b1", "w2", "b2")}
        loc, log_variance = jnp.split(jax.nn.relu(x @ p["w1"] + p["b1"]) @ p["w2"] + p["b2"], 2, axis=-1)
        with numpyro.plate("rows", BATCH):
            numpyro.sample("z", dist.Normal(loc, jnp.exp(0.5 * log_variance)).to_event(1))

    svi = SVI(model, guide, numpyro.optim.Adam(RATE), Trace_ELBO())

    @jax.jit
    def epoch(state: object, key: jax.Array) -> tuple:
        order = jax.random.permutation(key, ROWS)

        def step(i: int, carry: tuple) -> tuple:
            state, total = carry
            rows = jax.lax.dynamic_slice_in_dim(order, i * BATCH, BATCH)
            state, value = svi.update(state, data[rows])
            return state, total + value

        return jax.lax.fori_loop(0, batches, step, (state, 0.0))

    position = {"state": svi.init(jax.random.key(1), data[:BATCH]), "epoch": 0}

    def run() -> float:
        key = jax.random.fold_in(jax.random.key(2), position["epoch"])
        state, total = epoch(position["state"], key)
        position.update(state=state, epoch=position["epoch"] + 1)
        return float(total) / (batches * BATCH)

    return run


def torch_epochs(x: np.ndarray) -> Epoch:
    """PyTorch by hand: data in memory, one permutation per epoch, fused Adam."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    torch.set_num_threads(os.cpu_count() or 1)
    data = torch.from_numpy(x.astype(np.float32))
    encoder = nn.Sequential(nn.Linear(PIXELS, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 2 * LATENTS))
    decoder = nn.Sequential(nn.Linear(LATENTS, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, PIXELS))
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=RATE, fused=True)

    def run() -> float:
        total = 0.0
        for rows in torch.randperm(ROWS).split(BATCH):
            x = data[rows]
            loc, log_variance = encoder(x).chunk(2, dim=-1)
            z = loc + torch.exp(0.5 * log_variance) * torch.randn_like(loc)
            reconstruction = -nn.functional.binary_cross_entropy_with_logits(decoder(z), x, reduction="sum")
            kl = 0.5 * torch.sum(log_variance.exp() - 1.0 - log_variance + loc**2)
            loss = (kl - reconstruction) / len(x)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(x)
        return total / ROWS

    return run


CONTENDERS: dict[str, Callable[[np.ndarray], Epoch]] = {
    "reparam": reparam_epochs,
    "handwritten": handwritten_epochs,
    "numpyro": numpyro_epochs,
    "torch": torch_epochs,
}


def binary_rows() -> np.ndarray:
    """60,000 binary rows with structure: thresholded sums of 20 latent factors."""
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(ROWS, LATENTS)).astype(np.float32) @ rng.normal(size=(LATENTS, PIXELS)).astype(
        np.float32
    )
    return (factors > 4.0).astype(np.uint8)


def measure(names: list[str], rounds: int) -> dict[str, object]:
    """Time the contenders in rotation, after one epoch each that compiles."""
    x = binary_rows()
    epochs = {name: CONTENDERS[name](x) for name in names}
    seconds: dict[str, list[float]] = {name: [] for name in names}
    losses = {name: epoch() for name, epoch in epochs.items()}
    for _ in range(rounds):
        for name, epoch in epochs.items():
            started = time.perf_counter()
            losses[name] = epoch()
            seconds[name].append(time.perf_counter() - started)
    rates = {name: ROWS / statistics.median(times) for name, times in seconds.items()}
    ratios = {
        name: statistics.median(other / own for other, own in zip(times, seconds["reparam"], strict=True))
        for name, times in seconds.items()
    }
    return {
        "examples_per_second": {name: round(rate) for name, rate in rates.items()},
        "reparam_over": {name: round(ratio, 3) for name, ratio in ratios.items() if name != "reparam"},
        "loss_after": {name: round(loss, 3) for name, loss in losses.items()},
        "rounds": rounds,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "versions": {
            name: importlib.metadata.version(name)
            for name in ("jax", "numpyro", "torch")
            if importlib.util.find_spec(name)
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="timed epochs of each contender")
    parser.add_argument("--only", nargs="+", choices=CONTENDERS, default=list(CONTENDERS), help="contenders to run")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    arguments = parser.parse_args()
    names = [name for name in arguments.only if name != "torch" or importlib.util.find_spec("torch")]
    result = measure(["reparam", *(name for name in names if name != "reparam")], arguments.rounds)
    if arguments.json:
        print(json.dumps(result, indent=2))
        return
    for name, rate in result["examples_per_second"].items():
        print(
            f"{name:12s} {rate:8,d} examples/s   reparam is {result['reparam_over'].get(name, 1.0):5.2f} times as fast"
        )


def _initial_parameters(key: jax.Array) -> dict[str, jax.Array]:
    glorot = jax.nn.initializers.glorot_uniform()
    keys = jax.random.split(key, 4)
    sizes = [(PIXELS, HIDDEN), (HIDDEN, 2 * LATENTS), (LATENTS, HIDDEN), (HIDDEN, PIXELS)]
    weights = {f"w{i}": glorot(k, size) for i, (k, size) in enumerate(zip(keys, sizes, strict=True), start=1)}
    biases = {f"b{i}": jnp.zeros(size[1]) for i, size in enumerate(sizes, start=1)}
    return weights | biases


if __name__ == "__main__":
    main()
