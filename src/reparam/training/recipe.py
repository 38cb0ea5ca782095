"""How an epoch is trained: everything that has no arrays, and that a compiled epoch is chosen by."""

from __future__ import annotations

from dataclasses import dataclass

from reparam.devices.mesh import ONE_DEVICE, Devices
from reparam.inference import AMORTIZED, Inference
from reparam.training.pace import Averaging, Decay, NoAverage, Optimizer, Schedule
from reparam.training.visits import Visit, visit_by

ADAM, CONSTANT, NEWEST = Optimizer(), Decay("constant"), NoAverage()


@dataclass(frozen=True)
class Recipe:
    """How rows are visited, and how weights move.

    Args:
        batch_size: rows per step.
        inference: how q of a batch is found.
        optimizer: the gradient's way to an update.
        schedule: what the learning rate is multiplied by.
        averaging: of the weights.
        redraw: draw zeros and ones of grey values at every visit.
        skip: leave out steps that would leave the finite numbers, instead of stopping at the first.
        precision: of the networks' matrix products.
        passes: how often an epoch visits every row; more than once where rows are few.
        devices: that share each batch.
    """

    batch_size: int = 128
    inference: Inference = AMORTIZED
    optimizer: Optimizer = ADAM
    schedule: Schedule = CONSTANT
    averaging: Averaging = NEWEST
    redraw: bool = False
    skip: bool = False
    precision: str = "float32"
    passes: int = 1
    devices: Devices = ONE_DEVICE

    @property
    def visit(self) -> Visit:
        """How q of the rows that are trained on is found."""
        return visit_by(self.inference)


@dataclass(frozen=True)
class Settings:
    """How long and how fast to train; ``patience`` counts epochs without a better validation bound, 0 for ever."""

    epochs: int
    learning_rate: float
    patience: int = 0
