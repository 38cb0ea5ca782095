from __future__ import annotations

import itertools
import math
import re

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
import scipy.integrate
import scipy.stats
from numpyro.distributions import kl_divergence as numpyro_kl

import reparam
from reparam.errors import NoClosedFormError, ParameterError, ReparamWarning
from reparam.probability.distributions.affine_normal import AffineNormal
from reparam.probability.distributions.location_scale import LocationScale
from reparam.probability.divergences import has_closed_form

K = 3
rng = np.random.default_rng(0)
compiled_kl = jax.jit(reparam.kl_divergence)
compiled_numpyro_kl = jax.jit(lambda q, p: numpyro_kl(q, p))  # noqa: PLW0108 - JAX wants a function, not a dispatcher
log_prob = jax.jit(lambda law, x: law.log_prob(x))


def random_covariance(spread: float) -> np.ndarray:
    factor = np.eye(K) + spread * rng.normal(size=(K, K))
    return factor @ factor.T


def gaussian(kind: str, mean: np.ndarray, covariance: np.ndarray) -> dist.Distribution:
    """One and the same kind of Gaussian in each of its clothes; 'diagonal' kinds take the diagonal alone."""
    std = np.sqrt(np.diag(covariance))
    rotation = np.linalg.qr(rng.normal(size=(K, K)))[0]
    return {
        "location_scale": lambda: LocationScale(mean, std),
        "affine": lambda: AffineNormal(mean, np.linalg.cholesky(covariance) @ rotation),
        "numpyro_normal": lambda: dist.Normal(mean, std).to_event(1),
        "numpyro_multivariate": lambda: dist.MultivariateNormal(mean, covariance),
        "numpyro_low_rank": lambda: dist.LowRankMultivariateNormal(
            jnp.asarray(mean), jnp.asarray(np.linalg.cholesky(covariance)[:, :2]), jnp.asarray(std)
        ),
    }[kind]()


KINDS = ("location_scale", "affine", "numpyro_normal", "numpyro_multivariate", "numpyro_low_rank")


def covariance_of(d: dist.Distribution) -> np.ndarray:
    if hasattr(d, "covariance_matrix"):
        return np.asarray(d.covariance_matrix)
    return np.diag(np.asarray(d.variance))


def textbook_kl(q: dist.Distribution, p: dist.Distribution) -> float:
    """½[tr Σp⁻¹Σq + Δᵀ Σp⁻¹ Δ − K + ln det Σp − ln det Σq], in double precision by NumPy alone."""
    covariance_q, covariance_p = covariance_of(q), covariance_of(p)
    shift = np.asarray(p.mean) - np.asarray(q.mean)
    inverse = np.linalg.inv(covariance_p)
    log_det = np.linalg.slogdet(covariance_p)[1] - np.linalg.slogdet(covariance_q)[1]
    return 0.5 * (np.trace(inverse @ covariance_q) + shift @ inverse @ shift - K + log_det)


@pytest.mark.parametrize(("kind_q", "kind_p"), list(itertools.product(KINDS, KINDS)))
def test_every_gaussian_pair_is_the_textbook_formula(kind_q, kind_p):
    with jax.enable_x64(True):
        q = gaussian(kind_q, rng.normal(size=K), random_covariance(0.5))
        p = gaussian(kind_p, rng.normal(size=K), random_covariance(0.3))
        np.testing.assert_allclose(compiled_kl(q, p), textbook_kl(q, p), rtol=1e-9)


