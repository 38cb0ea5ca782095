"""mean_field and semi_amortized from the estimator: training, run folders, use on unseen rows."""

from __future__ import annotations

import importlib

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tests.evaluation.linear_gaussian import exact_model, linear_gaussian

import reparam
from reparam.batch import Batch
from reparam.data import from_array, load
from reparam.errors import ParameterError, ReparamWarning
from reparam.inference import MeanField, Search
from reparam.objectives import ELBO, Warmup
from reparam.training import Recipe, Rows, Settings, Task, fit, initial_state
from reparam.training.visits import Visited, visit_by

TRUTH = linear_gaussian(seed=5)
X = TRUTH.sample(120, seed=9)
SMALL = {"latent_dim": 2, "hidden": (8,), "likelihood": "gaussian", "epochs": 3, "batch_size": 32, "bound_samples": 20}


@pytest.fixture(scope="module")
def digits():
    rows = load("digits").rows.astype(np.float32) / 16
    return rows[:1500], rows[1500:]


@pytest.fixture(scope="module")
def trained(digits):
    """The same decoder by each method; constant pixels are dropped, which would be warned of."""
    kept = digits[0].std(axis=0) > 0
    settings = {**SMALL, "latent_dim": 4, "hidden": (32,), "epochs": 40, "batch_size": 100, "start": "random"}
    names = ("amortized", "semi_amortized:5", "mean_field:5")
    return {name: reparam.VAE(inference=name, **settings).fit(digits[0][:, kept]) for name in names}, digits[1][:, kept]


def test_without_an_encoder_the_training_bound_is_no_lower(trained):
    """Mean field has no amortisation gap; the last epochs are averaged over their noise of about 0.2 nats."""
    bounds = {name: np.mean([line["bound"] for line in vae.history_[-5:]]) for name, vae in trained[0].items()}
    assert bounds["mean_field:5"] >= bounds["amortized"]
    assert bounds["semi_amortized:5"] >= bounds["amortized"]


def test_refinement_serves_new_rows_better_than_the_encoder_alone(trained):
    models, new = trained
    elbos = {name: vae.evaluate(new[:100]).elbo for name, vae in models.items()}
    assert elbos["semi_amortized:5"] > elbos["amortized"]
    assert elbos["mean_field:5"] > elbos["amortized"]


def test_mean_field_learns_the_likelihood_of_a_linear_model():
    """ELBO of the trained linear model against the closed form of pPCA on the same rows, nats per datum."""
    rows = TRUTH.sample(300, seed=10)
    vae = reparam.VAE(
        2, hidden=(), likelihood="gaussian", inference="mean_field:5", epochs=150, batch_size=50, learning_rate=5e-3
    ).fit(rows)
    spectrum = np.linalg.eigvalsh(np.cov(rows.T.astype(np.float64), bias=True))[::-1]
    variance = spectrum[2:].mean()
    best = -0.5 * (5 * np.log(2 * np.pi) + np.log(spectrum[:2]).sum() + 3 * np.log(variance) + 5)
    assert vae.evaluate(rows).elbo == pytest.approx(best, abs=0.1)


def test_only_the_rows_of_the_batch_are_touched():
    model = MeanField().prepare(exact_model(TRUTH, "diagonal"))
    visit = visit_by(MeanField(4))
    local = visit.start(model, 10)
    indices, weight = np.array([3, 7, 1]), jnp.asarray([1.0, 1.0, 0.0])
    rows = Visited(jnp.asarray(indices), Batch(jnp.asarray(X[indices]), weight=weight))
    moved = eqx.filter_jit(visit.improve)(model, local, rows, jax.random.key(1), ELBO())
    touched = np.flatnonzero(np.any(np.asarray(moved.raw) != np.asarray(local.raw), axis=1))
    assert touched.tolist() == [3, 7]  # row 1 is padding
    assert optax.tree.get(moved.moments, "count").tolist() == [0, 0, 0, 4, 0, 0, 0, 4, 0, 0]
    assert np.flatnonzero(np.any(np.asarray(optax.tree.get(moved.moments, "nu")) > 0, axis=1)).tolist() == [3, 7]


def mean_field_task(objective, held_out=None, epochs=1):
    schema = from_array(X).schema.on_device
    rows = Rows(jnp.asarray(X, jnp.float32), schema)
    recipe = Recipe(32, inference=MeanField(3))
    other = None if held_out is None else Rows(jnp.asarray(held_out, jnp.float32), schema)
    return Task(rows, other, objective, recipe, Settings(epochs, 1e-3))


def test_every_row_is_visited_once_an_epoch():
    of = mean_field_task(ELBO())
    model = MeanField().prepare(exact_model(TRUTH, "diagonal"))
    (record,) = fit(initial_state(model, jax.random.key(0), of.recipe, rows=len(X)), of)
    assert set(optax.tree.get(record.state.local.moments, "count").tolist()) == {3}


