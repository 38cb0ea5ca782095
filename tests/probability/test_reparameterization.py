from __future__ import annotations

import pickle
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
import scipy.stats

import reparam
from reparam.errors import ParameterError, UnknownNameError
from reparam.probability.distributions.affine_normal import AffineNormal
from reparam.probability.distributions.counts import PoissonByMean, ZeroInflated
from reparam.probability.distributions.location_scale import LocationScale
from reparam.probability.distributions.low_rank_normal import LowRankNormal
from reparam.probability.reparameterization import reparameterize_with_log_prob
from reparam.specification import build

K, DRAWS = 3, 40_000


@partial(jax.jit, static_argnums=2)
def drawn(q, key, shape):
    """Draws, and their log density as it comes with them and as q gives it."""
    z, log_prob = reparameterize_with_log_prob(q, reparam.draw_noise(q, key, shape))
    return z, log_prob, q.log_prob(z)


@partial(jax.jit, static_argnums=2)
def draws(q, key, shape):
    return reparam.reparameterize(q, reparam.draw_noise(q, key, shape))


rng = np.random.default_rng(0)
LOC = np.array([0.5, -1.0, 2.0], np.float32)
SCALE = np.array([0.3, 1.0, 2.5], np.float32)
MATRIX = rng.normal(size=(K, K)).astype(np.float32)
FACTOR = rng.normal(size=(K, 2)).astype(np.float32)

STANDARD = {
    "normal": scipy.stats.norm(),
    "laplace": scipy.stats.laplace(),
    "logistic": scipy.stats.logistic(),
    "student_t": scipy.stats.t(5),
}

DISTRIBUTIONS = {
    **{f"ours {base}": lambda base=base: LocationScale(LOC, SCALE, base=base) for base in STANDARD},
    "numpyro normal": lambda: dist.Normal(LOC, SCALE).to_event(1),
    "numpyro laplace": lambda: dist.Laplace(LOC, SCALE).to_event(1),
    "numpyro logistic": lambda: dist.Logistic(LOC, SCALE).to_event(1),
    "numpyro student_t": lambda: dist.StudentT(5.0, LOC, SCALE).to_event(1),
    "full": lambda: AffineNormal(LOC, MATRIX),
    "low rank": lambda: LowRankNormal(LOC, SCALE, FACTOR),
    "numpyro multivariate": lambda: dist.MultivariateNormal(LOC, scale_tril=jnp.tril(MATRIX) + 3 * jnp.eye(K)),
    "numpyro low rank": lambda: dist.LowRankMultivariateNormal(
        jnp.asarray(LOC), jnp.asarray(FACTOR), jnp.asarray(SCALE)
    ),
    "expanded": lambda: dist.Normal(0.0, 2.0).expand([K]).to_event(1),
    "expanded along an axis of size 1": lambda: dist.Normal(jnp.zeros(1), 2.0).expand([K]).to_event(1),
    "of integers": lambda: dist.Normal(jnp.arange(K), 2).to_event(1),
}
every_distribution = pytest.mark.parametrize("name", DISTRIBUTIONS)


@pytest.mark.parametrize("base", STANDARD)
def test_location_scale_is_loc_plus_scale_times_eps(base):
    eps = rng.normal(size=(7, K)).astype(np.float32)
    z = reparam.reparameterize(LocationScale(LOC, SCALE, base=base), eps)
    np.testing.assert_allclose(z, LOC + SCALE * eps, rtol=1e-6)


def test_full_is_loc_plus_matrix_times_eps():
    eps = rng.normal(size=(7, K)).astype(np.float32)
    np.testing.assert_allclose(
        reparam.reparameterize(AffineNormal(LOC, MATRIX), eps), LOC + eps @ MATRIX.T, rtol=1e-5, atol=1e-5
    )


@every_distribution
def test_draws_have_the_mean_and_covariance_that_are_claimed(name):
    """Within 5 standard errors of each moment: a false alarm with probability below 2e-5, on a fixed key."""
    q = DISTRIBUTIONS[name]()
    z = np.asarray(draws(q, jax.random.key(1), (DRAWS,)), np.float64)
    assert z.shape == (DRAWS, K)
    covariance = np.asarray(q.covariance_matrix) if hasattr(q, "covariance_matrix") else np.diag(np.asarray(q.variance))
    np.testing.assert_array_less(np.abs(z.mean(axis=0) - np.asarray(q.mean)), 5 * z.std(axis=0) / np.sqrt(DRAWS))
    products = np.einsum("ni,nj->nij", z - z.mean(axis=0), z - z.mean(axis=0))
    error = 5 * products.std(axis=0) / np.sqrt(DRAWS) + 1e-6
    np.testing.assert_array_less(np.abs(products.mean(axis=0) - covariance), error)


