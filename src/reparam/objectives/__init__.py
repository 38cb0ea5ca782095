r"""Objectives: (model, x, key) → the bound in nats, the surrogate to differentiate, and its terms.

The ``bound`` is an estimate of a lower bound on ln p(x) for each datum, and is what a report may quote. The
``surrogate`` is what training maximises: a coefficient other than 1, or another gradient estimator, changes it and
leaves the bound alone.
"""

from __future__ import annotations

from collections.abc import Callable

from reparam.errors import ParameterError
from reparam.objectives.base import Objective, Terms, kl_per_dimension
from reparam.objectives.elbo import ELBO
from reparam.objectives.estimators import ESTIMATORS
from reparam.objectives.importance import CIWAE, IWAE, MIWAE, PIWAE, ImportanceWeighted, Renyi
from reparam.objectives.regularised import MMD, BetaTCVAE, FreeBits
from reparam.objectives.warmup import Warmup, warmed
from reparam.specification import build

OBJECTIVES: dict[str, Callable[..., Objective]] = {
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
    "ImportanceWeighted",
    "Objective",
    "Renyi",
    "Terms",
    "Warmup",
    "build_objective",
    "kl_per_dimension",
]


def build_objective(
    objective: str | Objective = "elbo",
    *,
    estimator: str = "pathwise",
    beta: float | None = None,
    warmup: str = "none",
) -> Objective:
    """An objective by names, as the estimator, the command line and a configuration give them.

    Args:
        objective: a name in ``OBJECTIVES``, with arguments behind a colon: ``elbo:5``, ``iwae:50``, ``piwae:8,8``; or
            an objective, which has a β and an estimator of its own.
        estimator: a name in ``ESTIMATORS``.
        beta: coefficient of the divergence in the surrogate; None for the objective's own, 1 and of ``beta_tcvae`` 6.
        warmup: ``none``, or ``linear`` or ``cyclic`` with a length in epochs: ``linear:10``, ``linear:500,steps``.

    Raises:
        ParameterError: a name is unknown, an argument outside its domain, or the two cannot go together.

    >>> build_objective("elbo:5", beta=4.0)
    ELBO(samples=5, form='auto', beta=4.0, estimator='pathwise')
    """
    if isinstance(objective, Objective) and not (estimator == "pathwise" and beta is None):
        raise ParameterError(
            f"The objective is given as an object, with its own estimator and beta. Got estimator={estimator!r}, "
            f"beta={beta!r} beside it: give them to {objective!r}, or name the objective."
        )
    own = {} if beta is None else {"beta": beta}
    return warmed(build("objective", OBJECTIVES, objective, estimator=estimator, **own), warmup)
