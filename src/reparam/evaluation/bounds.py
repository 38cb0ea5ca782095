r"""A model's worth on given rows: the ELBO in its parts, the K-sample bound, and what the latents do."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import PRNGKeyArray
from numpy.typing import NDArray

from reparam.data import Schema
from reparam.evaluation.information import Information, mutual_information
from reparam.evaluation.latents import posterior_moments
from reparam.evaluation.noise import (
    DEQUANTIZED,
    DISCRETE,
    ObservationNoise,
    dequantized,
    discrete_values,
    log_density_in_stored_units,
    observation_noise,
    whole_numbers,
)
from reparam.evaluation.results import mean_of, not_finite, plain
from reparam.evaluation.rows import Progress
from reparam.evaluation.weights import Growth, RowBounds, encoded, growth, row_bounds
from reparam.markup import display_evaluation
from reparam.model import Model
from reparam.probability.distributions.chain import layer_places
from reparam.training.metrics import ACTIVE_VARIANCE

FEW_EFFECTIVE_SAMPLES = 10
DEQUANTIZED_SAMPLES = 100


class Layer(NamedTuple):
    """What one layer of latents carries: how many there are, its part of the mean KL in nats, and how many are used.

    The part is None where q is no chain of layers.
    """

    latents: int
    kl: float | None
    active_units: int


@dataclass(frozen=True)
class Evaluation:
    """Means over rows, in nats per datum; a standard error is that of a mean over the rows.

    ``bound`` is the K-sample bound and ``bound_by_samples`` its value at growing K. ``effective_samples`` is the median
    over the rows of (Σw)²/Σw²; ``rows_below_10_effective`` counts the rows whose bound rests on fewer than ten draws.
    ``mutual_information`` and ``aggregate_kl`` sum to the mean KL (Hoffman & Johnson 2016); ``singular_rows`` have a q
    without density and are left out of the former.
    ``bits_per_dimension`` is None where the data are no whole numbers, and otherwise follows the convention beside it.
    ``layers`` tells, where there are several, of each, the one next to the data first; their KL sum to ``kl``.
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
    singular_rows: int
    bits_per_dimension: float | None
    bits_per_dimension_convention: str | None
    observation_noise: ObservationNoise | None
    not_converged: int
    units: str
    warnings: tuple[str, ...]
    layers: tuple[Layer, ...] | None = None

    def to_json(self) -> dict[str, Any]:
        """The fields as plain values; what is not finite is None, and ``warnings`` says why."""
        return dict(plain(self))

    def _repr_html_(self) -> str:
        """What a notebook shows: the figures with their errors, and the bound against K."""
        return display_evaluation(self.to_json())


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
    bound_key, moments_key, information_key, noise_key, bits_key = jax.random.split(key, 5)
    raw = encoded(model, rows, schema) if raw is None else raw
    found = row_bounds(model, rows, schema, bound_key, samples, raw=raw, report=report)
    means, _ = posterior_moments(model, rows, schema, moments_key, raw=raw)
    information = mutual_information(model.family, raw, information_key)
    return Evaluation(
        **_of_bounds(found, samples),
        **_of_information(information, mean_of(found.kl).value),
        **_of_bits(model, rows, schema, bits_key, found=found, raw=raw, samples=samples),
        **_of_latents(model, found, means),
        observation_noise=observation_noise(model, rows, schema, noise_key, raw, beta=beta),
        not_converged=not_converged,
        units=schema.units,
        warnings=(
            *told_counts(len(found.bound), _few(found), samples, not_converged, information.left_out),
            *not_finite(elbo=found.elbo, bound=found.bound),
        ),
    )


def _of_bounds(found: RowBounds, samples: int) -> dict[str, Any]:
    """The fields of Evaluation that are means of what the draws say of each row."""
    elbo, bound = mean_of(found.elbo), mean_of(found.bound)
    return {
        "rows": len(found.bound),
        "samples": samples,
        "elbo": elbo.value,
        "elbo_standard_error": elbo.standard_error,
        "reconstruction": mean_of(found.reconstruction).value,
        "kl": mean_of(found.kl).value,
        "bound": bound.value,
        "standard_error": bound.standard_error,
        "bound_by_samples": growth(found, samples),
        "effective_samples": float(np.median(found.effective_samples)),
        "rows_below_10_effective": _few(found),
    }


def _few(found: RowBounds) -> int:
    return int(np.sum(found.effective_samples < FEW_EFFECTIVE_SAMPLES))


def _of_information(found: Information, kl: float) -> dict[str, Any]:
    return {
        "mutual_information": found.value,
        "mutual_information_standard_error": found.standard_error,
        "aggregate_kl": kl - found.value,
        "singular_rows": found.left_out,
    }


def _of_latents(model: Model, found: RowBounds, means: NDArray[Any]) -> dict[str, Any]:
    """What each latent carries, and of several layers what each layer does."""
    kl = found.kl_per_dimension.mean(axis=0, dtype=np.float64)
    active = np.var(means, axis=0, dtype=np.float64) > ACTIVE_VARIANCE
    layers = tuple(
        Layer(len(active[place]), float(kl[place].sum()) if len(kl) else None, int(active[place].sum()))
        for place in layer_places(model.prior.layers)
    )
    return {
        "kl_per_dimension": tuple(kl.tolist()) or None,
        "active_units": int(active.sum()),
        "layers": layers if len(layers) > 1 else None,
    }


def _of_bits(
    model: Model,
    rows: NDArray[Any],
    schema: Schema,
    key: PRNGKeyArray,
    *,
    found: RowBounds,
    raw: NDArray[Any],
    samples: int,
) -> dict[str, Any]:
    """Bits per dimension, and the convention that they follow; both None where the data are no whole numbers."""
    bound, convention = None, None
    if model.likelihood.discrete:
        values = discrete_values(model, rows, schema)
        if values is not None:
            bound, convention = mean_of(found.bound).value, DISCRETE.replace("{values}", values)
    elif whole_numbers(model, schema):
        noise_key, bound_key = jax.random.split(key)
        noisy = dequantized(rows, schema, noise_key)
        parts = row_bounds(model, *noisy, bound_key, min(samples, DEQUANTIZED_SAMPLES), raw=raw)
        bound, convention = log_density_in_stored_units(mean_of(parts.bound).value, schema), DEQUANTIZED
    bits = None if bound is None else -bound / (schema.size * math.log(2.0))
    return {"bits_per_dimension": bits, "bits_per_dimension_convention": convention}


def told_counts(rows: int, few: int, samples: int, not_converged: int, singular: int) -> Iterator[str]:
    """Warnings of rows whose bound rests on few draws, whose q still moved, or has no density."""
    if few and samples > 1:
        yield (
            f"the {samples}-sample bound of {few} of {rows} rows rests on fewer than {FEW_EFFECTIVE_SAMPLES} effective "
            "draws: it may lie well below ln p(x). Raise the number of samples until it stops rising."
        )
    if not_converged:
        yield f"q of {not_converged} of {rows} rows had not converged: their bounds are valid, but not tight."
    if singular:
        yield f"q of {singular} of {rows} rows has no density: they are left out of the mutual information."
