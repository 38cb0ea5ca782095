r"""Linear models of bits and counts by their moments: where training begins under those likelihoods.

.. math:: z \sim \mathcal N(0, I), \qquad \eta = b + Wz, \qquad x \mid z \sim p(\cdot \mid \eta)

With m the mean of a feature and v the variance of x given η = g(m), the working response :math:`y = (x - m)\,d\eta/dm`
has the noise :math:`\psi = v\,(d\eta/dm)^2` and to first order the covariance :math:`WW^\top + \Psi` (McCullagh &
Nelder 1989, Section 2.5). The linear-Gaussian answer gives W; the curvature of the link is then taken into account by
moments that are known in closed form.

The encoder's linear map is the regression of z on features t(x) of rows that are drawn from this model: the best linear
encoder there is for it, whatever the likelihood (the sleep phase of Hinton et al. 1995, solved instead of trained).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_softmax, logit

from reparam.starts.linear import Matrix, Start, best_loadings, padded, search_noise

DREAMS = 4000
RIDGE = 1e-3
LEAST_NOISE = 0.3
LARGEST_SHARE = 0.75
"""Of the variance 8/π that a logit's first-order loadings may have before the correction leaves its range."""


def linked_start(x: NDArray[Any], latent_dim: int, likelihood: str, seed: int = 0, *, library: str = "none") -> Start:
    """The moment start of a likelihood in ``MOMENTS``.

    Args:
        x: rows of bits or counts, shape (N, P).
        latent_dim: K.
        likelihood: ``bernoulli``, ``poisson`` or ``negative_binomial``.
        seed: of the rows drawn for the encoder.
        library: of counts, as their likelihood has it. Where depth is ``observed``, or what the last latent says, rows
            are taken as if all were counted to the mean depth, and the decoder's loadings are of the other latents.

    >>> rng = np.random.default_rng(0)
    >>> z = rng.normal(size=(20_000, 1))
    >>> start = linked_start(rng.poisson(np.exp(1.0 + 0.5 * z @ np.ones((1, 4)))), 1, "poisson")
    >>> np.abs(start.loadings[:, 0]).round(1).tolist(), start.intercept.round(1).tolist()
    ([0.5, 0.5, 0.5, 0.5], [1.0, 1.0, 1.0, 1.0])
    """
    given = np.asarray(x, np.float64)
    rows = given if library == "none" else np.mean(given.sum(axis=1)) * _shares(given)
    decoded = latent_dim - (library == "latent")
    intercept, loadings, noise = MOMENTS[likelihood](rows, decoded)
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(DREAMS, latent_dim))
    raw = intercept + z[:, :decoded] @ loadings.T
    if library == "latent":
        depths = np.log(np.maximum(given.sum(axis=1), 1.0))
        raw = log_softmax(raw, axis=1) + depths.mean() + depths.std() * z[:, decoded:]
    dreamed = DRAWS[likelihood](rng, raw, noise)
    seen = 1e4 * _shares(dreamed) if library == "observed" else dreamed  # as networks.LogCounts shows them
    return Start(intercept, loadings, noise, *_regression(FEATURES[likelihood](seen), z))


def bernoulli_moments(x: Matrix, latent_dim: int) -> tuple[Matrix, Matrix, None]:
    r"""Logits by first-order loadings w₁, corrected for the sigmoid's flattening.

    With :math:`s` the variance of a logit, :math:`E\,\sigma(b + \sqrt s\,\epsilon) \approx \sigma(b/c)` and its slope
    falls by the same c, :math:`c^2 = 1 + \pi s/8` (MacKay 1992); in terms of first-order loadings
    :math:`c^{-2} = 1 - \pi |w_1|^2/8`, w = c w₁ and b = c logit(m).
    """
    mean = (x.sum(axis=0) + 0.5) / (len(x) + 1.0)
    response = (x - mean) / (mean * (1.0 - mean))
    covariance = response.T @ response / len(x)
    latents = min(latent_dim, len(mean) - 1)
    noise = search_noise(covariance, latents, lowest=LEAST_NOISE * np.diag(covariance))
    first, _ = best_loadings(covariance, noise, latents)
    explained = np.pi / 8.0 * np.sum(first**2, axis=1)
    share = np.minimum(explained, LARGEST_SHARE)
    intercept_gain = 1.0 / np.sqrt(1.0 - share)
    gain = intercept_gain * np.sqrt(share / np.maximum(explained, np.finfo(np.float64).tiny))
    return logit(mean) * intercept_gain, padded(first * gain[:, None], latent_dim), None


