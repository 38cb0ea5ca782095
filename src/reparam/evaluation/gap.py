r"""Where a model's ELBO loses nats: the encoder, the family of q, and what is left to ln p(x)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import PRNGKeyArray
from numpy.typing import NDArray

from reparam.data import Schema
from reparam.evaluation.annealing import Annealing, annealed_bound
from reparam.evaluation.local import find_rows, optimize_family, optimize_rows, richer_family, rows_at_once
from reparam.evaluation.results import Mean, mean_of
from reparam.evaluation.rows import Progress
from reparam.evaluation.weights import Growth, growth, row_bounds
from reparam.inference import AMORTIZED, Found, Inference, Search
from reparam.model import Model


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
    """

    rows: int
    samples: int
    amortized_elbo: Mean
    local_elbo: Mean
    family: str | None
    family_elbo: Mean | None
    bound: Mean
    bound_by_samples: Growth
    local_bound: Mean
    local_bound_by_samples: Growth
    annealed_bound: Mean | None
    log_prob: Mean
    log_prob_by: str
    approximation_gap: Mean
    amortization_gap: Mean
    inference_gap: Mean
    family_approximation_gap: Mean | None
    not_converged: int
    family_not_converged: int
    seconds_per_row: RowCost

    def to_json(self) -> dict[str, Any]:
        """The fields as plain values, a mean as its value and standard error."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: _plain(value) for name, value in values.items()}


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
    search = Search() if search is None else search
    found_key, amortized_key, search_key, local_key, family_key, annealing_key = jax.random.split(key, 6)

    def as_trained(rows: NDArray[Any], report: Progress | None = None) -> NDArray[Any]:
        return np.asarray(find_rows(inference, model, rows, schema, found_key, report=report).raw)

    def searched(rows: NDArray[Any], raw: NDArray[Any], report: Progress | None = None) -> Found:
        return optimize_rows(model, rows, schema, search_key, raw, search=search, report=report)

    richer = None if family is None else richer_family(family, model)
    raw = as_trained(rows, report) if raw is None else raw
    amortized = row_bounds(model, rows, schema, amortized_key, samples, raw=raw)
    found = searched(rows, raw, report)
    local = row_bounds(model, rows, schema, local_key, samples, raw=found.raw)
    amortized_elbo, local_elbo = amortized.reconstruction - amortized.kl, local.reconstruction - local.kl
    other = None
    if richer is not None:
        start = np.asarray(found.raw)
        other = optimize_family(model, rows, schema, family_key, start, search=search, family=richer, report=report)
    bounds = {"bound": amortized.bound, "local_bound": local.bound, "local_elbo": local_elbo}
    if other is not None:
        bounds["family_elbo"] = other.elbo
    if annealing is not None:
        bounds["annealed_bound"] = annealed_bound(
            model, rows, schema, annealing_key, annealing, raw=np.asarray(found.raw), report=report
        )
    finding, searching = rows_at_once(schema, Search()), rows_at_once(schema, search, len(rows))
    best = max(bounds, key=lambda name: mean_of(bounds[name]).value)
    log_prob = bounds[best]
    return Gap(
        rows=len(rows),
        samples=samples,
        amortized_elbo=mean_of(amortized_elbo),
        local_elbo=mean_of(local_elbo),
        family=family,
        family_elbo=None if other is None else mean_of(other.elbo),
        bound=mean_of(amortized.bound),
        bound_by_samples=growth(amortized, samples),
        local_bound=mean_of(local.bound),
        local_bound_by_samples=growth(local, samples),
        annealed_bound=None if annealing is None else mean_of(bounds["annealed_bound"]),
        log_prob=mean_of(log_prob),
        log_prob_by=best,
        approximation_gap=mean_of(log_prob - local_elbo),
        amortization_gap=mean_of(local_elbo - amortized_elbo),
        inference_gap=mean_of(log_prob - amortized_elbo),
        family_approximation_gap=None if other is None else mean_of(log_prob - other.elbo),
        not_converged=int(np.sum(~found.converged)),
        family_not_converged=0 if other is None else int(np.sum(~other.converged)),
        seconds_per_row=RowCost(
            _seconds(lambda: as_trained(rows[:finding])) / finding,
            _seconds(lambda: searched(rows[:searching], raw[:searching])) / searching,
        ),
    )


def _seconds(work: Callable[[], Any]) -> float:
    """How long work takes on a chunk of rows, which is filled up if there are fewer; all of it was compiled before."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _plain(value: Any) -> Any:
    if isinstance(value, Mean | RowCost):
        return value._asdict()
    return [{"samples": count, "bound": bound} for count, bound in value] if isinstance(value, tuple) else value
