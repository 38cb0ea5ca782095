from __future__ import annotations

from functools import cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

import reparam
from reparam.errors import ParameterError
from reparam.evaluation import draw_prior
from reparam.model import build_model
from reparam.probability.distributions.location_scale import LocationScale

K = 2
PRIORS = {
    "standard_normal": lambda: reparam.PRIORS["standard_normal"](K),
    "gaussian_mixture": lambda: reparam.PRIORS["gaussian_mixture"](K, 4, key=jax.random.key(1)),
    "vamp": lambda: reparam.PRIORS["vamp"](K, 5, pseudo_inputs=normals(2, (5, K))),
    "flow": lambda: reparam.PRIORS["flow"](K, 2, 16, key=jax.random.key(3)),
}


def test_every_prior_is_tried():
    assert set(PRIORS) == set(reparam.PRIORS)


def normals(seed, shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


fresh_model = eqx.filter_jit(build_model)
log_prob = jax.jit(lambda p, z: p.log_prob(z))


@cache
def prior_of(name):
    """p(z) of a prior, which is made and encoded by one program."""
    return jax.jit(lambda: PRIORS[name]().distribution(encode))()


def encode(u):
    return LocationScale(u, 0.5 * jnp.ones_like(u))


@pytest.mark.parametrize("name", PRIORS)
def test_prior_is_normalised(name):
    grid, step = np.linspace(-9, 9, 241, retstep=True)
    points = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, K).astype(np.float32)
    density = np.exp(np.asarray(log_prob(prior_of(name), points), np.float64))
    assert abs(density.sum() * step**2 - 1) < 2e-3


@pytest.mark.parametrize("name", PRIORS)
def test_draws_follow_the_density(name):
    """Mean of bounded functions over 20 000 draws against a grid; 5 standard errors each, fixed key."""
    p = prior_of(name)
    grid, step = np.linspace(-9, 9, 241, retstep=True)
    points = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, K).astype(np.float32)
    mass = np.exp(np.asarray(log_prob(p, points), np.float64)) * step**2
    draws = np.asarray(jax.jit(lambda p: p.sample(jax.random.key(4), (20_000,)))(p), np.float64)
    for function in (lambda z: np.tanh(z[:, 0]), lambda z: np.tanh(z[:, 1]), lambda z: np.cos(z[:, 0] + z[:, 1])):
        expected = mass @ function(points.astype(np.float64))
        found = function(draws)
        assert abs(found.mean() - expected) < 5 * found.std() / np.sqrt(len(found)) + 2e-3


def test_mixture_is_scipys():
    prior = jax.jit(lambda key: reparam.PRIORS["gaussian_mixture"](K, 3, key=key))(jax.random.key(5))
    z = np.array([[0.1, -0.4], [2.0, 1.0]], np.float32)
    each = [scipy.stats.multivariate_normal(m, np.eye(K)).logpdf(z) for m in np.asarray(prior.loc, np.float64)]
    expected = scipy.special.logsumexp(each, axis=0) - np.log(3)
    np.testing.assert_allclose(log_prob(prior.distribution(), z), expected, rtol=1e-5)


def test_vamp_is_the_mixture_of_the_encoders_posteriors_at_its_pseudo_inputs():
    model = fresh_model(normals(6, (20, 6)), jax.random.key(7), latent_dim=K, prior="vamp:4", hidden=(8,))
    z = np.array([[0.3, -0.2]], np.float32)
    q = eqx.filter_jit(model.encode)(model.prior.pseudo_inputs)
    each = scipy.stats.norm(np.asarray(q.loc), np.asarray(q.scale)).logpdf(z[:, None, :]).sum(axis=-1)
    expected = scipy.special.logsumexp(each, axis=1) - np.log(4)
    np.testing.assert_allclose(eqx.filter_jit(lambda: model.prior_distribution().log_prob(z))(), expected, rtol=1e-4)


def test_pseudo_inputs_start_at_data_rows():
    x = normals(8, (30, 6))
    model = fresh_model(x, jax.random.key(9), latent_dim=K, prior="vamp:7", hidden=(8,))
    rows = {tuple(row) for row in np.asarray(x).tolist()}
    chosen = [tuple(row) for row in np.asarray(model.prior.pseudo_inputs).tolist()]
    assert len(set(chosen)) == 7
    assert set(chosen) <= rows


@pytest.mark.parametrize("name", ["standard_normal", "gaussian_mixture:3", "vamp:3", "flow"])
def test_temperature_scales_the_noise(name):
    x = normals(10, (30, 6))
    model = fresh_model(x, jax.random.key(11), latent_dim=K, prior=name, hidden=(8,))
    cold, warm, hot = (np.asarray(draw_prior(model, jax.random.key(12), 3000, t)) for t in (0.0, 1.0, 2.0))
    components = {"gaussian_mixture": 3, "vamp": 3}.get(name.partition(":")[0], 1)
    assert len(np.unique(cold.round(4), axis=0)) == components
    assert cold.var() < warm.var() < hot.var()


def test_a_vamp_prior_needs_rows_to_start_at_and_an_encoder():
    with pytest.raises(ParameterError, match="pseudo_inputs=rows"):
        reparam.PRIORS["vamp"](K, 3)
    with pytest.raises(ParameterError, match=r"call distribution\(encode\)"):
        reparam.PRIORS["vamp"](K, 3, pseudo_inputs=jnp.zeros((3, 6))).distribution()


def test_components_must_be_a_positive_int():
    for name in ("gaussian_mixture", "vamp"):
        with pytest.raises(ParameterError, match="components"):
            reparam.PRIORS[name](K, 0)
