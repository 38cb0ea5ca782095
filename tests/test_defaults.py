"""What a fit does when nothing is asked: begins at the linear answer, is told by folds when to stop, knows no unit."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.decomposition import PCA, FactorAnalysis

import reparam
from reparam.data import from_array
from reparam.errors import DataError, ParameterError, ReparamWarning
from reparam.estimator import compilation, fitting
from reparam.estimator.configuration import Configuration
from reparam.estimator.latents import compared
from reparam.training.folds import Folds, folds, is_gain, numbers_seen
from reparam.training.pace import Exponential, NoAverage, Tail

ROWS, FEATURES, LATENTS = 60, 4, 2


def linear_rows(count: int = ROWS, seed: int = 0, noise: float = 0.3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(count, LATENTS)) @ rng.normal(size=(LATENTS, FEATURES))
    return rows + noise * rng.normal(size=(count, FEATURES))


def quick(**settings) -> Configuration:
    """The defaults with networks that tests can afford."""
    return Configuration(**{"latent_dim": LATENTS, "hidden": (3,), "patience": 1, **settings})


def begun(rows: np.ndarray, configuration: Configuration) -> fitting.Fitted:
    return fitting.begin(configuration, from_array(rows))


def training(fitted: fitting.Fitted, rows: np.ndarray):
    """What is fitted after each further epoch, and its record."""
    return fitting.train(fitted, fitting.task(fitted, from_array(rows)))


def epochs(rows: np.ndarray, configuration: Configuration, count: int) -> fitting.Fitted:
    """What is fitted after so many epochs."""
    steps = training(begun(rows, configuration), rows)
    return [reached for (reached, _), _ in zip(steps, range(count), strict=False)][-1]


def test_before_any_step_each_row_is_judged_by_the_principal_components_of_the_other_folds():
    """The 8-sample bound at the start is the density of scikit-learn's PCA of the rows outside the row's fold."""
    rows = linear_rows()
    configuration = quick(likelihood="gaussian")
    fitted = epochs(rows, configuration, 1)
    parts = folds(ROWS, configuration.seed)
    first = np.asarray(fitted.state.judged.first, np.float64) - fitted.schema.log_volume
    for number, held_out in enumerate(parts.held_out):
        seen = rows[parts.weights(ROWS)[number] > 0]
        pca = PCA(LATENTS).fit(seen)
        covariance = pca.get_covariance() * (len(seen) - 1) / len(seen)  # scikit-learn's is the unbiased one
        oracle = multivariate_normal(pca.mean_, covariance).logpdf(rows[held_out])
        np.testing.assert_allclose(first[number], oracle, atol=2e-4)


@pytest.mark.parametrize("likelihood", ["gaussian:per_dimension", "gaussian:optimal"])
def test_a_copy_never_sees_its_fold(likelihood):
    """Rows of one fold are replaced by others: the copy that leaves them out stays as it was, to the bit."""
    configuration = quick(likelihood=likelihood, start="random", standardize="none")
    parts = folds(ROWS, configuration.seed)
    rows, spoilt = linear_rows(), linear_rows()
    spoilt[parts.held_out[1]] = spoilt[parts.held_out[1]][::-1] * [1.0, -1.0, 1.0, 1.0]
    state = begun(rows, configuration).state
    after = []
    for table in (rows, spoilt):
        fitted = replace(begun(table, configuration), state=state)  # the same weights to begin with
        after.append(next(training(fitted, table))[0].state.model)
    same, different = (
        [np.array_equal(a[copy], b[copy]) for a, b in zip(*map(jax.tree.leaves, after), strict=True)] for copy in (1, 0)
    )
    assert all(same)
    assert not any(different)


@pytest.mark.parametrize("seed", range(3))
def test_where_the_linear_answer_is_right_the_fit_is_as_good(seed):
    train, test = np.split(linear_rows(150, seed), [60])
    vae = reparam.VAE(latent_dim=LATENTS, hidden=(3,), bound_samples=300).fit(train)
    best = max(PCA(LATENTS).fit(train).score(test), FactorAnalysis(LATENTS).fit(train).score(test))
    assert vae.score(test) > best - 0.05


def test_weights_are_kept_only_where_folds_gain_on_the_start():
    fitted = epochs(linear_rows(), quick(learning_rate=1e-12), 3)
    start = begun(linear_rows(), quick(learning_rate=1e-12)).state.best_model
    assert [line["kept"] for line in fitted.history] == [False]  # patience 1
    for now, then in zip(jax.tree.leaves(fitted.model), jax.tree.leaves(start), strict=True):
        np.testing.assert_array_equal(now, then)


@pytest.mark.parametrize(
    ("scale", "shift"),
    [(1e3, 0.0), (1.0, 1e4), (np.geomspace(1e-4, 1e4, FEATURES), np.linspace(-1e3, 1e3, FEATURES))],
)
def test_an_affine_change_of_the_data_changes_nothing(scale, shift):
    """Standardised in double precision, the model sees the same numbers to single precision, whatever the units."""
    rows = linear_rows()
    configuration = quick(learning_rate=1e-3)
    plain, moved = (epochs(table, configuration, 1) for table in (rows, rows * scale + shift))
    volume = float(np.sum(np.log(np.broadcast_to(scale, FEATURES))))
    for where in ("training", "validation"):
        bounds = [
            fitted.history[-1]["bound"] if where == "training" else fitted.history[-1]["validation"]["bound"]
            for fitted in (plain, moved)
        ]
        assert bounds[1] == pytest.approx(bounds[0] - volume, abs=2e-3)
    assert plain.start == moved.start


@pytest.mark.parametrize("count", [ROWS, 1001], ids=["five folds", "one fold and a copy of all rows"])
def test_training_that_is_broken_off_goes_on_to_the_same_bytes(tmp_path, count):
    rows, configuration = linear_rows(count), quick(patience=9)
    whole = epochs(rows, configuration, 4)
    half = reparam.VAE().adopt(epochs(rows, configuration, 2)).save(tmp_path / "run")
    opened = reparam.load(half).fitted_
    assert opened.start == whole.start != "random"
    *_, (rest, _), _ = zip(training(opened, rows), range(3), strict=False)
    for one, other in zip(jax.tree.leaves(whole.state), jax.tree.leaves(rest[0].state), strict=True):
        if not jnp.issubdtype(one.dtype, jax.dtypes.prng_key):
            np.testing.assert_array_equal(one, other)


def test_folds_are_neither_given_up_nor_taken_on_half_way():
    rows = linear_rows()
    for before, after in ((quick(), quick(epochs=9)), (quick(epochs=1), quick())):
        with pytest.raises(ParameterError, match="'epochs' parameter of VAE cannot change from"):
            fitting.resume(epochs(rows, before, 1), after, from_array(rows))


def test_what_was_begun_with_other_folds_is_used_and_not_trained_further(tmp_path, monkeypatch):
    rows = linear_rows()
    three = Folds(np.arange(ROWS, dtype=np.int32).reshape(3, -1), True)
    with monkeypatch.context() as earlier:
        earlier.setattr(Configuration, "folds", lambda *_: three)
        before = epochs(rows, quick(), 1)
    opened = reparam.load(reparam.VAE().adopt(before).save(tmp_path / "run"))
    np.testing.assert_array_equal(opened.transform(rows), reparam.VAE().adopt(before).transform(rows))
    with pytest.raises(ParameterError, match=r"3 folds of 20 rows, where there would be 5 of 12 now\."):
        fitting.resume(opened.fitted_, opened.fitted_.configuration, from_array(rows))


def test_weights_are_averaged_where_folds_judge_unless_one_says_how():
    assert quick().recipe(ROWS).averaging == Exponential(0.98)
    assert quick(average="none").recipe(ROWS).averaging == NoAverage()
    assert quick(epochs=5).recipe(ROWS).averaging == quick(beta=4.0).recipe(ROWS).averaging == NoAverage()
    assert quick(epochs=5, average="last:3").recipe(ROWS).averaging == Tail(3)


def test_a_single_row_to_train_on_is_refused():
    with pytest.raises(DataError, match="leaves 1 row to train on"):
        begun(linear_rows(2), quick(early_stopping=True))


def test_folds_judge_only_where_the_bound_is_what_is_maximised():
    assert quick().folds(ROWS) is not None
    assert quick(warmup="linear:5").folds(ROWS) is not None
    for settings in ({"beta": 4.0}, {"objective": "mmd"}, {"objective": "free_bits:0.5"}, {"inference": "mean_field"}):
        assert quick(**settings).folds(ROWS) is None
        assert quick(**settings).settings().patience == 0
    assert quick(epochs=5).folds(ROWS) is None
    assert quick(beta=4.0, early_stopping=True).settings().patience == 1


@pytest.mark.parametrize(("count", "copies", "held_out"), [(2, 3, 2), (103, 6, 103), (1001, 2, 200), (5001, 1, 1000)])
def test_each_row_is_left_out_once_or_some_are_held_out(count, copies, held_out):
    parts = folds(count, 0)
    numbers = parts.held_out[parts.held_out < count]
    assert (parts.copies, len(set(numbers.tolist())), len(numbers)) == (copies, held_out, held_out)
    assert parts.weights(count).shape == (copies, count)
    seen = numbers_seen(parts.weights(count))
    assert all(parts.weights(count)[copy][numbers].all() for copy, numbers in enumerate(seen))


def test_a_gain_must_exceed_its_standard_error():
    """On differences that are noise about zero: right in one sided 84 % of 2,000 trials, within 5 standard errors."""
    rng = np.random.default_rng(0)
    calls = np.mean([is_gain(rng.normal(size=100), np.zeros(100)) for _ in range(2000)])
    assert abs(calls - 0.1587) < 5 * np.sqrt(0.1587 * 0.8413 / 2000)


def test_epochs_of_few_rows_have_some_steps_and_equal_batches():
    few, many = quick().recipe(130), quick().recipe(10_000)
    assert (few.batch_size, few.passes) == (65, 25)
    assert (many.batch_size, many.passes) == (127, 1)
    assert quick(epochs=3).recipe(130).passes == 1


# ---- how many latents


def test_as_many_latents_are_chosen_as_the_data_have():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(80, 1)) @ np.ones((1, 4)) + 0.3 * rng.normal(size=(80, 4))
    vae = reparam.VAE(latent_dim="auto", hidden=(2,), patience=1).fit(rows)
    assert vae.transform(rows).shape == (80, 1)
    path = vae.latent_path_
    assert [trial["chosen"] for trial in path] == [True] + [False] * (len(path) - 1)
    assert [trial["latent_dim"] for trial in path] == list(range(1, 1 + len(path)))
    assert vae.get_params()["latent_dim"] == "auto"
    with pytest.raises(ParameterError, match="latent_dim='auto' compares bounds.*epochs='auto'"):
        reparam.VAE(latent_dim="auto", epochs=5).fit(rows)


def test_the_fewest_latents_within_one_standard_error_of_the_best_are_chosen():
    rng = np.random.default_rng(1)
    best = rng.normal(size=500)
    noise = rng.normal(size=500)
    noise -= noise.mean()
    error = noise.std() / np.sqrt(500)
    trials = compared({1: best - 2 * error + noise, 2: best - 0.9 * error + noise, 4: best, 8: best - 1.0})
    assert [trial.chosen for trial in trials] == [False, True, False, False]
    assert trials[1].behind == pytest.approx(0.9 * error)
    assert trials[1].standard_error == pytest.approx(error)


# ---- compiled programs


@pytest.fixture
def untold(monkeypatch):
    """JAX as a user's process finds it, and afterwards as it was."""
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: jax.config.values[name] for name in names}
    for name in compilation.SETTINGS:
        monkeypatch.delenv(name, raising=False)
    jax.config.update(names[0], None)
    yield
    for name, value in before.items():
        jax.config.update(name, value)
    compilation.compilation_cache.reset_cache()


