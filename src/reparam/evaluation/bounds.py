r"""A model's worth on given rows: the ELBO in its parts, the K-sample bound, and what the latents do."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray
from numpy.typing import NDArray

from reparam.data import Schema
from reparam.evaluation.information import mutual_information
from reparam.evaluation.latents import posterior_moments
from reparam.evaluation.noise import (
    DEQUANTIZED,
    DISCRETE,
    ObservationNoise,
    dequantized,
    log_density_in_stored_units,
    observation_noise,
    whole_numbers,
)
from reparam.evaluation.results import mean_of
from reparam.evaluation.rows import Progress, map_rows
from reparam.evaluation.weights import Growth, encoded, growth, row_bounds
from reparam.model import Model
from reparam.objectives import kl_per_dimension
from reparam.training.metrics import ACTIVE_VARIANCE

FEW_EFFECTIVE_SAMPLES = 10
DEQUANTIZED_SAMPLES = 100


@dataclass(frozen=True)
class Evaluation:
    """Means over rows, in nats per datum; a standard error is that of a mean over the rows.

    ``bound`` is the K-sample bound and ``bound_by_samples`` its value at growing K. ``effective_samples`` is the median
    over the rows of (Σw)²/Σw²; ``rows_below_10_effective`` counts the rows whose bound rests on fewer than ten draws.
    ``mutual_information`` and ``aggregate_kl`` sum to the mean KL (Hoffman & Johnson 2016).
    ``bits_per_dimension`` is None where the data are no whole numbers, and otherwise follows the convention beside it.
    ``not_converged`` counts rows whose q was still moving when its optimisation ended. ``warnings`` are for a reader.
    """

    rows: int
    elbo: float
    elbo_standard_error: float | None
    reconstruction: float
    kl: float
    kl_per_dimension: tuple[float, ...] | None
    bound: float
    samples: int
    standard_error: float | None
    bound_by_samples: Growth
    effective_samples: float
    rows_below_10_effective: int
    active_units: int
    mutual_information: float
    mutual_information_standard_error: float | None
    aggregate_kl: float
    bits_per_dimension: float | None
    bits_per_dimension_convention: str | None
    observation_noise: ObservationNoise | None
    not_converged: int
    units: str
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The fields as plain values."""
        points = [{"samples": count, "bound": bound} for count, bound in self.bound_by_samples]
        return {**asdict(self), "bound_by_samples": points}


def evaluate(
    model: Model,
    rows: NDArray[Any],
    schema: Schema,
    key: PRNGKeyArray,
    samples: int = 100,
    *,
    raw: NDArray[Any] | None = None,
    beta: float = 1.0,
    not_converged: int = 0,
    report: Progress | None = None,
) -> Evaluation:
    """Measure a model on rows.

    The ELBO takes its reconstruction from the same ``samples`` draws as the bound, and the exact divergence where one
    is known. Sums are exact over all rows whatever the chunks, whose size keeps memory bounded.

    Args:
        model: what is measured.
        rows: data as stored, shape (N, P).
        schema: how stored rows become the model's values; its units are the units of every density.
        key: the noise.
        samples: K.
        raw: q of each row, shape (N, R), where it does not come from the encoder.
        beta: the weight of the KL in training, for ``effective_beta``.
        not_converged: how many of ``raw`` were still moving.
        report: called with the rows done and N.
    """
    bound_key, moments_key, information_key, noise_key = jax.random.split(key, 4)
    raw = encoded(model, rows, schema) if raw is None else raw
    parts = row_bounds(model, rows, schema, bound_key, samples, raw=raw, report=report)
    elbo, bound = mean_of(parts.reconstruction - parts.kl), mean_of(parts.bound)
    kl = mean_of(parts.kl).value
    means, _ = posterior_moments(model, rows, schema, moments_key, raw=raw)
    information = mutual_information(model.posterior, raw, information_key)
    few = int(np.sum(parts.effective_samples < FEW_EFFECTIVE_SAMPLES))
    bits, convention = _bits_per_dimension(model, rows, schema, bound_key, bound=bound.value, raw=raw, samples=samples)
    return Evaluation(
        rows=len(rows),
        elbo=elbo.value,
        elbo_standard_error=elbo.standard_error,
        reconstruction=mean_of(parts.reconstruction).value,
        kl=kl,
        kl_per_dimension=_kl_per_dimension(model, raw),
        bound=bound.value,
        samples=samples,
        standard_error=bound.standard_error,
        bound_by_samples=growth(parts, samples),
        effective_samples=float(np.median(parts.effective_samples)),
        rows_below_10_effective=few,
        active_units=int(np.sum(np.var(means, axis=0, dtype=np.float64) > ACTIVE_VARIANCE)),
        mutual_information=information.value,
        mutual_information_standard_error=information.standard_error,
        aggregate_kl=kl - information.value,
        bits_per_dimension=bits,
        bits_per_dimension_convention=convention,
        observation_noise=observation_noise(model, rows, schema, noise_key, raw, beta=beta),
        not_converged=not_converged,
        units=schema.units,
        warnings=tuple(_warnings(len(rows), samples, few, not_converged)),
    )


def _kl_per_dimension(model: Model, raw: NDArray[Any]) -> tuple[float, ...] | None:
    terms = map_rows(lambda chunk: _row_kl_per_dimension(model, chunk), raw)
    return tuple(terms.mean(axis=0, dtype=np.float64).tolist()) or None


@eqx.filter_jit
def _row_kl_per_dimension(model: Model, raw: Array) -> Array:
    terms = kl_per_dimension(model.posterior.distribution(raw), model.prior_distribution())
    return jnp.zeros((len(raw), 0)) if terms is None else terms


def _bits_per_dimension(
    model: Model,
    rows: NDArray[Any],
    schema: Schema,
    key: PRNGKeyArray,
    *,
    bound: float,
    raw: NDArray[Any],
    samples: int,
) -> tuple[float | None, str | None]:
    """Bits per dimension and the convention that they follow; (None, None) where the data are no whole numbers."""
    bits = schema.size * math.log(2.0)
    if model.likelihood.discrete:
        return -bound / bits, DISCRETE
    if not whole_numbers(model, schema):
        return None, None
    noisy, noisy_schema = dequantized(rows, schema, seed=0)
    parts = row_bounds(model, noisy, noisy_schema, key, min(samples, DEQUANTIZED_SAMPLES), raw=raw)
    return -log_density_in_stored_units(mean_of(parts.bound).value, schema) / bits, DEQUANTIZED


def _warnings(rows: int, samples: int, few: int, not_converged: int) -> list[str]:
    told = []
    if few and samples > 1:
        told.append(
            f"the {samples}-sample bound of {few} of {rows} rows rests on fewer than {FEW_EFFECTIVE_SAMPLES} effective "
            "draws: it may lie well below ln p(x). Raise the number of samples until it stops rising."
        )
    if not_converged:
        told.append(f"q of {not_converged} of {rows} rows had not converged: their bounds are valid, but not tight.")
    return told
