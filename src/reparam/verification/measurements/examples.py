"""The ordinary arguments that the user's functions are called with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reparam.verification.arrays import Array
from reparam.verification.randomness import SEED


@dataclass(frozen=True)
class Examples:
    """N, D and P, and arrays of these sizes.

    ``inside``: the data keep away from 0 and 1; ``far``: the posteriors lie far from the prior, past any floor.
    """

    count: int
    latent_dim: int
    features: int
    inside: bool = False
    far: bool = False

    def posteriors(self, count: int | None = None) -> tuple[Array, Array]:
        """Means and raw numbers in (-2, 2), all different (means in (3, 6) where they are far): (N, D) each."""
        rng, shape = np.random.default_rng(SEED), (count or self.count, self.latent_dim)
        low, high = (3.0, 6.0) if self.far else (-2.0, 2.0)
        return rng.uniform(low, high, shape), rng.uniform(-2.0, 2.0, shape)

    def data(self, count: int | None = None) -> tuple[Array, Array]:
        """Binary data and outputs in (0, 1), (N, P) each: lawful as probabilities, logits, means and rates alike."""
        rng, shape = np.random.default_rng(SEED + 2), (count or self.count, self.features)
        x, decoded = rng.integers(0, 2, shape).astype(float), rng.uniform(0.05, 0.95, shape)
        return (0.2 + 0.6 * x if self.inside else x), decoded


def contrast(count: int) -> Array:
    """Weights that sum to zero, so that constants drop out."""
    weights = np.random.default_rng(SEED + 1).standard_normal(count)
    return np.asarray(weights - weights.mean())
