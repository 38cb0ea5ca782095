"""Counts whose depth is given, or is a latent: the law that is meant, its integral, and a start that fits."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.special
import scipy.stats

import reparam
from reparam.batch import Batch
from reparam.errors import ParameterError
from reparam.model import Model, build_model
from reparam.objectives import build_objective
from reparam.probability.likelihoods import LIKELIHOODS
from reparam.specification import build
from reparam.starts import linear_start

fresh_model = eqx.filter_jit(build_model)
RNG = np.random.default_rng(0)
GENES, CELLS = 6, 300
Z = RNG.normal(size=(CELLS, 1))
SHARES = scipy.special.softmax(0.8 * Z @ RNG.normal(size=(1, GENES)) + np.linspace(-1, 1, GENES), axis=1)
DEPTH = np.exp(RNG.normal(6.0, 0.7, size=(CELLS, 1)))  # a fivefold spread between the quarters of all cells
X = RNG.poisson(DEPTH * SHARES)


def test_the_mean_of_a_row_is_its_depth_times_the_shares() -> None:
    likelihood = build("likelihood", LIKELIHOODS, "negative_binomial:observed", GENES)
    raw = RNG.normal(size=(4, GENES)).astype(np.float32)
    x = jnp.asarray(X[:4], float)
    found = jax.jit(lambda x, raw: likelihood.of_datum(x, None).distribution(raw).log_prob(x))(x, raw)
    mean = X[:4].sum(axis=1, keepdims=True) * scipy.special.softmax(raw, axis=1)
    np.testing.assert_allclose(found, scipy.stats.nbinom.logpmf(X[:4], 1.0, 1.0 / (1.0 + mean)), rtol=2e-5)


def test_cells_that_were_not_seen_are_no_part_of_the_depth() -> None:
    likelihood = build("likelihood", LIKELIHOODS, "negative_binomial:observed", 3)
    told = likelihood.of_datum(jnp.array([[5.0, 0.0, 2.0]]), jnp.array([[True, False, True]]))
    np.testing.assert_allclose(told.log_depth, np.log([[7.0]]), rtol=1e-6)


def test_where_no_row_is_known_the_depth_is_that_of_the_raw_numbers() -> None:
    likelihood = build("likelihood", LIKELIHOODS, "negative_binomial:observed", 2)
    np.testing.assert_allclose(likelihood.distribution(jnp.log(jnp.array([2.0, 6.0]))).mean, [2.0, 6.0], rtol=1e-6)


def test_an_encoder_sees_nothing_of_the_depth() -> None:
    model = fresh_model(
        jnp.asarray(X, float), jax.random.key(0), latent_dim=1, likelihood="negative_binomial:observed", hidden=(4,)
    )
    encoded = eqx.filter_jit(lambda x: model.encode(Batch(x)).mean)
    once, twice = (encoded(jnp.asarray(times * X[:5], float)) for times in (1, 2))
    np.testing.assert_allclose(once, twice, rtol=1e-4, atol=1e-5)


def test_the_start_explains_shares_and_not_the_depth() -> None:
    """z of the start follows the factor behind the shares (|correlation| above 0.9), whatever the depth."""
    _, start_of = linear_start(X, 1, "negative_binomial", library="observed")
    start = start_of(X)
    seen = np.log1p(1e4 * X / X.sum(axis=1, keepdims=True))
    codes = seen @ start.posterior_map + start.posterior_intercept
    assert abs(np.corrcoef(codes[:, 0], Z[:, 0])[0, 1]) > 0.9
    assert abs(np.corrcoef(codes[:, 0], np.log(DEPTH[:, 0]))[0, 1]) < 0.2


def test_a_fit_gains_by_what_it_is_told() -> None:
    """One latent, and two things that vary: given the depth it is free for the other; 8 nats a row at these counts."""
    settings = {"hidden": (8,), "epochs": 30, "learning_rate": 0.01}
    free, told = (
        reparam.VAE(1, likelihood=name, **settings).fit(X).score(X)
        for name in ("negative_binomial", "negative_binomial:observed")
    )
    assert told > free + 2.0


@pytest.mark.parametrize("name", ["negative_binomial", "zero_inflated_negative_binomial"])
def test_the_last_latent_says_how_deep_a_row_was_counted(name: str) -> None:
    likelihood = build("likelihood", LIKELIHOODS, f"{name}:latent", GENES)
    likelihood = eqx.tree_at(lambda tree: tree.log_library, likelihood, jnp.array([3.0, jnp.log(0.5)]))
    raw, z = RNG.normal(size=(4, likelihood.raw_size)).astype(np.float32), np.array([[-1.0], [0.0], [2.0], [5.0]])
    mean = np.exp(3.0 + 0.5 * z) * scipy.special.softmax(raw[:, :GENES], axis=1)
    dropped = scipy.special.expit(raw[:, GENES:]) if name.startswith("zero") else np.zeros((4, GENES))
    counted = scipy.stats.nbinom.pmf(X[:4], 1.0, 1.0 / (1.0 + mean))
    log_prob = jax.jit(lambda z, raw, x: likelihood.of_latents(z).distribution(raw).log_prob(x))
    found = log_prob(jnp.asarray(z), raw, jnp.asarray(X[:4], float))
    np.testing.assert_allclose(found, np.log(dropped * (X[:4] == 0) + (1.0 - dropped) * counted), rtol=1e-4)


@pytest.fixture(scope="module")
def depth_alone() -> Model:
    """One latent, which says the depth and nothing else: ln p(x) is an integral over one number."""
    data = jnp.asarray(X, float)
    return fresh_model(data, jax.random.key(0), latent_dim=1, likelihood="negative_binomial:latent", hidden=())


def test_a_latent_library_begins_at_the_depths_of_the_rows(depth_alone: Model) -> None:
    loc, log_scale = depth_alone.likelihood.log_library
    depths = np.log(X.sum(axis=1))
    np.testing.assert_allclose([loc, np.exp(log_scale)], [depths.mean(), depths.std()], rtol=1e-5)


def test_the_bound_is_below_the_integral_over_the_depth_and_reaches_it(depth_alone: Model) -> None:
    """By quadrature of SciPy's law. Of 2,000 draws of q, here p(z), half count: they err by 0.03 nats."""
    batch, key = Batch(jnp.asarray(X[:4], float)), jax.random.key(1)
    as_prior = eqx.tree_at(lambda model: model.encoder, depth_alone, lambda x: jnp.zeros((*x.shape[:-1], 2)))
    loc, scale = np.log(X.sum(axis=1)).mean(), np.log(X.sum(axis=1)).std()
    shares = scipy.special.softmax(np.asarray(depth_alone.decoder(jnp.zeros((1, 0))), np.float64), axis=1)

    def integrand(z: float, row: int) -> float:
        laws = scipy.stats.nbinom(1.0, 1.0 / (1.0 + np.exp(loc + scale * z) * shares[0]))
        return float(np.prod(laws.pmf(X[row])) * scipy.stats.norm.pdf(z))

    exact = [np.log(scipy.integrate.quad(integrand, -8, 8, args=(row,), limit=200)[0]) for row in range(4)]
    objectives = (build_objective(f"{name}:2000") for name in ("elbo", "iwae"))
    elbo, reached = (eqx.filter_jit(objective)(as_prior, batch, key).bound for objective in objectives)
    np.testing.assert_allclose(reached, exact, atol=0.15)
    assert np.all(np.asarray(elbo) < np.asarray(exact) - 0.5)


