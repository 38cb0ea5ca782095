"""Gaussians whose deviations differ by many orders of magnitude, and those that nearly coincide."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

import reparam
from reparam.probability.distributions.affine_normal import AffineNormal
from reparam.probability.distributions.location_scale import LocationScale
from reparam.probability.distributions.low_rank_normal import LowRankNormal
from reparam.probability.numerics import abs_det_log, eliminated, trace_minus_log_det

compiled_trace = jax.jit(trace_minus_log_det, static_argnums=2)
WIDE = np.random.default_rng(7).normal(size=(10, 2)).astype(np.float32)  # factors of size 1 beside σ = 1e-4


def exact_low_rank_kl(mpmath, q, p) -> float:
    """In 50-digit arithmetic on the same single-precision parameters; q and p are (σ, F) about 0."""
    mpmath.mp.dps = 50
    covariances = []
    for sigma, entries in (q, p):
        factor = mpmath.matrix(np.asarray(entries, float).tolist())
        covariances.append(mpmath.diag([mpmath.mpf(float(sigma)) ** 2] * 10) + factor * factor.T)
    of_q, of_p = covariances
    ratio = mpmath.inverse(of_p) * of_q
    return float((mpmath.fsum(ratio[i, i] for i in range(10)) - 10 - mpmath.log(mpmath.det(ratio))) / 2)


@pytest.mark.parametrize("sigma", [1e-2, 1e-4])
def test_low_rank_against_any_gaussian_is_finite_and_exact_beside_a_tiny_sigma(sigma):
    mpmath = pytest.importorskip("mpmath", reason="the oracle's arithmetic")
    sigma = np.float32(sigma)
    low_rank, wider = (LowRankNormal(jnp.zeros(10), jnp.full(10, s), jnp.asarray(WIDE)) for s in (sigma, 2 * sigma))
    square = np.eye(10, dtype=np.float32) + 0.1 * np.outer(WIDE[:, 0], WIDE[:, 1])
    affine = AffineNormal(jnp.zeros(10), square)
    kl = jax.jit(reparam.kl_divergence)
    assert kl(low_rank, low_rank) == 0.0
    np.testing.assert_allclose(
        kl(low_rank, wider), exact_low_rank_kl(mpmath, (sigma, WIDE), (2 * sigma, WIDE)), rtol=1e-2
    )
    np.testing.assert_allclose(kl(low_rank, affine), exact_low_rank_kl(mpmath, (sigma, WIDE), (0.0, square)), rtol=1e-4)
    # Σ_p⁻¹ grows as σ⁻², and what single precision leaves of p's own directions with it
    backwards = exact_low_rank_kl(mpmath, (0.0, square), (sigma, WIDE))
    np.testing.assert_allclose(kl(affine, low_rank), backwards, rtol=2e-3)


@pytest.mark.parametrize("ratio", [1.0, 1e2, 1e4])
def test_low_rank_density_keeps_its_digits_however_large_the_factor(ratio):
    """Against 50 digits; rounding of z itself allows about ε·ratio·‖eps‖."""
    mpmath = pytest.importorskip("mpmath", reason="the oracle's arithmetic")
    mpmath.mp.dps = 50
    sigma = np.float32(1.0 / ratio)
    q = LowRankNormal(jnp.zeros(10), jnp.full(10, sigma), jnp.asarray(WIDE))
    z = np.asarray(jax.jit(lambda q: q.sample(jax.random.key(0), (20,)))(q))
    factor = mpmath.matrix(WIDE.astype(float).tolist())
    covariance = mpmath.diag([mpmath.mpf(float(sigma)) ** 2] * 10) + factor * factor.T
    inverse, log_det = mpmath.inverse(covariance), mpmath.log(mpmath.det(covariance))
    for row, found in zip(z, np.asarray(jax.jit(lambda q, z: q.log_prob(z))(q, z)), strict=True):
        x = mpmath.matrix(row.astype(float).tolist())
        expected = -((x.T * inverse * x)[0] + log_det + 10 * mpmath.log(2 * mpmath.pi)) / 2
        assert abs(float(found) - float(expected)) < 1e-5 * ratio**0.5 * 10 + 1e-5, (ratio, found, expected)


def test_whether_a_matrix_is_singular_does_not_depend_on_units():
    std = np.ones(50, np.float32)
    std[-1] = 5e-6
    q, p = AffineNormal(jnp.zeros(50), jnp.asarray(np.diag(std))), LocationScale(jnp.zeros(50), jnp.ones(50))
    expected = 0.5 * (np.sum(std.astype(float) ** 2) - 50) - np.sum(np.log(std.astype(float)))
    divergence, log_prob = jax.jit(lambda q, p: (reparam.kl_divergence(q, p), q.log_prob(jnp.zeros(50))))(q, p)
    np.testing.assert_allclose(divergence, expected, rtol=1e-5)
    np.testing.assert_allclose(log_prob, scipy.stats.norm(0, std.astype(float)).logpdf(0).sum(), rtol=1e-6)


@pytest.mark.parametrize("size", [1e-6, 1e-4, 5e-4, 1e-3, 3e-2])
def test_near_zero_double_precision_is_no_worse_than_the_plain_formula(size):
    """tr M − ln det(I + M) of a symmetric M, against its eigenvalues in 50 digits: within 64 machine epsilons."""
    mpmath = pytest.importorskip("mpmath", reason="the oracle's arithmetic")
    mpmath.mp.dps = 50
    values = size * np.linspace(-1, 1, 8)
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(8, 8)))[0]
    m = turn @ np.diag(values) @ turn.T
    exact = mpmath.matrix(m.tolist())
    log_det = mpmath.log(mpmath.det(mpmath.eye(8) + exact))
    expected = float(mpmath.fsum(exact[i, i] for i in range(8)) - log_det)
    with jax.enable_x64(True):
        found = float(compiled_trace(jnp.asarray(m), jnp.asarray(float(log_det)), np.finfo(float).eps))
    assert abs(found - expected) < 64 * np.finfo(float).eps * size


def test_elimination_exchanges_rows_and_gives_the_inverse_of_every_matrix_of_a_batch():
    matrices = np.random.default_rng(3).normal(size=(2, 3, 6, 6))
    matrices[0, 0, 0, 0], matrices[0, 1, :2, :2] = 0.0, [[0.0, 1e-3], [1e3, 0.0]]  # pivots that must not be taken
    pivots, inverse = jax.jit(eliminated)(jnp.asarray(matrices))
    np.testing.assert_allclose(inverse, np.linalg.inv(matrices), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(np.prod(pivots, axis=-1), np.abs(np.linalg.det(matrices)), rtol=1e-4)


def test_the_log_determinant_is_twice_differentiable():
    matrix = np.random.default_rng(4).normal(size=(4, 4))
    inverse = np.linalg.inv(matrix)
    np.testing.assert_allclose(jax.jit(jax.grad(abs_det_log))(jnp.asarray(matrix)), inverse.T, rtol=1e-4)
    curvature = -np.einsum("ij,kl->jkli", inverse, inverse)  # d S⁻¹ = −S⁻¹ dS S⁻¹
    np.testing.assert_allclose(jax.jit(jax.hessian(abs_det_log))(jnp.asarray(matrix)), curvature, rtol=1e-3, atol=1e-4)
