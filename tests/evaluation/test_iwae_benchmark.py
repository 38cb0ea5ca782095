"""The protocol of the IWAE paper: its schedule, its start, and a stop that changes nothing."""

from __future__ import annotations

import argparse
import json
import sys

import jax.numpy as jnp
import numpy as np
import pytest
from benchmarks import iwae_table
from benchmarks.iwae_table import PROTOCOL, STAGES, schedule, stage_ends, trained

from reparam.data import from_array
from reparam.training.pace import SCHEDULES, Clock

PIXELS = from_array(np.random.default_rng(0).integers(0, 256, (60, 28, 28)).astype(np.uint8))


def asked(**changes):
    return argparse.Namespace(
        **{"layers": 1, "k": 3, "estimator": "pathwise", "stages": 2, "seed": 0, "run": None, **changes}
    )


def test_the_schedule_is_that_of_the_paper():
    assert stage_ends(STAGES)[-1] == 3280
    assert stage_ends(5)[-1] == 121
    stages = SCHEDULES["stages"](*map(float, schedule(STAGES).partition(":")[2].split(",")))

    def rate(epoch):
        return PROTOCOL["learning_rate"] * float(stages.factor(Clock(jnp.asarray(epoch), 1, jnp.asarray(3280))))

    assert rate(0) == pytest.approx(1e-3)
    assert rate(1) == rate(3) == pytest.approx(1e-3 * 10 ** (-1 / 7))
    assert rate(3279) == pytest.approx(1e-4)


def test_a_stop_changes_nothing(tmp_path):
    straight, _ = trained(PIXELS, PIXELS, asked())
    trained(PIXELS, PIXELS, asked(stages=1, run=tmp_path / "run"))
    resumed, _ = trained(PIXELS, PIXELS, asked(run=tmp_path / "run"))
    assert resumed.n_iter_ == straight.n_iter_ == 4
    straight.save(tmp_path / "straight")
    one, other = (tmp_path / name / "model.safetensors" for name in ("run", "straight"))
    assert one.read_bytes() == other.read_bytes()


def test_two_layers_are_those_of_the_paper():
    vae, _ = trained(PIXELS, PIXELS, asked(layers=2, stages=1))
    row = iwae_table.measure(vae, PIXELS.take(slice(8)), 4)
    assert vae.model_.prior.layers == (100, 50)
    assert sum(row["active_units_by_layer"]) == row["active_units"]


def test_every_visit_draws_its_binarisation_anew_and_the_start_is_the_logit_of_the_mean():
    vae, _ = trained(PIXELS, PIXELS, asked(stages=1))
    assert vae.fitted_.configuration.recipe(60).redraw
    mean = np.clip(PIXELS.rows.mean(0) / 255, 0.001, 0.999)
    bias = np.asarray(vae.model_.decoder.layers[-1].bias)
    np.testing.assert_allclose(bias, np.log(mean / (1 - mean)), atol=5e-3)  # three steps of 1e-3 away


def test_the_command_prints_the_row(tmp_path, monkeypatch, capsys):
    np.savez(tmp_path / "x.npz", train_x=PIXELS.rows.reshape(-1, 28, 28), test_x=PIXELS.rows[:20].reshape(-1, 28, 28))
    options = ["--data", str(tmp_path / "x.npz"), "--k", "3", "--stages", "1", "--samples", "10"]
    monkeypatch.setattr(sys, "argv", ["iwae_table", *options])
    iwae_table.main()
    captured = capsys.readouterr()
    row = json.loads(captured.out)
    assert (row["layers"], row["k"], row["epochs"]) == (1, 3, 1)
    assert row["negative_bound_by_samples"]["10"] < -row["elbo"]
    assert "after 1 epochs: L_500 of 20 test images" in captured.err
