"""What is said of rows that come part by part is what is said of them at once, at constant memory."""

from __future__ import annotations

import math

import numpy as np
import pytest

import reparam
from reparam.data import Dataset
from reparam.data.streaming.drawing import Drawn
from reparam.errors import DataError
from reparam.estimator import use
from reparam.evaluation import Evaluation

ROWS = 120


@pytest.fixture(scope="module")
def vae() -> reparam.VAE:
    return reparam.VAE(latent_dim=2, hidden=(), epochs=2, start="random", standardize="none").fit(pixels())


def pixels() -> np.ndarray:
    """Whole numbers, so that there are bits per dimension."""
    rng = np.random.default_rng(0)
    return (128 + 20 * rng.normal(size=(ROWS, 1)) + 5 * rng.normal(size=(ROWS, 4))).clip(0, 255).astype(np.uint8)


def parts(vae: reparam.VAE, *sizes: int) -> list[tuple[int, Dataset]]:
    ends = np.cumsum(sizes)
    return list(enumerate(Dataset(part, vae.schema_) for part in np.split(pixels()[: ends[-1]], ends[:-1])))


def test_means_and_errors_are_those_of_all_rows(vae: reparam.VAE, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows have noise of their own, so the parts of an evaluation add up but for the order of sums."""
    whole = vae.evaluate(pixels(), samples=5)
    same, rows = vae.evaluate_parts(parts(vae, 50, 1, 69), samples=5)
    assert same == whole
    assert len(rows.rows) == ROWS
    monkeypatch.setattr(use, "DRAWN_ROWS", 60)
    found, rows = vae.evaluate_parts(parts(vae, 50, 1, 69), samples=5)
    assert (found.rows, len(rows.rows)) == (ROWS, 60)
    for name in (
        *("elbo", "elbo_standard_error", "reconstruction", "kl", "bound", "standard_error", "bits_per_dimension"),
        *("rows_below_10_effective", "not_converged", "singular_rows"),
    ):
        assert getattr(found, name) == pytest.approx(getattr(whole, name), rel=1e-5), name
    assert found.kl_per_dimension == pytest.approx(whole.kl_per_dimension, rel=1e-4)
    assert [at.bound for at in found.bound_by_samples] == pytest.approx(
        [at.bound for at in whole.bound_by_samples], rel=1e-5
    )
    assert found.aggregate_kl + found.mutual_information == pytest.approx(found.kl)
    assert noise_of(found) == pytest.approx(noise_of(whole), rel=1e-5)
    assert found.warnings[-1].startswith("active units, mutual information, aggregate KL and the median")
    assert "60 rows, drawn from the 120" in found.warnings[-1]


def noise_of(found: Evaluation) -> list[float]:
    assert found.observation_noise is not None
    return list(vars(found.observation_noise).values())


def test_a_part_that_is_not_finite_is_told(vae: reparam.VAE, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(use, "DRAWN_ROWS", 60)
    evaluate, calls = vae.evaluate, []

    def without_end(part: Dataset, **how: object) -> Evaluation:
        calls.append(len(part.rows))
        found = evaluate(part, **how)
        return found if len(calls) != 2 else type(found)(**{**vars(found), "elbo": -math.inf})

    monkeypatch.setattr(vae, "evaluate", without_end)
    found, _ = vae.evaluate_parts(parts(vae, 60, 60), samples=2)
    assert calls == [60, 60, 60]
    assert found.elbo == -math.inf
    assert found.elbo_standard_error is None
    assert "elbo is not finite in 1 of 2 parts, so neither is its mean, which is null in JSON." in found.warnings


def test_no_rows_are_refused(vae: reparam.VAE) -> None:
    with pytest.raises(DataError, match="there are no rows"):
        vae.evaluate_parts([])


def test_rows_are_drawn_fairly_in_order_and_whoever_adds_which_part() -> None:
    """Each of ten places has 5 in 100 rows drawn 200 times: by 5 standard deviations, one run in a million fails."""
    counts = np.zeros(10)
    for seed in range(200):
        drawn, turned = (Drawn(5, np.empty((0, 1), np.int64), seed) for _ in range(2))
        for order, into in ((range(15), drawn), (reversed(range(15)), turned)):
            for part in order:
                into.add(np.arange(7 * part, min(7 * part + 7, 100))[:, None], part)
        np.testing.assert_array_equal(drawn.rows, turned.of_all().rows)
        assert (np.diff(drawn.rows[:, 0]) > 0).all()
        counts += np.bincount(drawn.rows[:, 0] // 10, minlength=10)
    assert counts.sum() == 1000
    assert np.abs(counts - 100).max() < 5 * math.sqrt(1000 * 0.1 * 0.9)
