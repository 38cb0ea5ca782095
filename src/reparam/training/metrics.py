"""What an epoch says of itself: exact sums over its data, reduced to means in double precision."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from numpyro.distributions import Distribution

from reparam.objectives import Terms
from reparam.probability.distributions.chain import Chain, layer_sums

WITHOUT_DENSITY_AT_MOST = 0.01
ACTIVE_VARIANCE = 0.01  # Burda, Grosse & Salakhutdinov (2016), Section 5.2


class Sums(NamedTuple):
    """Weighted sums over one batch; an empty vector where the posterior has no closed form of it."""

    rows: Array  # () how many data are summed
    without_density: Array  # () how many are left out
    bound: Array  # () nats
    reconstruction: Array  # () nats
    kl: Array  # () nats
    kl_per_dimension: Array  # (K,) nats
    kl_per_layer: Array  # (L,) nats, empty where there is one
    mean: Array  # (K,) Σ E_q z
    mean_square: Array  # (K,) Σ (E_q z)²


@dataclass(frozen=True)
class Metrics:
    """Means over an epoch's data, in nats per datum.

    ``without_density`` counts the visits that the means leave out because their bound was −∞: the matrix of a ``full``
    q, which nothing constrains, can pass through a singular one on its way. Beyond one in a hundred the mean is −∞.
    ``active_units`` counts the latents whose posterior mean varies over the data by more than 0.01 (Burda et al.
    2016); like ``kl_per_dimension`` it is None where the posterior has no closed form of it. ``skipped`` counts the
    steps that were left out because they led out of the finite numbers; their rows are in no mean. ``kl_per_layer``
    sums to ``kl``, z₁'s first, and is None where there is one layer.
    """

    bound: float
    reconstruction: float
    kl: float
    kl_per_dimension: tuple[float, ...] | None
    active_units: int | None
    without_density: int = 0
    skipped: int = 0
    kl_per_layer: tuple[float, ...] | None = None

    def in_units(self, log_volume: float) -> Metrics:
        """The same of densities in units in which a datum takes e^log_volume times the room."""
        return replace(self, bound=self.bound - log_volume, reconstruction=self.reconstruction - log_volume)

    def to_json(self) -> dict[str, Any]:
        """The fields as plain values."""
        lists = {name: list(found) for name, found in vars(self).items() if isinstance(found, tuple)}
        return {**vars(self), **lists}


def batch_sums(terms: Terms, q: Distribution, weight: Array) -> Sums:
    """Sum a batch's terms over its data, each datum by its weight (B,): 1, or 0 for padding."""
    mean = posterior_mean(q)
    absent = jnp.isneginf(terms.bound)
    without_density, weight = weight @ absent, jnp.where(absent, 0.0, weight)
    return Sums(
        jnp.sum(weight),
        without_density,
        weight @ jnp.where(absent, 0.0, terms.bound),
        weight @ terms.reconstruction,
        weight @ jnp.where(absent, 0.0, terms.kl),
        _weighted(weight, terms.kl_per_dimension),
        _weighted(weight, _per_layer(terms.kl_per_dimension, q)),
        _weighted(weight, mean),
        _weighted(weight, None if mean is None else mean**2),
    )


def posterior_mean(q: Distribution) -> Array | None:
    """E_q z of shape (B, K), or None where it has no closed form."""
    try:
        return jnp.asarray(q.mean)
    except NotImplementedError:
        return None


def reduce_sums(sums: Sums) -> Metrics:
    """Means over all batches of an epoch, whose sums lie along the first axis."""
    totals = Sums(*(np.sum(np.asarray(part, np.float64), axis=0) for part in sums))
    rows = totals.rows if totals.rows else np.nan  # where every row is without density, no mean exists
    variance = totals.mean_square / rows - (totals.mean / rows) ** 2
    return Metrics(
        bound=float(totals.bound / rows) if totals.without_density <= WITHOUT_DENSITY_AT_MOST * rows else -np.inf,
        reconstruction=float(totals.reconstruction / rows),
        kl=float(totals.kl / rows),
        kl_per_dimension=tuple((totals.kl_per_dimension / rows).tolist()) or None,
        active_units=int(np.sum(variance > ACTIVE_VARIANCE)) if variance.size else None,
        without_density=int(totals.without_density),
        kl_per_layer=tuple((totals.kl_per_layer / rows).tolist()) or None,
    )


def _per_layer(kl: Array | None, q: Distribution) -> Array | None:
    return layer_sums(kl, q.layers) if kl is not None and isinstance(q, Chain) else None


def _weighted(weight: Array, values: Array | None) -> Array:
    return jnp.zeros(0) if values is None else weight @ values
