"""Starts in closed form against scikit-learn, SciPy and plain linear algebra."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.decomposition import PCA, FactorAnalysis
from sklearn.preprocessing import StandardScaler

from reparam.starts.linear import (
    FEATURES_FOR_FOLDS,
    NOISE_FLOOR,
    ROWS_FOR_MOMENTS,
    best_linear,
    factor_analysis,
    probabilistic_pca,
)

FITS = [probabilistic_pca, factor_analysis]


def factor_rows(rows: int = 400, *, features: int = 6, latents: int = 2, seed: int = 0) -> np.ndarray:
    """Rows of a factor model with unequal noise, and no unit or centre in common."""
    rng = np.random.default_rng(seed)
    loadings = rng.normal(size=(latents, features))
    noise = rng.normal(size=(rows, features)) * np.linspace(0.3, 2.0, features)
    return (rng.normal(size=(rows, latents)) @ loadings + noise) * np.geomspace(1e-3, 1e3, features) + 1e4


def standardised(loader) -> np.ndarray:
    return StandardScaler().fit_transform(loader().data)


@pytest.mark.parametrize("latents", [1, 2, 5])
def test_probabilistic_pca_is_scikit_learns(latents):
    x = standardised(load_wine)
    pca = PCA(latents).fit(x)
    covariance = pca.get_covariance() * (len(x) - 1) / len(x)  # scikit-learn's is the unbiased one
    oracle = multivariate_normal(pca.mean_, covariance).logpdf(x)
    np.testing.assert_allclose(probabilistic_pca(x, latents).log_density(x), oracle, rtol=1e-9)


@pytest.mark.parametrize("latents", [1, 2, 3])
def test_factor_analysis_finds_scikit_learns_maximum(latents):
    x = standardised(load_wine)
    oracle = FactorAnalysis(latents, tol=1e-10, max_iter=100_000, svd_method="lapack").fit(x)
    found = factor_analysis(x, latents)
    assert found.log_density(x).mean() >= oracle.score(x) - 1e-5
    np.testing.assert_allclose(found.covariance, oracle.get_covariance(), atol=2e-3)


def test_factor_analysis_of_a_heywood_case_stays_above_its_floor():
    """Five factors of breast cancer's collinear columns drive a noise to zero."""
    x = standardised(load_breast_cancer)
    found = factor_analysis(x, 5)
    assert np.isclose(found.noise.min(), NOISE_FLOOR)
    assert found.log_density(x).mean() > FactorAnalysis(5).fit(x).score(x) - 0.1


@pytest.mark.parametrize("fit", FITS)
def test_density_and_posterior_are_those_of_plain_linear_algebra(fit):
    x = factor_rows()
    found = fit(x, 2)
    precision = np.linalg.inv(found.covariance)
    shared = found.loadings.T @ (found.loadings / found.noise[:, None])
    posterior = np.linalg.inv(np.eye(2) + shared)
    np.testing.assert_allclose(shared - np.diag(np.diag(shared)), 0.0, atol=1e-7 * np.abs(shared).max())
    np.testing.assert_allclose(found.posterior_std**2, np.diag(posterior), rtol=1e-7)
    np.testing.assert_allclose(found.posterior_map, precision @ found.loadings, rtol=1e-5, atol=1e-12)
    centred = x - found.intercept
    distance = np.einsum("np,pq,nq->n", centred, precision, centred)
    oracle = -0.5 * (distance + np.linalg.slogdet(2 * np.pi * found.covariance)[1])
    np.testing.assert_allclose(found.log_density(x), oracle, rtol=1e-6)


def test_factor_analysis_knows_no_units():
    x = factor_rows()
    units, shift = np.geomspace(1e4, 1e-4, x.shape[1]), 1e5
    plain, changed = factor_analysis(x, 2), factor_analysis(x * units + shift, 2)
    difference = plain.log_density(x) - changed.log_density(x * units + shift)
    np.testing.assert_allclose(difference, np.log(units).sum(), atol=1e-5)


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize(("rows", "features", "latents"), [(5, 20, 2), (5, 20, 10), (50, 4, 9), (3, 1, 1), (1, 3, 2)])
def test_few_rows_and_too_many_latents_give_a_proper_density(fit, rows, features, latents):
    x = np.random.default_rng(1).normal(size=(rows, features))
    found = fit(x, latents)
    assert found.loadings.shape == (features, latents)
    assert found.posterior_map.shape == (features, latents)
    assert np.isfinite(found.log_density(x + 1.0)).all()
    assert (found.posterior_std <= 1.0).all()


@pytest.mark.parametrize("fit", FITS)
def test_constant_and_equal_columns_give_a_proper_density(fit):
    x = np.random.default_rng(2).normal(size=(40, 3))
    x = np.column_stack([x, x[:, 0], np.full(40, 7.0)])
    assert np.isfinite(fit(x, 2).log_density(x)).all()


def test_a_prior_pulls_the_noise_up_and_a_strong_one_leaves_no_factor():
    x = standardised(load_breast_cancer)[:50]
    noise = [factor_analysis(x, 5, prior).noise.min() for prior in (0.0, 0.3, 3.0)]
    assert noise == sorted(noise)
    np.testing.assert_allclose(factor_analysis(x, 5, 1e6).noise, x.var(axis=0), rtol=1e-6)


def test_many_rows_are_read_evenly_spaced():
    x = np.random.default_rng(3).normal(size=(5 * ROWS_FOR_MOMENTS, 2))
    np.testing.assert_array_equal(probabilistic_pca(x, 1).intercept, x[::5].mean(axis=0))


def test_folds_choose_equal_noise_where_it_is_equal_and_a_strong_prior_where_rows_are_few():
    rng = np.random.default_rng(4)
    equal = rng.normal(size=(60, 3)) @ rng.normal(size=(3, 30)) + rng.normal(size=(60, 30))
    assert best_linear(equal, 3)[0] == "probabilistic PCA"
    few = standardised(load_breast_cancer)[:50]
    name, fit = best_linear(few, 20)
    found = fit(few, 20)
    assert name in ("factor analysis, prior 3", "factor analysis, prior 30")
    held_out = standardised(load_breast_cancer)[50:]
    bare = factor_analysis(standardised(load_breast_cancer)[:50], 20)
    assert found.log_density(held_out).mean() > bare.log_density(held_out).mean() + 10.0


def test_of_many_features_one_fold_chooses_as_five_do(monkeypatch):
    rng = np.random.default_rng(5)
    noise = np.exp(rng.normal(size=FEATURES_FOR_FOLDS + 1))
    x = rng.normal(size=(400, 3)) @ rng.normal(size=(3, len(noise))) + noise * rng.normal(size=(400, len(noise)))
    name, _ = best_linear(x, 3)
    assert name.startswith("factor analysis")
    monkeypatch.setattr("reparam.starts.linear.FEATURES_FOR_FOLDS", len(noise))
    assert best_linear(x, 3)[0] == name
