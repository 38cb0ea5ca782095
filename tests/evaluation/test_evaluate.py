"""evaluate() against exact answers of the linear-Gaussian model and SciPy."""

from __future__ import annotations

import json
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp as scipy_logsumexp
from scipy.stats import multivariate_normal, norm
from tests.evaluation.linear_gaussian import LATENTS, SIGMA, exact_model, linear_gaussian, plain_schema

from reparam.data import from_array
from reparam.evaluation import evaluate, importance_bound
from reparam.evaluation.information import mutual_information
from reparam.evaluation.noise import observation_noise
from reparam.evaluation.weights import effective_samples, encoded, mean_weight_growth, sample_counts
from reparam.model import build_model
from reparam.probability.posteriors import POSTERIORS

TRUTH = linear_gaussian()
ROWS = TRUTH.sample(40, seed=1)
KEY = jax.random.key(0)
fresh_model = eqx.filter_jit(build_model)


@pytest.fixture(scope="module")
def exact():
    return evaluate(exact_model(TRUTH), ROWS, plain_schema(ROWS), KEY, 30)


def test_with_the_exact_posterior_every_bound_is_the_log_likelihood(exact):
    expected = TRUTH.log_prob(ROWS)
    assert exact.bound == pytest.approx(expected.mean(), abs=2e-4)
    assert exact.standard_error == pytest.approx(expected.std(ddof=1) / np.sqrt(40), rel=1e-3)
    for _, bound in exact.bound_by_samples:
        assert bound == pytest.approx(expected.mean(), abs=2e-4)


def test_exact_weights_are_all_equal_so_every_draw_counts(exact):
    assert exact.effective_samples == pytest.approx(30, rel=1e-3)
    assert exact.rows_below_10_effective == 0
    assert exact.warnings == ()


def test_kl_is_that_of_the_closed_form(exact):
    covariance, gain = TRUTH.posterior_covariance(), TRUTH.posterior_gain()
    means = (ROWS - TRUTH.centre) @ gain
    expected = 0.5 * (np.trace(covariance) + (means**2).sum(1) - LATENTS - np.linalg.slogdet(covariance)[1])
    assert exact.kl == pytest.approx(expected.mean(), rel=1e-4)
    assert exact.elbo == pytest.approx(exact.reconstruction - exact.kl, rel=1e-5)
    # The reconstruction is by 30 draws: E_q of a quadratic, in closed form.
    residual = ROWS - TRUTH.centre - means @ TRUTH.weight
    square = (residual**2).sum(1) + np.trace(TRUTH.weight.T @ covariance @ TRUTH.weight)
    reconstruction = -0.5 * square / SIGMA**2 - 5 * math.log(SIGMA * math.sqrt(2 * math.pi))
    assert exact.reconstruction == pytest.approx(reconstruction.mean(), abs=0.15)  # 4 s.e. of 1200 draws


def test_active_units_are_the_latents_whose_mean_varies(exact):
    assert exact.active_units == LATENTS
    collapsed = evaluate(exact_model(TRUTH, "diagonal"), ROWS, plain_schema(ROWS), KEY, 2)
    assert collapsed.active_units == 0
    assert collapsed.kl == pytest.approx(0.0, abs=1e-6)
    assert collapsed.kl_per_dimension == pytest.approx((0.0, 0.0), abs=1e-6)


def test_a_poor_posterior_is_warned_of_and_its_bound_rises_with_k():
    prior_as_posterior = exact_model(TRUTH, "diagonal")
    poor = evaluate(prior_as_posterior, ROWS, plain_schema(ROWS), KEY, 400)
    bounds = [bound for _, bound in poor.bound_by_samples]
    assert poor.rows_below_10_effective > 0
    assert "fewer than 10 effective draws" in poor.warnings[0]
    assert bounds == sorted(bounds)
    assert poor.elbo == pytest.approx(bounds[0], abs=0.5)  # K = 1 is the ELBO by Monte Carlo: KL is exact in one only
    assert poor.bound < TRUTH.log_prob(ROWS).mean() + 0.2


def test_the_bound_of_a_row_is_the_log_mean_weight_of_its_prior_draws():
    """q = p(z): the 20000-sample bound against SciPy's own average of p(x|z) over prior draws."""
    rows = ROWS[:3]
    bound = importance_bound(exact_model(TRUTH, "diagonal"), rows, plain_schema(rows), KEY, 20_000)
    z = np.random.default_rng(7).normal(size=(200_000, LATENTS))
    loc = z @ TRUTH.weight + TRUTH.centre
    expected = [scipy_logsumexp(norm(loc, SIGMA).logpdf(row).sum(1)) - math.log(len(z)) for row in rows]
    np.testing.assert_allclose(bound, expected, atol=0.25)  # weights of relative deviation ~5: 4 s.e. is 0.15


@pytest.mark.parametrize("count", [1, 7, 40])
def test_no_row_depends_on_its_neighbours(count):
    model, schema = exact_model(TRUTH, "diagonal"), plain_schema(ROWS)
    whole = importance_bound(model, ROWS, schema, KEY, 60)
    np.testing.assert_allclose(importance_bound(model, ROWS[:count], schema, KEY, 60), whole[:count], rtol=1e-6)


def test_growth_is_the_mean_over_groups_of_draws():
    log_weights = np.random.default_rng(0).normal(size=(3, 20))
    assert sample_counts(20) == (1, 5, 10, 20)
    found = np.asarray(eqx.filter_jit(mean_weight_growth)(jnp.asarray(log_weights)))
    for column, count in enumerate(sample_counts(20)):
        groups = np.log(np.exp(log_weights).reshape(3, -1, count).mean(-1)).mean(-1)
        np.testing.assert_allclose(found[:, column], groups, rtol=1e-5)


