from __future__ import annotations

import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd
import pytest
from benchmarks.ppca import closed_form
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils.estimator_checks import check_estimator

import reparam
import reparam.data
from reparam.data import split
from reparam.errors import DataError, ParameterError, ReparamWarning, RunError, SupportError, UnknownNameError
from reparam.estimator.configuration import PURPOSES
from reparam.objectives import ELBO
from reparam.probability.posteriors import LowRank

DIGITS, LABELS = load_digits(return_X_y=True)
X = DIGITS[:200, 2:62] / 16


def small(**parameters) -> reparam.VAE:
    return reparam.VAE(**{"hidden": (16,), "epochs": 3, "bound_samples": 20, **parameters})


@pytest.fixture(autouse=True)
def constant_columns_are_known():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*constant", category=ReparamWarning)
        yield


@pytest.fixture(scope="module")
def fitted() -> reparam.VAE:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ReparamWarning)
        return small(latent_dim=3).fit(X)


def test_scikit_learns_own_checks_pass_without_exception():
    results = check_estimator(small(epochs=2), on_fail=None, on_skip=None)
    failed = [result["check_name"] for result in results if result["status"] not in ("passed", "skipped")]
    skipped = [result["check_name"] for result in results if result["status"] == "skipped"]
    assert failed == []
    assert len(results) > 40
    assert set(skipped) <= {"check_array_api_input"}, "scikit-learn skips that one without SCIPY_ARRAY_API=1"


def test_rows_in_rows_out(fitted):
    codes = fitted.transform(X)
    assert codes.shape == (200, 3)
    assert fitted.inverse_transform(codes).shape == X.shape
    assert fitted.reconstruct(X).shape == X.shape
    assert fitted.sample(5).shape == (5, 60)
    assert fitted.score_samples(X).shape == (200,)
    assert np.array_equal(fitted.reconstruct(X), fitted.inverse_transform(codes))


def test_a_row_does_not_depend_on_its_neighbours(fitted):
    alone = np.concatenate([fitted.score_samples(X[i : i + 1]) for i in (0, 7, 150)])
    shuffled = np.random.default_rng(0).permutation(200)
    np.testing.assert_allclose(alone, fitted.score_samples(X)[[0, 7, 150]], rtol=1e-5)  # one row is another shape
    assert np.array_equal(fitted.score_samples(X)[shuffled], fitted.score_samples(X[shuffled]))
    assert np.array_equal(fitted.transform(X, draw=True)[shuffled], fitted.transform(X[shuffled], draw=True))


def test_draws_differ_from_the_mean_and_from_each_other(fitted):
    mean, std = fitted.posterior_moments(X)
    draw, other = fitted.transform(X, draw=True), fitted.transform(X, draw=True, random_state=1)
    assert np.array_equal(fitted.transform(X), mean)
    standardized = np.concatenate([(draw - mean) / std, (other - mean) / std]).ravel()
    assert abs(standardized.mean()) < 5 / np.sqrt(standardized.size)  # false alarm 6e-7, fixed seed
    assert abs(standardized.std() - 1) < 0.1
    assert not np.array_equal(draw, other)


def test_dataframes_keep_their_index_and_names():
    frame = pd.DataFrame(X, index=[f"row {i}" for i in range(200)], columns=[f"pixel {i}" for i in range(60)])
    vae = small().set_output(transform="pandas").fit(frame)
    codes = vae.transform(frame)
    assert list(codes.index) == list(frame.index)
    assert list(codes.columns) == ["vae0", "vae1"]
    assert list(vae.feature_names_in_) == list(frame.columns)
    with pytest.raises(ValueError, match="feature names"):
        vae.transform(frame.rename(columns={"pixel 3": "another"}))


def test_works_in_pipelines_and_grid_searches():
    search = GridSearchCV(
        make_pipeline(MinMaxScaler(), small()), {"vae__latent_dim": [1, 2], "vae__beta": [0.5, 1.0]}, cv=2
    ).fit(X)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_estimator_.transform(X).shape == (200, search.best_params_["vae__latent_dim"])


