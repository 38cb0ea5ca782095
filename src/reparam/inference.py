"""How q(z|x) is found for a batch of data."""

from __future__ import annotations

from collections.abc import Callable

from jaxtyping import Array
from numpyro.distributions import Distribution

from reparam.model import Model

Inference = Callable[[Model, Array], Distribution]


def amortized(model: Model, x: Array) -> Distribution:
    """q(z|x) straight from the encoder: one pass for a datum that was never seen (Kingma & Welling 2014)."""
    return model.encode(x)


INFERENCE: dict[str, Inference] = {"amortized": amortized}
