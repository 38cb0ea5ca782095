"""Single rows: the worst and the best, what each feature adds to their score, and who lies beside them."""

from __future__ import annotations

from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray
from numpy.typing import NDArray

import reparam
from reparam.batch import Batch
from reparam.insight.session import Session, feature_log_prob
from reparam.model import Model

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
    return float(session.vae.score_samples(session.take([row]))[0])


def contributions(session: Session, row: int) -> NDArray[np.float64]:
    r"""What each feature adds to :math:`E_q \ln p(x|z)`, nats, shape (P,): the mean of ln p(x_j|z) over 64 draws."""
    key = jax.random.fold_in(session.seed_key(0), row)
    found = _contributions(session.model, session.raw(row), session.datum(row), key)
    return np.asarray(found, np.float64) - session.log_volumes(row)


def neighbours(session: Session, row: int, count: int = 8) -> list[tuple[int, float]]:
    """The rows whose posterior means lie nearest to that of a row, with their distances."""
    distances, found = session.tree.query(session.codes.mean[row], k=min(count + 1, session.rows))
    pairs = zip(np.atleast_1d(found).tolist(), np.atleast_1d(distances).tolist(), strict=True)
    return [(int(other), float(distance)) for other, distance in pairs if other != row][:count]


@eqx.filter_jit
def _contributions(model: Model, raw: Array, datum: Batch, key: PRNGKeyArray) -> Array:
    q = model.posterior.distribution(raw)
    z = reparam.reparameterize(q, reparam.draw_noise(q, key, (DRAWS,)))
    return jnp.mean(feature_log_prob(model, z, datum), axis=0)
