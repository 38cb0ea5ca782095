"""Single rows: the worst and the best, what each feature adds to their score, and who lies beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reparam.evaluation.contributions import row_contributions
from reparam.insight.session import Session

DRAWS = 64


@dataclass(frozen=True)
class Scored:
    """A row and its score, nats."""

    row: int
    score: float


def ranked(session: Session, count: int, *, best: bool = False) -> list[Scored]:
    """The rows of lowest score, or of highest, in that order."""
    scores = session.scores
    order = np.argsort(-scores.values if best else scores.values, kind="stable")[:count]
    return [Scored(int(scores.numbers[index]), float(scores.values[index])) for index in order]


def score_of(session: Session, row: int) -> float:
    """The K-sample bound of a row, nats, as :meth:`reparam.VAE.score_samples` gives it."""
    return float(session.score([row])[0])


def contributions(session: Session, numbers: Sequence[int]) -> NDArray[np.float64]:
    r"""What each feature of rows adds to :math:`E_q \ln p(x|z)`, nats, (M, P): the mean of ln p(x_j|z) of 64 draws."""
    rows, schema = session.vae.fitted_.stored(session.take(numbers).rows)
    found = row_contributions(session.model, rows, schema, session.seed_key(0), DRAWS, raw=session.raw_of(numbers))
    return np.asarray(found.cells, np.float64)


def neighbours(session: Session, row: int, count: int = 8) -> list[tuple[int, float]]:
    """The rows whose posterior means lie nearest to that of a row, with their distances."""
    distances, found = session.tree.query(session.codes.mean[row], k=min(count + 1, session.rows))
    pairs = zip(np.atleast_1d(found).tolist(), np.atleast_1d(distances).tolist(), strict=True)
    return [(int(other), float(distance)) for other, distance in pairs if other != row][:count]
