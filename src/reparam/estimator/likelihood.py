"""What the data decide: which likelihood suits them, and what a model sees of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from reparam.data import Schema, Summary
from reparam.estimator.columns import likelihood_part, standardized_table, varies
from reparam.probability.likelihoods import Likelihood, Table
from reparam.probability.supports import POSITIVE, REALS

LARGEST_EXACT = 2**24  # whole numbers up to it are each a float32; larger ones are times or names, and no counts


def choose_likelihood(likelihood: str, summary: Summary, *, binarize: str = "none") -> tuple[str, str]:
    """The likelihood to use, and why: ``auto`` looks at the data.

    >>> from reparam.data import inspect, load
    >>> choose_likelihood("auto", inspect(load("digits")))[0]
    'gaussian'
    """
    if likelihood != "auto":
        return likelihood, "chosen by the user"
    if summary.binary:
        return "bernoulli", "every value is 0 or 1"
    if binarize != "none":
        return "bernoulli", f"values are binarised ({binarize})"
    whole = summary.counts and np.dtype(summary.dtype).kind in "iu" and not summary.image
    if whole and summary.model_maximum <= LARGEST_EXACT:
        return "negative_binomial", "every value is a whole number of at least 0"
    grey = "; a Bernoulli would need values of 0 and 1 only" if summary.unit_interval else ""
    values = f"values from {summary.model_minimum:g} to {summary.model_maximum:g}{grey}"
    if summary.image:
        return "gaussian", values
    return "gaussian:per_dimension", f"{values}, a noise for each column"


def standardization(
    schema: Schema, likelihood: str | Likelihood, mean: NDArray[np.float64], std: NDArray[np.float64]
) -> Schema:
    """The schema with the shift and scale that make the model's values easy to learn, and leave the model as it is.

    A learned noise follows any change of units: one σ for all columns goes with one scale for all, a σ for each column
    with a scale for each. A fixed σ, and every law that is not one of location and scale, stays in the units it has.

    Args:
        schema: of the rows as they are stored.
        likelihood: which is to explain them.
        mean: of each column of the training rows in stored units, shape (P,).
        std: likewise.
    """
    part = likelihood_part(likelihood, schema)
    if isinstance(part, Table):
        return standardized_table(schema, part, mean, std)
    if part.support is POSITIVE and len(schema.event_shape) == 1:
        return schema.standardized(
            (0.0,) * schema.size, tuple(mean.tolist())
        )  # in units of the mean they stay positive
    learned = noise_shape(part)
    if learned is None or len(schema.event_shape) > 1:
        return schema
    spread = np.where(varies(mean, std), std, 1.0)
    if learned == ():
        varying = std[varies(mean, std)]
        common = float(np.sqrt(np.mean(varying**2))) if len(varying) else 1.0
        return schema.standardized(tuple(mean.tolist()), (common,) * schema.size)
    return schema.standardized(tuple(mean.tolist()), tuple(spread.tolist()))


def noise_shape(likelihood: Likelihood) -> tuple[int, ...] | None:
    """The shape of a location family's learned ln σ, one per feature where the decoder gives it; None for others."""
    if likelihood.support is not REALS or not hasattr(likelihood, "log_scale"):
        return None
    if isinstance(likelihood.log_scale, float):
        return None
    return (likelihood.event_size,) if likelihood.log_scale is None else tuple(likelihood.log_scale.shape)