def test_effective_samples_are_kish():
    weights = np.array([[1.0, 1.0, 2.0], [1.0, 0.0, 0.0]])
    with np.errstate(divide="ignore"):
        found = eqx.filter_jit(effective_samples)(jnp.asarray(np.log(weights)))
    np.testing.assert_allclose(found, weights.sum(1) ** 2 / (weights**2).sum(1), rtol=1e-5)


@pytest.mark.parametrize("name", ["diagonal", "full", "low_rank"])
def test_mutual_information_against_scipy(name):
    """40000 draws of SciPy's densities; ours has 4096: the band is 4 standard errors of both."""
    family = POSTERIORS[name](2)
    rng = np.random.default_rng(3)
    raw = rng.normal(size=(6, family.raw_size)).astype(np.float32)

    @eqx.filter_jit
    def moments(raw):
        q = family.distribution(raw)
        return q.mean, jax.vmap(jnp.diag)(q.variance) if name == "diagonal" else q.covariance_matrix

    laws = [multivariate_normal(m, c) for m, c in zip(*map(np.asarray, moments(raw)), strict=True)]
    terms = []
    for own in laws:
        z = own.rvs(8000, random_state=rng)
        aggregate = scipy_logsumexp([law.logpdf(z) for law in laws], axis=0) - math.log(6)
        terms.append(own.logpdf(z) - aggregate)
    found = mutual_information(family, raw, KEY)
    spread = np.hypot(found.standard_error, np.std(terms) / np.sqrt(48_000))
    assert abs(found.value - np.mean(terms)) < 4 * spread
    assert 0 < found.value < math.log(6) + 4 * spread


def test_mean_kl_is_information_plus_aggregate(exact):
    assert exact.mutual_information + exact.aggregate_kl == pytest.approx(exact.kl)
    assert exact.mutual_information < math.log(40)


def test_a_calibrated_decoder_has_effective_beta_one():
    rows = TRUTH.sample(4000, seed=2)
    model, schema = exact_model(TRUTH), plain_schema(rows)
    raw = encoded(model, rows, schema)
    noise = observation_noise(model, rows, schema, KEY, raw)
    assert noise.implied_scale == pytest.approx(SIGMA, rel=1e-5)
    assert noise.residual_scale == pytest.approx(SIGMA, rel=0.03)  # z from the posterior: x − Wz has variance σ²
    assert noise.effective_beta == pytest.approx(1.0, abs=0.06)
    doubled = observation_noise(model, rows, schema, KEY, raw, beta=4.0)
    assert doubled.implied_scale == pytest.approx(2 * SIGMA, rel=1e-5)
    assert doubled.effective_beta == pytest.approx(4 * noise.effective_beta, rel=1e-5)


def test_bits_of_a_discrete_likelihood_are_its_nats():
    rows = (np.random.default_rng(0).random((30, 8)) < 0.3).astype(np.uint8)
    data = from_array(rows)
    model = fresh_model(jnp.asarray(rows, jnp.float32), KEY, latent_dim=2, likelihood="bernoulli", hidden=(4,))
    found = evaluate(model, data.rows, data.schema, KEY, 10)
    assert found.bits_per_dimension == pytest.approx(-found.bound / (8 * math.log(2)))
    assert found.bits_per_dimension_convention.startswith("of {0, 1}: ")
    assert found.observation_noise is None


def test_a_cross_entropy_of_greys_has_no_bits():
    rows = np.random.default_rng(0).integers(0, 256, size=(30, 8)).astype(np.uint8)
    data = from_array(rows)
    x = jnp.asarray(data.schema.apply(rows))
    model = fresh_model(x, KEY, latent_dim=2, likelihood="bernoulli", hidden=(4,))
    assert evaluate(model, data.rows, data.schema, KEY, 10).bits_per_dimension is None


def test_dequantised_bits_bound_the_bits_of_the_whole_numbers():
    """Pixels that an independent Gaussian explains: −log2 of its mass on each bin, by SciPy, is the least."""
    rng = np.random.default_rng(0)
    rows = np.clip(np.round(rng.normal(120, 3, size=(3000, 4))), 0, 255).astype(np.uint8)
    data = from_array(rows)
    x = np.asarray(data.schema.apply(rows))
    model = fresh_model(x, KEY, latent_dim=1, likelihood=f"gaussian:fixed:{3 / 255}", hidden=())
    model = jax.tree.map(
        lambda leaf: jnp.zeros(leaf.shape) if np.ndim(leaf) == 2 else leaf, model
    )  # z is ignored: p(x) is the Gaussian
    found = evaluate(model, data.rows, data.schema, KEY, 5)
    loc = float(np.mean(x)) * 255
    per_column = np.mean(x, axis=0) * 255
    mass = norm.cdf(rows + 0.5, per_column, 3) - norm.cdf(rows - 0.5, per_column, 3)
    assert 110 < loc < 130
    exact_bits = -np.log2(mass).mean()
    assert exact_bits < found.bits_per_dimension < exact_bits + 0.01  # Jensen costs about 1/(24 σ² ln 2) = 0.007
    assert "dequantisation" in found.bits_per_dimension_convention


def test_a_density_of_real_numbers_has_no_bits(exact):
    assert exact.bits_per_dimension is None


def test_to_json_is_plain(exact):
    document = json.loads(json.dumps(exact.to_json(), allow_nan=False))
    assert document["bound_by_samples"][0]["samples"] == 1
    assert document["observation_noise"]["implied_scale"] == pytest.approx(SIGMA, rel=1e-5)
    one = evaluate(exact_model(TRUTH), ROWS[:1], plain_schema(ROWS), KEY, 5)
    assert json.loads(json.dumps(one.to_json(), allow_nan=False))["standard_error"] is None