def poisson_moments(x: Matrix, latent_dim: int) -> tuple[Matrix, Matrix, None]:
    r"""The lognormal's own moments, :math:`E\,x = e^{b + |w|^2/2}`, :math:`\ln(1 + C_{ij}/m_i m_j) = w_i^\top w_j`.

    C is the covariance without the Poisson noise on its diagonal. Source: Aitchison & Ho (1989), Equations 2.3 to 2.5.
    """
    mean, covariance = _log_covariance(x)
    loadings, _ = best_loadings(covariance, 1.0 / mean, min(latent_dim, len(mean)))
    intercept = np.log(mean) - 0.5 * np.sum(loadings**2, axis=1)
    return intercept, padded(loadings, latent_dim), None


def negative_binomial_moments(x: Matrix, latent_dim: int) -> tuple[Matrix, Matrix, Matrix]:
    r"""As for Poisson; what a feature varies by itself is its dispersion, :math:`\psi_j = 1/m_j + \ln(1 + 1/r_j)`.

    The noise ψ is that of a factor analysis, held above the Poisson's 1/m.
    """
    mean, covariance = _log_covariance(x)
    latents = min(latent_dim, len(mean) - 1)
    noise = search_noise(covariance, latents, lowest=1.0 / mean)
    loadings, _ = best_loadings(covariance, noise, latents)
    dispersion = np.expm1(np.clip(noise - 1.0 / mean, 1e-3, 10.0))
    intercept = np.log(mean) - 0.5 * np.sum(loadings**2, axis=1)
    return intercept, padded(loadings, latent_dim), 1.0 / dispersion


def _shares(counts: Matrix) -> Matrix:
    """What of its row each count is."""
    shares: Matrix = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1.0)
    return shares


def _log_covariance(x: Matrix) -> tuple[Matrix, Matrix]:
    """Means, and the covariance of ln λ by moments with the Poisson's working noise 1/m put back on the diagonal."""
    mean = (x.sum(axis=0) + 0.5) / len(x)
    relative = np.cov(x.T, bias=True).reshape(len(mean), -1) / np.outer(mean, mean) - np.diag(1.0 / mean)
    covariance: Matrix = np.log1p(np.maximum(relative, -0.9)) + np.diag(1.0 / mean)
    return mean, covariance


def _regression(features: Matrix, z: Matrix) -> tuple[Matrix, Matrix, Matrix]:
    """Ridge regression of z (N, K) on features (N, P): the map, the intercept, and the deviations that remain."""
    mean, std = features.mean(axis=0), features.std(axis=0) + 1e-6
    scaled = (features - mean) / std
    penalised = scaled.T @ scaled / len(z) + RIDGE * np.eye(features.shape[1])
    slopes = np.linalg.solve(penalised, scaled.T @ z / len(z))
    remaining: Matrix = np.sqrt(np.mean((z - z.mean(axis=0) - scaled @ slopes) ** 2, axis=0))
    return slopes / std[:, None], z.mean(axis=0) - (mean / std) @ slopes, remaining


def _draw_bits(rng: np.random.Generator, raw: Matrix, _: Matrix | None) -> Matrix:
    bits: Matrix = (rng.random(raw.shape) < expit(raw)).astype(np.float64)
    return bits


def _draw_counts(rng: np.random.Generator, raw: Matrix, inverse_dispersion: Matrix | None) -> Matrix:
    rate = np.exp(np.clip(raw, -30.0, 30.0))
    if inverse_dispersion is not None:
        rate = rate * rng.gamma(inverse_dispersion, 1.0 / inverse_dispersion, raw.shape)
    return rng.poisson(rate).astype(np.float64)


MOMENTS: dict[str, Callable[[Matrix, int], tuple[Matrix, Matrix, Matrix | None]]] = {
    "bernoulli": bernoulli_moments,
    "poisson": poisson_moments,
    "negative_binomial": negative_binomial_moments,
}
DRAWS: dict[str, Callable[[np.random.Generator, Matrix, Matrix | None], Matrix]] = {
    "bernoulli": _draw_bits,
    "poisson": _draw_counts,
    "negative_binomial": _draw_counts,
}
FEATURES: dict[str, Callable[[Matrix], Matrix]] = {
    "bernoulli": np.asarray,
    "poisson": np.log1p,
    "negative_binomial": np.log1p,
}
"""t(x): what the encoder sees of a row."""
