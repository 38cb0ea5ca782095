"""Which network: by name, or by what a datum is."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from jaxtyping import Array, PRNGKeyArray

from reparam.errors import ParameterError
from reparam.networks.images import LEAST_CHANNELS, PER_GROUP, ImageDecoder, ImageEncoder, grids
from reparam.networks.layers import MLP, NamedNetwork
from reparam.specification import build, positive_int, requirement

AUTO = "auto"
HIDDEN, NARROW = (128, 128), (64, 64)
"""Widths of an MLP that has none of its own, and of one for few rows: as good there, in a third of the time."""
LEAST_SIDE, MOST_SIDE = 8, 256
SMALL_SIDE = 16
"""Of images with a shorter side a matrix of all pixels is small, and training by it several times as quick."""
MOST_CHANNELS, MOST_DEPTH = 1024, 32


class Ends(NamedTuple):
    """What a network stands between.

    Args:
        shape: of one datum.
        in_size: numbers that it takes.
        out_size: numbers that it gives.
        bias: of its last layer at the start, (out_size,).
        gain: what the last layer's weights are multiplied by at the start, (out_size,); None for 1.
    """

    shape: tuple[int, ...]
    in_size: int
    out_size: int
    bias: Array
    gain: Array | None = None


@dataclass(frozen=True)
class Architecture:
    """How encoder and decoder are built; concrete ones are final."""

    @abstractmethod
    def encoder(self, ends: Ends, activation: str, hidden: tuple[int, ...], key: PRNGKeyArray) -> NamedNetwork:
        """From what is seen of a datum to the raw numbers of q(z|x)."""

    @abstractmethod
    def decoder(self, ends: Ends, activation: str, hidden: tuple[int, ...], key: PRNGKeyArray) -> NamedNetwork:
        """From z to the raw numbers of the likelihood; ``hidden`` are the encoder's widths."""

    def told(self, shape: tuple[int, ...], hidden: tuple[int, ...]) -> str:
        """Its layers in short, for a datum of this shape."""
        return ", ".join(map(str, hidden)) or "linear"


@dataclass(frozen=True)
class Perceptron(Architecture):
    """Affine layers of the widths of ``hidden``, an activation between them: for rows of any kind.

    >>> Perceptron().told((30,), (128, 64))
    '128, 64'
    """

    def encoder(self, ends: Ends, activation: str, hidden: tuple[int, ...], key: PRNGKeyArray) -> MLP:
        """Widths as they are."""
        widths = (ends.in_size, *hidden, ends.out_size)
        return MLP(widths, activation, key, output_bias=ends.bias, output_gain=ends.gain)

    def decoder(self, ends: Ends, activation: str, hidden: tuple[int, ...], key: PRNGKeyArray) -> MLP:
        """Widths in reverse."""
        return self.encoder(ends, activation, hidden[::-1], key)


@dataclass(frozen=True)
class Convolutional(Architecture):
    """Residual stages of convolutions, a block on each grid of half the sides, for images of sides from 8 to 256.

    Args:
        channels: of the smallest grid, a multiple of 8 and at least 16.
        depth: blocks on each grid.

    Raises:
        ParameterError: an argument lies outside its domain.

    >>> Convolutional().told((28, 28), ())
    '14 × 14 × 32, 7 × 7 × 64'
    """

    channels: int = 64
    depth: int = 1

    def __post_init__(self) -> None:
        channels = positive_int("channels", self.channels, "the network", most=MOST_CHANNELS)
        if channels < LEAST_CHANNELS or channels % PER_GROUP:
            required = f"a multiple of {PER_GROUP} and at least {LEAST_CHANNELS}"
            raise ParameterError(requirement("channels", "the network", required, channels))
        positive_int("depth", self.depth, "the network", most=MOST_DEPTH)

    def encoder(self, ends: Ends, activation: str, hidden: tuple[int, ...], key: PRNGKeyArray) -> ImageEncoder:
        """From large grids to small."""
        sizes = ends.shape, ends.in_size, ends.out_size
        bias, gain = ends.bias, ends.gain
        return ImageEncoder(*sizes, **self._form(activation), key=key, output_bias=bias, output_gain=gain)

    def decoder(self, ends: Ends, activation: str, hidden: tuple[int, ...], key: PRNGKeyArray) -> ImageDecoder:
        """From small grids to large."""
        sizes = ends.shape, ends.in_size, ends.out_size
        return ImageDecoder(*sizes, **self._form(activation), key=key, output_bias=ends.bias)

    def told(self, shape: tuple[int, ...], hidden: tuple[int, ...]) -> str:
        """Its grids."""
        return ", ".join(" × ".join(map(str, grid)) for grid in grids(shape, self.channels))

    def _form(self, activation: str) -> dict[str, Any]:
        return {"channels": self.channels, "depth": self.depth, "activation": activation}


def resnet(channels: int = 64, depth: int = 3) -> Convolutional:
    """Residual stages as of ``conv``, deeper: three blocks on each grid, at some three times the work."""
    return Convolutional(channels, depth)


NETWORKS: dict[str, Any] = {"mlp": Perceptron, "conv": Convolutional, "resnet": resnet}


def choose_network(
    network: str | Architecture, shape: tuple[int, ...], *, hidden: Sequence[int] | str = AUTO, plain: bool = True
) -> tuple[str | Architecture, str]:
    """The network to use, and why: ``auto`` looks at what a datum is.

    Args:
        network: a name in ``NETWORKS``, ``auto``, or one's own architecture.
        shape: of one datum.
        hidden: widths that were asked for, which only an MLP has, or ``auto``.
        plain: whether networks take values and give them: no columns are given, and no codes are among them.

    Raises:
        ParameterError: a network of images is asked for, and the data are none, or of sides that it does not take.

    >>> choose_network("auto", (28, 28))
    ('conv', 'a datum is an image of 28 × 28')
    >>> choose_network("auto", (30,))
    ('mlp', 'a datum has no height and width')
    """
    why_not = _why_no_image(shape, hidden, plain)
    if network == AUTO:
        why_not = why_not or (f"images of {_sides(shape)} are small" if min(shape[:2]) < SMALL_SIDE else "")
        return ("mlp", why_not) if why_not else ("conv", f"a datum is an image of {_sides(shape)}")
    if why_not and not isinstance(build("network", NETWORKS, network), Perceptron):
        raise ParameterError(f"network {network!r} cannot be used: {why_not}. Use network='mlp'.")
    return network, "chosen by the user"


def _why_no_image(shape: tuple[int, ...], hidden: Sequence[int] | str, plain: bool) -> str:
    """Why a network of images is not for such data; nothing where it is."""
    if len(shape) not in (2, 3):
        return "a datum has no height and width"
    if not all(LEAST_SIDE <= side <= MOST_SIDE for side in shape[:2]):
        return f"images of {_sides(shape)} have a side that is not from {LEAST_SIDE} to {MOST_SIDE}"
    if not isinstance(hidden, str) and tuple(hidden) != HIDDEN:
        return "hidden names the widths of an MLP"
    return "" if plain else "what a network takes is not the image alone"


def _sides(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))
