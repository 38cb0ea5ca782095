"""Wine as a table through one training: what samples, filled cells and levels of a fitted model have, and a fake's not.

An untrained decoder, the mean of every column or a copy of noise fails each of these.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ks_2samp, spearmanr

import reparam

WINE = Path(__file__).resolve().parents[3] / "shared" / "data" / "winequality-red.csv.gz"
pytestmark = pytest.mark.skipif(not WINE.is_file(), reason="the folder ../shared/data with real data is absent")
NUMBERS = ["acid", "citric", "density", "pH", "alcohol"]


class Case(NamedTuple):
    whole: pd.DataFrame
    holed: pd.DataFrame
    vae: reparam.VAE


@pytest.fixture(scope="module")
def case() -> Case:
    """Five numbers and a grade of wine, a fifth of the cells hidden, a third of the rows kept out of training."""
    read: Any = pd.read_csv(WINE, header=None)
    whole = read[[0, 2, 7, 8, 10]].set_axis(NUMBERS, axis=1)
    whole["grade"] = pd.cut(read[11], [0, 5, 6, 9], labels=["poor", "fair", "good"])
    hidden = np.random.default_rng(0).random(whole.shape) < 0.2
    holed = whole.mask(hidden)
    holed["grade"] = holed["grade"].astype(whole["grade"].dtype)
    vae = reparam.VAE(3, hidden=(32,), epochs=60, random_state=0).fit(holed[::3])
    return Case(whole, holed, vae)


def test_samples_have_the_marginals_and_the_ties_of_the_data(case: Case) -> None:
    """Columns drawn each for itself would have ties as far from the data's as the data's are from none."""
    made = case.vae.sample(2000)
    for name in NUMBERS:
        assert ks_2samp(case.whole[name], made[name]).statistic < 0.18, name
    shares = [frame["grade"].value_counts(normalize=True).sort_index() for frame in (case.whole, made)]
    assert np.abs(shares[0] - shares[1]).max() < 0.1
    ties = [spearmanr(frame[NUMBERS]).statistic[np.triu_indices(5, 1)] for frame in (case.whole, made)]
    assert np.square(ties[0] - ties[1]).mean() < 0.4 * np.square(ties[0]).mean()


def test_samples_keep_types_levels_and_ranges(case: Case) -> None:
    made = case.vae.sample(500)
    assert made.dtypes.equals(case.whole.dtypes)
    assert not made.isna().any(axis=None)
    seen = case.holed[::3]
    assert (made[NUMBERS] >= seen[NUMBERS].min()).all(axis=None)
    assert (made[NUMBERS] <= seen[NUMBERS].max()).all(axis=None)


def test_filled_cells_of_new_rows_beat_the_mean_and_the_mode(case: Case) -> None:
    """By a tenth of the squared error and 0.05 of the levels: several standard errors of a thousand cells."""
    new = np.arange(len(case.whole)) % 3 != 0
    whole, holed = case.whole[new], case.holed[new]
    filled = case.vae.impute(holed)
    hidden = holed.isna()
    scale = whole[NUMBERS].std()
    errors = [(made - whole[NUMBERS]) / scale for made in (filled[NUMBERS], case.holed[::3][NUMBERS].mean())]
    ours, mean = [np.square(error.to_numpy()[hidden[NUMBERS].to_numpy()]).mean() for error in errors]
    assert ours < 0.9 * mean
    gone = hidden["grade"]
    right = (filled["grade"] == whole["grade"])[gone].mean()
    assert right > (whole["grade"] == case.holed[::3]["grade"].mode()[0])[gone].mean() + 0.05


def test_present_cells_are_the_very_same_and_no_cell_is_left(case: Case) -> None:
    filled = case.vae.impute(case.holed)
    present = case.holed.notna()
    assert filled.where(present).equals(case.holed)
    assert not filled.isna().any(axis=None)
    assert filled.dtypes.equals(case.whole.dtypes)
    assert filled.index.equals(case.holed.index)