def test_its_divergence_is_that_of_two_log_normal_laws(depth_alone: Model) -> None:
    batch = Batch(jnp.asarray(X[:4], float))

    @eqx.filter_jit
    def found(model: Model) -> tuple[jax.Array, jax.Array, jax.Array]:
        q = model.encode(batch)
        return q.mean[:, 0], q.variance[:, 0], build_objective("elbo")(model, batch, jax.random.key(0)).kl

    loc, log_scale = np.asarray(depth_alone.likelihood.log_library, np.float64)
    s = np.exp(log_scale)
    q_mean, q_variance, kl = map(np.asarray, found(depth_alone))
    mean, std = loc + s * q_mean, s * np.sqrt(q_variance)
    expected = np.log(s / std) + (std**2 + (mean - loc) ** 2) / (2 * s**2) - 0.5
    np.testing.assert_allclose(kl, expected, rtol=1e-4)


def test_the_start_with_a_latent_library_tells_shares_from_depth() -> None:
    """Each code of the start follows what it is for, and not the other (|correlation| above 0.75 and below 0.3)."""
    _, start_of = linear_start(X, 2, "negative_binomial", library="latent")
    start = start_of(X)
    codes = np.log1p(X) @ start.posterior_map + start.posterior_intercept
    found = np.abs(np.corrcoef(codes.T, [Z[:, 0], np.log(DEPTH[:, 0])])[:2, 2:])
    assert start.loadings.shape == (GENES, 1)
    assert found.diagonal().min() > 0.75
    assert max(found[0, 1], found[1, 0]) < 0.3


def test_another_library_is_refused() -> None:
    with pytest.raises(ParameterError, match="'library' .* none, latent or observed. Got 'seen'"):
        build("likelihood", LIKELIHOODS, "negative_binomial:seen", 3)
