r"""The noise of the data: what the decoder's σ means beside its errors, and whole numbers under a density."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray
from numpy.typing import NDArray

from reparam.batch import Batch
from reparam.data import Schema, blocks
from reparam.evaluation.rows import map_rows, row_keys, row_numbers
from reparam.model import Model
from reparam.probability.likelihoods.bounded import Bernoulli
from reparam.probability.likelihoods.real import Gaussian
from reparam.probability.supports import BITS

DISCRETE = "of {values}: −bound / (P ln 2), for the likelihood is discrete"
DEQUANTIZED = (
    "of whole numbers by uniform dequantisation: −bound / (P ln 2) of v + u in stored units, u uniform on [−½, ½), one "
    "draw per value; "
    "an upper bound on the bits of the whole numbers v"
)


@dataclass(frozen=True)
class ObservationNoise:
    r"""A Gaussian decoder's noise, in the data's units.

    ``implied_scale`` is the σ_x that training with weight β stands for: :math:`\sigma\sqrt\beta`, since
    :math:`-\|x-\mu\|^2 / 2\sigma^2 - \beta KL` is β times the ELBO of variance :math:`\beta\sigma^2`.
    ``residual_scale`` is the root mean square of x − μ, the maximum-likelihood σ. ``effective_beta`` is their squared
    ratio, the weight of the KL against a calibrated decoder: 1 where σ fits the errors, above 1 where the noise was
    taken too large and latents collapse, below 1 where it was taken too small.

    Source: Rybkin, Daniilidis & Levine (2021), Section 3; Lucas et al. (2019), Section 5.
    """

    implied_scale: float
    residual_scale: float
    effective_beta: float


def observation_noise(
    model: Model, rows: NDArray[Any], schema: Schema, key: PRNGKeyArray, raw: NDArray[Any], *, beta: float = 1.0
) -> ObservationNoise | None:
    """Compare a Gaussian decoder's σ with its errors, by one draw of z for each row; None for other likelihoods."""
    if not isinstance(model.likelihood, Gaussian):
        return None
    variance, square = map_rows(
        lambda chunk, raw, numbers: _noise(model, chunk, raw, row_keys(key, numbers), schema),
        rows,
        raw,
        row_numbers(rows),
    )
    implied = beta * float(np.mean(variance, dtype=np.float64))
    residual = float(np.mean(square, dtype=np.float64))
    return ObservationNoise(
        implied_scale=float(np.sqrt(implied)),
        residual_scale=float(np.sqrt(residual)),
        effective_beta=implied / max(residual, float(np.finfo(np.float32).tiny)),
    )


@eqx.filter_jit
def _noise(model: Model, rows: Array, raw: Array, keys: PRNGKeyArray, schema: Schema) -> tuple[Array, Array]:
    """Mean variance of p(x|z) and mean square of x − E[x|z] of each row in units, both (N,)."""
    batch, ratio = Batch.of_rows(rows, schema), jnp.asarray(schema.scale) / jnp.asarray(schema.unit)

    def of_row(datum: Batch, raw: Array, key: PRNGKeyArray) -> tuple[Array, Array]:
        p_x, counted = model.decode(model.family.distribution(raw).sample(key), datum), model.explained(datum)
        square = (ratio * (datum.x - p_x.mean)) ** 2
        return jnp.mean(ratio**2 * p_x.variance, where=counted), jnp.mean(square, where=counted)

    variance, square = jax.vmap(of_row)(batch, raw, keys)
    return variance, square


def whole_numbers(model: Model, schema: Schema) -> bool:
    """Whether bits per dimension make sense for a density: stored whole numbers, and a support that noise stays in."""
    integers = np.issubdtype(np.dtype(schema.dtype), np.integer)
    return bool(integers and model.likelihood.inside(np.array([[-1e6, 1e6]])).all())


def discrete_values(model: Model, rows: NDArray[Any], schema: Schema) -> str | None:
    """Which values it is that a discrete likelihood tells the bits of; None where those of the rows are others.

    A Bernoulli of grey values is a cross-entropy, and no code for them.
    """
    if not isinstance(model.likelihood, Bernoulli):
        return model.likelihood.support.words
    return BITS.words if all(BITS(np.asarray(schema.apply(block))).all() for block in blocks(rows)) else None


def dequantized(rows: NDArray[Any], schema: Schema, key: PRNGKeyArray) -> tuple[NDArray[Any], Schema]:
    """Stored whole numbers v as v + u, u uniform on [−½, ½), with a schema that says so (Theis et al. 2016, §3.1)."""
    noisy = map_rows(lambda chunk, numbers: _dequantized(chunk, row_keys(key, numbers)), rows, row_numbers(rows))
    return noisy, replace(schema, dtype="float32")


@eqx.filter_jit
def _dequantized(rows: Array, keys: PRNGKeyArray) -> Array:
    noisy: Array = rows + jax.vmap(lambda key: jax.random.uniform(key, rows.shape[1:], minval=-0.5, maxval=0.5))(keys)
    return noisy


def log_density_in_stored_units(bound: float, schema: Schema) -> float:
    """ln p of a stored row from ln p in units: minus Σ ln unit."""
    unit = np.broadcast_to(np.asarray(schema.unit, np.float64), (schema.size,))
    return bound - float(np.sum(np.log(unit)))
