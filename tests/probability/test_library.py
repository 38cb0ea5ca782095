"""Counts whose depth is given: the law that is meant, no matter how deep a row was counted, and a start that fits."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

import reparam
from reparam.batch import Batch
from reparam.errors import ParameterError
from reparam.model import build_model
from reparam.probability.likelihoods import LIKELIHOODS
from reparam.specification import build
from reparam.starts import linear_start

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
    found = likelihood.of_datum(x, None).distribution(raw).log_prob(x)
    mean = X[:4].sum(axis=1, keepdims=True) * scipy.special.softmax(raw, axis=1)
    np.testing.assert_allclose(found, scipy.stats.nbinom.logpmf(X[:4], 1.0, 1.0 / (1.0 + mean)), rtol=2e-5)


def test_cells_that_were_not_seen_are_no_part_of_the_depth() -> None:
    likelihood = build("likelihood", LIKELIHOODS, "negative_binomial:observed", 3)
    told = likelihood.of_datum(jnp.array([[5.0, 0.0, 2.0]]), jnp.array([[True, False, True]]))
    assert told.depth.tolist() == [[7.0]]


def test_where_no_row_is_known_the_depth_is_that_of_the_raw_numbers() -> None:
    likelihood = build("likelihood", LIKELIHOODS, "negative_binomial:observed", 2)
    np.testing.assert_allclose(likelihood.distribution(jnp.log(jnp.array([2.0, 6.0]))).mean, [2.0, 6.0], rtol=1e-6)


def test_an_encoder_sees_nothing_of_the_depth() -> None:
    model = build_model(
        jnp.asarray(X, float), jax.random.key(0), latent_dim=1, likelihood="negative_binomial:observed", hidden=(4,)
    )
    once, twice = (model.encode(Batch(jnp.asarray(times * X[:5], float))).mean for times in (1, 2))
    np.testing.assert_allclose(once, twice, rtol=1e-4, atol=1e-5)


def test_the_start_explains_shares_and_not_the_depth() -> None:
    """z of the start follows the factor behind the shares (|correlation| above 0.9), whatever the depth."""
    _, start_of = linear_start(X, 1, "negative_binomial", levelled=True)
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


def test_another_library_is_refused() -> None:
    with pytest.raises(ParameterError, match="'library' .* latent or observed. Got 'seen'"):
        build("likelihood", LIKELIHOODS, "negative_binomial:seen", 3)
