"""The audit's own truth, held against SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, special, stats

from reparam.verification.oracle import (
    SCALES,
    exact_noise,
    gaussian_kl,
    log_mean_exp,
    lowest,
    not_normal,
    recognise,
    scale_named,
)
from reparam.verification.randomness import CRITICAL, LEVEL

RAW = np.linspace(-2.0, 2.0, 9)


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (1.5, 0.3), (-2.0, 2.5)])
def test_gaussian_kl_is_the_integral(mean, std):
    q, p = stats.norm(mean, std), stats.norm()
    integral, _ = integrate.quad(
        lambda z: q.pdf(z) * (q.logpdf(z) - p.logpdf(z)), mean - 12 * std, mean + 12 * std, points=[mean]
    )
    np.testing.assert_allclose(gaussian_kl(np.array(mean), np.log(std)), integral, atol=1e-8)


def test_exact_noise_has_the_moments_and_shape_of_the_normal():
    eps = exact_noise(400)
    np.testing.assert_allclose([eps.mean(), eps.var()], [0.0, 1.0], atol=1e-12)
    assert stats.kstest(eps, "norm").statistic < 0.01


def test_the_lowest_point_of_a_function_is_found():
    where, value = lowest(lambda a: np.cosh(a - 0.37) + 0.5)
    np.testing.assert_allclose([where, value], [0.37, 1.5], atol=1e-4)


def test_the_p_value_of_kolmogorov_is_that_of_scipy():
    for seed, scale in ((0, 1.0), (1, 1.05)):
        eps = scale * np.random.default_rng(seed).standard_normal(4000)
        np.testing.assert_allclose(not_normal(eps), stats.kstest(eps, "norm", method="asymp").pvalue, rtol=1e-6)


def test_the_critical_value_belongs_to_the_level():
    np.testing.assert_allclose(2 * stats.norm.sf(CRITICAL), LEVEL)


def test_log_mean_exp_is_that_of_the_weights():
    log_w = np.random.default_rng(0).normal(size=(3, 5))
    np.testing.assert_allclose(log_mean_exp(log_w), np.log(np.exp(log_w).mean(axis=-1)))


def test_scales_are_their_formulas():
    softplus = special.log1p(np.exp(RAW))
    truth = {
        "log_variance": np.sqrt(np.exp(RAW)),
        "log_std": np.exp(RAW),
        "softplus": softplus,
        "softplus_variance": np.sqrt(softplus),
        "log_precision": 1 / np.sqrt(np.exp(RAW)),
    }
    for name, std in truth.items():
        np.testing.assert_allclose(np.exp(SCALES[name](RAW)), std)


def test_bounded_scale_stays_within_its_declared_limits():
    log_std = scale_named("bounded:0.5,2")
    np.testing.assert_allclose(np.exp(log_std(np.array([-1e6, 0.0, 1e6]))), [0.5, 1.0, 2.0], rtol=1e-6)


@pytest.mark.parametrize("name", SCALES)
@pytest.mark.parametrize("factor", [1.0, 0.1])
def test_every_scale_is_recognised_with_its_factor(name, factor):
    found = recognise(RAW, SCALES[name](RAW) + np.log(factor))
    assert (found.name, found.is_scale) == (name, factor == 1.0)
    np.testing.assert_allclose(found.factor, factor)
