r"""Where a model's ELBO loses nats: the encoder, the family of q, and what is left to ln p(x)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import PRNGKeyArray
from numpy.typing import NDArray

from reparam.data import Schema
from reparam.evaluation.annealing import Annealing, annealed_bound
from reparam.evaluation.local import (
    LocalBound,
    find_rows,
    optimize_family,
    optimize_rows,
    richer_family,
)
from reparam.evaluation.results import Estimate, mean_of, not_finite, plain
from reparam.evaluation.rows import MOST_ROWS, Progress, filled_size
from reparam.evaluation.weights import Growth, RowBounds, growth, row_bounds
from reparam.inference import AMORTIZED, Found, Inference, Search
from reparam.model import Model
from reparam.probability.posteriors import Posterior

PURPOSES = ("found", "trained", "search", "local", "family", "annealing")


class RowCost(NamedTuple):
    """Seconds to find q of one new row, compiled and among many: as the model was trained, and by a search of its own.

    They are measured, so they differ from run to run and from machine to machine.
    """

    as_trained: float
    search: float


@dataclass(frozen=True)
class Gap:
    r"""The decomposition on one set of rows; means over rows in nats per datum, each with its standard error.

    .. math:: \ln p(x) - L_{amortized} = \underbrace{\ln p(x) - L^*}_{approximation}
        + \underbrace{L^* - L_{amortized}}_{amortization}

    L* is the best ELBO in the model's family (``local_elbo``). ``log_prob`` is the largest of the lower bounds on
    ln p(x) at hand, named in ``log_prob_by``: ``bound`` and ``local_bound`` are K-sample bounds from the amortised
    and the optimised q, ``annealed_bound`` is annealed importance sampling; with few draws an ELBO can be the largest.
    Each is a lower bound in expectation, and so are the gaps to ln p(x), but for the noise of choosing the largest.
    ``warnings`` are for a reader: searches that did not end well, rows without density.
    """

    rows: int
    samples: int
    amortized_elbo: Estimate
    local_elbo: Estimate
    family: str | None
    family_elbo: Estimate | None
    bound: Estimate
    bound_by_samples: Growth
    local_bound: Estimate
    local_bound_by_samples: Growth
    annealed_bound: Estimate | None
    log_prob: Estimate
    log_prob_by: str
    approximation_gap: Estimate
    amortization_gap: Estimate
    inference_gap: Estimate
    family_approximation_gap: Estimate | None
    not_converged: int
    family_not_converged: int
    seconds_per_row: RowCost
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The fields as plain values, a mean as its value and standard error; what is not finite is None."""
        return dict(plain(self))


def measure_gap(
    model: Model,
    rows: NDArray[Any],
    schema: Schema,
    key: PRNGKeyArray,
    *,
    samples: int = 100,
    raw: NDArray[Any] | None = None,
    inference: Inference = AMORTIZED,
    family: str | None = None,
    annealing: Annealing | None = None,
    search: Search | None = None,
    report: Progress | None = None,
) -> Gap:
    """Decompose the inference gap on rows; every difference is taken row by row, so that its error is that of pairs.

    Args:
        model: p(x, z) and the family of q.
        rows: as stored, shape (N, P).
        schema: how stored rows become the model's values.
        key: the noise.
        samples: K of the bounds, and the draws of every ELBO.
        raw: q of each row as trained, shape (N, R); by default as ``inference`` finds it.
        inference: how the model finds q, by default with its encoder.
        family: a richer family to optimise as well, such as ``full`` or ``flow``.
        annealing: how carefully to anneal; None leaves it out.
        search: how far and how finely to optimise q.
        report: called with the rows whose q was found or optimised, and N.

    Source: Cremer, Li & Duvenaud (2018), Equations 4 to 6.
    """
    richer = None if family is None else richer_family(family, model)
    keys = dict(zip(PURPOSES, jax.random.split(key, len(PURPOSES)), strict=True))
    of = _Measurement(model, rows, schema, keys, samples, inference, Search() if search is None else search, report)
    raw = of.as_trained() if raw is None else raw
    found = of.searched(raw)
    trained, local = of.bounds("trained", raw), of.bounds("local", found.raw)
    other = None if richer is None else of.in_family(richer, found.raw)
    annealed = None if annealing is None else of.annealed(annealing, found.raw)
    means, best = _means(trained, local, None if other is None else other.elbo, annealed)
    gap = Gap(
        rows=len(rows),
        samples=samples,
        family=family,
        **means,
        bound_by_samples=growth(trained, samples),
        local_bound_by_samples=growth(local, samples),
        log_prob_by=best,
        not_converged=int(np.sum(~found.converged)),
        family_not_converged=0 if other is None else int(np.sum(~other.converged)),
        seconds_per_row=of.costs(raw),
        warnings=not_finite(
            elbo=trained.elbo, local_elbo=local.elbo, bound=trained.bound, local_bound=local.bound, annealed=annealed
        ),
    )
    worse = None if other is None else mean_of(_minus(local.elbo, other.elbo))
    return replace(gap, warnings=(*_warnings(gap, worse), *gap.warnings))


