"""The protocol of the IWAE paper: its schedule, its start, and a stop that changes nothing."""

from __future__ import annotations

import json
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from benchmarks import iwae_table
from benchmarks.iwae_table import keep, rates, resume, start, train

from reparam.objectives import build_objective

IWAE = build_objective("iwae:3")
PIXELS = np.random.default_rng(0).integers(0, 256, (60, 784)).astype(np.uint8)


def test_the_schedule_is_that_of_the_paper():
    whole = rates(8)
    assert len(whole) == 3280
    assert len(rates(5)) == 121
    assert whole[0] == 1e-3
    assert whole[1] == whole[3] == pytest.approx(1e-3 * 10 ** (-1 / 7))
    assert whole[-1] == pytest.approx(1e-4)


def test_the_output_bias_starts_at_the_logit_of_the_clipped_mean():
    pixels = PIXELS.copy()
    pixels[:, 0] = 0
    bias = start(jnp.asarray(pixels), 0).model.decoder.layers[-1].bias
    mean = np.clip(pixels.mean(0) / 255, 0.001, 0.999)
    np.testing.assert_allclose(bias, np.log(mean / (1 - mean)), rtol=1e-4, atol=1e-5)


def test_a_stop_changes_nothing(tmp_path):
    pixels, place = jnp.asarray(PIXELS), tmp_path / "position.npz"
    *_, straight = train(start(pixels, 0), pixels, 2, IWAE, None)
    first = next(train(start(pixels, 0), pixels, 2, IWAE, place))
    keep(place, first)
    *_, resumed = train(resume(start(pixels, 1), place), pixels, 2, IWAE, place)
    assert int(resumed.epoch) == int(straight.epoch) == 4
    assert float(resumed.seconds) > float(first.seconds) > 0
    for one, other in zip(jax.tree.leaves(straight.model), jax.tree.leaves(resumed.model), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_command_prints_the_row(tmp_path, monkeypatch, capsys):
    np.savez(tmp_path / "x.npz", train_x=PIXELS.reshape(-1, 28, 28), test_x=PIXELS[:20].reshape(-1, 28, 28))
    options = ["--data", str(tmp_path / "x.npz"), "--k", "3", "--stages", "1", "--samples", "10"]
    monkeypatch.setattr(sys, "argv", ["iwae_table", *options])
    iwae_table.main()
    captured = capsys.readouterr()
    row = json.loads(captured.out)
    assert (row["layers"], row["k"], row["epochs"]) == (1, 3, 1)
    assert row["negative_bound_by_samples"]["10"] < -row["elbo"]
    assert "after 1 epochs: L_500 of 20 test images" in captured.err
