"""What is trained: models and rows, said once for every contender."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RATE = 1e-3
REAL, BITS, LEVELS = 6, 3, (5, 5, 5)
SEMI_AMORTIZED_STEPS, SEMI_AMORTIZED_DRAWS, SEMI_AMORTIZED_RATE = 5, 4, 0.05


@dataclass(frozen=True)
class Configuration:
    """One model on one kind of rows; Adam at 1e-3, single precision.

    Args:
        rows: of an epoch, a multiple of the batch.
        batch: rows of a step.
        latents: K.
        hidden: widths of the encoder's hidden layers; the decoder has them in reverse.
        activation: ``relu`` or ``tanh``.
        draws: of z for each row; more than one makes the loss the importance-weighted bound.
        shape: of an image, where the networks are convolutions.
        kind: ``bits``: 784 of them; ``table``: real columns, bits and levels.
        posterior: ``diagonal`` or ``full``.
        refined: whether q is raised by some steps for each row.
    """

    rows: int
    batch: int
    latents: int
    hidden: tuple[int, ...]
    activation: str = "relu"
    draws: int = 1
    shape: tuple[int, ...] = (28, 28)
    kind: str = "bits"
    posterior: str = "diagonal"
    refined: bool = False

    @property
    def convolutional(self) -> bool:
        """Whether the networks are convolutions."""
        return not self.hidden

    @property
    def plain(self) -> bool:
        """Whether it is what every library has: bits, an MLP, a diagonal q from the encoder."""
        return self.kind == "bits" and self.posterior == "diagonal" and not (self.refined or self.convolutional)

    @property
    def entering(self) -> int:
        """How many numbers the encoder takes: of levels one for each."""
        return REAL + BITS + sum(LEVELS) if self.kind == "table" else int(np.prod(self.shape))

    @property
    def leaving(self) -> int:
        """How many the decoder gives."""
        return self.entering

    @property
    def raw_size(self) -> int:
        """How many numbers q has."""
        return self.latents + (self.latents**2 if self.posterior == "full" else self.latents)


CONFIGURATIONS = {
    "tutorial": Configuration(60_000 // 128 * 128, 128, 20, (400,)),
    "two-layers-20": Configuration(10_000, 20, 50, (200, 200), "tanh"),
    "two-layers-100": Configuration(30_000, 100, 50, (200, 200), "tanh"),
    "importance-50": Configuration(1_000, 100, 50, (200, 200), "tanh", draws=50),
    "conv-28": Configuration(1_280, 128, 32, ()),
    "conv-64": Configuration(256, 64, 32, (), shape=(64, 64, 3)),
    "table-12": Configuration(128_000, 256, 4, (128, 128), kind="table"),
    "full-32": Configuration(12_800, 128, 32, (400,), posterior="full"),
    "semi-amortized-5": Configuration(3_840, 128, 20, (400,), refined=True),
}


def bits(configuration: Configuration) -> NDArray[np.uint8]:
    """Rows of zeros and ones with structure: thresholded sums of twenty latent factors."""
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(configuration.rows, 20)).astype(np.float32)
    loadings = rng.normal(size=(20, configuration.entering)).astype(np.float32)
    return (factors @ loadings > 4.0).astype(np.uint8)


def columns(configuration: Configuration) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.int64]]:
    """A table by kinds: real numbers (N, 6), bits (N, 3), and levels (N, 3), each of five, behind two latents."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(configuration.rows, 2))

    def behind(count: int, noise: float) -> NDArray[np.float64]:
        return np.tanh(z @ rng.normal(size=(2, count))) + noise * rng.normal(size=(configuration.rows, count))

    cuts = np.array([-0.7, -0.2, 0.2, 0.7])
    return behind(REAL, 0.1).astype(np.float32), behind(BITS, 0.3) > 0, np.digitize(behind(len(LEVELS), 0.2), cuts)


def one_hot(configuration: Configuration) -> NDArray[np.float32]:
    """The same table as an encoder written by hand takes it: standardised, then bits, then one number a level."""
    real, bits, levels = columns(configuration)
    standard = (real - real.mean(axis=0)) / real.std(axis=0)
    places = [np.eye(count, dtype=np.float32)[levels[:, j]] for j, count in enumerate(LEVELS)]
    return np.hstack([standard, bits.astype(np.float32), *places]).astype(np.float32)


def by_hand(configuration: Configuration) -> NDArray[np.float32]:
    """Rows as a loop that is written by hand keeps them, (N, entering)."""
    return one_hot(configuration) if configuration.kind == "table" else bits(configuration).astype(np.float32)
