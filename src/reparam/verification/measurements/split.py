"""A joint loss split at the prior: what it is at mean 0 and σ = 1 is the reconstruction; the rest is the KL."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from reparam.verification.arrays import Array
from reparam.verification.functions import Function, Part, UserError
from reparam.verification.measurements.examples import Examples
from reparam.verification.oracle import lowest


@dataclass
class Split:
    """The two parts of a joint loss L(x, mean, raw, decoded).

    With raw₀ where L(x, 0, ·, d) is stationary (the lowest KL has σ = 1): K = L(x, mean, raw, d) − L(x, 0, raw₀, d)
    + c·D and R = L(x, 0, raw₀, d) − c·D, where c is what one more latent at the prior adds: 0 for a KL.
    """

    function: Function
    examples: Examples
    _excesses: dict[int, Array] = field(default_factory=dict, init=False)

    @cached_property
    def _pair(self) -> tuple[Array, Array]:
        x, decoded = self.examples.data(1)
        return x, decoded

    def _loss(self, mean: Array, raw: Array) -> Array:
        x, decoded = (np.repeat(array, len(mean), axis=0) for array in self._pair)
        return self.function(x, mean, raw, decoded)

    def _at(self, mean: float, raw: float) -> float:
        shape = (1, self.examples.latent_dim)
        return float(np.mean(self._loss(np.full(shape, mean), np.full(shape, raw))))

    @cached_property
    def turned(self) -> bool:
        """Whether the loss falls as the mean leaves the prior's: the KL's sign is wrong."""
        return self._at(2.0, 0.0) < self._at(0.0, 0.0)

    @cached_property
    def stationary(self) -> float:
        """raw₀: where the loss at mean 0 is lowest (highest, where the sign is turned)."""
        sign = -1.0 if self.turned else 1.0
        values = [self._at(0.0, a) for a in (-1.0, 0.0, 1.0)]
        if np.ptp(values) < 1e-9 * (1.0 + abs(values[0])):
            return 0.0
        return lowest(lambda grid: np.array([sign * self._at(0.0, float(a)) for a in grid]), reach=8.0)[0]

    def _excess(self, count: int, latents: int) -> Array | float:
        """c·D of N data: what as many latents more add at the prior; 0 where their number cannot be changed."""
        dim = self.examples.latent_dim
        if count not in self._excesses:
            try:
                more = self._loss(*self._prior(count, 2 * dim)) - self._loss(*self._prior(count, dim))
            except UserError:
                more = np.zeros(())
            self._excesses[count] = np.where(np.abs(more) > 1e-4, more, 0.0)
        return np.asarray(self._excesses[count] * (latents / dim))

    def _prior(self, count: int, latents: int) -> tuple[Array, Array]:
        return np.zeros((count, latents)), np.full((count, latents), self.stationary)

    def _kl(self, mean: NDArray[np.float64], raw: NDArray[np.float64]) -> Array:
        prior = self._loss(*self._prior(*mean.shape))
        return np.asarray(self._loss(mean, raw) - prior + self._excess(*mean.shape))

    def _reconstruction(self, x: NDArray[np.float64], decoded: NDArray[np.float64]) -> Array:
        dim = self.examples.latent_dim
        return np.asarray(self.function(x, *self._prior(len(x), dim), decoded) - self._excess(len(x), dim))

    @property
    def kl(self) -> Part:
        """K as a function of its own."""
        return Part("kl", self._kl)

    @property
    def reconstruction(self) -> Part:
        """R as a function of its own."""
        return Part("reconstruction_loss", self._reconstruction)
