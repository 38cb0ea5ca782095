r"""Linear-Gaussian models in closed form: where the training of a VAE of real numbers begins.

.. math:: z \sim \mathcal N(0, I), \qquad x \mid z \sim \mathcal N(b + Wz, \operatorname{diag}\psi)

For given noise ψ the best W is known: with λ, U the leading eigenvalues and vectors of
:math:`\Psi^{-1/2} S \Psi^{-1/2}`, S the covariance of the data, :math:`W = \Psi^{1/2} U (\Lambda - I)^{1/2}`. So
:math:`W^\top \Psi^{-1} W = \Lambda - I` is diagonal, and with it the exact posterior,
:math:`z \mid x \sim \mathcal N(\Lambda^{-1} W^\top \Psi^{-1} (x - b), \Lambda^{-1})`: a VAE with a diagonal q loses
nothing here, and its ELBO is ln p(x).

Everything is NumPy in double precision.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from threadpoolctl import ThreadpoolController

Matrix = NDArray[np.float64]

NOISE_FLOOR = 1e-4
"""The least noise variance of a feature, in units of its variance: without one the likelihood has no maximum where a
latent can copy a feature (a Heywood case); Jöreskog's (1967) and R's own bound."""
ROWS_FOR_MOMENTS = 20_000
FEATURES_FOR_FACTORS, FEATURES_FOR_FOLDS = 500, 100
FOLDS = 5
PRIORS = (0.03, 0.3, 3.0, 30.0)


class Start(NamedTuple):
    """Where encoder and decoder begin, in plain arrays; a tree that may be stacked and traced.

    Args:
        intercept: b, shape (P,): the decoder's raw output at z = 0.
        loadings: W, shape (P, K).
        noise: of the likelihood itself, shape (P,): a Gaussian's deviations, the inverse dispersion of a negative
            binomial; None where it has none.
        posterior_map: from what the encoder sees to the mean of q(z|x), shape (P, K): t(x) @ posterior_map + intercept.
        posterior_intercept: shape (K,).
        posterior_std: the deviations of q(z|x), shape (K,).
    """

    intercept: Any
    loadings: Any
    noise: Any
    posterior_map: Any
    posterior_intercept: Any
    posterior_std: Any


@dataclass(frozen=True)
class LinearGaussian:
    """A linear-Gaussian model whose loadings make the posterior's covariance diagonal.

    Args:
        intercept: b, shape (P,): the mean of x.
        loadings: W, shape (P, K), WᵀΨ⁻¹W diagonal; a latent that the data do not support has a column of zeros.
        noise: ψ, the variances of the noise, shape (P,).
    """

    intercept: Matrix
    loadings: Matrix
    noise: Matrix

    @property
    def posterior_std(self) -> Matrix:
        r"""The deviations of z given any x, :math:`(1 + w_k^\top \Psi^{-1} w_k)^{-1/2}`, shape (K,)."""
        std: Matrix = 1.0 / np.sqrt(1.0 + np.sum(self.loadings**2 / self.noise[:, None], axis=0))
        return std

    @property
    def posterior_map(self) -> Matrix:
        """What takes x to the mean of z given x, shape (P, K): x @ posterior_map + posterior_intercept."""
        return self.loadings / self.noise[:, None] * self.posterior_std**2

    @property
    def posterior_intercept(self) -> Matrix:
        """The mean of z given x = 0, shape (K,)."""
        return -self.intercept @ self.posterior_map

    @property
    def covariance(self) -> Matrix:
        """Of x: WWᵀ + Ψ, shape (P, P)."""
        return self.loadings @ self.loadings.T + np.diag(self.noise)

    @property
    def start(self) -> Start:
        """Its parameters and its posterior's."""
        posterior = self.posterior_map, self.posterior_intercept, self.posterior_std
        return Start(self.intercept, self.loadings, np.sqrt(self.noise), *posterior)

    def log_density(self, x: Matrix) -> Matrix:
        """Ln p(x) of rows (N, P), nats, shape (N,), in time NPK: by the determinant lemma and Woodbury's identity."""
        centred = x - self.intercept
        codes = centred @ self.posterior_map / self.posterior_std
        distance = np.sum(centred**2 / self.noise, axis=1) - np.sum(codes**2, axis=1)
        log_determinant = np.sum(np.log(2.0 * np.pi * self.noise)) - 2.0 * np.sum(np.log(self.posterior_std))
        log_density: Matrix = -0.5 * (distance + log_determinant)
        return log_density


Fit = Callable[[NDArray[Any], int], LinearGaussian]