@pytest.mark.parametrize("rank", [1, 3, 5])
def test_full_against_standard_normal_is_the_published_formula(rank):
    raw = np.random.default_rng(rank).normal(size=(7, rank + rank**2)).astype(np.float32)
    loc, matrix = raw[:, :rank].astype(float), raw[:, rank:].reshape(7, rank, rank).astype(float)
    expected = 0.5 * (np.sum(matrix**2, axis=(1, 2)) + np.sum(loc**2, axis=1) - rank - 2 * np.linalg.slogdet(matrix)[1])
    family, p = reparam.POSTERIORS["full"](rank), reparam.PRIORS["standard_normal"](rank).distribution()
    found = jax.jit(lambda raw: reparam.kl_divergence(family.distribution(raw), p))(raw)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_diagonal_against_standard_normal_is_kingma_and_welling():
    raw = rng.normal(size=(5, 2 * K)).astype(np.float32)
    mean, log_variance = raw[:, :K].astype(float), raw[:, K:].astype(float)
    expected = -0.5 * np.sum(1 + log_variance - mean**2 - np.exp(log_variance), axis=1)
    family, p = reparam.POSTERIORS["diagonal"](K), dist.Normal(jnp.zeros(K), 1.0).to_event(1)
    found = jax.jit(lambda raw: reparam.kl_divergence(family.distribution(raw), p))(raw)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_laplace_pair_is_numpyros():
    with jax.enable_x64(True):
        loc, scale = rng.normal(size=(2, K)), np.exp(rng.normal(size=(2, K)))
        q, p = (LocationScale(loc[i], scale[i], base="laplace") for i in range(2))
        draws = jnp.asarray(np.random.default_rng(1).laplace(loc[0], scale[0], size=(400_000, K)))
        log_ratio = np.asarray(log_prob(q, draws)) - np.asarray(log_prob(p, draws))
        plain = (dist.Laplace(loc[i], scale[i]).to_event(1) for i in range(2))
        kl = compiled_kl(q, p)
        np.testing.assert_allclose(compiled_kl(*plain), kl, rtol=1e-12)
    standard_error = log_ratio.std() / np.sqrt(len(log_ratio))
    assert abs(float(kl) - log_ratio.mean()) < 4 * standard_error  # false alarm 6e-5, seed fixed


def test_scalars_and_batches_broadcast_like_numpyros():
    q, p = dist.Normal(jnp.array([0.5, -1.0]), 2.0), dist.Normal(0.0, 1.5)
    np.testing.assert_allclose(compiled_kl(q, p), compiled_numpyro_kl(q, p), rtol=1e-5)
    expanded = dist.Normal(0.0, 1.0).expand([4, K]).to_event(1)
    rows = LocationScale(jnp.ones((4, K)), jnp.ones(K))
    assert jax.eval_shape(reparam.kl_divergence, rows, expanded).shape == (4,)


@pytest.mark.parametrize("family", ["diagonal", "diagonal:laplace", "full", "cholesky", "low_rank"])
@pytest.mark.parametrize("size", [1e-6, 1e-4, 1e-2, 1.0, 30.0])
def test_single_precision_is_accurate_however_near(family, size):
    """Against 40-digit arithmetic on the same single-precision parameters."""
    mpmath = pytest.importorskip("mpmath", reason="mpmath comes with jax's sympy-free dependencies only by chance")
    name, _, base = family.partition(":")
    posterior = reparam.POSTERIORS[name](K, *([base] if base else []))
    if base:
        p = LocationScale(jnp.zeros(K), jnp.ones(K), base=base)
    else:
        p = reparam.PRIORS["standard_normal"](K).distribution()

    @jax.jit
    def found(raw):
        q = posterior.distribution(raw)
        return q.mean, reparam.kl_divergence(q, p)

    for seed in range(5):
        direction = np.random.default_rng(seed).normal(size=posterior.raw_size)
        raw = np.asarray(posterior.initial_raw() + math.sqrt(size) * 0.5 * direction, np.float32)
        mean, kl = found(raw)
        if base:
            expected = exact_laplace_kl(mpmath, raw)
        else:
            expected = exact_gaussian_kl(mpmath, np.asarray(mean), exact_covariance(mpmath, name, raw))
        assert abs(float(kl) / float(expected) - 1) < 1e-4, (family, size, seed)