@pytest.mark.parametrize("base", STANDARD)
def test_draws_pass_a_goodness_of_fit_test(base):
    """Kolmogorov–Smirnov per coordinate at 1e-4, three coordinates: a false alarm with probability 3e-4, fixed key."""
    q = LocationScale(LOC, SCALE, base=base)
    z = np.asarray(draws(q, jax.random.key(2), (DRAWS,)))
    for d in range(K):
        assert scipy.stats.kstest((z[:, d] - LOC[d]) / SCALE[d], STANDARD[base].cdf).pvalue > 1e-4


def test_whitened_draws_of_a_full_matrix_are_standard_normal():
    """S⁻¹(z − μ) has independent standard normal coordinates: its squared length is χ² with K degrees of freedom."""
    q = AffineNormal(LOC, MATRIX)
    z = np.asarray(q.sample(jax.random.key(3), (DRAWS,)), np.float64)
    covariance = MATRIX.astype(float) @ MATRIX.astype(float).T
    distance = np.einsum("ni,ij,nj->n", z - LOC, np.linalg.inv(covariance), z - LOC)
    assert scipy.stats.kstest(distance, scipy.stats.chi2(K).cdf).pvalue > 1e-4  # false alarm 1e-4, fixed key


@every_distribution
def test_the_density_of_a_draw_is_the_one_that_log_prob_gives(name):
    q = DISTRIBUTIONS[name]()
    _, found, wanted = drawn(q, jax.random.key(4), (50,))
    np.testing.assert_allclose(found, wanted, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("specification", ["diagonal", "diagonal:logistic", "full", "cholesky", "low_rank:2", "flow"])
def test_posteriors_share_their_draws_density_over_batches(specification):
    family = build("posterior", reparam.POSTERIORS, specification, K)
    raw = 0.3 * rng.normal(size=(4, family.raw_size)).astype(np.float32) + np.asarray(family.initial_raw())
    q = eqx.filter_jit(family.distribution)(raw)
    z, found, wanted = drawn(q, jax.random.key(5), (6,))
    assert z.shape == (6, 4, K)
    assert found.shape == (6, 4)
    np.testing.assert_allclose(found, wanted, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("base", STANDARD)
def test_gradients_of_an_expectation_are_its_closed_form(base):
    """E z² = μ² + σ² v with v the variance of ε, so ∂μ = 2μ and ∂σ = 2σv; within 5 standard errors, fixed key."""
    eps = LocationScale(jnp.zeros(K), jnp.ones(K), base=base)
    noise = jax.jit(lambda key: reparam.draw_noise(eps, key, (DRAWS,)))(jax.random.key(6))

    def value(loc, scale, eps):
        return jnp.sum(reparam.reparameterize(LocationScale(loc, scale, base=base), eps) ** 2)

    gradients = jax.jit(jax.vmap(jax.grad(value, argnums=(0, 1)), in_axes=(None, None, 0)))
    by_loc, by_scale = gradients(jnp.asarray(LOC), jnp.asarray(SCALE), noise)
    for found, expected in ((by_loc, 2 * LOC), (by_scale, 2 * SCALE * STANDARD[base].var())):
        error = 5 * np.asarray(found).std(axis=0) / np.sqrt(DRAWS)
        np.testing.assert_array_less(np.abs(np.asarray(found).mean(axis=0) - expected), error)


def test_gradients_reach_a_full_matrix():
    """E‖z‖² = ‖μ‖² + ‖S‖²_F, so ∂S = 2S."""
    noise = jax.random.normal(jax.random.key(7), (DRAWS, K))
    gradient = jax.grad(lambda s, eps: jnp.sum(reparam.reparameterize(AffineNormal(LOC, s), eps) ** 2))
    found = jax.jit(jax.vmap(gradient, in_axes=(None, 0)))(jnp.asarray(MATRIX), noise)
    error = 5 * np.asarray(found).std(axis=0) / np.sqrt(DRAWS)
    np.testing.assert_array_less(np.abs(np.asarray(found).mean(axis=0) - 2 * MATRIX), error)


@pytest.mark.parametrize("specification", ["full", "cholesky", "low_rank", "diagonal", "flow"])
def test_families_start_near_the_standard_normal(specification):
    family = reparam.POSTERIORS[specification](K)
    sample = jax.jit(lambda key: family.distribution(family.initial_raw()).sample(key, (4000,)))
    z = np.asarray(sample(jax.random.key(8)))
    tolerance = 1.0 if specification == "flow" else 0.1  # a flow's weights start at random
    np.testing.assert_allclose(np.cov(z.T), np.eye(K), atol=tolerance)


def test_families_say_how_many_raw_numbers_they_take():
    sizes = {name: reparam.POSTERIORS[name](3).raw_size for name in reparam.POSTERIORS}
    assert sizes == {"diagonal": 6, "full": 12, "cholesky": 9, "low_rank": 9, "flow": 22}


def test_the_full_matrix_is_the_raw_vector_row_by_row():
    raw = np.arange(12.0, dtype=np.float32)
    q = reparam.POSTERIORS["full"](3).distribution(raw)
    np.testing.assert_array_equal(q.matrix, raw[3:].reshape(3, 3))
    np.testing.assert_allclose(q.covariance_matrix, raw[3:].reshape(3, 3) @ raw[3:].reshape(3, 3).T)


@pytest.mark.parametrize(
    ("specification", "match"),
    [
        ("diagonal:cauchy", "base"),
        ("diagonal:student_t,inf", r"'df' parameter .* must be a float in \(0, inf\)\. Got inf"),
        ("diagonal:student_t,-1", "'df'.*Got -1"),
        ("low_rank:0", "rank"),
        ("low_rank:99", r"'rank' parameter of posterior 'low_rank' must be an int in \[1, 2\]\. Got 99"),
        ("flow:0", r"'layers' parameter of a flow must be an int in \[1, inf\)\. Got 0"),
        ("flow:1,-8", "'width'.*Got -8"),
        ("flow:1,8,0", "'context'.*Got 0"),
        ("full:3", "does not take"),
    ],
)
def test_arguments_outside_their_domain_are_refused(specification, match):
    with pytest.raises(ParameterError, match=match):
        build("posterior", reparam.POSTERIORS, specification, 2)


@pytest.mark.parametrize("name", reparam.POSTERIORS)
@pytest.mark.parametrize("latent_dim", [0, -1, 1.5, True])
def test_latent_dim_must_be_a_positive_int(name, latent_dim):
    with pytest.raises(ParameterError, match=r"'latent_dim'.*int in"):
        reparam.POSTERIORS[name](latent_dim)


def test_a_flow_of_one_latent_is_refused_with_a_way_out():
    with pytest.raises(ParameterError, match=r"at least 2 latents.*diagonal"):
        reparam.POSTERIORS["flow"](1)


def test_an_unknown_family_has_no_reparameterisation():
    with pytest.raises(ParameterError, match=r"Gamma.*register"):
        reparam.reparameterize(dist.Gamma(1.0, 1.0), jnp.zeros(()))
    with pytest.raises(UnknownNameError, match="laplace"):
        LocationScale(LOC, SCALE, base="laplac")


def test_a_base_may_be_written_with_a_hyphen():
    assert build("posterior", reparam.POSTERIORS, "diagonal:student-t,7", 2).base == "student_t"


def test_integer_parameters_are_numbers():
    q = dist.Normal(0, 1)
    eps = reparam.draw_noise(q, jax.random.key(0), (3,))
    assert jnp.issubdtype(eps.dtype, jnp.floating)
    np.testing.assert_array_equal(reparam.reparameterize(q, eps), eps)


def test_noise_of_an_expanded_distribution_is_its_own_in_every_row_and_column():
    """Shapes (2,) draws, batch (3, 4) from (3, 1) and from (4,), vectors of 5; no number may stand twice."""
    for batch in ((3, 1), (4,), (1, 4), ()):
        q = LocationScale(jnp.zeros((*batch, 5)), jnp.ones(5)).expand((3, 4))
        z = draws(q, jax.random.key(0), (2,))
        assert z.shape == (2, 3, 4, 5)
        assert len(np.unique(z)) == z.size
    rows = LocationScale(10.0 * jnp.arange(3.0)[:, None, None] * jnp.ones((1, 2)), jnp.ones(2)).expand((3, 400))
    means = np.asarray(rows.base_dist.loc[:, 0])
    found = np.asarray(reparam.reparameterize(rows, reparam.draw_noise(rows, jax.random.key(1))))
    np.testing.assert_allclose(found.mean(axis=1), means, atol=5 / np.sqrt(400))  # false alarm 4e-6, fixed key


@pytest.mark.parametrize(
    ("name", "shape"),
    [("numpyro normal", (7, 1)), ("ours normal", (7, 2)), ("full", (7, 1)), ("low rank", (7, K)), ("expanded", (1,))],
)
def test_noise_of_another_shape_is_refused_not_repeated(name, shape):
    with pytest.raises(ParameterError, match=r"reparameterize: .* needs noise of shape \(\.\.\., "):
        reparam.reparameterize(DISTRIBUTIONS[name](), jnp.zeros(shape))


def test_one_noise_for_a_whole_batch_is_refused():
    with pytest.raises(ParameterError, match=r"noise of shape \(\.\.\., 4, 3\).*Got \(3,\)"):
        reparam.reparameterize(LocationScale(jnp.zeros((4, K)), jnp.ones(K)), jnp.zeros(K))


@pytest.mark.parametrize(
    "make",
    [
        lambda: LocationScale(jnp.zeros(2), jnp.ones(3)),
        lambda: AffineNormal(jnp.zeros(1), jnp.eye(3)),
        lambda: AffineNormal(jnp.zeros(3), jnp.ones((3, 2))),
        lambda: LowRankNormal(jnp.zeros(3), jnp.ones(3), jnp.ones((2, 1))),
        lambda: LowRankNormal(jnp.zeros((4, 3)), jnp.ones(3), jnp.ones((5, 3, 1))),
        lambda: LowRankNormal(jnp.zeros(3), jnp.ones(3), jnp.ones(3)),
        lambda: ZeroInflated(PoissonByMean(0.0), jnp.zeros(3)),
    ],
)
def test_parameters_of_shapes_that_do_not_agree_are_refused(make):
    with pytest.raises(ParameterError, match="must have"):
        make()


def test_a_batch_of_factors_is_a_batch_of_distributions():
    factors = jnp.asarray(rng.normal(size=(4, K, 2)), jnp.float32)
    q = LowRankNormal(jnp.zeros(K), jnp.ones(K), factors)
    assert q.batch_shape == (4,)
    z, _, found = drawn(q, jax.random.key(0), (5,))
    covariances = np.eye(K) + np.asarray(factors, float) @ np.swapaxes(np.asarray(factors, float), -1, -2)
    for n in range(4):
        expected = scipy.stats.multivariate_normal(np.zeros(K), covariances[n]).logpdf(np.asarray(z[:, n], float))
        np.testing.assert_allclose(found[:, n], expected, rtol=1e-4)


def test_flows_of_one_size_are_one_program_and_pickle():
    """Two keys, and a copy that went through pickle, traced once; the prior's and the distribution's copies agree."""
    traces = []

    @jax.jit
    def density(family, raw, z):
        traces.append(None)
        return family.distribution(raw).log_prob(z)

    first, second = (reparam.POSTERIORS["flow"](3, 1, 8, 4, key=jax.random.key(n)) for n in range(2))
    raw, z = jnp.ones(first.raw_size), jnp.asarray(LOC)
    copied = pickle.loads(pickle.dumps(first))
    found, other, again = (density(family, raw, z) for family in (first, second, copied))
    assert len(traces) == 1
    assert found == again != other
    prior = reparam.PRIORS["flow"](3, 1, 8)
    for p in (prior, first):
        q = p.distribution() if p is prior else p.distribution(raw)
        of_copy = pickle.loads(pickle.dumps(p))
        r = of_copy.distribution() if p is prior else of_copy.distribution(raw)
        expected = q.log_prob(z)
        np.testing.assert_allclose([r.log_prob(z), pickle.loads(pickle.dumps(q)).log_prob(z)], expected, rtol=1e-6)


def test_a_flow_first_used_inside_a_program_leaves_nothing_of_it_behind():
    prior = reparam.PRIORS["flow"](3, 1, 9)
    inside = jax.jit(lambda prior, z: prior.distribution().log_prob(z))(prior, jnp.asarray(LOC))
    np.testing.assert_allclose(prior.distribution().log_prob(jnp.asarray(LOC)), inside, rtol=1e-5)