def probabilistic_pca(x: NDArray[Any], latent_dim: int) -> LinearGaussian:
    r"""The maximum of the likelihood with one noise for all features.

    :math:`\sigma^2` is the mean of the eigenvalues of the covariance that are left out,
    :math:`W = U(\Lambda - \sigma^2 I)^{1/2}`.

    Args:
        x: rows, shape (N, P).
        latent_dim: K ≥ 1; what exceeds the data's rank stays without loadings.

    Source: Tipping & Bishop (1999), Equations 7 and 8.

    >>> x = np.random.default_rng(0).normal(size=(500, 3)) * [3.0, 1.0, 1.0]
    >>> model = probabilistic_pca(x, 1)
    >>> model.loadings.shape, model.noise.round(1).tolist()
    ((3, 1), [1.0, 1.0, 1.0])
    """
    mean, centred = _centred(x)
    size, kept = x.shape[1], min(latent_dim, x.shape[1] - 1)
    total = np.sum(centred**2) / len(centred)
    leading, directions = _leading(centred, kept)
    noise = max((total - leading.sum()) / max(size - kept, 1), NOISE_FLOOR * total / size, np.finfo(np.float64).tiny)
    loadings = directions * np.sqrt(np.maximum(leading - noise, 0.0))
    return LinearGaussian(mean, padded(loadings, latent_dim), np.full(size, noise))


def factor_analysis(x: NDArray[Any], latent_dim: int, prior: float = 0.0) -> LinearGaussian:
    r"""The maximum of the likelihood with a noise for each feature, by quasi-Newton steps on ln ψ.

    For given ψ the best W is known, so that only ψ is searched for. With λ the eigenvalues of
    :math:`\Psi^{-1/2} S \Psi^{-1/2}`, −2/N times the log-likelihood is, up to a constant,

    .. math:: f(\psi) = \ln|\Psi| + \sum_{k \le K} (\ln \lambda_k + 1) + \sum_{k > K} \lambda_k, \qquad
        \frac{\partial f}{\partial \ln \psi_j} = \frac{(WW^\top + \Psi - S)_{jj}}{\psi_j}

    and ψ is held within ``NOISE_FLOOR`` and 1 times the variance of its feature.

    Args:
        x: rows, shape (N, P).
        latent_dim: K ≥ 1; what exceeds the data's rank stays without loadings.

    Source: Jöreskog (1967), Equations 15 to 26; the search within bounds is that of R's factanal.

    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(20_000, 1)) @ np.ones((1, 4)) + rng.normal(size=(20_000, 4)) * [1.0, 0.5, 2.0, 1.0]
    >>> np.sqrt(factor_analysis(x, 1).noise).round(1).tolist()
    [1.0, 0.5, 2.0, 1.0]
    """
    mean, centred = _centred(x)
    std = _positive(centred.std(axis=0))
    correlation = centred.T @ centred / len(centred) / np.outer(std, std)
    kept = min(latent_dim, len(std) - 1)
    noise = search_noise(correlation, kept, lowest=np.full(len(std), NOISE_FLOOR), prior=prior / len(centred))
    loadings, _ = best_loadings(correlation, noise, kept)
    return LinearGaussian(mean, padded(loadings * std[:, None], latent_dim), noise * std**2)


def search_noise(covariance: Matrix, latent_dim: int, *, lowest: Matrix, prior: float = 0.0) -> Matrix:
    """The noise variances ψ (P,) that maximise the likelihood, each between ``lowest`` and its feature's variance.

    Args:
        covariance: S, shape (P, P).
        latent_dim: K < P.
        lowest: shape (P,), positive.
        prior: adds ``prior / ψ`` to −2/N times the log-likelihood.
    """
    from scipy.optimize import minimize  # which a model that is only used does not need

    variances = np.diag(covariance)

    def objective(log_noise: Matrix) -> tuple[float, Matrix]:
        noise = np.exp(log_noise)
        loadings, leading = best_loadings(covariance, noise, latent_dim)
        supported = np.maximum(leading, 1.0)
        rest = np.sum(variances / noise) - np.sum(leading)
        value = np.sum(log_noise) + np.sum(np.log(supported) + leading / supported) + rest + np.sum(prior / noise)
        return float(value), (np.sum(loadings**2, axis=1) + noise - variances - prior) / noise

    highest = np.maximum(variances, 2.0 * lowest)
    bounds = list(zip(np.log(lowest), np.log(highest), strict=True))
    with _threads().limit(limits=1):  # those that wait for each other cost ten times what they save
        start = np.clip((1.0 - latent_dim / (2.0 * len(variances))) * _unexplained(covariance), 2.0 * lowest, highest)
        found = minimize(objective, np.log(start), jac=True, method="L-BFGS-B", bounds=bounds)
    noise: Matrix = np.exp(found.x)
    return noise