@dataclass(frozen=True)
class _Measurement:
    """What is done to one set of rows, each step with a key of its own."""

    model: Model
    rows: NDArray[Any]
    schema: Schema
    keys: dict[str, PRNGKeyArray]
    samples: int
    inference: Inference
    search: Search
    report: Progress | None

    def as_trained(self) -> NDArray[Any]:
        """q of each row as the model was trained to find it, (N, R)."""
        key = self.keys["found"]
        return np.asarray(find_rows(self.inference, self.model, self.rows, self.schema, key, report=self.report).raw)

    def searched(self, raw: NDArray[Any]) -> Found:
        """The best q of each row in the model's family."""
        key, search = self.keys["search"], self.search
        return optimize_rows(self.model, self.rows, self.schema, key, raw, search=search, report=self.report)

    def bounds(self, purpose: str, raw: Any) -> RowBounds:
        return row_bounds(self.model, self.rows, self.schema, self.keys[purpose], self.samples, raw=raw)

    def in_family(self, family: Posterior, raw: Any) -> LocalBound:
        """The best ELBO of each row in another family."""
        how: Any = {"search": self.search, "family": family, "report": self.report}
        return optimize_family(self.model, self.rows, self.schema, self.keys["family"], raw, **how)

    def annealed(self, annealing: Annealing, raw: Any) -> NDArray[Any]:
        key = self.keys["annealing"]
        return annealed_bound(self.model, self.rows, self.schema, key, annealing, raw=raw, report=self.report)

    def costs(self, raw: NDArray[Any]) -> RowCost:
        """Seconds per row, measured on as many rows as are held at once, so that none is filler."""

        def repeated(count: int) -> _Measurement:
            return replace(self, rows=self.rows[np.arange(count) % len(self.rows)], report=None)

        count = filled_size(len(self.rows), MOST_ROWS)
        finding, searching = repeated(MOST_ROWS if self.inference.samples else count), repeated(count)
        start = raw[np.arange(count) % len(raw)]
        return RowCost(
            _seconds(finding.as_trained) / len(finding.rows), _seconds(lambda: searching.searched(start)) / count
        )


def _seconds(work: Callable[[], Any]) -> float:
    """How long work takes that was compiled before."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _means(
    trained: RowBounds, local: RowBounds, family_elbo: NDArray[Any] | None, annealed: NDArray[Any] | None
) -> tuple[dict[str, Any], str]:
    """Every mean of a Gap, and the name of the largest lower bound on ln p(x)."""
    bounds = {"bound": trained.bound, "local_bound": local.bound, "local_elbo": local.elbo}
    bounds |= {} if family_elbo is None else {"family_elbo": family_elbo}
    bounds |= {} if annealed is None else {"annealed_bound": annealed}
    best = max(bounds, key=lambda name: np.nan_to_num(mean_of(bounds[name]).value, nan=-np.inf))
    log_prob = bounds[best]
    differences = {
        "amortization_gap": _minus(local.elbo, trained.elbo),
        "approximation_gap": _minus(log_prob, local.elbo),
        "inference_gap": _minus(log_prob, trained.elbo),
        "family_approximation_gap": None if family_elbo is None else _minus(log_prob, family_elbo),
    }
    rows = {"annealed_bound": None, "family_elbo": None, **bounds, **differences}
    rows |= {"amortized_elbo": trained.elbo, "log_prob": log_prob}
    return {name: None if values is None else mean_of(values) for name, values in rows.items()}, best


def _minus(one: NDArray[Any], other: NDArray[Any]) -> NDArray[Any]:
    """Row by row; where both are −∞ the difference is unknown, NaN, and the rows are told."""
    with np.errstate(invalid="ignore"):
        difference: NDArray[Any] = one - other
    return difference


def _warnings(gap: Gap, worse: Estimate | None) -> Iterator[str]:
    """Searches that did not end well; ``worse`` is how far the other family's best lies below that of the own."""
    for where, count in (("", gap.not_converged), (f" in the family {gap.family}", gap.family_not_converged)):
        if count:
            yield f"the search for q{where} had not converged on {count} of {gap.rows} rows."
    if worse is not None and worse.standard_error is not None and worse.value > 2 * worse.standard_error:
        yield f"the search in the family {gap.family} found nothing better than the run's own family."
