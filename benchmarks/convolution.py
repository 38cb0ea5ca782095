"""How long a step of an image VAE takes: reparam's `conv` network and the same network in PyTorch, in turn in one run.

Every contender trains the same network from the same weights on the same batch: encoder, one draw, decoder, Bernoulli
ELBO, gradient, Adam, single precision. PyTorch runs eagerly with images in channels-last order and its own operations;
reparam as it trains, many steps in one compiled call. A figure is the median over rounds in which each is timed once,
a ratio is taken round by round. Where other programs share the machine, `--threads 1` is the fairer comparison: a
thread that waits for another which was set aside costs wall-clock time that no formulation can save.

    python -m benchmarks.convolution --json
    python -m benchmarks.convolution --operations      # forms of one 3 × 3 convolution inside a compiled loop
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from typing import Any
from unittest import mock

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
import torch.nn.functional as F
from jax import lax

from benchmarks.machine import processor
from reparam.model import Model, build_model
from reparam.networks import convolution
from reparam.networks.images import PER_GROUP, Block, GroupNorm, ImageDecoder, ImageEncoder
from reparam.networks.layers import Linear
from reparam.objectives import ELBO

SHAPES = {"28×28×1": ((28, 28), 128), "32×32×3": ((32, 32, 3), 128), "64×64×3": ((64, 64, 3), 64)}
LATENTS, RATE = 32, 1e-3
OPERATIONS = {
    "14×14×32, batch 128": (128, 14, 32),
    "32×32×16, batch 64": (64, 32, 16),
    "7×7×64, batch 128": (128, 7, 64),
}

Timed = Callable[[], Any]
"""Do so many steps and wait for them."""


def image_model(shape: tuple[int, ...]) -> Model:
    rows = jnp.full((2, int(np.prod(shape))), 0.5)
    model = build_model(rows, jax.random.key(0), latent_dim=LATENTS, likelihood="bernoulli", hidden=())
    sizes = {"channels": 64, "depth": 1, "activation": "gelu"}
    encoder = ImageEncoder(shape, rows.shape[1], 2 * LATENTS, key=jax.random.key(1), **sizes)
    decoder = ImageDecoder(shape, LATENTS, rows.shape[1], key=jax.random.key(2), **sizes)
    return eqx.tree_at(lambda model: (model.encoder, model.decoder), model, (encoder, decoder))


def images(shape: tuple[int, ...], batch: int) -> np.ndarray:
    return (np.random.default_rng(0).random((batch, int(np.prod(shape)))) < 0.3).astype(np.float32)


def reparam_steps(model: Model, x: np.ndarray, steps: int, form: str) -> Timed:
    """Many steps in one compiled call, as an epoch is trained."""
    objective, optimizer, batch = ELBO(), optax.adam(RATE), jnp.asarray(x)
    trained, fixed = eqx.partition(model, eqx.is_inexact_array)

    def loss(trained: Any, key: jax.Array) -> jax.Array:
        return -jnp.mean(objective(eqx.combine(trained, fixed), batch, key).surrogate)

    def step(carry: Any, key: jax.Array) -> tuple[Any, None]:
        trained, moments = carry
        updates, moments = optimizer.update(jax.grad(loss)(trained, key), moments)
        return (optax.apply_updates(trained, updates), moments), None

    keys = jax.random.split(jax.random.key(3), steps)
    start = trained, optimizer.init(trained)
    with mock.patch.object(convolution, "formulation", return_value=form):
        compiled = jax.jit(lambda start, keys: lax.scan(step, start, keys)[0]).lower(start, keys).compile()
    return lambda: jax.block_until_ready(compiled(start, keys))


class TorchNetworks(torch.nn.Module):
    """The two networks of a model with PyTorch's own operations; images in channels-last order."""

    def __init__(self, encoder: ImageEncoder, decoder: ImageDecoder):
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        leaves = jax.tree.leaves(eqx.filter((encoder, decoder), eqx.is_inexact_array))
        self.weights = torch.nn.ParameterList()
        self.places: dict[int, torch.nn.Parameter] = {}
        for leaf in leaves:
            self.weights.append(torch.nn.Parameter(torch.tensor(np.asarray(leaf))))
            self.places[id(leaf)] = self.weights[-1]

    def of(self, leaf: jax.Array) -> torch.Tensor:
        return self.places[id(leaf)]

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        network = self.encoder
        height, width = network.shape[:2]
        values = x.reshape(len(x), height, width, -1).permute(0, 3, 1, 2)
        for step, blocks in zip(network.steps, network.blocks, strict=True):
            weight = self.of(step.weight).reshape(2, 2, -1, step.weight.shape[1]).permute(3, 2, 0, 1)
            values = F.pad(values, (0, values.shape[3] % 2, 0, values.shape[2] % 2))
            values = self.along(blocks, F.conv2d(values, last(weight), self.of(step.bias), stride=2))
        flat = self.normed(network.norm, values).permute(0, 2, 3, 1).reshape(len(x), -1)
        return self.affine(network.head, network.share * flat)

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        network = self.decoder
        grid = network.grids[0]
        values = self.affine(network.first, z).reshape(len(z), *grid).permute(0, 3, 1, 2)
        values = self.along(network.blocks[0], values)
        for step, blocks, grid in zip(network.steps, network.blocks[1:], network.grids[1:], strict=True):
            bias = self.of(step.bias).reshape(4, -1).T.reshape(-1)
            values = self.doubled(values, self.of(step.weight), bias)[:, :, : grid.height, : grid.width]
            values = self.along(blocks, values)
        height, width, *_ = network.shape
        values = self.doubled(self.normed(network.norm, values), self.of(network.head.weight))[:, :, :height, :width]
        blocks = values.reshape(len(z), -1, int(np.prod(network.shape[2:])), height, width).permute(0, 1, 3, 4, 2)
        return blocks.reshape(len(z), -1) + self.of(network.head.bias)

    def along(self, blocks: tuple[Block, ...], x: torch.Tensor) -> torch.Tensor:
        for block in blocks:
            kernel = self.of(block.kernel).permute(2, 0, 1)[:, None]
            mixed = F.conv2d(self.normed(block.norm, x), kernel, padding=1, groups=x.shape[1])
            x = x + self.pixelwise(block.contract, F.gelu(self.pixelwise(block.expand, mixed), approximate="tanh"))
        return x

    def normed(self, norm: GroupNorm, x: torch.Tensor) -> torch.Tensor:
        return F.group_norm(x, x.shape[1] // PER_GROUP, self.of(norm.scale), self.of(norm.bias))

    def pixelwise(self, layer: Linear, x: torch.Tensor) -> torch.Tensor:
        return F.conv2d(x, last(self.of(layer.weight).T[:, :, None, None]), self.of(layer.bias))

    def doubled(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        """A sub-pixel convolution; PyTorch has the four pixels of a channel side by side."""
        kernel = weight.reshape(len(weight), 4, -1).permute(2, 1, 0).reshape(-1, len(weight), 1, 1)
        return F.pixel_shuffle(F.conv2d(x, last(kernel), bias), 2)

    def affine(self, layer: Linear, x: torch.Tensor) -> torch.Tensor:
        return torch.addmm(self.of(layer.bias), x, self.of(layer.weight))


def last(weight: torch.Tensor) -> torch.Tensor:
    return weight.contiguous(memory_format=torch.channels_last)


def torch_steps(model: Model, x: np.ndarray, steps: int) -> Timed:
    """The loop of a PyTorch user."""
    networks, batch = TorchNetworks(model.encoder, model.decoder), torch.tensor(x)
    check_same(model, networks, x)
    optimizer = torch.optim.Adam(networks.parameters(), RATE)

    def run() -> None:
        for _ in range(steps):
            loc, log_variance = networks.encode(batch).chunk(2, dim=1)
            z = loc + torch.exp(0.5 * log_variance) * torch.randn_like(loc)
            missed = F.binary_cross_entropy_with_logits(networks.decode(z), batch, reduction="sum")
            kl = 0.5 * torch.sum(torch.exp(log_variance) - 1.0 - log_variance + loc**2)
            optimizer.zero_grad(set_to_none=True)
            ((missed + kl) / len(batch)).backward()
            optimizer.step()

    return run


def check_same(model: Model, networks: TorchNetworks, x: np.ndarray) -> None:
    """Both sides are the same functions."""
    z = np.random.default_rng(1).normal(size=(len(x), LATENTS)).astype(np.float32)
    with torch.no_grad():
        raw, logits = networks.encode(torch.tensor(x)).numpy(), networks.decode(torch.tensor(z)).numpy()
    np.testing.assert_allclose(model.encoder(jnp.asarray(x)), raw, atol=1e-3)
    np.testing.assert_allclose(model.decoder(jnp.asarray(z)), logits, atol=1e-3)


def full(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def full_patches(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Nine shifted images side by side, then one matrix product."""
    count, height, width, channels = x.shape
    edged = lax.optimization_barrier(jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))))
    views = [edged[:, i : i + height, j : j + width] for i in range(3) for j in range(3)]
    patches = jnp.concatenate(lax.optimization_barrier(views), axis=-1).reshape(-1, 9 * channels)
    return (patches @ kernel.reshape(9 * channels, -1)).reshape(count, height, width, -1)


def full_grid(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Two by two pixels as one: four shifted images instead of nine, at 16/9 of the products; for even sides."""
    count, height, width, channels = x.shape
    grid = convolution.gathered(jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))))
    views = [grid[:, i : i + height // 2, j : j + width // 2] for i in range(2) for j in range(2)]
    moved = [[jnp.pad(kernel, ((a, 1 - a), (b, 1 - b), (0, 0), (0, 0))) for b in range(2)] for a in range(2)]
    weights = jnp.stack([jnp.stack(row, axis=3) for row in moved], axis=3)  # (4, 4, C, 2, 2, O)
    weights = weights.reshape(2, 2, 2, 2, channels, -1).transpose(0, 2, 1, 3, 4, 5).reshape(16 * channels, -1)
    product = jnp.concatenate(lax.optimization_barrier(views), axis=-1).reshape(-1, 16 * channels) @ weights
    return convolution.spread(product.reshape(count, height // 2, width // 2, -1), height, width)


FORMS: dict[str, tuple[Callable[[jax.Array, jax.Array], jax.Array], bool]] = {
    "full, native": (full, False),
    "full, patches": (full_patches, False),
    "full, grid": (full_grid, False),
    "depthwise, native": (convolution.native, True),
    "depthwise, shifted": (convolution.shifted, True),
}


def operations(size: tuple[int, int, int], steps: int, names: list[str]) -> dict[str, Timed]:
    """Forms of one convolution behind an activation, with both gradients, inside a compiled loop; and PyTorch's."""
    batch, side, channels = size
    rng = np.random.default_rng(0)
    x = rng.normal(size=(batch, side, side, channels)).astype(np.float32)
    kernels = {
        True: rng.normal(size=(3, 3, channels)).astype(np.float32) / 3,
        False: rng.normal(size=(3, 3, channels, channels)).astype(np.float32) / np.float32(np.sqrt(9 * channels)),
    }
    timed = {}
    for name in names:
        form, each = FORMS[name]
        if name == "full, grid" and side % 2:
            continue
        gradient = jax.grad(lambda x, k, form=form: jnp.sum(form(jax.nn.gelu(x), k) ** 2), argnums=(0, 1))

        def step(carry: Any, _: None, gradient: Any = gradient) -> tuple[Any, None]:
            return jax.tree.map(lambda one, other: one - 1e-6 * other, carry, gradient(*carry)), None

        start = jnp.asarray(x), jnp.asarray(kernels[each])
        compiled = jax.jit(lambda start, step=step: lax.scan(step, start, None, length=steps)[0])
        timed[name] = lambda compiled=compiled, start=start: jax.block_until_ready(compiled(start))
    for each, kind in ((False, "full"), (True, "depthwise")):
        order = (2, 0, 1) if each else (3, 2, 0, 1)
        kernel = torch.tensor(kernels[each].transpose(order))
        leaf = last(kernel[:, None] if each else kernel).requires_grad_()
        image = last(torch.tensor(x).permute(0, 3, 1, 2)).requires_grad_()
        timed[f"{kind}, torch"] = _torch_operation(image, leaf, channels if each else 1, steps)
    return timed


def _torch_operation(image: torch.Tensor, kernel: torch.Tensor, groups: int, steps: int) -> Timed:
    def run() -> None:
        for _ in range(steps):
            image.grad = kernel.grad = None
            activated = F.gelu(image, approximate="tanh")
            (F.conv2d(activated, kernel, padding=1, groups=groups) ** 2).sum().backward()

    return run


def measure(contenders: dict[str, Timed], rounds: int, steps: int) -> dict[str, dict[str, Any]]:
    """Milliseconds a step, and how many times PyTorch's; each contender timed in turn after a call that warms it."""
    for run in contenders.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            started = time.perf_counter()
            run()
            seconds[name].append((time.perf_counter() - started) / steps)
    found = {}
    for name, times in seconds.items():
        other = seconds[next(each for each in contenders if "torch" in each and each[:4] in (name[:4], "torc"))]
        ratios = [own / others for own, others in zip(times, other, strict=True)]
        quarters = statistics.quantiles(ratios, n=4)
        found[name] = {
            "milliseconds": round(1e3 * statistics.median(times), 2),
            "over_torch": round(statistics.median(ratios), 3),
            "quartiles": [round(quarters[0], 3), round(quarters[2], 3)],
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=5, help="in one timing")
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--forms", nargs="+", choices=convolution.FORMULATIONS, default=["shifted"])
    parser.add_argument("--operations", nargs="*", choices=FORMS, help="one convolution instead of networks")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="and as many processors")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    arguments = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):  # before XLA makes its threads
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-arguments.threads :])
    torch.set_num_threads(arguments.threads)
    found: dict[str, Any] = {}
    if arguments.operations is not None:
        for name, size in OPERATIONS.items():
            timed = operations(size, arguments.steps, arguments.operations or list(FORMS))
            found[name] = measure(timed, arguments.rounds, arguments.steps)
    else:
        for name in arguments.shapes:
            shape, batch = SHAPES[name]
            model, x = image_model(shape), images(shape, batch)
            timed = {form: reparam_steps(model, x, arguments.steps, form) for form in arguments.forms}
            timed["torch"] = torch_steps(model, x, arguments.steps)
            found[name] = measure(timed, arguments.rounds, arguments.steps)
    machine = {
        "processor": f"{processor()}, {arguments.threads} threads",
        "load": os.getloadavg()[0],
        "backend": jax.default_backend(),
        "versions": {"jax": jax.__version__, "torch": torch.__version__},
    }
    if arguments.json:
        print(json.dumps({**machine, "found": found}, indent=2, ensure_ascii=False))
        return
    print(machine)
    for name, contenders in found.items():
        for contender, told in contenders.items():
            print(f"{name:22s} {contender:20s} {told['milliseconds']:9.2f} ms   {told['over_torch']:6.2f} of PyTorch")


if __name__ == "__main__":
    main()
