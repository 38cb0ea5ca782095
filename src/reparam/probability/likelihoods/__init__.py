r"""Likelihoods: a decoder's raw output becomes the law p(x_j|z) of each feature.

Each takes the decoder's raw numbers in blocks of P, the number of features: first P numbers of one kind, then P of
the next. Every distribution carries its normalising constant, so that ln p(x|z) is in nats and two models of the
same data can be compared, and speaks of each feature alone: batch shape (..., P), no event. ``Model.decode`` masks
the cells that are missing and sums over the others, for all likelihoods. What a decoder may give has no bounds, so a
raw number that stands for the logarithm of a positive parameter passes ``tempered``, and half precision is computed
in single: from −10⁴ to 10⁴ every log density and its gradient is finite (of ``beta`` in the open interval; towards 0
and 1 its density may grow without limit).

>>> LIKELIHOODS["beta"](64).discrete, LIKELIHOODS["poisson"](64).discrete
(False, True)
"""

from __future__ import annotations

from collections.abc import Sequence

from reparam.probability.likelihoods.base import Likelihood
from reparam.probability.likelihoods.bounded import (
    Bernoulli,
    Beta,
    Categorical,
    ContinuousBernoulli,
    DiscretizedLogistic,
)
from reparam.probability.likelihoods.counts import NegativeBinomial, Poisson, ZeroInflatedNegativeBinomial
from reparam.probability.likelihoods.real import Gaussian, Laplace, LogNormal, StudentT
from reparam.probability.likelihoods.table import Table
from reparam.specification import build

__all__ = ["LIKELIHOODS", "Likelihood", "Table", "table_of"]

LIKELIHOODS: dict[str, type[Likelihood]] = {
    "bernoulli": Bernoulli,
    "continuous_bernoulli": ContinuousBernoulli,
    "gaussian": Gaussian,
    "laplace": Laplace,
    "student_t": StudentT,
    "log_normal": LogNormal,
    "categorical": Categorical,
    "poisson": Poisson,
    "negative_binomial": NegativeBinomial,
    "zero_inflated_negative_binomial": ZeroInflatedNegativeBinomial,
    "discretized_logistic": DiscretizedLogistic,
    "beta": Beta,
}


def table_of(columns: Sequence[tuple[str, int]]) -> Table:
    """The likelihood of columns, each by its name in ``LIKELIHOODS`` and, where it is coded, its number of levels.

    Raises:
        ParameterError: a name is unknown, or refuses its arguments.

    >>> table_of([("poisson", 0), ("categorical", 4)]).raw_size
    5
    """
    return Table.of(columns, lambda name, size: build("likelihood", LIKELIHOODS, name, size))
