"""What a session computes once for all of its rows."""

from __future__ import annotations

from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from numpy.typing import NDArray

import reparam
from reparam.batch import Batch
from reparam.errors import NoClosedFormError
from reparam.model import Model
from reparam.objectives import kl_per_dimension
from reparam.probability.conditional import conditional_kl
from reparam.probability.distributions.chain import Chain

ROWS_AT_ONCE = 65_536
KL_DRAWS = 64


@dataclass(frozen=True)
class Codes:
    """Where the rows lie: mean and deviation of q(z|x), (N, K), and the KL of each row, (N,), and latent, (N, K)."""

    mean: NDArray[np.float32]
    std: NDArray[np.float32]
    kl: NDArray[np.float32]
    kl_per_latent: NDArray[np.float32] | None


@dataclass(frozen=True)
class Scores:
    """The K-sample bound of some rows, nats: of all, or of so many as are scored at once, evenly spread."""

    numbers: NDArray[np.intp]
    values: NDArray[np.float64]

    def of_all(self, rows: int) -> NDArray[np.float64]:
        """A value for each of N rows, NaN where none was scored."""
        values = np.full(rows, np.nan)
        values[self.numbers] = self.values
        return values


def parts(rows: int) -> list[slice]:
    """So many rows in parts that are computed one after the other."""
    return [slice(start, start + ROWS_AT_ONCE) for start in range(0, rows, ROWS_AT_ONCE)]


@eqx.filter_jit
def log_levels(model: Model, z: Array, levels: Array, told: Batch | None) -> Array:
    """Ln p(x_j = l|z), (L, M, P), where feature j has such a level."""
    laws = model.laws(z, told)
    return jnp.asarray(laws.log_prob(jnp.broadcast_to(levels, (len(levels), *laws.batch_shape))))


@eqx.filter_jit
def row_kl(model: Model, raw: Array, told: Batch | None) -> tuple[Array, Array | None]:
    """KL(q‖p) of rows, exact or NaN, and its terms where there are such; of several layers both by draws."""
    q, p = model.family.distribution(raw), model.prior_distribution(told)
    if isinstance(q, Chain):
        keys, none = jax.random.split(jax.random.key(0), KL_DRAWS), jnp.zeros((len(raw), *q.event_shape))
        terms = jax.lax.fori_loop(0, KL_DRAWS, lambda k, sums: sums + conditional_kl(q, p, q.sample(keys[k])), none)
        return jnp.sum(terms, axis=-1) / KL_DRAWS, terms / KL_DRAWS
    try:
        total = reparam.kl_divergence(q, p)
    except NoClosedFormError:
        total = jnp.full(len(raw), jnp.nan)
    return total, kl_per_dimension(q, p)