@cache
def _threads() -> ThreadpoolController:
    """The threads of linear algebra; they are looked for once, among all libraries that the process has loaded."""
    return ThreadpoolController()


def best_linear(x: NDArray[Any], latent_dim: int, seed: int = 0) -> tuple[str, Fit]:
    """The way to fit a linear-Gaussian model that explains held-out rows best, and its name: five folds choose.

    Candidates are probabilistic PCA and factor analysis with priors of growing strength; with more than
    ``FEATURES_FOR_FACTORS`` features only the first, which needs one decomposition. Of more than ``FEATURES_FOR_FOLDS``
    the rows of one fold say as much, and the others would take longer than training.

    Args:
        x: rows, shape (N, P).
        latent_dim: K.
        seed: of the folds.

    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(500, 1)) @ np.ones((1, 4)) + rng.normal(size=(500, 4)) * [1.0, 0.1, 2.0, 1.0]
    >>> best_linear(x, 1)[0]
    'factor analysis, prior 0.03'
    """
    x = x[:: -(-len(x) // ROWS_FOR_MOMENTS)]
    candidates: dict[str, Fit] = {"probabilistic PCA": probabilistic_pca}
    if x.shape[1] <= FEATURES_FOR_FACTORS:
        candidates |= {f"factor analysis, prior {prior:g}": partial(factor_analysis, prior=prior) for prior in PRIORS}
    folds = np.random.default_rng(seed).permutation(len(x)) % FOLDS
    judging = min(FOLDS if x.shape[1] <= FEATURES_FOR_FOLDS else 1, len(x))

    if len(candidates) == 1:
        return next(iter(candidates.items()))

    def held_out(fit: Fit) -> float:
        scores = [fit(x[folds != fold], latent_dim).log_density(x[folds == fold]) for fold in range(judging)]
        return float(np.mean(np.concatenate(scores)))

    best = max(candidates, key=lambda name: held_out(candidates[name]))
    return best, candidates[best]


def best_loadings(covariance: Matrix, noise: Matrix, latent_dim: int) -> tuple[Matrix, Matrix]:
    """The best W for given noise, (P, K), and the K leading eigenvalues of the covariance in units of the noise."""
    size, std = len(noise), np.sqrt(noise)
    if latent_dim == 0:
        return np.zeros((size, 0)), np.zeros(0)
    eigenvalues, vectors = eigh(covariance / np.outer(std, std), subset_by_index=[size - latent_dim, size - 1])
    eigenvalues, vectors = eigenvalues[::-1], vectors[:, ::-1]
    return std[:, None] * vectors * np.sqrt(np.maximum(eigenvalues - 1.0, 0.0)), eigenvalues


def _unexplained(covariance: Matrix) -> Matrix:
    """The variance of each feature that the others leave, 1 / (S⁻¹)ⱼⱼ, of a ridged S in case it has no inverse."""
    ridge = 1e-3 * np.diag(_positive(np.abs(np.diag(covariance))))
    precision: Matrix = np.diag(np.linalg.pinv(covariance + ridge, hermitian=True))
    return 1.0 / np.maximum(precision, np.finfo(np.float64).tiny)


def _positive(std: Matrix) -> Matrix:
    """Deviations, 1 in place of 0: a constant column has no unit."""
    return np.where(std > 0.0, std, 1.0)


def _centred(x: NDArray[Any]) -> tuple[Matrix, Matrix]:
    """The column means and the centred rows, of evenly spaced rows where there are many."""
    rows = np.asarray(x[:: -(-len(x) // ROWS_FOR_MOMENTS)], dtype=np.float64)
    mean: Matrix = rows.mean(axis=0)
    return mean, rows - mean


def _leading(centred: Matrix, count: int) -> tuple[Matrix, Matrix]:
    """The leading eigenvalues (count,) and vectors (P, count) of the rows' covariance, through its smaller side."""
    rows, size = centred.shape
    if count == 0:
        return np.zeros(0), np.zeros((size, 0))
    if size <= rows:
        values, vectors = eigh(centred.T @ centred / rows, subset_by_index=[size - count, size - 1])
        return values[::-1], vectors[:, ::-1]
    kept = min(count, rows)
    values, left = eigh(centred @ centred.T / rows, subset_by_index=[rows - kept, rows - 1])
    values = np.maximum(values[::-1], np.finfo(np.float64).tiny)
    vectors = centred.T @ left[:, ::-1] / np.sqrt(rows * values)
    return padded(values[None], count)[0], padded(vectors, count)


def padded(matrix: Matrix, columns: int) -> Matrix:
    """With columns of zeros on the right, up to ``columns``."""
    return np.pad(matrix, ((0, 0), (0, columns - matrix.shape[1])))
