"""The monitor of posterior collapse."""

from __future__ import annotations

import numpy as np
import pytest

import reparam
from reparam.errors import ReparamWarning
from reparam.training.collapse import collapse_warning, dead_units
from reparam.training.metrics import Metrics


def metrics(*kl):
    return Metrics(-1.0, -1.0, sum(kl), kl or None, None)


def test_units_below_a_hundredth_of_a_nat_are_dead():
    assert dead_units(metrics(0.0, 0.0099, 0.01, 3.0)) == (0, 1)
    assert dead_units(metrics()) == ()


FALLING = [1.0, 0.8, 0.6, 0.4, 0.2]


@pytest.mark.parametrize("kl", [(0.5,), (0.0, 0.02)])
def test_nothing_is_said_while_a_unit_lives(kl):
    assert collapse_warning(metrics(*kl), FALLING) is None


def test_without_parts_the_whole_divergence_decides():
    assert "all latents together" in collapse_warning(Metrics(-1.0, -1.0, 0.005, None, None), FALLING)
    assert collapse_warning(Metrics(-1.0, -1.0, 0.02, None, None), FALLING) is None


def test_the_warning_names_the_units_and_the_remedies():
    text = collapse_warning(metrics(0.001, 0.002, 0.0), FALLING)
    for word in ("0, 1, 2", "0.002", "warmup", "free_bits", "beta"):
        assert word in text


def test_a_divergence_that_still_rises_has_not_collapsed_until_training_ends():
    rising = [0.0001, 0.0002, 0.0003, 0.0004, 0.0005]
    assert collapse_warning(metrics(0.001, 0.002), rising) is None
    assert collapse_warning(metrics(0.001, 0.002), rising, last=True) is not None
    assert collapse_warning(metrics(0.001, 0.002), FALLING[:3]) is None  # too early to tell


def test_training_that_ends_in_collapse_says_so():
    """Independent noise under a large fixed σ: no eigenvalue of the covariance exceeds βσ², so every unit must die."""
    rows = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32)
    vae = reparam.VAE(2, hidden=(), likelihood="gaussian:fixed:3", epochs=200, batch_size=50, learning_rate=1e-2)
    with pytest.warns(ReparamWarning, match="posterior collapse: all 2 latents") as told:
        vae.fit(rows)
    (warning,) = [w for w in told if "collapse" in str(w.message)]  # once, when it happened
    assert int(str(warning.message).split()[1].rstrip(":")) < 200
