"""The likelihood of a table, and what its encoder takes, against SciPy and NumPy, column by column."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from reparam.errors import ParameterError, SupportError
from reparam.networks import Inputs
from reparam.probability.likelihoods import table_of

COLUMNS = [
    ("gaussian", 0),
    ("categorical", 3),
    ("negative_binomial", 0),
    ("bernoulli", 2),
    ("categorical", 4),
    ("gaussian", 0),
    ("categorical", 70),
    ("poisson", 0),
]
TABLE = table_of(COLUMNS)
STD = np.array([0.5, 1, 1, 1, 1, 3.0, 1, 1])
X = np.array([[0.3, 2, 4, 1, 0, -2.0, 69, 0], [-1.0, 0, 0, 0, 3, 5.0, 7, 12]])
RAW = np.random.default_rng(0).normal(size=TABLE.raw_size).astype(np.float32)


def raw_of(column):
    """Where the raw numbers of a column stand: parts in turn, of each its columns in turn."""
    start = 0
    for part, places in zip(TABLE.parts, TABLE.places, strict=True):
        sizes = part.levels if part.name == "levels" else (1,) * len(places)
        for place, size in zip(places, sizes, strict=True):
            if place == column:
                return np.asarray(RAW[start : start + size], np.float64)
            start += size
    raise AssertionError(column)


def scipy_log_prob(column, x):
    name, _ = COLUMNS[column]
    raw = raw_of(column)
    if name == "gaussian":
        return scipy.stats.norm.logpdf(x, raw[0], STD[column])
    if name == "categorical":
        return scipy.special.log_softmax(raw)[int(x)]
    if name == "bernoulli":
        return scipy.stats.bernoulli.logpmf(x, scipy.special.expit(raw[0]))
    mean = np.exp(raw[0])
    return scipy.stats.poisson.logpmf(x, mean) if name == "poisson" else scipy.stats.nbinom.logpmf(x, 1, 1 / (1 + mean))


def law():
    return TABLE.started(STD).distribution(RAW)


def test_every_column_has_the_density_of_its_own_family():
    expected = np.array([[scipy_log_prob(column, x) for column, x in enumerate(row)] for row in X])
    np.testing.assert_allclose(law().log_prob(X), expected, rtol=2e-5, atol=1e-5)


@pytest.mark.parametrize("column", [1, 3, 4, 6])
def test_a_code_has_a_probability_and_another_has_none(column):
    levels = COLUMNS[column][1]
    rows = np.tile(X[0], (levels + 1, 1))
    rows[:, column] = np.arange(levels + 1)
    log_prob = np.asarray(law().log_prob(rows)[:, column], np.float64)
    assert np.exp(log_prob[:-1]).sum() == pytest.approx(1.0, abs=1e-5)
    assert log_prob[-1] == -np.inf


def test_gradients_are_finite_whatever_is_padded():
    gradient = jax.grad(lambda raw: TABLE.distribution(raw).log_prob(X).sum())(jnp.asarray(RAW))
    assert np.isfinite(gradient).all()
    assert np.all(gradient[: TABLE.parts[0].raw_size] != 0)


def test_samples_follow_the_law_of_each_column():
    """100,000 draws; six standard errors of the mean of each column: one false alarm in 10⁷ seeds."""
    draws = np.asarray(law().sample(jax.random.key(1), (100_000,)), np.float64)
    mean, std = np.asarray(law().mean, np.float64), np.sqrt(np.asarray(law().variance, np.float64))
    np.testing.assert_array_less(np.abs(draws.mean(axis=0) - mean), 6 * std / np.sqrt(1e5))
    assert TABLE.inside(draws).all()
    codes = raw_of(4)
    found = np.bincount(draws[:, 4].astype(int), minlength=4) / 1e5
    probability = scipy.special.softmax(codes)
    np.testing.assert_array_less(np.abs(found - probability), 6 * np.sqrt(probability / 1e5))


def test_centres_are_means_and_the_most_probable_codes():
    expectation = TABLE.expectation(law())
    assert expectation.shape == (TABLE.expectation_size,)
    centre = TABLE.centre(expectation)
    assert centre[1] == np.argmax(raw_of(1))
    assert centre[6] == np.argmax(raw_of(6))
    assert centre[3] == float(raw_of(3)[0] > 0)
    assert centre[0] == pytest.approx(raw_of(0)[0], rel=1e-6)
    deviation = TABLE.deviation(expectation, law().variance + law().mean ** 2)
    assert deviation[5] == pytest.approx(3.0, rel=1e-4)
    assert deviation[4] == pytest.approx(1 - scipy.special.softmax(raw_of(4)).max(), rel=1e-5)
    assert deviation[3] == pytest.approx(scipy.special.expit(-abs(raw_of(3)[0])), rel=1e-5)


def operations(columns):
    table = table_of(columns)
    x, raw = jnp.zeros((3, len(columns))), jnp.zeros((3, table.raw_size))
    return len(jax.make_jaxpr(lambda raw, x: table.distribution(raw).log_prob(x))(raw, x).eqns)


def test_two_hundred_columns_take_the_operations_of_five():
    assert operations(COLUMNS[:5] * 40) == operations(COLUMNS[:5])


def test_levels_begin_as_often_as_they_stand():
    rows = np.array([[0.0, 1], [1, 1], [1, np.nan], [2, 0]])
    table = table_of([("categorical", 4), ("bernoulli", 2)])
    raw = np.asarray(table.begin_raw(np.nanmean(rows, axis=0), np.ones(2), rows), np.float64)
    np.testing.assert_allclose(np.exp(raw[:4]), np.array([2, 3, 2, 1]) / 8, rtol=1e-5)
    assert raw[4] == pytest.approx(np.log(2.0), rel=1e-4)  # two of three


def test_a_bad_cell_is_named_with_its_place_and_its_own_support():
    bad = X.copy()
    bad[1, 4] = 4.0
    with pytest.raises(SupportError, match=r"row 1, column 4: 4.0 is outside the support of the levels likelihood"):
        TABLE.check(bad)
    gap = X.copy()
    gap[0, 2] = np.nan
    assert TABLE.check(gap, missing=True) is None
    with pytest.raises(SupportError, match="row 0, column 2: nan"):
        TABLE.check(gap)


def test_an_unknown_likelihood_of_a_column_is_refused():
    with pytest.raises(ParameterError, match="gausian"):
        table_of([("gausian", 0)])


def test_an_encoder_takes_numbers_logarithms_levels_and_gaps():
    inputs = Inputs((0, 3), (2,), {1: 3, 4: 60}, (0, 1), jax.random.key(0))
    x = np.array([[0.5, 2, 7, 1, 59], [0.0, 0, 0, 0, 0]], np.float32)
    observed = np.array([[True, True, True, True, True], [False, False, True, True, False]])
    found = np.asarray(inputs(jnp.asarray(x), jnp.asarray(observed)))
    vectors = np.asarray(inputs.vectors[0])
    first = np.concatenate([[0.5, 1.0], [np.log(8.0)], [0, 0, 1], vectors[59], [0, 0]])
    second = np.concatenate([[0.0, 0.0], [0.0], [0, 0, 0], 0 * vectors[0], [1, 1]])
    assert vectors.shape == (60, 8)
    np.testing.assert_allclose(found, [first, second], rtol=1e-6)
    assert inputs.size == found.shape[1]
    whole = np.asarray(inputs(jnp.asarray(x), None))
    np.testing.assert_array_equal(whole[0], found[0])
