"""How q(z|x) is found: by an encoder, by optimisation of each datum's own q, or by both."""

from __future__ import annotations

from reparam.inference.base import Found, Inference
from reparam.inference.mean_field import MeanField, NoEncoder
from reparam.inference.methods import AMORTIZED, Amortized, SemiAmortized
from reparam.inference.search import Maximum, Search, maximize

__all__ = [
    "AMORTIZED",
    "INFERENCE",
    "Amortized",
    "Found",
    "Inference",
    "Maximum",
    "MeanField",
    "NoEncoder",
    "Search",
    "SemiAmortized",
    "maximize",
]

INFERENCE: dict[str, type[Inference]] = {
    "amortized": Amortized,
    "semi_amortized": SemiAmortized,
    "mean_field": MeanField,
}
