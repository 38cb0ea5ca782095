"""What people complete tables by, where scikit-learn has none: forests in turn (missForest) and MIWAE."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor
from torch import Tensor, nn
from torch.distributions import Independent, Normal, StudentT

Rows = NDArray[Any]

TREES, ROUNDS = 50, 5
LATENTS, UNITS, DRAWS = 10, 128, 20
BATCH, RATE = 64, 1e-3
IMPUTATION_DRAWS, IMPUTATION_ROWS = 1000, 50


def forests(x: Rows, places: Sequence[NDArray[np.intp]], seed: int) -> Rows:
    """Each column in turn from all the others by a forest, levels by their votes, from the fewest holes to the most.

    x holds the columns side by side, each at its places, levels as zeros and a one. Randomised trees stand for bagged
    ones, which cost several times as much. Source: Stekhoven & Bühlmann (2012).
    """
    seen, made = ~np.isnan(x), np.where(np.isnan(x), np.nanmean(x, axis=0), x)
    holes = [int((~seen[:, place[0]]).sum()) for place in places]
    for _ in range(ROUNDS):
        for number in np.argsort(holes, kind="stable"):
            place, known = places[number], seen[:, places[number][0]]
            others = np.delete(made, place, axis=1)
            if known.all() or not known.any():
                continue
            settings: dict[str, Any] = {"n_estimators": TREES, "random_state": seed}
            if len(place) == 1:
                numbers = ExtraTreesRegressor(**settings, min_samples_leaf=3).fit(others[known], made[known, place[0]])
                made[~known, place[0]] = numbers.predict(others[~known])
            else:
                codes = made[known][:, place].argmax(axis=1)
                levels = ExtraTreesClassifier(**settings, min_samples_leaf=3).fit(others[known], codes)
                made[np.ix_(~known, place)] = np.eye(len(place))[levels.predict(others[~known])]
    return made


class MIWAE(nn.Module):
    """A deep latent variable model of incomplete rows: zeros for missing cells, Student's t for those that were seen.

    The bound is E ln 1/K Σ_k p(x_obs|z_k) p(z_k)/q(z_k|x_obs), and a missing cell its expectation by the same weights,
    normalised. Three layers, as in the authors' experiments. Source: Mattei & Frellsen (2019).
    """

    def __init__(self, size: int):
        super().__init__()
        self.encoder = layers(size, 2 * LATENTS)
        self.decoder = layers(LATENTS, 3 * size)

    def weighed(self, x: Tensor, seen: Tensor, draws: int) -> tuple[Tensor, Tensor]:
        """Logarithms of the weights, (draws, N), and the means of all cells, (draws, N, P)."""
        loc, raw = self.encoder(x).chunk(2, dim=-1)
        q = Independent(Normal(loc, nn.functional.softplus(raw) + 1e-6), 1)
        prior = Independent(Normal(torch.zeros_like(loc), 1.0), 1)
        z = q.rsample((draws,))
        mean, scale, freedom = self.decoder(z).chunk(3, dim=-1)
        t = StudentT(3.0 + nn.functional.softplus(freedom), mean, nn.functional.softplus(scale) + 1e-3)
        return (t.log_prob(x) * seen).sum(-1) + prior.log_prob(z) - q.log_prob(z), mean


def layers(size: int, out: int) -> nn.Sequential:
    """Three affine layers."""
    return nn.Sequential(nn.Linear(size, UNITS), nn.ReLU(), nn.Linear(UNITS, UNITS), nn.ReLU(), nn.Linear(UNITS, out))


def miwae(x: Rows, seed: int, steps: int = 1000) -> Rows:
    """Rows completed by MIWAE, after so many steps of Adam."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    seen = torch.as_tensor(~np.isnan(x), dtype=torch.float32)
    given = torch.as_tensor(np.nan_to_num(x), dtype=torch.float32)
    model = MIWAE(x.shape[1])
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    for _ in range(steps):
        rows = torch.randint(len(x), (BATCH,))
        log_w, _ = model.weighed(given[rows], seen[rows], DRAWS)
        optimizer.zero_grad()
        (-log_w.logsumexp(0).mean()).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    made = []
    with torch.no_grad():
        for rows in torch.arange(len(x)).split(IMPUTATION_ROWS):
            log_w, mean = model.weighed(given[rows], seen[rows], IMPUTATION_DRAWS)
            made.append((log_w.softmax(0)[..., None] * mean).sum(0))
    return np.where(np.isnan(x), torch.cat(made).numpy(), x)