def exact_covariance(mpmath, name: str, raw: np.ndarray):
    mpmath.mp.dps = 40
    numbers = [mpmath.mpf(float(r)) for r in raw]
    if name == "full":
        matrix = mpmath.matrix(K, K)
        for i, j in itertools.product(range(K), range(K)):
            matrix[i, j] = numbers[K + K * i + j]
        return matrix * matrix.T
    diagonal = [mpmath.exp(a / 2) for a in numbers[K : 2 * K]]
    matrix = mpmath.diag(diagonal)
    rest = numbers[2 * K :]
    if name == "low_rank":
        factor = mpmath.matrix(rest)
        return matrix * matrix + factor * factor.T
    for number, (i, j) in zip(rest, zip(*np.tril_indices(K, -1), strict=True), strict=False):
        matrix[int(i), int(j)] = number
    return matrix * matrix.T


def exact_gaussian_kl(mpmath, mean: np.ndarray, covariance):
    trace = mpmath.fsum(covariance[i, i] for i in range(K))
    square = mpmath.fsum(mpmath.mpf(float(m)) ** 2 for m in mean)
    return (trace + square - K - mpmath.log(mpmath.det(covariance))) / 2


def exact_laplace_kl(mpmath, raw: np.ndarray):
    mpmath.mp.dps = 40
    total = mpmath.mpf(0)
    for loc, a in zip(raw[:K], raw[K:], strict=True):
        scale, shift = mpmath.exp(mpmath.mpf(float(a)) / 2), abs(mpmath.mpf(float(loc)))
        total += -mpmath.log(scale) + shift + scale * mpmath.exp(-shift / scale) - 1
    return total


def test_identical_distributions_have_no_divergence():
    raw = rng.normal(size=(4, 2 * K)).astype(np.float32)
    q = reparam.POSTERIORS["diagonal"](K).distribution(raw)
    assert np.array_equal(reparam.kl_divergence(q, q), np.zeros(4))


def test_a_rotated_factor_is_the_same_distribution():
    """z = μ + SRε has the law of z = μ + Sε for every rotation R: S is not unique."""
    raw = np.random.default_rng(4).normal(size=K + K * K).astype(np.float32)
    rotation = np.linalg.qr(np.random.default_rng(5).normal(size=(K, K)))[0].astype(np.float32)
    family = reparam.POSTERIORS["full"](K)
    turned = np.concatenate([raw[:K], (raw[K:].reshape(K, K) @ rotation).ravel()])
    q, r = family.distribution(raw), family.distribution(turned)
    z = np.random.default_rng(6).normal(size=(9, K)).astype(np.float32)
    np.testing.assert_allclose(log_prob(q, z), log_prob(r, z), rtol=1e-3)
    p = reparam.PRIORS["standard_normal"](K).distribution()
    np.testing.assert_allclose(compiled_kl(q, p), compiled_kl(r, p), rtol=1e-4)
    assert abs(compiled_kl(q, r)) < 1e-4


SINGULAR = {
    "a row is a multiple": [[1.0, 2.0, 0.0], [2.0, 4.0, 0.0], [0.0, 0.0, 1.0]],
    "outer product": np.outer([0.3, -1.1, 0.7], [1.0, 0.2, -0.6]).tolist(),
    "zero": np.zeros((3, 3)).tolist(),
}


@pytest.mark.parametrize("name", SINGULAR)
def test_a_singular_matrix_gives_infinity_and_a_warning_never_nan(name):
    family, p = reparam.POSTERIORS["full"](3), reparam.PRIORS["standard_normal"](3).distribution()
    raw = jnp.asarray(np.concatenate([np.zeros(3), np.ravel(SINGULAR[name])]), float)
    with pytest.warns(ReparamWarning, match="singular"):
        assert reparam.kl_divergence(family.distribution(raw), p) == jnp.inf

    @jax.jit
    def found(raw):
        divergence = jax.value_and_grad(lambda raw: reparam.kl_divergence(family.distribution(raw), p))
        density = jax.value_and_grad(lambda raw: family.distribution(raw).log_prob(jnp.ones(3)))
        return divergence(raw), density(raw)

    (value, gradient), of_density = found(raw)
    assert value == np.inf
    assert not np.isnan(gradient).any()
    assert not any(np.isnan(number).any() for number in of_density)


