"""The decomposition of the inference gap against the linear-Gaussian model, where each part is a closed form."""

from __future__ import annotations

import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.evaluation.linear_gaussian import exact_model, linear_gaussian, plain_schema

from reparam.evaluation.annealing import Annealing
from reparam.evaluation.gap import measure_gap
from reparam.inference import Search

TRUTH = linear_gaussian(seed=5)
ROWS = TRUTH.sample(50, seed=7)
KEY = jax.random.key(3)
SEARCH = Search(tolerance=0.002)


@pytest.fixture(scope="module")
def gap():
    """The encoder gives N(0, I) for every row; the best diagonal Gaussian and ln p(x) are known."""
    model = exact_model(TRUTH, "diagonal")
    return measure_gap(
        model,
        ROWS,
        plain_schema(ROWS),
        KEY,
        samples=400,
        family="full",
        search=SEARCH,
        annealing=Annealing(chains=8, temperatures=40, leapfrog=5),
    )


def test_amortised_elbo_is_that_of_the_prior_as_posterior(gap):
    """E_{N(0,I)} ln p(x|z) = −½[‖x − c‖² + ‖W‖²]/σ² − D ln σ√2π."""
    square = ((ROWS - TRUTH.centre) ** 2).sum(1) + (TRUTH.weight**2).sum()
    exact = -0.5 * square / TRUTH.sigma**2 - 5 * np.log(TRUTH.sigma * np.sqrt(2 * np.pi))
    assert gap.amortized_elbo.value == pytest.approx(exact.mean(), abs=4 * 20 / np.sqrt(400 * 50))


def test_local_elbo_is_the_best_of_the_family(gap):
    best = TRUTH.log_prob(ROWS).mean() - TRUTH.best_diagonal_gap()
    assert TRUTH.best_diagonal_gap() > 0.05  # the family does lose something here
    assert gap.local_elbo.value == pytest.approx(best, abs=0.04)
    assert gap.not_converged == 0


def test_a_family_that_holds_the_posterior_leaves_no_gap(gap):
    assert gap.family_elbo.value == pytest.approx(TRUTH.log_prob(ROWS).mean(), abs=0.02)
    found = gap.family_approximation_gap  # ln p(x) is by the largest of noisy bounds: 4 of its standard errors
    assert 0.0 < found.standard_error < 0.05
    assert abs(found.value) < 4 * found.standard_error


def test_the_best_estimate_of_the_log_likelihood_is_exact(gap):
    assert gap.log_prob.value == pytest.approx(TRUTH.log_prob(ROWS).mean(), abs=0.04)
    for bound in (gap.local_bound, gap.annealed_bound):
        assert bound.value == pytest.approx(TRUTH.log_prob(ROWS).mean(), abs=0.04)


def test_gaps_add_up_and_have_errors_of_pairs(gap):
    total = gap.approximation_gap.value + gap.amortization_gap.value
    assert total == pytest.approx(gap.inference_gap.value, abs=1e-4)
    assert gap.approximation_gap.standard_error < 0.05  # the rows' own spread is ten times that
    assert gap.log_prob.standard_error > 0.1


def test_to_json_is_plain(gap):
    document = json.loads(json.dumps(gap.to_json(), allow_nan=False))
    assert set(document["inference_gap"]) == {"value", "standard_error"}


def test_a_row_of_its_own_search_costs_more_than_one_of_the_encoder(gap):
    """The search makes hundreds of steps: no machine is so slow at one that this fails."""
    assert 0 < gap.seconds_per_row.as_trained < gap.seconds_per_row.search
    assert gap.to_json()["seconds_per_row"] == gap.seconds_per_row._asdict()


def test_the_search_finds_the_exact_posterior_from_far(gap):
    """A 'full' family started 3 deviations off reaches ln p(x)."""
    model = exact_model(TRUTH, "full")
    off = eqx.tree_at(lambda m: m.encoder.layers[0].bias, model, replace_fn=lambda bias: bias.at[:2].add(3.0))
    rows = ROWS[:8]
    found = measure_gap(off, rows, plain_schema(rows), KEY, samples=100, search=SEARCH)
    assert found.amortized_elbo.value < found.local_elbo.value - 5
    assert found.local_elbo.value == pytest.approx(TRUTH.log_prob(rows).mean(), abs=0.06)
    assert bool(jnp.isfinite(found.bound.value))
