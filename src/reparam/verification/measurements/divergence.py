"""What a KL term is made of: its sum over latents, its factor, its constant, and the σ(·) it implies."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import special

from reparam.verification.arrays import Array
from reparam.verification.functions import Numeric, UserError
from reparam.verification.measurements.examples import Examples
from reparam.verification.measurements.terms import Term, close
from reparam.verification.oracle import CORE, Recognition, lowest, recognise


@dataclass
class DivergenceMeasurement:
    """The user's ``kl``, taken apart; ``unit``: the raw number at which the sampler has σ = 1."""

    function: Numeric
    examples: Examples
    unit: float = 0.0

    @cached_property
    def term(self) -> Term:
        """One KL per datum."""
        return Term(self.function, self.examples.posteriors())

    @cached_property
    def bend(self) -> str | None:
        """In words, where it is γ·|KL − C| (a capacity) or the KL above a floor (free bits), and not β·KL."""
        squares = np.array([0.0, 5e-4, *np.linspace(0.5, 12.0, 13)])
        means = np.repeat(np.sqrt(squares)[:, None], self.examples.latent_dim, axis=1)
        try:
            slopes = np.diff(self.term.rows(means, np.full_like(means, self.unit))) / np.diff(squares)
        except UserError:  # told by kl-sums-over-latents
            return None
        start, bottom, top = slopes[0], slopes[1], slopes[-1]  # rounding may hide the start beside a large loss
        if not np.all(np.isfinite(slopes)) or top <= 0 or not np.allclose(slopes[-3:], top, rtol=1e-2):
            return None
        if np.any(np.isclose([start, bottom], -top, rtol=1e-2)):
            return "the KL enters as γ·|KL − C|, a capacity"
        return "the KL enters only above a floor: free bits" if abs(bottom) < 1e-2 * top else None

    @cached_property
    def absent(self) -> bool:
        """Whether it depends neither on the means nor on the raw numbers."""
        return bool(np.ptp(self.term.rows(*self.term.example)) < 1e-9)

    @cached_property
    def growth(self) -> float:
        """By what the KL's variation is multiplied when every latent is there twice: 2 for a sum, 1 for a mean."""
        try:
            return self.term.growth
        except UserError:  # it takes no other number of latents
            return self._growth_in_place()

    def _growth_in_place(self) -> float:
        """The same without doubling: moving one mean from 0 to 2 adds ½·2² to a sum, and 1/D of it to a mean."""
        still = np.zeros((2, self.examples.latent_dim))
        moved = still.copy()
        moved[:, 0] = 2.0
        share = float((self.term.rows(moved, still) - self.term.rows(still, still))[0]) / 2.0
        return 1.0 if close(share, 1.0 / self.examples.latent_dim) else 2.0

    @property
    def averages_latents(self) -> bool:
        """Whether the KL is a mean over latents."""
        return self.examples.latent_dim > 1 and close(self.growth, 1.0)

    def per_latent(self, mean: Array | float, raw: Array | float) -> Array:
        """The KL that one latent contributes, for each pair of numbers, as if the latents were summed."""
        mean, raw = np.broadcast_arrays(np.atleast_1d(mean), np.atleast_1d(raw))
        wide = [np.repeat(values[:, None].astype(float), self.examples.latent_dim, axis=1) for values in (mean, raw)]
        return self.term.rows(*wide) / (1 if self.averages_latents else self.examples.latent_dim)

    @cached_property
    def additivity_error(self) -> float:
        """How far the KL of a datum is from the sum of what each of its latents contributes, relatively."""
        mean, raw = (array[:1] for array in self.term.example)
        parts = self.per_latent(mean[0], raw[0]).sum() / (self.examples.latent_dim if self.averages_latents else 1)
        whole = float(self.term.rows(mean, raw)[0])
        return float(abs(whole - parts) / (1.0 + abs(parts)))

    @cached_property
    def factor(self) -> float:
        """Κ in κ·½μ²: what the KL is multiplied by, read off its dependence on the mean; NaN if that is no square."""
        means = np.array([-3.0, -1.5, 1.0, 2.0])
        rise = np.concatenate([self.per_latent(means, a) - self.per_latent(0.0, a) for a in (0.5, 1.0)])
        factors = rise / np.tile(0.5 * means**2, 2)
        return float(factors.mean()) if close(factors, factors.mean()) else float("nan")

    @cached_property
    def lowest(self) -> tuple[float, float]:
        """The raw number where KL(0, raw) is lowest, and the KL of one latent there."""
        return lowest(lambda grid: self.per_latent(0.0, grid))

    @property
    def constant(self) -> float:
        """What the KL of one latent still is at its lowest; 0 for a KL."""
        return self.lowest[1]

    @cached_property
    def recognition(self) -> Recognition:
        """The σ(·) whose KL this is, its factor and constant set aside."""
        excess = (self.per_latent(0.0, CORE) - self.constant) / self.factor
        found = [recognise(CORE, log_std) for log_std in _implied_log_std(np.maximum(excess, 0.0), self.lowest[0])]
        return next((r for r in found if r.is_scale), next((r for r in found if r.name), found[0]))


def _implied_log_std(excess: Array, lowest_at: float) -> tuple[Array, Array]:
    """Ln σ from ½(σ² − 1) − ln σ = ``excess``, rising through σ = 1 at ``lowest_at``, or falling.

    With t = −σ² the equation is t e^t = −e^{−(2·excess + 1)}: Lambert's W, branch 0 for σ < 1 and −1 for σ > 1.
    """
    argument = -np.exp(-(2.0 * excess + 1.0))
    narrow = 0.5 * np.log(-special.lambertw(argument, 0).real)
    wide = 0.5 * np.log(-special.lambertw(argument, -1).real)
    at_one = excess < 1e-7  # the two branches meet
    narrow, wide = np.where(at_one, 0.0, narrow), np.where(at_one, 0.0, wide)
    below = lowest_at > CORE
    return np.where(below, narrow, wide), np.where(below, wide, narrow)
