"""Evaluations of parts of the data → that of all of them: means and their errors exactly, by the rows of each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, replace

import numpy as np

from reparam.devices.processes import every
from reparam.documents import checked
from reparam.evaluation.bounds import Evaluation, told_counts
from reparam.evaluation.noise import ObservationNoise
from reparam.evaluation.weights import BoundAt


def joined(parts: Sequence[Evaluation], drawn: Evaluation) -> Evaluation:
    r"""The evaluation of all rows, from those of disjoint parts of them and of some rows drawn from all.

    Means are weighted by rows; with part p of :math:`n_p` rows, mean :math:`m_p` and standard error :math:`s_p`,

    .. math:: s^2 = \frac1{n(n-1)} \sum_p \bigl[n_p (n_p - 1) s_p^2 + n_p (m_p - m)^2\bigr]

    What takes all rows at once is that of ``drawn``, as a warning says: active units, mutual information, and the
    median of the effective draws.

    Source: Chan, Golub & LeVeque (1983), Equation 2.1.
    """
    rows = np.asarray([part.rows for part in parts], np.float64)

    def mean(name: str) -> float:
        return float(np.average([getattr(part, name) for part in parts], weights=rows))

    def error(name: str, error_name: str) -> float | None:
        errors = [getattr(part, error_name) for part in parts]
        if any(error is None and part.rows > 1 for error, part in zip(errors, parts, strict=True)):
            return None  # of a value that is not finite
        within = sum(n * (n - 1) * (s or 0.0) ** 2 for n, s in zip(rows.tolist(), errors, strict=True))
        between = float(np.sum(rows * (np.asarray([getattr(part, name) for part in parts]) - mean(name)) ** 2))
        return math.sqrt((within + between) / (total * (total - 1))) if math.isfinite(between) else None

    total = int(rows.sum())
    few, moving, singular = (
        sum(getattr(part, name) for part in parts)
        for name in ("rows_below_10_effective", "not_converged", "singular_rows")
    )
    kl, terms = mean("kl"), [part.kl_per_dimension for part in parts]
    bits = [part.bits_per_dimension for part in parts]
    told = (
        f"active units, mutual information, aggregate KL and the median of effective draws are those of {drawn.rows:,} "
        f"rows, drawn from the {total:,}; all other figures are those of all rows."
    )
    return replace(
        drawn,
        rows=total,
        elbo=mean("elbo"),
        elbo_standard_error=error("elbo", "elbo_standard_error"),
        reconstruction=mean("reconstruction"),
        kl=kl,
        kl_per_dimension=None if None in terms else tuple(np.average(np.asarray(terms), axis=0, weights=rows).tolist()),
        bound=mean("bound"),
        standard_error=error("bound", "standard_error"),
        bound_by_samples=tuple(
            BoundAt(at[0].samples, float(np.average([each.bound for each in at], weights=rows)))
            for at in zip(*(part.bound_by_samples for part in parts), strict=True)
        ),
        rows_below_10_effective=few,
        aggregate_kl=kl - drawn.mutual_information,
        singular_rows=singular,
        bits_per_dimension=None if None in bits else mean("bits_per_dimension"),
        observation_noise=_noise([part.observation_noise for part in parts], rows),
        not_converged=moving,
        warnings=(*told_counts(total, few, drawn.samples, moving, singular), *_not_finite(parts), told),
    )


def of_all(own: Sequence[Evaluation]) -> list[Evaluation]:
    """The evaluations of every process, in the order of the processes."""
    told = every({}, [asdict(evaluation) for evaluation in own])
    return [checked(Evaluation, each, "an evaluation") for _, documents in told for each in documents]


def _noise(parts: Sequence[ObservationNoise | None], rows: np.ndarray) -> ObservationNoise | None:
    """Of deviations the squares are what is averaged."""
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    implied, residual = (
        float(np.average([getattr(part, name) ** 2 for part in known], weights=rows))
        for name in ("implied_scale", "residual_scale")
    )
    smallest = float(np.finfo(np.float32).tiny)
    return ObservationNoise(math.sqrt(implied), math.sqrt(residual), implied / max(residual, smallest))


def _not_finite(parts: Sequence[Evaluation]) -> tuple[str, ...]:
    """A line for each of the two bounds that is not finite on all parts."""
    wrong = {name: sum(not math.isfinite(getattr(part, name)) for part in parts) for name in ("elbo", "bound")}
    return tuple(
        f"{name} is not finite in {count} of {len(parts)} parts, so neither is its mean, which is null in JSON."
        for name, count in wrong.items()
        if count
    )
