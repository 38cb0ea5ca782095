"""Columns that are given: ln p(x|z, c) and p(z|c) of a linear-Gaussian model in closed form, and a small training."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from scipy.stats import multivariate_normal

import reparam
from reparam import model
from reparam.batch import Batch
from reparam.data import from_array
from reparam.errors import ParameterError, RunError
from reparam.evaluation.weights import row_bounds
from reparam.model import Statistics, assemble
from reparam.networks import Inputs
from reparam.objectives import ELBO

RNG = np.random.default_rng(0)
SIGMA, LATENTS = 0.5, 2
LOADINGS, SLOPE, CENTRE = RNG.normal(size=(LATENTS, 3)), RNG.normal(size=3), RNG.normal(size=3)
SHIFT, MEAN, LOG_STD, LOG_STD_SLOPE = (RNG.normal(size=LATENTS) for _ in range(4))
ROWS = RNG.normal(size=(8, 4))
ROWS[2, 1] = ROWS[5, 3] = np.nan


def conditional_model():
    """x = zW + cs + b + σe beside the given c, z ~ N(cA + a, diag exp(2(ct + u)))."""
    given = Inputs((0,), (), {}, (), jax.random.key(0))
    data = Statistics(np.zeros(4), np.ones(4), jnp.zeros((2, 4)), given=given)
    settings = {"latent_dim": LATENTS, "posterior": "full", "likelihood": f"gaussian:fixed:{SIGMA}", "hidden": ()}
    model = assemble(data, jax.random.key(0), **settings)
    weight = np.zeros((LATENTS + 1, 4))
    weight[:LATENTS, 1:], weight[LATENTS, 1:] = LOADINGS, SLOPE
    shift = np.concatenate([SHIFT, LOG_STD_SLOPE])[None], np.concatenate([MEAN, LOG_STD])
    known = (weight, np.concatenate([[100.0], CENTRE]), *shift)

    def leaves(m):
        decoder, shift = m.decoder.layers[0], m.shift.layers[0]
        return decoder.weight, decoder.bias, shift.weight, shift.bias

    return eqx.tree_at(leaves, model, tuple(jnp.asarray(value, float) for value in known))


def exact(row):
    """Ln p(x|c) of what was seen, and the mean and covariance of z given it."""
    c, seen = row[0], ~np.isnan(row[1:])
    prior_mean, prior_variance = c * SHIFT + MEAN, np.diag(np.exp(2 * (c * LOG_STD_SLOPE + LOG_STD)))
    loadings, x = LOADINGS[:, seen], row[1:][seen] - c * SLOPE[seen] - CENTRE[seen]
    covariance = loadings.T @ prior_variance @ loadings + SIGMA**2 * np.eye(seen.sum())
    gain = prior_variance @ loadings @ np.linalg.inv(covariance)
    mean = prior_mean + gain @ (x - prior_mean @ loadings)
    evidence = multivariate_normal(prior_mean @ loadings, covariance).logpdf(x)
    return evidence, mean, prior_variance - gain @ loadings.T @ prior_variance


FOUND = [exact(row) for row in ROWS]
EVIDENCE = np.array([evidence for evidence, _, _ in FOUND])
RAW = np.array([np.concatenate([mean, np.linalg.cholesky(cov).ravel()]) for _, mean, cov in FOUND], np.float32)


def test_the_bound_under_the_exact_posterior_is_the_conditional_evidence():
    schema = from_array(ROWS, allow_missing=True).schema.of(ROWS).on_device
    model, rows = conditional_model(), schema.stored(ROWS)
    found = row_bounds(model, rows, schema, jax.random.key(1), 2, raw=RAW)
    np.testing.assert_allclose(found.bound, EVIDENCE, atol=5e-4)
    batch = Batch.of_rows(jnp.asarray(rows), schema)
    q = model.posterior.distribution(jnp.asarray(RAW))
    terms = eqx.filter_jit(ELBO())(model, batch, jax.random.key(1), q=q)
    np.testing.assert_allclose(np.asarray(found.kl), terms.kl, rtol=1e-5)


def people(count=400):
    rng = np.random.default_rng(1)
    group = rng.integers(3, size=count)
    z = rng.normal(size=count)
    frame = pd.DataFrame(
        {
            "height": 170 + 20.0 * (group - 1) + 3 * z + rng.normal(size=count),
            "weight": 70 + 15.0 * (group == 2) + 4 * z + rng.normal(size=count),
            "group": np.array(["a", "b", "c"])[group],
        }
    )
    frame.loc[::17, "weight"] = np.nan
    return frame


@pytest.fixture(scope="module")
def trained():
    frame = people()
    settings = {"hidden": (16,), "epochs": 60, "batch_size": 50, "learning_rate": 0.01, "warmup": "linear:30"}
    return frame, reparam.VAE(1, condition=("group",), **settings).fit(frame)


@pytest.mark.parametrize("group", ["a", "b", "c"])
def test_samples_are_those_of_the_group_that_is_given(trained, group):
    """2,000 samples; the groups' means of height lie 20 apart: a model deaf to its condition misses two of three."""
    frame, vae = trained
    samples = vae.sample(2000, draw=True, given={"group": group})
    own = frame[frame["group"] == group]
    assert samples["group"].unique().tolist() == [group]
    assert samples["height"].mean() == pytest.approx(own["height"].mean(), abs=1.5)
    assert samples["weight"].mean() == pytest.approx(own["weight"].mean(), abs=1.5)
    assert samples["height"].std() == pytest.approx(own["height"].std(), abs=1.0)