def test_clone_has_the_parameters_and_nothing_learned(fitted):
    copy = clone(fitted)
    assert copy.get_params() == fitted.get_params()
    with pytest.raises(NotFittedError):
        copy.transform(X)


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others(fitted):
    again, other = small(latent_dim=3).fit(X), small(latent_dim=3, random_state=1).fit(X)
    assert np.array_equal(again.transform(X), fitted.transform(X))
    assert np.array_equal(again.sample(4), fitted.sample(4))
    assert not np.array_equal(other.transform(X), fitted.transform(X))


def test_fits_on_every_row_unless_told_to_stop_early():
    plain, stopping = small().fit(X), small(early_stopping=True, validation_fraction=0.25).fit(X)
    assert all(line["validation"] is None for line in plain.history_)
    assert all(line["validation"] is not None for line in stopping.history_)


def test_early_stopping_keeps_the_best_weights():
    stopped = {"early_stopping": True, "patience": 3, "learning_rate": 0.03, "hidden": (64,)}
    vae = small(**stopped, epochs=60).fit(X[:60])
    bounds = [line["validation"]["bound"] for line in vae.history_]
    best = int(np.argmax(bounds))
    assert len(bounds) == best + 1 + 3, "it stops three epochs after the best"
    assert vae.n_iter_ == len(bounds)
    short = small(**stopped, epochs=best + 1).fit(X[:60])
    assert np.array_equal(short.transform(X), vae.transform(X))


def test_saved_and_loaded_runs_agree_to_the_bit(fitted, tmp_path):
    loaded = reparam.load(fitted.save(tmp_path / "run"))
    assert np.array_equal(loaded.transform(X), fitted.transform(X))
    assert np.array_equal(loaded.score_samples(X), fitted.score_samples(X))
    assert loaded.get_params() == {**fitted.get_params(), "hidden": (16,), "network": "mlp"}  # what auto chose
    assert loaded.history_ == fitted.history_


