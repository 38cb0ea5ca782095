r"""How weights move: an optimiser of the gradient, a schedule of its rate, an average of the weights.

All three are settings without arrays: a compiled epoch is chosen by them, and serves every learning rate and length.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

from reparam.errors import ParameterError
from reparam.specification import build, positive_int, real_number, requirement


def adam(eps: float = 1e-8, b1: float = 0.9, b2: float = 0.999) -> optax.GradientTransformation:
    """Adam (Kingma & Ba 2015)."""
    real_number("eps", eps, "optimizer 'adam'", above=0.0)
    for name, forgetting in (("b1", b1), ("b2", b2)):
        if not 0.0 <= real_number(name, forgetting, "optimizer 'adam'") < 1.0:
            raise ParameterError(requirement(name, "optimizer 'adam'", "a float in [0, 1)", forgetting))
    return optax.adam(1.0, b1=b1, b2=b2, eps=eps)


def adamw(weight_decay: float = 1e-4, eps: float = 1e-8) -> optax.GradientTransformation:
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019)."""
    real_number("eps", eps, "optimizer 'adamw'", above=0.0)
    real_number("weight_decay", weight_decay, "optimizer 'adamw'", least=0.0)
    return optax.adamw(1.0, weight_decay=weight_decay, eps=eps)


def sgd(momentum: float = 0.0) -> optax.GradientTransformation:
    """Gradient descent, with momentum if it is not 0."""
    real_number("momentum", momentum, "optimizer 'sgd'", least=0.0)
    return optax.sgd(1.0, momentum=momentum or None)


OPTIMIZERS: dict[str, Callable[..., optax.GradientTransformation]] = {
    "adam": adam,
    "adamw": adamw,
    "nadam": lambda: optax.nadam(1.0),
    "radam": lambda: optax.radam(1.0),
    "rmsprop": lambda: optax.rmsprop(1.0),
    "lion": lambda: optax.lion(1.0),
    "sgd": sgd,
}
"""Name → a transformation at learning rate 1: its updates are multiplied by the rate of the step."""


@dataclass(frozen=True)
class Optimizer:
    """An optax transformation by name, or one's own, behind a limit on the gradient's norm.

    Args:
        part: a name in ``OPTIMIZERS``, with arguments behind a colon: ``adam:1e-4`` is Adam with ε = 1e-4; or an
            ``optax.GradientTransformation`` at learning rate 1, such as ``optax.adam(1.0)``.
        clip_norm: what a longer gradient is shortened to; 0 leaves it as it is.

    Raises:
        ParameterError: the name is unknown, or an argument outside its domain.

    >>> weights, gradient = jnp.ones(2), jnp.array([4.0, -1.0])
    >>> updates, _ = Optimizer().transformation.update(gradient, Optimizer().transformation.init(weights), weights)
    >>> updates.round(4).tolist()  # the first step has the size of the rate, whatever the gradient's
    [-1.0, 1.0]
    """

    part: str | optax.GradientTransformation = "adam"
    clip_norm: float = 0.0

    def __post_init__(self) -> None:
        real_number("clip_norm", self.clip_norm, "VAE", least=0.0)
        _ = self.transformation

    @property
    def is_known(self) -> bool:
        """Whether it goes by a name in ``OPTIMIZERS``, all of which move each weight by itself but for the limit."""
        return isinstance(self.part, str)

    @property
    def transformation(self) -> optax.GradientTransformation:
        """The gradient's way to an update at rate 1."""
        own = isinstance(self.part, optax.GradientTransformation)
        chosen = self.part if own else build("optimizer", OPTIMIZERS, self.part)
        return optax.chain(optax.clip_by_global_norm(self.clip_norm), chosen) if self.clip_norm else chosen


class Clock(NamedTuple):
    """Where a step stands: its number from 0, the steps of an epoch, and those of the whole training, each ()."""

    step: Array
    steps_per_epoch: Array
    total_steps: Array


class Schedule:
    """What the learning rate is multiplied by at each step; concrete ones are frozen and final."""

    @abstractmethod
    def factor(self, clock: Clock) -> Array:
        """A number in [0, 1], shape ()."""


