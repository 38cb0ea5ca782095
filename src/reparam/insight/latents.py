"""What each latent does: what it moves, how far, and what it has to do with the labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from reparam.insight.session import Session

QUANTILES = (0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98)


def quantiles(session: Session, levels: tuple[float, ...] = QUANTILES) -> NDArray[np.float64]:
    """The prior's quantiles in each latent, (K, levels)."""
    return np.asarray(np.quantile(session.prior_draws, levels, axis=0).T)


def traversal(session: Session, z: NDArray[np.float64], latent: int, like: int = 0) -> NDArray[Any]:
    """What a code decodes to as one latent goes through the prior's quantiles, (levels, P) in stored units."""
    return session.decode(session.followed(moved(z, latent, quantiles(session)[latent]), latent), like)


def moved(z: NDArray[np.float64], latent: int, places: NDArray[np.float64]) -> NDArray[np.float64]:
    """A code (K,) with one latent at each of some places: (places, K).

    >>> moved(np.zeros(2), 1, np.array([-1.0, 1.0])).tolist()
    [[0.0, -1.0], [0.0, 1.0]]
    """
    codes = np.repeat(z[None], len(places), axis=0)
    codes[:, latent] = places
    return codes


def middles(count: int) -> tuple[float, ...]:
    """Levels of quantiles, the middles of so many equal shares: 1/(2G), 3/(2G) and so on.

    >>> middles(2)
    (0.25, 0.75)
    """
    return tuple(((np.arange(count) + 0.5) / count).tolist())


def effects(session: Session, z: NDArray[np.float64], latent: int, like: int = 0) -> NDArray[np.float64]:
    r"""How much each feature moves from the prior's 10 % to its 90 % quantile, (P,).

    In stored units; of a coded column the probability that moves to other levels,
    :math:`\frac12 \sum_l |p_{90}(l) - p_{10}(l)|`.
    """
    ends = moved(z, latent, np.quantile(session.prior_draws[:, latent], [0.1, 0.9]))
    ends = session.followed(ends, latent)
    low, high = session.decode(ends, like).astype(np.float64)
    found = np.asarray(high - low)
    for column, (before, after) in session.level_probabilities(ends, like).items():
        found[column] = 0.5 * np.abs(after - before).sum()
    return found


def label_share(session: Session) -> tuple[str, NDArray[np.float64]] | None:
    """What the labels have to do with each latent, and the name of that quantity, (K,); None without labels.

    Many-valued numeric labels: Pearson's r. Otherwise the correlation ratio η², the share of the latent's variance
    that lies between the labels' means (Pearson 1905).
    """
    if session.labels is None:
        return None
    codes, labels = session.codes.mean.astype(np.float64), session.labels
    if labels.dtype.kind == "f" and len(np.unique(labels)) > 20:
        return "correlation r with the label", _correlation(codes, labels.astype(np.float64))
    _, numbers, counts = np.unique(labels, return_inverse=True, return_counts=True)
    centred = codes - codes.mean(axis=0)
    sums = np.stack([np.bincount(numbers, weights=column) for column in centred.T], axis=-1)
    between = np.sum(sums**2 / counts[:, None], axis=0)
    total = np.sum(centred**2, axis=0)
    return "share η² of its variance between labels", np.divide(between, total, np.zeros_like(total), where=total > 0)


def _correlation(codes: NDArray[np.float64], labels: NDArray[np.float64]) -> NDArray[np.float64]:
    known = np.isfinite(labels)
    a, b = codes[known] - codes[known].mean(axis=0), labels[known] - labels[known].mean()
    scale = np.sqrt(np.sum(a**2, axis=0) * np.sum(b**2))
    return np.asarray(np.divide(b @ a, scale, out=np.zeros(a.shape[1]), where=scale > 0))


def start_code(session: Session) -> NDArray[np.float64]:
    """Where the sliders begin: the middle of the prior, to a tenth, (K,)."""
    return np.asarray(np.median(session.prior_draws, axis=0).round(1) + 0.0)


def grid(session: Session, count: int) -> tuple[list[NDArray[np.float64]], NDArray[Any]]:
    """A grid over the one or two latents that explain x at the prior's quantiles, and what it decodes to, (count^K, P).

    The first latent varies fastest.
    """
    axes = list(quantiles(session, middles(count))[: session.explaining])
    mesh = np.stack(np.meshgrid(*axes, indexing="xy"), axis=-1).reshape(-1, session.explaining)
    codes = np.tile(start_code(session), (len(mesh), 1))  # of upper layers, which decode to nothing of themselves
    codes[:, : session.explaining] = mesh
    return axes, session.decode(codes)
