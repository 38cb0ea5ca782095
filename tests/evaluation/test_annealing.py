"""Annealed bounds against the linear-Gaussian model's exact ln p(x)."""

from __future__ import annotations

import json

import jax
import numpy as np
import pytest
from tests.evaluation.linear_gaussian import exact_model, linear_gaussian, plain_schema

from reparam.evaluation.annealing import Annealing, anneal, annealed_bound, bidirectional_bounds, temperatures
from reparam.evaluation.weights import importance_bound
from reparam.inference import MeanField

TRUTH = linear_gaussian(seed=4)
ROWS = TRUTH.sample(60, seed=5)
KEY = jax.random.key(2)
CAREFUL = Annealing(chains=16, temperatures=60, leapfrog=5)
COARSE = Annealing(chains=4, temperatures=15, leapfrog=4)


@pytest.fixture(scope="module")
def model():
    """q is N(0, I), far from the posterior: annealing has work to do."""
    return exact_model(TRUTH, "diagonal")


@pytest.fixture(scope="module")
def bounds(model):
    return annealed_bound(model, ROWS, plain_schema(ROWS), KEY, CAREFUL)


def test_the_lower_bound_meets_the_exact_log_likelihood(bounds):
    """A ln of unbiased weights of small variance lies at −σ²/2 from ln p(x); 4 standard errors fail once in 15,000."""
    error = bounds - TRUTH.log_prob(ROWS)
    assert abs(error.mean() + error.var() / 2) < 4 * error.std() / np.sqrt(60)
    assert np.abs(error).max() < 1.0


def test_annealing_is_closer_than_plain_importance_sampling(model, bounds):
    """As many draws as chains lose 0.54 nats; 60 rows know annealing's mean to about 0.02, so five times is safe."""
    plain = importance_bound(model, ROWS, plain_schema(ROWS), KEY, 16)
    exact = TRUTH.log_prob(ROWS)
    assert np.mean(exact - plain) > 5 * abs(np.mean(exact - bounds))


def test_weights_are_unbiased(model):
    """E[w] = p(x), however coarse: 512 chains of 4 temperatures on 12 rows; their mean is within 4 errors."""
    coarse = Annealing(chains=512, temperatures=4, leapfrog=3)
    rows = ROWS[:12]
    error = annealed_bound(model, rows, plain_schema(rows), KEY, coarse) - TRUTH.log_prob(rows)
    assert abs(error.mean()) < 0.2


def test_bidirectional_bounds_enclose_the_exact_log_likelihood(model):
    found = bidirectional_bounds(model, KEY, 60, CAREFUL)
    assert found.lower.value < found.upper.value + 0.02
    assert found.upper.value - found.lower.value < 0.35  # from N(0, I), without an acceptance step it is wider
    entropy = 0.5 * np.linalg.slogdet(2 * np.pi * np.e * (TRUTH.weight.T @ TRUTH.weight + 0.36 * np.eye(5)))[1]
    assert abs(found.lower.value + entropy) < 4 * found.lower.standard_error
    assert abs(found.upper.value + entropy) < 4 * found.upper.standard_error


def test_anneal_tells_both_kinds_of_rows(model):
    found = anneal(model, ROWS[:8], plain_schema(ROWS), KEY, COARSE, samples=50)
    document = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert document["annealing"]["temperatures"] == COARSE.temperatures
    assert document["bound"]["value"] == pytest.approx(TRUTH.log_prob(ROWS[:8]).mean(), abs=1.0)
    assert document["importance_bound"]["value"] < document["bound"]["value"]
    simulated = document["simulated"]
    assert simulated["width"]["value"] == pytest.approx(
        simulated["upper"]["value"] - simulated["lower"]["value"], abs=1e-4
    )


def test_the_sandwich_needs_no_encoder(model):
    """q0 is then each simulated row's own q, found by optimisation: nearer, so the sandwich is thinner."""
    method = MeanField()
    by_search = bidirectional_bounds(method.prepare(model), KEY, 20, COARSE, inference=method)
    by_prior = bidirectional_bounds(model, KEY, 20, COARSE)
    assert by_search.width.value < by_prior.width.value


def test_temperatures_rise_from_zero_to_one():
    betas = np.asarray(temperatures(7))
    assert betas[0] == 0
    assert betas[-1] == 1
    assert np.all(np.diff(betas) > 0)
