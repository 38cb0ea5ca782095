"""Every posterior × scale × prior is traced, and every pair of them trained for six epochs on real handwriting.

Each likelihood is trained on data of its own support.
"""

from __future__ import annotations

import itertools
import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.datasets import load_digits

import reparam
from reparam.errors import ReparamWarning
from reparam.model import build_model
from reparam.objectives import ELBO

ROWS = 96
DIGITS = load_digits().data[:ROWS, 8:40] / 16
SMALL = {"flow": "flow:1,8,4", "low_rank": "low_rank:2"}
SMALL_PRIORS = {"flow": "flow:1,8", "vamp": "vamp:5", "gaussian_mixture": "gaussian_mixture:3"}

DATA = {
    "bernoulli": DIGITS > 0.5,
    "continuous_bernoulli": DIGITS,
    "gaussian": DIGITS,
    "gaussian:per_dimension": DIGITS,
    "gaussian:decoder": DIGITS,
    "gaussian:optimal": DIGITS,
    "gaussian:fixed:0.2": DIGITS,
    "laplace": DIGITS,
    "log_normal": DIGITS + 0.1,
    "student_t": DIGITS,
    "categorical:17": DIGITS * 16,
    "poisson": (DIGITS * 16).astype(np.int32),
    "negative_binomial": (DIGITS * 16).astype(np.int32),
    "zero_inflated_negative_binomial": (DIGITS * 16).astype(np.int32),
    "discretized_logistic:2": np.round(DIGITS * 255).astype(np.uint8),
    "beta": DIGITS * 0.98 + 0.01,
}


BEGUN = {"start": "random", "schedule": "constant"}  # a linear start has little to learn from so few rows


def train(X: np.ndarray, **parameters) -> reparam.VAE:
    vae = reparam.VAE(**{"latent_dim": 2, "hidden": (8,), "epochs": 6, "batch_size": 32, **BEGUN, **parameters})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ReparamWarning)  # some columns of so few digits are constant
        return vae.fit(X)


def assert_trained(vae: reparam.VAE) -> None:
    bounds = [line["bound"] for line in vae.history_]
    assert len(bounds) == 6
    assert np.isfinite(bounds).all()
    assert bounds[-1] > bounds[0], bounds


def test_every_likelihood_is_tried():
    assert {name.partition(":")[0] for name in DATA} == set(reparam.LIKELIHOODS)


def parts(posterior: str, scale: str, prior: str) -> dict[str, str]:
    return {"posterior": SMALL.get(posterior, posterior), "scale": scale, "prior": SMALL_PRIORS.get(prior, prior)}


TRIPLES = list(itertools.product(reparam.POSTERIORS, reparam.SCALES, reparam.PRIORS))
PAIRS = [
    (posterior, scale, list(reparam.PRIORS)[(i + j) % len(reparam.PRIORS)])
    for (i, posterior), (j, scale) in itertools.product(enumerate(reparam.POSTERIORS), enumerate(reparam.SCALES))
]
"""A Latin square: each of two parts meets each, so that 30 compiled programs stand for 120."""


def test_the_square_holds_every_pair():
    for one, other in itertools.combinations(range(3), 2):
        assert {(p[one], p[other]) for p in PAIRS} == {(t[one], t[other]) for t in TRIPLES}


@pytest.mark.parametrize(("posterior", "scale", "prior"), TRIPLES)
def test_every_posterior_scale_and_prior_go_together(posterior, scale, prior):
    """Traced and not compiled: shapes, types and dispatch of the gradient are those of training."""
    x = jax.ShapeDtypeStruct((4, 32), jnp.float32)

    def gradient(x, key):
        model = build_model(x, key, latent_dim=2, hidden=(), **parts(posterior, scale, prior))
        return eqx.filter_grad(lambda model: jnp.mean(ELBO()(model, x, key).surrogate))(model), model

    found, model = eqx.filter_eval_shape(gradient, x, jax.random.key(0))
    trained = eqx.filter(model, lambda leaf: jnp.issubdtype(getattr(leaf, "dtype", int), jnp.inexact))
    assert jax.tree.structure(eqx.filter(found, lambda leaf: leaf is not None)).num_leaves > 4
    assert {leaf.shape for leaf in jax.tree.leaves(found)} == {leaf.shape for leaf in jax.tree.leaves(trained)}


@pytest.mark.parametrize(("posterior", "scale", "prior"), PAIRS)
def test_every_pair_of_parts_trains(posterior, scale, prior):
    vae = train(DIGITS, hidden=(), **parts(posterior, scale, prior))
    assert_trained(vae)


@pytest.mark.parametrize("likelihood", DATA)
def test_every_likelihood_trains_on_data_of_its_support(likelihood):
    X = DATA[likelihood]
    vae = train(X, likelihood=likelihood)
    assert_trained(vae)
    assert np.isfinite(vae.score_samples(X[:8])).all()
    assert np.isfinite(vae.reconstruct(X[:8])).all()
    assert np.isfinite(vae.sample(3, draw=True)).all()