def test_held_out_rows_follow_the_coefficients_of_training_and_not_of_their_own_batches(monkeypatch):
    """Warm after two epochs of four batches: one held-out batch an epoch would say 0.5 where training has 1."""
    seen = []
    driver = importlib.import_module("reparam.training.fit")
    measured = driver.evaluate_epoch

    def watched(*arrays, objective, **how):
        seen.append(float(objective.coefficients()["beta"]))
        return measured(*arrays, objective=objective, **how)

    monkeypatch.setattr(driver, "evaluate_epoch", watched)
    of = mean_field_task(Warmup(ELBO(), 2), held_out=X[:8], epochs=3)
    model = MeanField().prepare(exact_model(TRUTH, "diagonal"))
    list(fit(initial_state(model, jax.random.key(0), of.recipe, rows=len(X), held_out_rows=8), of))
    assert seen == pytest.approx([3 / 8, 7 / 8, 1.0])  # of the epoch's last step


def test_rows_are_addressed_by_their_number(tmp_path):
    vae = reparam.VAE(inference="mean_field:2", early_stopping=True, validation_fraction=0.25, **SMALL).fit(X)
    assert vae.row_raw_.shape == (120, 4)
    assert np.std(vae.row_raw_, axis=0).min() > 0
    kept = reparam.load(vae.save(tmp_path / "run"))
    np.testing.assert_array_equal(kept.row_raw_, vae.row_raw_)
    np.testing.assert_array_equal(kept.transform(X[:5]), vae.transform(X[:5]))
    with pytest.raises(AttributeError, match="mean_field"):
        _ = reparam.VAE(**SMALL).fit(X).row_raw_


@pytest.mark.parametrize("inference", ["mean_field:2", "semi_amortized:2"])
def test_a_run_that_was_stopped_ends_with_the_same_bytes(tmp_path, inference):
    whole = reparam.VAE(inference=inference, **SMALL).fit(X)
    half = reparam.VAE(inference=inference, **{**SMALL, "epochs": 1}).fit(X)
    resumed = reparam.load(half.save(tmp_path / "run")).set_params(epochs=3, warm_start=True).fit(X)
    for a, b in zip(jax.tree.leaves(whole.model_), jax.tree.leaves(resumed.model_), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("inference", ["mean_field:2", "semi_amortized:2"])
@pytest.mark.parametrize("posterior", ["full", "flow:1,8"])
def test_every_family_goes_with_every_method(inference, posterior):
    vae = reparam.VAE(inference=inference, posterior=posterior, **{**SMALL, "epochs": 1}).fit(X)
    assert np.isfinite(vae.history_[-1]["bound"])


@pytest.mark.parametrize(
    ("inference", "message"),
    [
        ("mean_feild", "Did you mean 'mean_field'"),
        ("mean_field:0", "e_steps"),
        ("semi_amortized:5,0.1,sideways", "'through' or 'stopped'"),
        ("semi_amortized:5,-1", "learning_rate"),
    ],
)
def test_unusable_settings_are_refused(inference, message):
    with pytest.raises(ParameterError, match=message):
        reparam.VAE(inference=inference, **SMALL).fit(X)


def test_a_prior_made_of_the_encoder_needs_one():
    with pytest.raises(ParameterError, match="no encoder"):
        reparam.VAE(inference="mean_field", prior="vamp:3", **SMALL).fit(X)


@pytest.mark.parametrize("inference", ["amortized", "semi_amortized:20,0.1"])
def test_the_optimal_noise_is_that_of_the_q_that_is_used(digits, inference):
    """Calibrated by another q, such as the unrefined encoder's, σ is too large: the effective β was 1.85."""
    rows = digits[0][:, digits[0].std(axis=0) > 0]
    settings = {"latent_dim": 4, "hidden": (32,), "likelihood": "gaussian:optimal", "epochs": 12, "batch_size": 100}
    noise = reparam.VAE(inference=inference, **settings).fit(rows).evaluate(rows).observation_noise
    assert noise.effective_beta == pytest.approx(1.0, abs=0.12)


def test_stored_q_belong_to_the_weights_that_are_kept():
    """Rates so large that a later epoch is worse: the q of the best epoch are kept with its weights."""
    settings = {**SMALL, "epochs": 6, "learning_rate": 0.3, "early_stopping": True, "validation_fraction": 0.25}
    vae = reparam.VAE(inference="mean_field:2", **settings).fit(X)
    best = 1 + int(np.argmax([line["validation"]["bound"] for line in vae.history_]))
    assert best < 6
    shorter = reparam.VAE(inference="mean_field:2", **{**settings, "epochs": best}).fit(X)
    np.testing.assert_array_equal(vae.row_raw_, shorter.row_raw_)


def test_the_gap_of_trained_rows_is_that_of_their_stored_q():
    vae = reparam.VAE(inference="mean_field:1", **{**SMALL, "epochs": 1}).fit(X)
    stored = vae.gap(X[:16], raw=vae.row_raw_[:16])
    searched = vae.gap(X[:16])
    assert stored.amortization_gap.value > 10 * abs(searched.amortization_gap.value)
    assert stored.local_elbo.value == pytest.approx(searched.local_elbo.value, abs=0.2)


def test_rows_whose_search_was_cut_short_are_counted_and_told(monkeypatch):
    """One window of steps leaves nothing converged: five stalled windows are required."""
    vae = reparam.VAE(inference="mean_field:2", **SMALL).fit(X)
    monkeypatch.setattr("reparam.inference.mean_field.Search", lambda: Search(max_steps=50))
    with pytest.warns(ReparamWarning, match="q of 12 of 12 rows had not converged"):
        vae.transform(X[:12])
    found = vae.evaluate(X[:12])
    assert found.not_converged == 12
    assert any("q of 12 of 12 rows had not converged" in text for text in found.warnings)
