"""``likelihood="auto"``: which likelihood suits the data, and why."""

from __future__ import annotations

from reparam.data import Summary


def choose_likelihood(likelihood: str, summary: Summary) -> tuple[str, str]:
    """The likelihood to use, and why: ``auto`` looks at the data.

    >>> from reparam.data import inspect, load
    >>> choose_likelihood("auto", inspect(load("digits")))[0]
    'gaussian'
    """
    if likelihood != "auto":
        return likelihood, "chosen by the user"
    if summary.binary:
        return "bernoulli", "every value is 0 or 1"
    if summary.counts and summary.dtype != "float32" and not summary.image:
        return "negative_binomial", "every value is a whole number of at least 0"
    grey = "; a Bernoulli would need values of 0 and 1 only" if summary.unit_interval else ""
    return "gaussian", f"values from {summary.model_minimum:g} to {summary.model_maximum:g}{grey}"