VARIANTS = {
    "amortized": {},
    "held out": {"early_stopping": True},
    "optimal noise": {"likelihood": "gaussian:optimal"},
    "mean field": {"inference": "mean_field:2", "early_stopping": True},
    "semi-amortized": {"inference": "semi_amortized:2"},
    "flow": {"posterior": "flow:1,8,4"},
    "averaged": {"average": "ema:0.9", "schedule": "stages:1,1,1,0.5", "optimizer": "adamw:0.01", "clip_norm": 1.0},
    "redrawn": {"binarize": "dynamic", "early_stopping": True},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_training_that_goes_on_ends_with_the_same_bytes(variant, tmp_path):
    parameters = {"latent_dim": 3, **VARIANTS[variant]}
    whole = small(epochs=3, **parameters).fit(X)
    half = small(epochs=2, **parameters).fit(X)
    resumed = reparam.load(half.save(tmp_path / "half")).set_params(epochs=3, warm_start=True).fit(X)
    whole.save(tmp_path / "whole")
    resumed.save(tmp_path / "resumed")
    for name in ("model.safetensors", "state.safetensors", "metrics.jsonl", "config.json"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "resumed" / name).read_bytes(), name


def test_warm_start_goes_on_with_the_same_rows_and_the_same_model_only(fitted, tmp_path):
    again = reparam.load(fitted.save(tmp_path / "run")).set_params(warm_start=True, epochs=4)
    with pytest.raises(DataError, match="its values differ"):
        again.fit(X[:100])
    again = reparam.load(tmp_path / "run").set_params(warm_start=True, scale="softplus")
    with pytest.raises(
        ParameterError, match="'scale' parameter of VAE cannot change from 'log_variance' to 'softplus'"
    ):
        again.fit(X)
    assert small(warm_start=True, epochs=1).fit(X).set_params(epochs=2).fit(X).n_iter_ == 2
    assert small(epochs=1).fit(X).set_params(epochs=2).fit(X[:100]).n_iter_ == 2  # without it, a fit begins anew


def test_what_is_fitted_does_not_follow_its_parameters(tmp_path):
    vae = small(epochs=1).fit(X)
    codes, scores = vae.transform(X[:20]), vae.score_samples(X[:20])
    vae.set_params(random_state=7, bound_samples=3, inference="mean_field", latent_dim=5, posterior="full", beta=3.0)
    assert np.array_equal(vae.transform(X[:20]), codes)
    assert np.array_equal(vae.score_samples(X[:20]), scores)
    assert np.array_equal(reparam.load(vae.save(tmp_path / "run")).transform(X[:20]), codes)


def test_a_fit_that_fails_or_is_interrupted_leaves_nothing_fitted(monkeypatch):
    vae = small(epochs=1).fit(X)
    with pytest.raises(SupportError):
        vae.set_params(likelihood="bernoulli").fit(X * 2)
    with pytest.raises(NotFittedError):
        vae.transform(X)

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("reparam.estimator.telling.told", interrupt)
    vae = small(epochs=3, verbose=1)
    with pytest.raises(KeyboardInterrupt):
        vae.fit(X)
    assert not hasattr(vae, "model_")
    with pytest.raises(KeyboardInterrupt):
        GridSearchCV(vae, {"beta": [1.0]}, cv=2).fit(X)


def test_verbose_prints_some_epochs(capsys):
    small(epochs=4, verbose=2).fit(X)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["epoch 2/4", "epoch 4/4"]


def test_seeds_of_any_size_are_seeds():
    codes = [small(epochs=1, random_state=seed).fit(X).transform(X[:5]) for seed in (1, 2**32 + 1, 2**70 + 1)]
    assert not np.array_equal(codes[0], codes[1])
    assert not np.array_equal(codes[1], codes[2])
    with pytest.raises(ParameterError, match="random_state"):
        small(random_state=-1).fit(X)


def test_every_purpose_has_noise_of_its_own():
    configuration = small().configuration()
    keys = [jax.random.key_data(configuration.key(purpose)).tobytes() for purpose in PURPOSES]
    assert len({*keys, jax.random.key_data(jax.random.key(0)).tobytes()}) == len(PURPOSES) + 1


def test_columns_of_a_frame_are_those_of_the_file_or_refused(tmp_path):
    frame = pd.DataFrame(X[:, :6], columns=list("abcdef"))
    frame.to_csv(tmp_path / "x.csv", index=False)
    vae = small(epochs=1).fit_dataset(reparam.data.load(str(tmp_path / "x.csv")))
    assert np.array_equal(vae.transform(frame), vae.transform(reparam.data.load(str(tmp_path / "x.csv"))))
    with pytest.raises(ValueError, match="feature names"):
        vae.transform(frame[list("fedcba")])


def test_units_do_not_change_the_model():
    """The same table in other units: the same codes, and densities that differ by the Jacobian, ln 1000 per column."""
    rng = np.random.default_rng(0)
    table = rng.normal(size=(150, 2)) @ rng.normal(size=(2, 4)) + 0.1 * rng.normal(size=(150, 4))
    for likelihood, factor in (
        ("gaussian", 1e3),
        ("gaussian:per_dimension", np.array([1e3, 1.0, 1e-4, 7.0])),
        ("student_t", 1e-3),
    ):
        fits = [small(likelihood=likelihood).fit(rows) for rows in (table, table * factor + 1e4 * factor)]
        codes = [vae.transform(rows) for vae, rows in zip(fits, (table, table * factor + 1e4 * factor), strict=True)]
        np.testing.assert_allclose(codes[0], codes[1], atol=2e-4)
        volume = float(np.sum(np.log(np.broadcast_to(factor, 4))))
        bounds = [vae.history_[-1]["bound"] for vae in fits]
        assert bounds[1] == pytest.approx(bounds[0] - volume, abs=2e-3)
        scores = [vae.score(rows) for vae, rows in zip(fits, (table, table * factor + 1e4 * factor), strict=True)]
        assert scores[1] == pytest.approx(scores[0] - volume, abs=2e-2)


@pytest.mark.parametrize(("factor", "shift"), [(1.0, 0.0), (1e3, 1e7), (1e-4, 3.0)])
def test_a_linear_start_is_the_closed_form_in_the_datas_own_units(factor, shift):
    """Before a step of any size: the one-sample bound is ln p of probabilistic PCA (Tipping & Bishop 1999)."""
    rng = np.random.default_rng(1)
    table = (rng.normal(size=(300, 2)) @ rng.normal(size=(2, 5)) + 0.3 * rng.normal(size=(300, 5))) * factor + shift
    still = {"start": "linear", "likelihood": "gaussian", "learning_rate": 1e-12, "epochs": 1, "bound_samples": 1}
    vae = small(**still, hidden=(8,)).fit(table)
    assert vae.fitted_.start == "probabilistic PCA"
    assert vae.score(table) == pytest.approx(closed_form(table, 2)[0], abs=2e-3)


@pytest.mark.parametrize(
    ("likelihood", "rows"), [("gaussian:per_dimension", X), ("bernoulli", X > 0.5), ("poisson", (X * 16).astype(int))]
)
def test_a_linear_start_is_kept_and_opened_again(likelihood, rows, tmp_path):
    vae = small(start="linear", likelihood=likelihood, epochs=2).fit(rows)
    random = small(start="random", likelihood=likelihood, epochs=2).fit(rows)
    assert vae.history_[0]["bound"] > random.history_[0]["bound"] + 1.0
    loaded = reparam.load(vae.save(tmp_path / "run"))
    assert np.array_equal(loaded.transform(rows), vae.transform(rows))
    with pytest.raises(ParameterError, match="start='linear' needs a likelihood.*Got 'laplace'"):
        small(start="linear", likelihood="laplace").fit(X)


def test_held_out_rows_are_not_looked_at():
    """The shift and scale of the rows are those of the training rows alone."""
    spoilt = X.copy()
    train, held_out = split(200, 0.1, 0)
    spoilt[held_out] *= 1.0 + 1e-3
    one, other = (small(epochs=1, early_stopping=True).fit(rows) for rows in (X, spoilt))
    assert one.schema_.shift == other.schema_.shift == tuple(X[train].mean(axis=0).tolist())
    assert one.schema_.scale == other.schema_.scale


def test_parts_may_be_objects(tmp_path):
    by_name = small(latent_dim=3, posterior="low_rank:2", optimizer="adam:1e-7").fit(X)
    objects = {"posterior": LowRank(3, 2), "objective": ELBO(), "optimizer": optax.adam(1.0, eps=1e-7)}
    by_object = small(latent_dim=3, **objects).fit(X)
    np.testing.assert_allclose(by_object.transform(X), by_name.transform(X), atol=1e-6)
    place = by_object.save(tmp_path / "run")
    with pytest.raises(ParameterError, match="objective, optimizer, posterior had no name.*reparam.load"):
        reparam.load(place)
    assert np.array_equal(reparam.load(place, **objects).transform(X), by_object.transform(X))
    with pytest.raises(ParameterError, match="was saved by name"):
        reparam.load(by_name.save(tmp_path / "named"), posterior=LowRank(3, 2))
    with pytest.raises(ParameterError, match="latent_dim is 4, but the latent_dim of the model is 3"):
        small(latent_dim=3, posterior=LowRank(4, 2)).fit(X)


class Own(eqx.Module):
    """A network of one's own: sizes are fixed by its weights."""

    weight: jax.Array

    def __call__(self, x):
        return jnp.tanh(x @ self.weight)


def test_networks_may_be_ones_own(tmp_path):
    encoder, decoder = Own(jnp.ones((60, 4)) / 60), Own(jnp.ones((2, 60)) / 2)
    vae = clone(small(encoder=encoder, decoder=decoder)).fit(X)
    assert isinstance(vae.model_.encoder, Own)
    assert np.abs(vae.model_.encoder.weight - encoder.weight).max() > 0, "it is trained"
    loaded = reparam.load(vae.save(tmp_path / "run"), encoder=encoder, decoder=decoder)
    assert np.array_equal(loaded.transform(X), vae.transform(X))
    with pytest.raises(ParameterError, match=r"'encoder' must map an array \(..., 60\) to \(..., 4\)"):
        small(encoder=Own(jnp.ones((60, 3)))).fit(X)


@pytest.mark.parametrize("binarize", ["fixed", "dynamic", "threshold"])
def test_grey_values_are_binarised(binarize):
    vae = small(epochs=1, binarize=binarize).fit(X)
    assert vae.likelihood_ == "bernoulli"
    rows, schema = vae.fitted_.stored(X)
    assert set(np.unique(rows)) == {0, 1}
    if binarize == "threshold":
        np.testing.assert_array_equal(rows, X > 0.5)
    else:
        z = (rows.sum() - X.sum()) / np.sqrt((X * (1 - X)).sum())
        assert abs(z) < 5  # false alarm 6e-7, fixed seed
    assert schema.log_volume == 0
    with pytest.raises(DataError, match=r"cannot be binarised.*\[0, 1\]"):
        small(binarize=binarize).fit(X * 2)


def test_auto_looks_at_the_data_and_says_why():
    for data, likelihood in (
        (X, "gaussian:per_dimension"),
        (X > 0.5, "bernoulli"),
        (DIGITS[:100].astype(int), "negative_binomial"),
    ):
        vae = small(epochs=1).fit(data)
        assert vae.likelihood_ == likelihood
        assert len(vae.likelihood_reason_) > 10


def test_pixels_come_back_as_pixels():
    pixels = np.round(X * 255).astype(np.uint8)
    vae = small(epochs=20).fit(pixels)
    assert vae.schema_.units == "x/255"
    assert abs(vae.reconstruct(pixels).mean() - pixels.mean()) < 5


def test_densities_count_the_constants():
    """A Gaussian of one column that the model cannot explain away: at best the entropy of the data themselves."""
    rng = np.random.default_rng(0)
    noise = rng.normal(3.0, 2.0, size=(4000, 1))
    vae = small(latent_dim=1, hidden=(), epochs=60, learning_rate=0.01, batch_size=500, start="random").fit(noise)
    expected = -0.5 * np.log(2 * np.pi * np.e * noise.var())
    assert abs(vae.score(noise) - expected) < 0.02


@pytest.mark.parametrize(
    ("parameters", "match"),
    [
        ({"latent_dim": 0}, r"'latent_dim' parameter of VAE must be an int in \[1, inf\). Got 0 instead"),
        ({"latent_dim": 2.5}, "latent_dim"),
        ({"epochs": 0}, "epochs"),
        ({"batch_size": -3}, "batch_size"),
        ({"learning_rate": 0.0}, r"'learning_rate' parameter of VAE must be a float in \(0, inf\)"),
        ({"learning_rate": float("nan")}, "learning_rate"),
        ({"learning_rate": "fast"}, "learning_rate"),
        ({"beta": -1.0}, "beta"),
        ({"hidden": (0,)}, "hidden"),
        ({"hidden": "200"}, "hidden"),
        ({"early_stopping": True, "validation_fraction": 1.5}, "validation_fraction"),
        ({"scale": "bounded:3,1"}, "min_std"),
        ({"likelihood": "gaussian:fixed:-1"}, "fixed"),
        ({"posterior": "flow", "latent_dim": 1}, "at least 2 latents"),
    ],
)
def test_settings_outside_their_domain_are_refused(parameters, match):
    with pytest.raises(ParameterError, match=match):
        small(**parameters).fit(X)


@pytest.mark.parametrize(
    ("parameters", "suggestion"),
    [
        ({"posterior": "diagnal"}, "diagonal"),
        ({"scale": "log_varianc"}, "log_variance"),
        ({"prior": "standard_norml"}, "standard_normal"),
        ({"likelihood": "bernouli"}, "bernoulli"),
        ({"objective": "elbow"}, "elbo"),
        ({"inference": "amortised"}, "amortized"),
        ({"activation": "rely"}, "relu"),
        ({"likelihood": "aut"}, "auto"),
        ({"network": "atuo"}, "auto"),
        ({"average": "aout"}, "auto"),
    ],
)
def test_unknown_names_suggest_the_nearest(parameters, suggestion):
    with pytest.raises(UnknownNameError, match=f"Did you mean '{suggestion}'"):
        small(**parameters).fit(X)


def test_hyphens_are_underscores():
    assert small(scale="log-variance", prior="standard-normal", epochs=1).fit(X).n_iter_ == 1


def test_data_outside_the_support_are_refused():
    with pytest.raises(SupportError, match="bernoulli"):
        small(likelihood="bernoulli").fit(X * 2)
    with pytest.raises(ValueError, match="infinity"):
        small().fit(np.where(X.mean() < X, np.inf, X))


def test_codes_of_the_wrong_width_are_refused(fitted):
    with pytest.raises(DataError, match="3 columns.*Got 2"):
        fitted.inverse_transform(np.zeros((4, 2)))


def test_codes_beyond_single_precision_are_refused_without_a_warning_of_numpy(fitted):
    with warnings.catch_warnings(action="error"), pytest.raises(ValueError, match="too large"):
        fitted.inverse_transform(np.full((4, 3), 1e300))


def test_arguments_of_sample_are_checked(fitted):
    for arguments, match in (({"n_samples": 0}, "n_samples"), ({"n_samples": 2, "temperature": -1.0}, "temperature")):
        with pytest.raises(ParameterError, match=match):
            fitted.sample(**arguments)


def test_temperature_zero_decodes_the_prior_mean(fitted):
    samples = fitted.sample(4, temperature=0.0)
    np.testing.assert_allclose(samples, np.repeat(fitted.inverse_transform(np.zeros((1, 3))), 4, axis=0), rtol=1e-5)


def test_a_place_that_holds_something_else_is_left_alone(fitted, tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "diary.txt").write_text("mine")
    with pytest.raises(RunError, match="not a run"):
        fitted.save(tmp_path / "notes")
    assert [path.name for path in (tmp_path / "notes").iterdir()] == ["diary.txt"]
    fitted.save(tmp_path / "run")
    with pytest.raises(RunError, match="holds a run already"):
        fitted.save(tmp_path / "run")
    fitted.save(tmp_path / "run", overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes", "run"]


def test_damaged_runs_are_refused_by_name(fitted, tmp_path):
    for name, damage in (
        ("config.json", b"{"),
        ("config.json", b'{"format": 99}'),
        ("config.json", b'{"format": 1}'),
        ("data.json", b"[]"),
        ("data.json", b"{}"),
        ("model.safetensors", b"short"),
        ("state.safetensors", b""),
        ("metrics.jsonl", b"{nonsense"),
    ):
        path = fitted.save(tmp_path / "run", overwrite=True)
        (path / name).write_bytes(damage)
        with pytest.raises(RunError, match=name.partition(".")[0]):
            reparam.load(path)
    with pytest.raises(RunError, match="no run folder"):
        reparam.load(tmp_path / "nowhere")


def test_a_run_of_another_shape_is_refused(fitted, tmp_path):
    one, other = fitted.save(tmp_path / "one"), small(latent_dim=2).fit(X).save(tmp_path / "other")
    (one / "model.safetensors").write_bytes((other / "model.safetensors").read_bytes())
    with pytest.raises(RunError, match="tensor 'encoder.linear.weight' must have shape"):
        reparam.load(one)