@pytest.mark.parametrize("name", ["diagonal", "full", "cholesky", "low_rank"])
def test_extremes_never_give_nan(name):
    """Raw numbers from −10⁴ to 10⁴: finite, or +∞ where the divergence leaves single precision."""
    family, p = reparam.POSTERIORS[name](K), reparam.PRIORS["standard_normal"](K).distribution()
    extremes = np.random.default_rng(1).choice([-1e4, -88.0, -1.0, 0.0, 1.0, 88.0, 1e4], (60, family.raw_size))

    def kl(raw):
        return reparam.kl_divergence(family.distribution(raw), p)

    value, gradient = jax.jit(jax.vmap(jax.value_and_grad(kl)))(jnp.asarray(extremes, jnp.float32))
    assert not np.isnan(value).any()
    assert not np.isneginf(value).any()
    assert not np.isnan(gradient).any(), extremes[np.isnan(gradient).any(axis=1)][0]


def test_pairs_without_a_closed_form_are_refused_by_name():
    q = reparam.POSTERIORS["diagonal"](2, "student_t").distribution(jnp.zeros(4))
    with pytest.raises(NoClosedFormError, match=r"LocationScale\(student_t\).*LocationScale\(normal\).*kl_monte_carlo"):
        reparam.kl_divergence(q, reparam.PRIORS["standard_normal"](2).distribution())
    with pytest.raises(NoClosedFormError, match="MixtureSameFamily"):
        reparam.kl_divergence(q, reparam.PRIORS["gaussian_mixture"](2).distribution())


def test_different_event_shapes_are_refused():
    with pytest.raises(ParameterError, match="equal event shapes"):
        reparam.kl_divergence(LocationScale(jnp.zeros(2), jnp.ones(2)), LocationScale(jnp.zeros(3), jnp.ones(3)))


@pytest.mark.parametrize("name", ["diagonal", "diagonal:laplace", "full", "cholesky", "low_rank", "flow"])
def test_monte_carlo_agrees_with_the_closed_form_or_the_density(name):
    """Within 4 standard errors: a false alarm with probability 6e-5 for each family, on fixed keys."""
    name, _, base = name.partition(":")
    family = reparam.POSTERIORS[name](2, *([base] if base else []))
    raw = 0.5 * np.random.default_rng(2).normal(size=family.raw_size).astype(np.float32)
    q = eqx.filter_jit(family.distribution)(raw)
    p = LocationScale(jnp.zeros(2), jnp.ones(2), base=base or "normal")
    value, standard_error = jax.jit(reparam.kl_monte_carlo, static_argnums=3)(q, p, jax.random.key(3), 20_000)
    if name == "flow":

        @jax.jit
        def log_ratios(q, key):
            z = q.sample(key, (20_000,))
            return q.log_prob(z) - p.log_prob(z)

        log_ratio = np.asarray(log_ratios(q, jax.random.key(4)))
        expected, extra = log_ratio.mean(), log_ratio.std() / np.sqrt(len(log_ratio))
    else:
        expected, extra = compiled_kl(q, p), 0.0
    assert abs(value - expected) < 4 * math.hypot(standard_error, extra)
    assert 0 < standard_error < 0.05


def test_monte_carlo_needs_two_samples():
    q = LocationScale(jnp.zeros(2), jnp.ones(2))
    with pytest.raises(ParameterError, match="samples"):
        reparam.kl_monte_carlo(q, q, jax.random.key(0), 1)


@pytest.mark.parametrize(("family", "products"), [("cholesky", 0), ("low_rank", 0), ("full", 1)])
def test_the_divergence_of_a_batch_costs_few_products_of_matrices(family, products):
    posterior, p = reparam.POSTERIORS[family](8), reparam.PRIORS["standard_normal"](8).distribution()
    raw = jnp.zeros((4, posterior.raw_size))
    program = jax.make_jaxpr(lambda raw: reparam.kl_divergence(posterior.distribution(raw), p))(raw)
    assert len(re.findall(r"\[4,8,8\] = dot_general", str(program))) == products


