r"""Adam (Kingma & Ba 2015, Algorithm 1), with the bias corrections folded into two numbers per step.

With :math:`\hat m = m/c_1` and :math:`\hat v = v/c_2`, the step :math:`\eta \hat m / (\sqrt{\hat v} + \varepsilon)` is
:math:`\eta' m / (\sqrt v + \varepsilon')` with :math:`\eta' = \eta\sqrt{c_2}/c_1` and
:math:`\varepsilon' = \varepsilon\sqrt{c_2}`: one division for each weight instead of three. The weights of a small
network are updated as often as they are used, so this is felt: ``python -m benchmarks.throughput``. The step size is an
argument, so one compiled epoch serves every rate.
"""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

Weights = TypeVar("Weights")


class Moments(NamedTuple):
    """Running means of the gradient and of its square, shaped like the weights, and the steps taken."""

    first: object
    second: object
    steps: Array  # () int32


class Adam(eqx.Module):
    """Adam's constants.

    >>> adam = Adam()
    >>> weights, moments = adam.step(jnp.ones(2), jnp.array([4.0, -1.0]), adam.start(jnp.ones(2)), 0.1)
    >>> weights.round(4).tolist()  # the first step has the size of the rate, whatever the gradient's
    [0.8999999761581421, 1.100000023841858]
    """

    decay_first: float = eqx.field(static=True, default=0.9)
    decay_second: float = eqx.field(static=True, default=0.999)
    epsilon: float = eqx.field(static=True, default=1e-8)

    def start(self, weights: Weights) -> Moments:
        """The moments before the first step."""
        zeros = jax.tree.map(jnp.zeros_like, weights)
        return Moments(zeros, zeros, jnp.zeros((), jnp.int32))

    def step(
        self, weights: Weights, gradient: Weights, moments: Moments, learning_rate: Array | float
    ) -> tuple[Weights, Moments]:
        """The weights and moments after one step against the gradient."""
        steps = moments.steps + 1
        first = _decayed(self.decay_first, moments.first, gradient)
        second = _decayed(self.decay_second, moments.second, jax.tree.map(jnp.square, gradient))
        correction = jnp.sqrt(1.0 - self.decay_second**steps)
        rate = learning_rate * correction / (1.0 - self.decay_first**steps)
        floor = self.epsilon * correction

        def moved(weight: Array, m: Array, v: Array) -> Array:
            return weight - rate * (m / (jnp.sqrt(v) + floor))

        return jax.tree.map(moved, weights, first, second), Moments(first, second, steps)


def _decayed(decay: float, mean: object, new: object) -> object:
    return jax.tree.map(lambda old, value: decay * old + (1.0 - decay) * value, mean, new)
