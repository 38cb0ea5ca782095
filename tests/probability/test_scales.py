from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import reparam
from reparam.errors import ParameterError, UnknownNameError
from reparam.probability.scales import Bounded, scale_from

MIDDLE, HALF = 0.0, np.log(1e3)  # of the default 'bounded', ln σ in [−ln 1000, ln 1000]

ORACLES = {
    "log_variance": lambda a: np.exp(a / 2),
    "log_std": np.exp,
    "softplus": lambda a: np.logaddexp(0.0, a),
    "softplus_variance": lambda a: np.sqrt(np.logaddexp(0.0, a)),
    "log_precision": lambda a: np.exp(-a / 2),
    "bounded": lambda a: np.exp(MIDDLE + a / np.sqrt(1 + (a / HALF) ** 2)),
}
EXTREMES = np.array([-1e4, -300.0, -88.0, -20.0, -1e-3, 0.0, 1e-3, 20.0, 88.0, 300.0, 1e4])

every_scale = pytest.mark.parametrize("name", reparam.SCALES)
raws = st.floats(-30, 30, width=32)


def test_every_scale_has_an_oracle():
    assert set(ORACLES) == set(reparam.SCALES)


@every_scale
def test_std_is_the_formula_in_double_precision(name):
    a = np.linspace(-40, 40, 801)
    with jax.enable_x64(True):
        np.testing.assert_allclose(reparam.SCALES[name].std(a), ORACLES[name](a), rtol=1e-12)
        np.testing.assert_allclose(reparam.SCALES[name].log_std(a), np.log(ORACLES[name](a)), rtol=1e-10, atol=1e-12)


@every_scale
def test_raw_is_the_inverse_of_std(name):
    a = np.linspace(-12, 12, 241)
    with jax.enable_x64(True):
        np.testing.assert_allclose(reparam.SCALES[name].raw(ORACLES[name](a)), a, rtol=1e-9, atol=1e-9)


@every_scale
def test_gradient_is_the_finite_difference(name):
    a, step = np.linspace(-25, 25, 101), 1e-6
    with jax.enable_x64(True):
        actual = jax.vmap(jax.grad(reparam.SCALES[name].std))(a)
    expected = (ORACLES[name](a + step) - ORACLES[name](a - step)) / (2 * step)
    np.testing.assert_allclose(actual, expected, rtol=1e-6, atol=1e-13)


@every_scale
def test_extremes_are_finite_positive_and_keep_a_gradient(name):
    scale, a = reparam.SCALES[name], jnp.asarray(EXTREMES, jnp.float32)
    std, log_std = np.asarray(scale.std(a)), np.asarray(scale.log_std(a))
    slope = np.asarray(jax.vmap(jax.grad(scale.std))(a))
    slope_of_log = np.asarray(jax.vmap(jax.grad(scale.log_std))(a))
    for found in (std, std**2, log_std, slope, slope_of_log):
        assert np.isfinite(found).all(), (name, found)
    assert (std > 0).all()
    assert (slope_of_log != 0).all(), (name, slope_of_log)


@every_scale
@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16], ids=["float16", "bfloat16"])
def test_half_precision_is_computed_in_single(name, dtype):
    a = jnp.asarray(EXTREMES, dtype)
    std = reparam.SCALES[name].std(a)
    assert std.dtype == jnp.float32
    assert np.isfinite(std).all()
    assert not np.isnan(jax.vmap(jax.grad(reparam.SCALES[name].std))(a)).any()


def test_log_std_does_not_saturate_where_std_does():
    assert reparam.SCALES["log_variance"].log_std(jnp.float32(-1e4)) == -5000.0
    assert reparam.SCALES["softplus"].log_std(jnp.float32(-1e4)) == -1e4
    assert reparam.SCALES["log_variance"].std(jnp.float32(-1e4)) > 0


@pytest.mark.parametrize(("source", "target"), list(itertools.permutations(ORACLES, 2)))
def test_convert_raw_keeps_the_standard_deviation(source, target):
    @settings(derandomize=True, deadline=None, max_examples=20, database=None)
    @given(st.lists(st.floats(-10, 10, width=32), min_size=8, max_size=8))
    def keeps(numbers):
        a = np.array(numbers)
        with jax.enable_x64(True):
            converted = np.asarray(reparam.convert_raw(a, source, target))
        reachable = np.isfinite(converted)  # 'bounded' reaches no σ outside its limits
        np.testing.assert_allclose(
            ORACLES[target](converted[reachable]), ORACLES[source](a[reachable]), rtol=1e-8, err_msg=str(a)
        )
        inside = np.abs(np.log(ORACLES[source](a))) < HALF * 0.999
        assert reachable[inside].all()

    keeps()


def test_every_scale_is_one_posterior_in_other_coordinates():
    """Same σ in every scale's own coordinates: the same distribution, density by density."""
    raw = np.array([0.3, -1.2, 0.7, -2.0], np.float32)
    z = np.array([0.1, 0.4], np.float32)
    expected = reparam.POSTERIORS["diagonal"](2).distribution(raw).log_prob(z)
    for name in ORACLES:
        family = reparam.POSTERIORS["diagonal"](2, scale=name)
        converted = np.concatenate([raw[:2], reparam.convert_raw(raw[2:], "log_variance", name)])
        np.testing.assert_allclose(family.distribution(converted).log_prob(z), expected, rtol=1e-5)


def test_bounded_reaches_its_limits_and_never_leaves_them():
    scale = scale_from("bounded:0.01,10")
    std = np.asarray(scale.std(jnp.linspace(-1e4, 1e4, 2001)))
    np.testing.assert_allclose([std[0], std[-1]], [0.01, 10.0], rtol=1e-5)
    assert std.min() >= 0.01 * (1 - 1e-6)
    assert std.max() <= 10.0 * (1 + 1e-6)
    assert (np.diff(std) >= -3e-6 * std[1:]).all()


@pytest.mark.parametrize("limits", [(0.0, 1.0), (1.0, 1.0), (2.0, 1.0), (-1.0, 1.0), (0.1, float("inf"))])
def test_bounded_refuses_limits_that_are_none(limits):
    with pytest.raises(ParameterError, match="0 < min_std < max_std < inf"):
        Bounded(*limits)


@pytest.mark.parametrize("specification", ["log_std:2", "bounded:1", "bounded:a,b", "bounded:1,2,3"])
def test_arguments_that_no_scale_takes_are_refused(specification):
    with pytest.raises(ParameterError, match="bounded:MIN,MAX"):
        scale_from(specification)


def test_an_unknown_scale_suggests_the_nearest():
    with pytest.raises(UnknownNameError, match="Did you mean 'log_variance'"):
        scale_from("log_varianc")


@settings(derandomize=True, deadline=None, max_examples=50, database=None)
@given(st.floats(-50, 50, width=32), st.floats(0.015625, 128, width=32))
def test_natural_parameters_go_there_and_back(mean, variance):
    eta1, eta2 = reparam.natural_from_mean_variance(mean, variance)
    np.testing.assert_allclose([eta1, eta2], [mean / variance, -0.5 / variance], rtol=1e-6)
    np.testing.assert_allclose(reparam.mean_variance_from_natural(eta1, eta2), [mean, variance], rtol=1e-5, atol=1e-6)