def test_a_condition_is_never_scored_and_never_made_up(trained):
    frame, vae = trained
    cells = vae.contributions(frame).cells
    assert np.all(cells[:, 2] == 0)
    assert vae.reconstruct(frame)["group"].equals(frame["group"])
    unknown = frame.head(20).copy()
    unknown.loc[unknown.index[3], "group"] = None
    assert pd.isna(vae.impute(unknown)["group"].iloc[3])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, "is to be given group .*Got nothing"),
        ({"grp": "a"}, "is to be given group. Got grp"),
        ({"group": "z"}, "group cannot be 'z'.*one of a, b, c"),
    ],
)
def test_what_is_not_given_is_asked_for(trained, given, message):
    with pytest.raises(ParameterError, match=message):
        trained[1].sample(2, given=given)


def test_nothing_is_given_to_a_model_without_a_condition():
    vae = reparam.VAE(hidden=(4,), epochs=1).fit(np.random.default_rng(0).normal(size=(20, 3)))
    with pytest.raises(ParameterError, match="without a condition. Got a"):
        vae.sample(2, given={"a": 1})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"condition": ("grup",)}, "column of the condition 'grup'"),
        ({"condition": ("height", "weight", "group")}, "names every column"),
        ({"condition": ("group",), "prior": "vamp:3"}, "standard_normal"),
        ({"condition": ("group",), "start": "linear"}, "start='auto' or 'random'"),
        ({"condition": "group"}, "a sequence of different names"),
    ],
)
def test_conditions_that_cannot_be_are_refused(settings, message):
    with pytest.raises(ParameterError, match=message):
        reparam.VAE(hidden=(4,), epochs=1, **settings).fit(people(30))


def test_a_run_of_before_its_prior_was_a_network_is_told_apart(tmp_path, monkeypatch):
    with monkeypatch.context() as before:
        deep = model._shift
        before.setattr(model, "_shift", lambda given, prior, hidden, *rest: deep(given, prior, (), *rest))
        vae = reparam.VAE(condition=["group"], hidden=(8,), epochs=1, network="mlp").fit(people(60))
        vae.save(tmp_path / "run")
        reparam.load(tmp_path / "run")
    with pytest.raises(RunError, match=r"run: an earlier version wrote it, .* Train it again with --condition\.$"):
        reparam.load(tmp_path / "run")