def test_compiled_programs_are_kept_in_the_users_cache_folder(untold, monkeypatch, tmp_path):
    monkeypatch.setattr(compilation, "cache_folder", lambda *_: tmp_path / "caches")
    folder = compilation.keep_compiled()
    assert folder is not None
    assert folder.parent == tmp_path / "caches"
    jax.jit(lambda x: x * 3.0 + jnp.arange(7.0))(2.0).block_until_ready()
    assert list(folder.iterdir())
    assert compilation.keep_compiled() is None  # JAX has been told


def test_where_no_cache_can_be_written_nothing_is_kept_and_nothing_fails(untold, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(compilation, "cache_folder", lambda *_: tmp_path / "file" / "below")
    assert compilation.keep_compiled() is None
    assert jax.config.values["jax_compilation_cache_dir"] is None


def test_whoever_told_jax_of_a_folder_is_left_alone(untold, monkeypatch, tmp_path):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path))
    assert compilation.keep_compiled() is None
    assert not list(tmp_path.iterdir())


def test_a_constant_column_does_not_send_a_random_start_far_off():
    """Its noise begins at 1, as if it varied: at its own deviation, 0, a random network is millions of nats away."""
    rows = linear_rows()
    rows[:, 0] = 7.0
    with pytest.warns(ReparamWarning, match="constant"):
        fitted = epochs(rows, quick(start="random"), 1)
    assert np.asarray(fitted.state.judged.first).mean() > -10 * FEATURES
