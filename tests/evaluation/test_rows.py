"""Noise that belongs to the row, standard errors that are true, and chunks that fit."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chi2
from tests.evaluation.linear_gaussian import exact_model, linear_gaussian, plain_schema

from reparam.data import Schema
from reparam.errors import DataError
from reparam.evaluation import evaluate, importance_bound, posterior_moments
from reparam.evaluation.annealing import Annealing, annealed_bound
from reparam.evaluation.gap import measure_gap
from reparam.evaluation.latents import draw_data, posterior_draws
from reparam.evaluation.local import find_rows, optimize_rows
from reparam.evaluation.noise import dequantized
from reparam.evaluation.rows import map_rows, row_numbers, rows_at_once, values_per_row
from reparam.evaluation.weights import encoded, row_bounds
from reparam.inference import AMORTIZED, Search
from reparam.model import build_model

KEY = jax.random.key(0)
fresh_model = eqx.filter_jit(build_model)
BITS = Schema("bits", (3,), "uint8")
COARSE = Annealing(chains=4, temperatures=10, leapfrog=3)


@pytest.fixture(scope="module")
def binary():
    """A model of three binary columns whose q is far from its posterior: the bounds of a row are noisy."""
    model = fresh_model(jnp.full((4, 3), 0.5), KEY, latent_dim=2, likelihood="bernoulli", hidden=())
    return eqx.tree_at(
        lambda m: m.decoder.layers[0].weight, model, replace_fn=lambda weight: jnp.asarray(3 * np.asarray(weight) + 1)
    )


def test_the_reported_standard_error_is_the_spread_over_seeds_among_duplicates(binary):
    """4,000 rows of 8 kinds, drawn anew 40 times: 39 s²/σ² is χ² with 39 degrees, and the band fails once in 10⁵."""
    means, errors = [], []
    for seed in range(40):
        rows = np.random.default_rng(seed).integers(0, 2, (4000, 3)).astype(np.uint8)
        raw = np.zeros((4000, 4), np.float32)
        found = row_bounds(binary, rows, BITS, jax.random.key(seed), 4, raw=raw).bound
        means.append(np.mean(found, dtype=np.float64))
        errors.append(np.std(found, ddof=1) / np.sqrt(4000))
    low, high = chi2(39).ppf([5e-6, 1 - 5e-6]) / 39
    assert low < np.var(means, ddof=1) / np.mean(np.square(errors)) < high


def test_every_occurrence_of_a_row_has_its_own_draws_and_no_row_those_of_another(binary):
    rows = np.array([[0, 0, 1], [1, 0, 1], [0, 0, 1], [0, 0, 1]], np.uint8)
    raw = np.zeros((4, 4), np.float32)
    draws = posterior_draws(binary, rows, BITS, KEY, raw=raw)
    assert len(np.unique(draws, axis=0)) == 4
    np.testing.assert_array_equal(posterior_draws(binary, rows[1:], BITS, KEY, raw=raw[1:])[0], draws[1])
    np.testing.assert_array_equal(posterior_draws(binary, rows[::-1], BITS, KEY, raw=raw)[2], draws[1])


def test_numbers_are_of_all_bits_of_the_values_and_of_no_storage():
    doubles = np.array([[1.0, 0.0], [np.nextafter(1.0, 2.0), 0.0], [1.0, -0.0], [0.0, 1.0]])
    numbers = row_numbers(doubles)
    assert len(np.unique(numbers[:, :2], axis=0)) == 3  # 1 + 2⁻⁵² is another value, −0 is not
    assert numbers[:, 2].tolist() == [0, 0, 1, 0]
    assert row_numbers(doubles, occurrences=False)[:, 2].tolist() == [0, 0, 0, 0]
    whole = np.arange(12).reshape(4, 3)
    np.testing.assert_array_equal(row_numbers(whole.astype(np.uint8)), row_numbers(whole.astype(np.float32)))


def test_a_hundred_thousand_rows_share_no_number():
    """32 bits would have one pair in common, or more, with probability 0.69; 64 bits once in 10⁹."""
    rows = np.random.default_rng(0).normal(size=(100_000, 2))
    assert len(np.unique(row_numbers(rows)[:, :2], axis=0)) == 100_000


def test_equal_rows_have_equal_codes_even_where_these_are_found_by_draws():
    flow = fresh_model(jnp.zeros((4, 3)), KEY, latent_dim=2, posterior="flow:1,8", hidden=())
    rows = np.array([[0.0, 1.0, 2.0], [3.0, 4.0, 5.0], [0.0, 1.0, 2.0]], np.float32)
    mean, std = posterior_moments(flow, rows, plain_schema(rows), KEY)
    np.testing.assert_array_equal(mean[0], mean[2])
    assert np.all(std > 0)


def test_dequantisation_belongs_to_the_row():
    rows = np.array([[3, 4], [5, 6], [3, 4]], np.uint8)
    schema = Schema("counts", (2,), "uint8")
    noisy, told = dequantized(rows, schema, KEY)
    assert told.dtype == "float32"
    assert np.all(np.abs(noisy - rows) <= 0.5)
    assert np.all(noisy[0] != noisy[2])
    np.testing.assert_array_equal(dequantized(rows[1:], schema, KEY)[0][0], noisy[1])


class Pooled(eqx.Module):
    """An encoder of one's own: its widest array has 50 values for each of a row's, and no layer says so."""

    weight: jax.Array

    def __call__(self, x):
        spread = jnp.tanh(x[..., None] * jnp.linspace(0, 1, 50))  # (..., P, 50)
        return jnp.mean(spread, axis=-1) @ self.weight


def test_an_encoder_of_ones_own_works_everywhere_and_its_activations_are_counted():
    truth = linear_gaussian()
    rows = truth.sample(20, seed=0)
    own = eqx.tree_at(lambda m: m.encoder, exact_model(truth, "diagonal"), Pooled(jnp.full((5, 4), 0.1)))
    schema = plain_schema(rows)
    assert values_per_row(own.encoder, rows) == 250
    found = find_rows(AMORTIZED, own, rows, schema, KEY)
    np.testing.assert_allclose(found.raw, eqx.filter_jit(own.encoder)(rows), rtol=1e-5)
    assert np.isfinite(evaluate(own, rows, schema, KEY, 5).bound)
    gap = measure_gap(own, rows[:4], schema, KEY, samples=1, search=Search(max_steps=50))
    assert gap.local_elbo.value > gap.amortized_elbo.value


@pytest.mark.parametrize(("features", "hidden"), [(64, 400), (150_528, 50), (30, 20_000)])
def test_encoding_takes_many_rows_at_once_within_a_bound_on_memory(features, hidden):
    """The search's rule gave 256, 1 and 256 rows. 64 MiB hold 2²⁴ numbers."""
    weights = jax.ShapeDtypeStruct((features, hidden), jnp.float32)

    def network(x):
        return jax.nn.relu(x @ jnp.zeros(weights.shape, weights.dtype))

    at_once = rows_at_once(values_per_row(network, np.zeros((1, features), np.float32)))
    widest = max(features, hidden)
    assert at_once * widest <= 2**24 or jax.default_backend() != "cpu"
    assert at_once >= min(16_384, 2**24 // widest // 4)


def test_arrays_inside_loops_and_branches_are_counted():
    def loop(x):
        return jax.lax.scan(lambda c, _: (jnp.sum(jnp.tile(c, (1, 7)), axis=1, keepdims=True), None), x, length=2)[0]

    assert values_per_row(loop, np.zeros((1, 1), np.float32)) == 7
    assert values_per_row(jax.jit(lambda x: jax.lax.cond(True, loop, lambda x: x, x)), np.zeros((1, 1))) == 7


@pytest.mark.parametrize("count", [1, 4, 5, 9])
def test_chunks_are_joined_in_order_and_reported(count):
    rows, told = np.arange(3.0 * count).reshape(count, 3), []
    found = map_rows(
        lambda x: {"double": 2 * x, "sum": x.sum(axis=1)}, rows, chunk=4, report=lambda *at: told.append(at)
    )
    np.testing.assert_allclose(found["double"], 2 * rows)
    np.testing.assert_allclose(found["sum"], rows.sum(axis=1))
    assert told[-1] == (count, count)
    assert len(told) == -(-count // 4)


def test_no_rows_are_refused():
    with pytest.raises(DataError, match="at least 1"):
        map_rows(lambda x: x, np.zeros((0, 3)))


def test_many_draws_of_few_rows_fill_no_chunk():
    """3 rows are computed as 4, not as 256."""
    shapes = []
    map_rows(lambda x: shapes.append(x.shape) or x, np.zeros((3, 2)), chunk=256)
    assert shapes == [(4, 2)]


def test_data_are_drawn_from_the_model_in_chunks():
    """x = Wz + c + σe at z = 0: 4 standard errors of 4,000 draws."""
    truth = linear_gaussian()
    x = draw_data(exact_model(truth), np.zeros((4000, 2), np.float32), KEY)
    np.testing.assert_allclose(x.mean(axis=0), truth.centre, atol=4 * truth.sigma / np.sqrt(4000))
    np.testing.assert_allclose(x.std(axis=0), truth.sigma, rtol=4 / np.sqrt(8000))


def test_everything_is_right_in_double_precision():
    """With the exact posterior every bound is ln p(x), to ten digits where single precision has five."""
    truth = linear_gaussian()
    rows = truth.sample(6, seed=1)
    schema, exact = plain_schema(rows), truth.log_prob(rows)
    with jax.enable_x64(True):
        model, key = exact_model(truth), jax.random.key(0)
        np.testing.assert_allclose(importance_bound(model, rows, schema, key, 3), exact, rtol=1e-9)
        np.testing.assert_allclose(annealed_bound(model, rows, schema, key, COARSE), exact, atol=0.5)
        searched = optimize_rows(model, rows, schema, key, encoded(model, rows, schema), search=Search(max_steps=50))
        assert searched.raw.dtype == np.float64