def test_numpyros_divergence_knows_our_types_and_ours_knows_numpyros():
    with jax.enable_x64(True):
        for kind_q, kind_p in itertools.product(KINDS, KINDS):
            q, p = (gaussian(kind, np.zeros(K), random_covariance(0.4)) for kind in (kind_q, kind_p))
            if isinstance(q, LocationScale | AffineNormal) or isinstance(p, LocationScale | AffineNormal):
                np.testing.assert_allclose(compiled_numpyro_kl(q, p), textbook_kl(q, p), rtol=1e-7)
    rows = LocationScale(jnp.ones((4, K)), jnp.ones(K)).to_event(1)
    assert numpyro_kl(rows, LocationScale(jnp.zeros((4, K)), jnp.ones(K)).to_event(1)) == 2.0 * K
    with pytest.raises(NotImplementedError):
        numpyro_kl(LocationScale(jnp.zeros(2), jnp.ones(2), base="logistic"), LocationScale(jnp.zeros(2), jnp.ones(2)))
    # Beta and Gamma against quadrature of their definition
    x = np.linspace(1e-4, 1 - 1e-4, 20_001)
    for law, q, p in (
        (scipy.stats.beta, (dist.Beta(2.0, 3.0), (2, 3)), (dist.Beta(4.0, 2.0), (4, 2))),
        (scipy.stats.gamma, (dist.Gamma(2.0, 3.0), (2, 0, 1 / 3)), (dist.Gamma(4.0, 1.0), (4, 0, 1))),
    ):
        grid = x if law is scipy.stats.beta else 15 * x
        log_ratio = law.logpdf(grid, *q[1]) - law.logpdf(grid, *p[1])
        expected = scipy.integrate.simpson(law.pdf(grid, *q[1]) * log_ratio, x=grid)
        np.testing.assert_allclose(compiled_kl(q[0], p[0]), expected, rtol=1e-3)
    matrix = dist.Normal(jnp.ones((2, 3)), 1.0).to_event(2)
    assert reparam.kl_divergence(matrix, dist.Normal(jnp.zeros((2, 3)), 1.0).to_event(2)) == 3.0
    assert has_closed_form(dist.Beta(1.0, 1.0).to_event(0), dist.Beta(2.0, 1.0))
    assert not has_closed_form(dist.Beta(jnp.ones(2), 1.0).to_event(1), dist.Normal(jnp.zeros(2), 1.0).to_event(1))


def test_monte_carlo_refuses_shapes_that_do_not_agree_and_broadcasts_batches():
    vector = LocationScale(jnp.zeros(3), jnp.ones(3))
    with pytest.raises(ParameterError, match=r"kl_monte_carlo needs equal event shapes\. Got \(\) of q, \(3,\) of p"):
        reparam.kl_monte_carlo(dist.Normal(1.0, 1.0), vector, jax.random.key(0), 100)
    for divergence in (reparam.kl_divergence, lambda q, p: reparam.kl_monte_carlo(q, p, jax.random.key(0), 9)):
        with pytest.raises(ParameterError, match=r"batch shapes that broadcast\. Got \(4,\) of q, \(5,\) of p"):
            divergence(*(LocationScale(jnp.zeros((n, 3)), jnp.ones(3)) for n in (4, 5)))
    means = jnp.asarray(np.arange(4.0)[:, None] * np.ones(3))
    compiled = jax.jit(reparam.kl_monte_carlo, static_argnums=3)
    value, error = compiled(vector, LocationScale(means, jnp.ones(3)), jax.random.key(0), 4)
    assert value.shape == error.shape == (4,)  # as many draws as p has rows: they must not be paired
    assert value[0] == 0.0
