"""Numbers that go wrong are named: the first step out of the finite ones, its term, rows and column, or its layer."""

from __future__ import annotations

import importlib
import json
import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import reparam
from reparam.errors import ReparamWarning, RunError, TrainingError
from reparam.estimator import keeping

RNG = np.random.default_rng(0)
X = RNG.normal(size=(64, 4)).astype(np.float32)
BAD = X.copy()
BAD[37, 2] = 3e19  # its square is beyond single precision, those of the others are not


def small(**settings: object) -> reparam.VAE:
    chosen = {"hidden": (8,), "epochs": 3, "batch_size": 16, "likelihood": "gaussian:fixed:1", "standardize": "none"}
    return reparam.VAE(**{**chosen, **settings})


AS_SMALL = (
    *("--hidden", "8", "--epochs", "3", "--batch-size", "16", "--likelihood", "gaussian:fixed:1"),
    *("--standardize", "none", "--validation-fraction", "0"),
)
"""The same on the command line: what is compiled for the one is used by the other."""


def test_the_term_the_row_and_the_column_are_named():
    with pytest.raises(
        TrainingError,
        match=r"step \d of 4: the reconstruction of training row 37 is not finite; .*3e\+19, in column 'column_2'",
    ):
        small().fit(BAD)


class Root(eqx.Module):
    """√(0 w): its value is finite for every w, its derivative 0/0."""

    weight: jax.Array

    def __call__(self, x: jax.Array) -> jax.Array:
        return jnp.sqrt(0.0 * self.weight) + jnp.zeros((*x.shape[:-1], 4))


def test_a_layer_is_named_where_every_term_is_finite():
    with pytest.raises(TrainingError, match=r"step 1 of 4: the gradient of encoder\.weight is not finite"):
        small(encoder=Root(jnp.ones(()))).fit(X)


def test_steps_that_are_skipped_are_counted_and_leave_finite_weights():
    vae = small(on_nonfinite="skip").fit(BAD)
    assert [line["skipped"] for line in vae.history_] == [1, 1, 1]
    weights = eqx.filter(vae.model_, eqx.is_inexact_array).encoder.layers
    assert all(np.isfinite(layer.weight).all() for layer in weights)
    assert np.isfinite([line["bound"] for line in vae.history_]).all()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ReparamWarning)
        without = small(on_nonfinite="skip").fit(X)
    assert [line["skipped"] for line in without.history_] == [0, 0, 0]


def test_a_training_of_which_every_step_would_be_skipped_stops():
    every = np.where(np.arange(4) == 2, np.sign(X) * BAD[37, 2], X)
    with pytest.raises(TrainingError, match="epoch 1, step 1 of 4"):
        small(on_nonfinite="skip").fit(every)


def test_weights_that_are_no_numbers_are_never_written(tmp_path):
    vae = small(epochs=1).fit(X)
    state = eqx.tree_at(lambda s: s.best_model.decoder.layers[0].bias, vae.state_, replace_fn=lambda b: b * jnp.nan)
    vae.fitted_ = type(vae.fitted_)(**{**vars(vae.fitted_), "state": state})
    with pytest.raises(RunError, match=r"decoder.layers.0.bias.*NaN"):
        vae.save(tmp_path / "run")
    assert list(tmp_path.iterdir()) == []
    assert keeping.TRIES > 1


def test_the_last_whole_epoch_is_kept_when_training_diverges(tmp_path, monkeypatch):
    module = importlib.import_module("reparam.training.fit")  # the package has a function of that name
    np.save(tmp_path / "x.npy", X)
    train, calls = module.train_epoch, []

    def diverging(state, *arguments, **named):
        calls.append(1)
        after, sums, taken = train(state, *arguments, **named)
        return after, sums, taken if len(calls) < 3 else jnp.zeros_like(taken)

    monkeypatch.setattr(module, "train_epoch", diverging)
    from reparam.cli import main

    with pytest.raises(SystemExit) as end:
        main(["train", str(tmp_path / "x.npy"), "--out", str(tmp_path / "run"), *AS_SMALL, "-q"])
    assert end.value.code == 2
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 2
    assert json.loads((tmp_path / "run" / "config.json").read_text())["parameters"]["on_nonfinite"] == "stop"
