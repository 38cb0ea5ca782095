"""The search for one row's q against closed forms."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.evaluation.linear_gaussian import exact_model, linear_gaussian

from reparam.batch import Batch
from reparam.inference import Amortized, MeanField, Search, SemiAmortized, maximize
from reparam.inference.base import row_elbo
from reparam.inference.mean_field import find_locally

TRUTH = linear_gaussian(seed=5)
ROWS = jnp.asarray(TRUTH.sample(12, seed=8))
KEYS = jax.random.split(jax.random.key(0), 12)


def noisy_parabola(parameter, x, key, samples):
    """Its maximum lies at x, of value 0; the noise has deviation 1/√samples in the slope."""
    slope = jnp.mean(jax.random.normal(key, (samples, len(x))), axis=0)
    return -0.5 * jnp.sum((parameter - x) ** 2) + slope @ (parameter - jax.lax.stop_gradient(parameter))


compiled_maximize = eqx.filter_jit(maximize)
compiled_find_locally = eqx.filter_jit(find_locally)


@eqx.filter_jit
def found_by(inference, model):
    return inference.find(model, Batch(ROWS), KEYS)


@eqx.filter_jit
def found_posterior(inference, model):
    """What is found, and the q of it."""
    found = inference.find(model, Batch(ROWS), KEYS)
    return found, model.posterior.distribution(found.raw)


def test_each_row_finds_its_own_maximum_through_noise():
    start = jnp.zeros_like(ROWS)
    found, value, converged = compiled_maximize(noisy_parabola, start, ROWS, KEYS, Search())
    assert np.all(converged)
    np.testing.assert_allclose(found, ROWS, atol=0.1)
    np.testing.assert_allclose(value, 0.0, atol=0.02)


def test_rows_that_run_out_of_steps_say_so_and_are_no_worse_than_their_start():
    far = jnp.asarray(np.asarray(ROWS) + 1000.0)
    found, value, converged = compiled_maximize(noisy_parabola, jnp.zeros_like(ROWS), far, KEYS, Search(max_steps=50))
    assert not np.any(converged)
    assert np.all(np.asarray(value) > -0.5 * np.sum(np.asarray(far) ** 2, axis=-1))
    assert np.all(np.abs(found) > 0.1)


def test_mean_field_finds_the_best_diagonal_gaussian():
    """Its mean is the exact one, its variances 1/Λ_ii, Λ the precision of p(z|x) (Bishop 2006, Equation 10.14)."""
    model = exact_model(TRUTH, "diagonal")
    found, q = found_posterior(MeanField(), model)
    precision = np.linalg.inv(TRUTH.posterior_covariance())
    assert np.all(found.converged)
    np.testing.assert_allclose(q.loc, (np.asarray(ROWS) - TRUTH.centre) @ TRUTH.posterior_gain(), atol=0.08)
    np.testing.assert_allclose(np.asarray(q.scale).mean(axis=0), np.diag(precision) ** -0.5, rtol=0.1)
    expected = TRUTH.log_prob(np.asarray(ROWS)) - TRUTH.best_diagonal_gap()
    elbos = eqx.filter_jit(jax.vmap(lambda raw, x, key: row_elbo(model, raw, x, key, 2000)))
    elbo = elbos(found.raw, Batch(ROWS), KEYS)
    np.testing.assert_allclose(elbo, expected, atol=0.15)  # the noise of 2000 draws is 0.03


def test_a_row_is_found_the_same_in_any_company():
    model = exact_model(TRUTH, "diagonal")
    start = jnp.asarray(np.tile(model.posterior.initial_raw(), (12, 1)))
    whole = compiled_find_locally(model, Batch(ROWS), KEYS, start, Search(max_steps=200))
    alone = compiled_find_locally(model, Batch(ROWS[:1]), KEYS[:1], start[:1], Search(max_steps=200))
    np.testing.assert_allclose(alone.raw, whole.raw[:1], atol=2e-3)


def test_amortised_is_the_encoder():
    model = exact_model(TRUTH, "full")
    found = found_by(Amortized(), model)
    np.testing.assert_array_equal(found.raw, eqx.filter_jit(lambda model: model.encoder(ROWS))(model))
    assert np.all(found.converged)


@pytest.mark.parametrize("gradient", ["stopped", "through"])
def test_refinement_climbs_and_sends_its_gradient_to_the_encoder(gradient):
    """From N(0, I) five steps come nearer to the exact mean; stopped steps pass the slope at their end as it is."""
    model = exact_model(TRUTH, "diagonal")
    exact = (np.asarray(ROWS) - TRUTH.centre) @ TRUTH.posterior_gain()
    precision = np.linalg.inv(TRUTH.posterior_covariance())
    inference = SemiAmortized(5, 0.05, gradient)
    before, after = (found_posterior(method, model)[1].loc for method in (Amortized(), inference))
    distance = [np.einsum("ni,ij,nj->n", mean - exact, precision, mean - exact) for mean in (before, after)]
    assert np.all(distance[1] < distance[0])

    def total(bias):
        shifted = eqx.tree_at(lambda m: m.encoder.layers[-1].bias, model, model.encoder.layers[-1].bias + bias)
        return jnp.sum(inference.find(shifted, Batch(ROWS), KEYS).raw)

    slope = eqx.filter_jit(jax.grad(total))(jnp.zeros(4))
    assert np.all(np.isfinite(slope))
    if gradient == "stopped":
        np.testing.assert_allclose(slope, 12.0, rtol=1e-5)
    else:
        assert np.max(np.abs(np.asarray(slope) - 12.0)) > 0.1
