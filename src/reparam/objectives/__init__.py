r"""Objectives: (model, x, key) → the bound in nats, the surrogate to differentiate, and its terms.

The ``bound`` is an estimate of a lower bound on ln p(x) for each datum, and is what a report may quote. The
``surrogate`` is what training maximises: a weight other than 1, or another gradient estimator, changes it and leaves
the bound alone.
"""

from __future__ import annotations

from reparam.objectives.base import Objective, Terms, kl_per_dimension
from reparam.objectives.elbo import ELBO
from reparam.objectives.estimators import ESTIMATORS
from reparam.objectives.importance import CIWAE, IWAE, MIWAE, PIWAE, Renyi
from reparam.objectives.regularised import MMD, BetaTCVAE, FreeBits
from reparam.objectives.warmup import Warmup, warmed
from reparam.specification import build

OBJECTIVES: dict[str, type[Objective]] = {
    "elbo": ELBO,
    "iwae": IWAE,
    "miwae": MIWAE,
    "ciwae": CIWAE,
    "piwae": PIWAE,
    "renyi": Renyi,
    "free_bits": FreeBits,
    "beta_tcvae": BetaTCVAE,
    "mmd": MMD,
}

__all__ = [
    "CIWAE",
    "ELBO",
    "ESTIMATORS",
    "IWAE",
    "MIWAE",
    "MMD",
    "OBJECTIVES",
    "PIWAE",
    "BetaTCVAE",
    "FreeBits",
    "Objective",
    "Renyi",
    "Terms",
    "Warmup",
    "build_objective",
    "kl_per_dimension",
]


def build_objective(
    objective: str = "elbo", *, estimator: str = "pathwise", beta: float = 1.0, warmup: str = "none"
) -> Objective:
    """An objective by names, as the estimator, the command line and a configuration give them.

    Args:
        objective: a name in ``OBJECTIVES``, with arguments behind a colon: ``elbo:5``, ``iwae:50``, ``piwae:8,8``.
        estimator: a name in ``ESTIMATORS``.
        beta: weight of the divergence in the surrogate.
        warmup: ``none``, or ``linear`` or ``cyclic`` with a length in epochs: ``linear:10``, ``linear:500,steps``.

    Raises:
        ParameterError: a name is unknown, an argument outside its domain, or the two cannot go together.

    >>> build_objective("iwae:50", estimator="dreg")
    IWAE(beta=1.0, estimator='dreg', samples=50)
    """
    return warmed(build("objective", OBJECTIVES, objective, beta=beta, estimator=estimator), warmup)
