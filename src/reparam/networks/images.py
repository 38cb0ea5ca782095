r"""Networks of images: residual stages on ever smaller grids, and back.

.. math:: x \mapsto x + W_2\, a(W_1\, k \star \mathrm{norm}(x))

is a block, a the activation, :math:`k \star` a convolution of each channel by itself. Source: the residual form of He,
Zhang, Ren & Sun (2016), with a convolution taken apart as by Sandler et al. (2018).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from reparam.networks.convolution import SIDE, depthwise, gathered, halved, spread
from reparam.networks.layers import ACTIVATIONS, Linear, NamedNetwork, begun, check_activation

SMALLEST_GRID = 8
LEAST_CHANNELS = 16
PER_GROUP = 8
WIDER = 2
EPSILON = 1e-5
USUAL_INPUTS = 128
VALUES_OF_BLOCK = 3 + 2 * WIDER
"""For each that enters: of the sum, the norm, the convolution, and the wider layer before and after activation."""


class Grid(NamedTuple):
    """What a stage works on."""

    height: int
    width: int
    channels: int

    @property
    def size(self) -> int:
        """How many values."""
        return self.height * self.width * self.channels


def grids(shape: Sequence[int], channels: int) -> tuple[Grid, ...]:
    """The grids of an image, each of half the sides, until none is longer than 8; the last has so many channels.

    Each larger one has half the channels, in groups of 8 and at least 16, so that every stage costs about the same.

    >>> [tuple(grid) for grid in grids((28, 28), 64)]
    [(14, 14, 32), (7, 7, 64)]
    """
    sides = [(halved(shape[0]), halved(shape[1]))]
    while max(sides[-1]) > SMALLEST_GRID:
        sides.append((halved(sides[-1][0]), halved(sides[-1][1])))
    counts = [max(LEAST_CHANNELS, (channels >> step) // PER_GROUP * PER_GROUP) for step in range(len(sides))]
    return tuple(Grid(*side, count) for side, count in zip(sides, reversed(counts), strict=True))


class GroupNorm(eqx.Module):
    r"""Each image's channels, eight at a time, to mean 0 and variance 1; then a scale and a bias for each channel.

    Source: Wu & He (2018).

    >>> normed = GroupNorm(16)(jax.random.normal(jax.random.key(0), (2, 5, 5, 16)) * 3.0 + 1.0)
    >>> abs(normed[0, :, :, :8].mean()).round(3).item(), normed[0, :, :, :8].var().round(3).item()
    (0.0, 1.0)
    """

    scale: Array
    bias: Array

    def __init__(self, channels: int):
        self.scale, self.bias = jnp.ones(channels), jnp.zeros(channels)

    def __call__(self, x: Array) -> Array:
        """(N, H, W, C) → (N, H, W, C)."""
        centred = x - self._per_group(jnp.mean(x, axis=(1, 2)))
        variance = self._per_group(jnp.mean(centred**2, axis=(1, 2)))
        return centred * (jax.lax.rsqrt(variance + EPSILON) * self.scale) + self.bias

    @staticmethod
    def _per_group(means: Array) -> Array:
        """Means of channels (N, C) as those of their groups, (N, 1, 1, C)."""
        groups = means.reshape(len(means), -1, PER_GROUP)
        return jnp.broadcast_to(groups.mean(axis=-1, keepdims=True), groups.shape).reshape(len(means), 1, 1, -1)


class Block(eqx.Module):
    """A residual block: norm, convolution of each channel, and two affine maps of the channels at each pixel.

    >>> Block(16, "gelu", jax.random.key(0))(jnp.ones((2, 5, 5, 16))).shape
    (2, 5, 5, 16)
    """

    norm: GroupNorm
    kernel: Array
    expand: Linear
    contract: Linear
    activation: str = eqx.field(static=True)

    def __init__(self, channels: int, activation: str, key: PRNGKeyArray):
        keys = jax.random.split(key, 3)
        self.norm, self.activation = GroupNorm(channels), activation
        self.kernel = jax.random.normal(keys[0], (SIDE, SIDE, channels)) / SIDE
        self.expand = Linear(channels, WIDER * channels, keys[1])
        self.contract = Linear(WIDER * channels, channels, keys[2])

    def __call__(self, x: Array) -> Array:
        """(N, H, W, C) → (N, H, W, C)."""
        mixed = pixelwise(self.expand, depthwise(self.norm(x), self.kernel))
        return x + pixelwise(self.contract, ACTIVATIONS[self.activation](mixed))


Blocks = tuple[Block, ...]


class ImageEncoder(NamedNetwork):
    """Images as flat rows → flat rows: for each grid two by two pixels are taken as one, then come its blocks.

    Args:
        shape: height and width, and channels where there are several.
        in_size: numbers of a row: those of an image, or of several images of the shape one after the other.
        out_size: numbers of the output.
        channels: of the last grid.
        depth: blocks on each grid.
        activation: a name in ``ACTIVATIONS``.
        key: the initial weights.
        output_bias: the last layer's bias at the start, (out_size,).
        output_gain: what the last layer's weights are multiplied by at the start, (out_size,).

    >>> ImageEncoder((10, 8), 80, 3, channels=16, depth=1, activation="gelu", key=jax.random.key(0))(jnp.ones(80)).shape
    (3,)
    """

    steps: tuple[Linear, ...]
    blocks: tuple[Blocks, ...]
    norm: GroupNorm
    head: Linear
    shape: tuple[int, ...] = eqx.field(static=True)
    grids: tuple[Grid, ...] = eqx.field(static=True)
    images: int = eqx.field(static=True)

    def __init__(
        self,
        shape: Sequence[int],
        in_size: int,
        out_size: int,
        *,
        channels: int,
        depth: int,
        activation: str,
        key: PRNGKeyArray,
        output_bias: Array | None = None,
        output_gain: Array | None = None,
    ):
        check_activation(activation)
        self.shape, self.images, self.grids = tuple(shape), in_size // math.prod(shape), grids(shape, channels)
        step_key, block_key, last_key = jax.random.split(key, 3)
        widths = (self.images * math.prod(shape[2:]), *(grid.channels for grid in self.grids))
        keys = jax.random.split(step_key, len(self.grids))
        self.steps = tuple(Linear(4 * i, o, k) for i, o, k in zip(widths[:-1], widths[1:], keys, strict=True))
        self.blocks = _blocks(self.grids, depth, activation, block_key)
        self.norm = GroupNorm(widths[-1])
        head = Linear(self.grids[-1].size, out_size, last_key)
        head = Linear.of(head.weight / self.share, head.bias)
        self.head = begun(head, output_bias, output_gain)

    @property
    def share(self) -> float:
        """What each number of the last grid counts in the output.

        A step of Adam moves every weight by as much, so that a layer of many inputs is thrown further than others. Of
        this one the inputs are made smaller and the weights larger, by one factor (Yang & Hu 2021, Section 5).
        """
        return min(1.0, USUAL_INPUTS / self.grids[-1].size)

    @property
    def pace_of_path(self) -> float:
        """Smaller by the same rule, of its inputs."""
        return min(1.0, USUAL_INPUTS / self.in_size)

    @property
    def in_size(self) -> int:
        """Of all images of a row."""
        return self.images * math.prod(self.shape)

    @property
    def last(self) -> Linear:
        """The layer behind the last grid."""
        return self.head

    @property
    def held(self) -> int:
        """Of every block on every grid."""
        return _held(self.grids, self.blocks)

    def __call__(self, x: Array) -> Array:
        """(..., in_size) → (..., out_size)."""
        height, width, *channels = self.shape
        images = x.reshape(-1, self.images, height, width, math.prod(channels))
        values = jnp.moveaxis(images, 1, 3).reshape(len(images), height, width, -1)
        for step, blocks in zip(self.steps, self.blocks, strict=True):
            values = _along(blocks, pixelwise(step, gathered(values)))
        flat = self.norm(values).reshape(len(images), -1)
        return self.head(self.share * flat).reshape(*x.shape[:-1], -1)


class Pixels(eqx.Module):
    """The last layer of a decoder: an affine map at each place of half the sides, and a bias for every number."""

    weight: Array
    bias: Array


class ImageDecoder(NamedNetwork):
    """Flat rows → raw numbers of images: the blocks of each grid, then each place becomes two by two.

    Args:
        shape: height and width, and channels where there are several.
        in_size: numbers of the input.
        out_size: a multiple of the numbers of an image: first one for each, then another, as likelihoods have it.
        channels: of the first grid, the smallest.
        depth: blocks on each grid.
        activation: a name in ``ACTIVATIONS``.
        key: the initial weights.
        output_bias: the last layer's bias at the start, (out_size,).

    >>> decoder = ImageDecoder((10, 8), 3, 160, channels=16, depth=1, activation="gelu", key=jax.random.key(0))
    >>> decoder(jnp.ones((2, 5, 3))).shape
    (2, 5, 160)
    """

    first: Linear
    blocks: tuple[Blocks, ...]
    steps: tuple[Linear, ...]
    norm: GroupNorm
    head: Pixels
    shape: tuple[int, ...] = eqx.field(static=True)
    grids: tuple[Grid, ...] = eqx.field(static=True)

    def __init__(
        self,
        shape: Sequence[int],
        in_size: int,
        out_size: int,
        *,
        channels: int,
        depth: int,
        activation: str,
        key: PRNGKeyArray,
        output_bias: Array | None = None,
    ):
        check_activation(activation)
        self.shape, self.grids = tuple(shape), grids(shape, channels)[::-1]
        first_key, step_key, block_key, last_key = jax.random.split(key, 4)
        self.first = Linear(in_size, self.grids[0].size, first_key)
        self.blocks = _blocks(self.grids, depth, activation, block_key)
        widths = [grid.channels for grid in self.grids]
        keys = jax.random.split(step_key, len(self.grids))
        self.steps = tuple(Linear(i, 4 * o, k) for i, o, k in zip(widths[:-1], widths[1:], keys[1:], strict=True))
        self.norm = GroupNorm(widths[-1])
        weight = Linear(widths[-1], 4 * out_size // math.prod(shape[:2]), last_key).weight
        self.head = Pixels(weight, jnp.zeros(out_size) if output_bias is None else output_bias)

    @property
    def pace_of_path(self) -> float:
        """As small as of an encoder: its errors in one direction add up over all pixels."""
        return min(1.0, USUAL_INPUTS / self.head.bias.shape[-1])

    @property
    def in_size(self) -> int:
        """Of the first layer."""
        return int(self.first.weight.shape[-2])

    @property
    def last(self) -> Pixels:
        """The layer behind the largest grid."""
        return self.head

    @property
    def held(self) -> int:
        """Of every block on every grid."""
        return _held(self.grids, self.blocks)

    def __call__(self, z: Array) -> Array:
        """(..., in_size) → (..., out_size)."""
        height, width, *channels = self.shape
        rows = self.first(z.reshape(-1, z.shape[-1]))
        values = _along(self.blocks[0], rows.reshape(-1, *self.grids[0]))
        for step, blocks, grid in zip(self.steps, self.blocks[1:], self.grids[1:], strict=True):
            values = _along(blocks, spread(pixelwise(step, values), grid.height, grid.width))
        values = spread(self.norm(values) @ self.head.weight, height, width)
        images = values.reshape(len(rows), height, width, -1, math.prod(channels))
        return (jnp.moveaxis(images, 3, 1).reshape(len(rows), -1) + self.head.bias).reshape(*z.shape[:-1], -1)


def pixelwise(layer: Linear, x: Array) -> Array:
    """An affine map of the channels at each place, (N, H, W, C) → (N, H, W, C'), as one product of two matrices."""
    return layer(x.reshape(-1, x.shape[-1])).reshape(*x.shape[:-1], -1)


def _blocks(grids: Sequence[Grid], depth: int, activation: str, key: PRNGKeyArray) -> tuple[Blocks, ...]:
    keys = jax.random.split(key, (len(grids), depth))
    return tuple(tuple(Block(g.channels, activation, k) for k in row) for g, row in zip(grids, keys, strict=True))


def _along(blocks: Blocks, x: Array) -> Array:
    for block in blocks:
        x = block(x)
    return x


def _held(grids: Sequence[Grid], blocks: Sequence[Blocks]) -> int:
    return sum(grid.size * (1 + VALUES_OF_BLOCK * len(each)) for grid, each in zip(grids, blocks, strict=True))
