"""Variational autoencoders whose numbers can be defended.

Names are imported when they are first used, so that ``reparam --help`` and ``reparam.verification`` need no JAX.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from reparam.version import __version__

if TYPE_CHECKING:
    from reparam.estimator.keeping import load
    from reparam.estimator.vae import VAE
    from reparam.gradients import estimate_gradient
    from reparam.hierarchy import HIERARCHIES, BottomUp, Hierarchy, Ladder
    from reparam.model import Model, build_model
    from reparam.objectives import OBJECTIVES
    from reparam.probability.divergences import kl_divergence, kl_monte_carlo
    from reparam.probability.likelihoods import LIKELIHOODS
    from reparam.probability.likelihoods.bounded import (
        Bernoulli,
        Beta,
        Categorical,
        ContinuousBernoulli,
        DiscretizedLogistic,
    )
    from reparam.probability.likelihoods.counts import NegativeBinomial, Poisson, ZeroInflatedNegativeBinomial
    from reparam.probability.likelihoods.real import Gaussian, Laplace, StudentT
    from reparam.probability.posteriors import POSTERIORS, Cholesky, Diagonal, Flow, Full, LowRank
    from reparam.probability.priors import PRIORS, FlowPrior, GaussianMixture, StandardNormal, VampPrior
    from reparam.probability.reparameterization import draw_noise, reparameterize
    from reparam.probability.scales import (
        SCALES,
        convert_raw,
        mean_variance_from_natural,
        natural_from_mean_variance,
    )

HOMES = {
    "VAE": "estimator.vae",
    "load": "estimator.keeping",
    "estimate_gradient": "gradients",
    **dict.fromkeys(("HIERARCHIES", "BottomUp", "Hierarchy", "Ladder"), "hierarchy"),
    "Model": "model",
    "build_model": "model",
    "OBJECTIVES": "objectives",
    "kl_divergence": "probability.divergences",
    "kl_monte_carlo": "probability.divergences",
    **dict.fromkeys(
        (
            "LIKELIHOODS",
            "Bernoulli",
            "Beta",
            "Categorical",
            "ContinuousBernoulli",
            "DiscretizedLogistic",
            "Gaussian",
            "Laplace",
            "NegativeBinomial",
            "Poisson",
            "StudentT",
            "ZeroInflatedNegativeBinomial",
        ),
        "probability.likelihoods",
    ),
    **dict.fromkeys(
        ("POSTERIORS", "Cholesky", "Diagonal", "Flow", "Full", "LowRank"),
        "probability.posteriors",
    ),
    **dict.fromkeys(
        ("PRIORS", "FlowPrior", "GaussianMixture", "StandardNormal", "VampPrior"),
        "probability.priors",
    ),
    "draw_noise": "probability.reparameterization",
    "reparameterize": "probability.reparameterization",
    "SCALES": "probability.scales",
    "convert_raw": "probability.scales",
    "mean_variance_from_natural": "probability.scales",
    "natural_from_mean_variance": "probability.scales",
}

__all__ = [
    "HIERARCHIES",
    "LIKELIHOODS",
    "OBJECTIVES",
    "POSTERIORS",
    "PRIORS",
    "SCALES",
    "VAE",
    "Bernoulli",
    "Beta",
    "BottomUp",
    "Categorical",
    "Cholesky",
    "ContinuousBernoulli",
    "Diagonal",
    "DiscretizedLogistic",
    "Flow",
    "FlowPrior",
    "Full",
    "Gaussian",
    "GaussianMixture",
    "Hierarchy",
    "Ladder",
    "Laplace",
    "LowRank",
    "Model",
    "NegativeBinomial",
    "Poisson",
    "StandardNormal",
    "StudentT",
    "VampPrior",
    "ZeroInflatedNegativeBinomial",
    "__version__",
    "build_model",
    "convert_raw",
    "draw_noise",
    "estimate_gradient",
    "kl_divergence",
    "kl_monte_carlo",
    "load",
    "mean_variance_from_natural",
    "natural_from_mean_variance",
    "reparameterize",
]


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"module 'reparam' has no attribute {name!r}")
    return getattr(importlib.import_module(f"reparam.{HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