@dataclass(frozen=True)
class Decay(Schedule):
    """A linear warm-up, then a constant rate or one that falls to ``floor`` at the end of training.

    Args:
        shape: ``constant``, ``linear`` or ``cosine`` (Loshchilov & Hutter 2017).
        warmup: steps over which the rate rises from 0.
        floor: what remains of the rate at the end.
        epochs: which the warm-up takes at most; 0 for any number.
    """

    shape: str
    warmup: int = 0
    floor: float = 0.0
    epochs: float = 0.0

    def __post_init__(self) -> None:
        real_number("warmup", self.warmup, f"schedule {self.shape!r}", least=0.0)
        if not 0.0 <= real_number("floor", self.floor, f"schedule {self.shape!r}") <= 1.0:
            raise ParameterError(requirement("floor", f"schedule {self.shape!r}", "a float in [0, 1]", self.floor))
        real_number("epochs", self.epochs, f"schedule {self.shape!r}", least=0.0)

    def factor(self, clock: Clock) -> Array:
        """The warm-up times the decay."""
        most = self.epochs * clock.steps_per_epoch if self.epochs else jnp.inf
        warmup = jnp.minimum(self.warmup, most)
        rise = jnp.minimum(1.0, (clock.step + 1) / jnp.maximum(warmup, 1.0))
        done = jnp.clip((clock.step - warmup) / jnp.maximum(clock.total_steps - warmup, 1.0), 0.0, 1.0)
        fall = {"constant": 0.0 * done, "linear": done, "cosine": 0.5 - 0.5 * jnp.cos(jnp.pi * done)}[self.shape]
        return rise * (1.0 - (1.0 - self.floor) * fall)


@dataclass(frozen=True)
class Stages(Schedule):
    """One factor for each stage of so many epochs: ``stages:600,1,300,0.1``; the last one stays.

    >>> Stages(2, 1.0, 1, 0.1).factor(Clock(jnp.array(25), 10, jnp.array(30))).round(3).item()
    0.10000000149011612
    """

    stages: tuple[float, ...]

    def __init__(self, *stages: float):
        if not stages or len(stages) % 2:
            raise ParameterError("schedule 'stages' needs pairs of epochs and factor: stages:600,1,300,0.1.")
        for epochs, factor in zip(stages[::2], stages[1::2], strict=True):
            real_number("epochs", epochs, "schedule 'stages'", above=0.0)
            real_number("factor", factor, "schedule 'stages'", least=0.0)
        object.__setattr__(self, "stages", stages)

    def factor(self, clock: Clock) -> Array:
        """The factor of the stage that the step's epoch lies in."""
        ends = jnp.cumsum(jnp.array(self.stages[::2]))[:-1]
        stage = jnp.searchsorted(ends, clock.step // clock.steps_per_epoch, side="right")
        return jnp.array(self.stages[1::2])[stage]


def constant(warmup: int = 0, epochs: float = 0.0) -> Decay:
    """The same rate from the end of its warm-up on, which takes so many epochs at most."""
    return Decay("constant", warmup, epochs=epochs)


def linear(warmup: int = 0, floor: float = 0.0) -> Schedule:
    """A rate that falls in a straight line."""
    return Decay("linear", warmup, floor)


def cosine(warmup: int = 0, floor: float = 0.0) -> Schedule:
    """A rate that falls along half a cosine."""
    return Decay("cosine", warmup, floor)


SCHEDULES: dict[str, Callable[..., Schedule]] = {
    "constant": constant,
    "linear": linear,
    "cosine": cosine,
    "stages": Stages,
}


class Averaging:
    """A running average of the weights, which is used in their place; concrete ones are frozen and final."""

    @abstractmethod
    def coefficient(self, clock: Clock) -> Array:
        """The share c of the newest weights in average + c (weights − average), shape ()."""


@dataclass(frozen=True)
class NoAverage(Averaging):
    """The newest weights themselves."""

    def coefficient(self, clock: Clock) -> Array:
        """1."""
        return jnp.ones(())


@dataclass(frozen=True)
class Exponential(Averaging):
    """An average that forgets, a plain mean at first."""

    decay: float = 0.999

    def __post_init__(self) -> None:
        if not 0.0 <= real_number("decay", self.decay, "average 'ema'") < 1.0:
            raise ParameterError(requirement("decay", "average 'ema'", "a float in [0, 1)", self.decay))

    def coefficient(self, clock: Clock) -> Array:
        """1 − decay."""
        return jnp.maximum(1.0 - self.decay, 1.0 / (clock.step + 1))


@dataclass(frozen=True)
class Tail(Averaging):
    """The mean over every step of the last epochs (Polyak & Juditsky 1992)."""

    epochs: int = 10

    def __post_init__(self) -> None:
        positive_int("epochs", self.epochs, "average 'last'")

    def coefficient(self, clock: Clock) -> Array:
        """1/n of the n-th step of the tail; before it, 1."""
        begun = clock.step - (clock.total_steps - self.epochs * clock.steps_per_epoch)
        return 1.0 / jnp.maximum(begun + 1, 1)


AVERAGES: dict[str, Callable[..., Averaging]] = {"none": NoAverage, "ema": Exponential, "last": Tail}


def averaged(average: Any, weights: Any, coefficient: Array) -> Any:
    """The average after a step."""
    return jax.tree.map(lambda old, new: old + coefficient.astype(new.dtype) * (new - old), average, weights)
