"""Three epochs on real handwriting for every posterior × scale × prior, and for every likelihood on its own data."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
from sklearn.datasets import load_digits

import reparam
from reparam.errors import ReparamWarning

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
    "student_t": DIGITS,
    "categorical:17": DIGITS * 16,
    "poisson": (DIGITS * 16).astype(np.int32),
    "negative_binomial": (DIGITS * 16).astype(np.int32),
    "zero_inflated_negative_binomial": (DIGITS * 16).astype(np.int32),
    "discretized_logistic:2": np.round(DIGITS * 255).astype(np.uint8),
    "beta": DIGITS * 0.98 + 0.01,
}


def train(X: np.ndarray, **parameters) -> reparam.VAE:
    vae = reparam.VAE(
        **{"latent_dim": 2, "hidden": (8,), "epochs": 3, "batch_size": 32, "learning_rate": 3e-3, **parameters}
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ReparamWarning)  # some columns of so few digits are constant
        return vae.fit(X)


def assert_trained(vae: reparam.VAE) -> None:
    bounds = [line["bound"] for line in vae.history_]
    assert len(bounds) == 3
    assert np.isfinite(bounds).all()
    assert bounds[-1] > bounds[0], bounds


def test_every_likelihood_is_tried():
    assert {name.partition(":")[0] for name in DATA} == set(reparam.LIKELIHOODS)


@pytest.mark.parametrize(
    ("posterior", "scale", "prior"), list(itertools.product(reparam.POSTERIORS, reparam.SCALES, reparam.PRIORS))
)
def test_every_posterior_scale_and_prior_trains(posterior, scale, prior):
    parts = {"posterior": SMALL.get(posterior, posterior), "scale": scale, "prior": SMALL_PRIORS.get(prior, prior)}
    vae = train(DIGITS, hidden=(), **parts)
    assert_trained(vae)


@pytest.mark.parametrize("likelihood", DATA)
def test_every_likelihood_trains_on_data_of_its_support(likelihood):
    X = DATA[likelihood]
    vae = train(X, likelihood=likelihood)
    assert_trained(vae)
    assert np.isfinite(vae.score_samples(X[:8])).all()
    assert np.isfinite(vae.reconstruct(X[:8])).all()
    assert np.isfinite(vae.sample(3, draw=True)).all()
