"""Moment starts of bits and counts: the models that made the rows are the oracle."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LinearRegression

from reparam.starts.linked import FEATURES, linked_start

ROWS, FEATURE_COUNT = 40_000, 8


def made(likelihood: str):
    """Rows of a known model, its loadings and its intercept."""
    rng = np.random.default_rng(0)
    loadings = 0.6 * rng.normal(size=(FEATURE_COUNT, 2))
    intercept = 0.7 * rng.normal(size=FEATURE_COUNT)
    z = rng.normal(size=(ROWS, 2))
    raw = intercept + z @ loadings.T
    match likelihood:
        case "bernoulli":
            x = (rng.random(raw.shape) < expit(raw)).astype(float)
        case "poisson":
            x = rng.poisson(np.exp(raw)).astype(float)
        case "negative_binomial":
            x = rng.poisson(np.exp(raw) * rng.gamma(3.0, 1 / 3.0, raw.shape)).astype(float)
    return x, z, loadings, intercept


@pytest.mark.parametrize("likelihood", ["bernoulli", "poisson", "negative_binomial"])
def test_the_start_is_near_the_model_that_made_the_rows(likelihood):
    """Within what 40,000 rows (a standard error of about 0.02) and the corrections' own error leave."""
    x, z, loadings, intercept = made(likelihood)
    start = linked_start(x, 2, likelihood)
    truth = loadings @ loadings.T
    np.testing.assert_allclose(start.loadings @ start.loadings.T, truth, atol=0.12)
    np.testing.assert_allclose(start.intercept, intercept, atol=0.08)
    if likelihood == "negative_binomial":
        np.testing.assert_allclose(start.noise, 3.0, rtol=0.5)
    codes = FEATURES[likelihood](x) @ start.posterior_map + start.posterior_intercept
    oracle = LinearRegression().fit(FEATURES[likelihood](x), z)  # of the latents that really made the rows
    explained = oracle.score(FEATURES[likelihood](x), z)
    reached = LinearRegression().fit(codes, z).score(codes, z)
    assert reached == pytest.approx(explained, abs=0.01)
    assert (1.0 - start.posterior_std**2).mean() == pytest.approx(explained, abs=0.05)


@pytest.mark.parametrize("likelihood", ["bernoulli", "poisson", "negative_binomial"])
@pytest.mark.parametrize("latents", [2, 50])
def test_few_rows_empty_columns_and_too_many_latents_give_finite_numbers(likelihood, latents):
    rng = np.random.default_rng(1)
    x = np.column_stack([rng.random((20, 30)) < 0.5, np.zeros((20, 2)), np.ones((20, 2))]).astype(float)
    start = linked_start(x, latents, likelihood)
    for values in (start.intercept, start.loadings, start.posterior_map, start.posterior_intercept):
        assert np.isfinite(values).all()
    assert start.loadings.shape == (34, latents)
    assert ((start.posterior_std > 0) & (start.posterior_std <= 1.1)).all()
