"""DataFrames of mixed types through the estimator, scikit-learn's pipelines, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

import reparam
from reparam.errors import DataError

N = 96
RNG = np.random.default_rng(0)


def people() -> pd.DataFrame:
    age = RNG.integers(18, 80, N)
    frame = pd.DataFrame(
        {
            "age": age,
            "height": (age * 0.3 + RNG.normal(size=N)).round(2),
            "size": pd.Categorical(RNG.choice(["lo", "mid", "hi"], N), categories=["lo", "mid", "hi"], ordered=True),
            "member": age > 50,
            "visits": pd.array([5, None, 7, 9] * (N // 4), dtype="Int64"),
            "since": pd.date_range("2020-01-01", periods=N, freq="D"),
            "city": RNG.choice(["p", "q", "r"], N),
            "name": [f"person {i}" for i in range(N)],
        },
        index=[f"r{i}" for i in range(N)],
    )
    frame.loc["r3", "height"] = np.nan
    frame.loc["r4", "city"] = None
    return frame


PANDAS = people()
POLARS = pl.from_pandas(PANDAS.drop(columns="size"))


def small(**more: Any) -> reparam.VAE:
    return reparam.VAE(hidden=(8,), epochs=2, batch_size=32, bound_samples=5, **more)


@pytest.fixture(scope="module")
def fitted() -> reparam.VAE:
    return small().fit(PANDAS)


@pytest.fixture(scope="module")
def fitted_polars() -> reparam.VAE:
    return small().fit(POLARS)


def test_new_rows_come_as_the_frame_that_was_fitted(fitted: reparam.VAE) -> None:
    made = fitted.sample(7, draw=True)
    expected = PANDAS.drop(columns="name")
    assert isinstance(made, pd.DataFrame)
    assert list(made.columns) == list(expected.columns)
    assert list(made.dtypes) == list(expected.dtypes)
    assert list(made["size"].cat.categories) == ["lo", "mid", "hi"]
    assert made["size"].cat.ordered
    assert set(made["city"]) <= {"p", "q", "r"}
    assert PANDAS["since"].min() <= made["since"].min() <= made["since"].max() <= PANDAS["since"].max()
    decoded = fitted.inverse_transform(fitted.transform(PANDAS)[:3])
    assert list(decoded.dtypes) == list(expected.dtypes)


def test_reconstructions_keep_the_index_and_columns_that_are_no_part_of_the_model(fitted: reparam.VAE) -> None:
    made = fitted.reconstruct(PANDAS[10:20])
    assert list(made.index) == list(PANDAS.index[10:20])
    assert list(made["name"]) == list(PANDAS["name"][10:20])
    assert list(made.dtypes) == list(PANDAS.dtypes)


def test_imputing_a_frame_fills_its_holes_alone(fitted: reparam.VAE) -> None:
    whole = fitted.impute(PANDAS)
    assert isinstance(whole, pd.DataFrame)
    assert not whole.isna().any(axis=None)
    pd.testing.assert_frame_equal(whole.where(PANDAS.notna(), PANDAS), PANDAS)
    assert whole.loc["r4", "city"] in {"p", "q", "r"}


def test_polars_frames_come_and_go(fitted_polars: reparam.VAE) -> None:
    made = fitted_polars.sample(7)
    assert isinstance(made, pl.DataFrame)
    assert made.schema == POLARS.drop("name").schema
    assert fitted_polars.reconstruct(POLARS[:4]).schema == POLARS.schema
    assert fitted_polars.score_samples(POLARS).shape == (N,)


def test_a_row_is_worth_the_same_whatever_its_frame_and_its_neighbours(fitted: reparam.VAE) -> None:
    few = PANDAS[5:15]
    np.testing.assert_allclose(fitted.transform(few), fitted.transform(PANDAS)[5:15], rtol=1e-5, atol=1e-6)


def test_frames_of_other_columns_or_levels_are_refused(fitted: reparam.VAE) -> None:
    with pytest.raises(ValueError, match="feature names should match"):
        fitted.transform(PANDAS.rename(columns={"city": "town"}))
    with pytest.raises(DataError, match=r"row 2, column 'city' holds 'Ur'.*none of the 3 levels"):
        fitted.transform(PANDAS.assign(city=["p", "q", "Ur"] * (N // 3)))


def test_names_of_columns_are_those_of_the_frame(fitted: reparam.VAE) -> None:
    assert list(fitted.feature_names_in_) == list(PANDAS.columns)
    assert fitted.n_features_in_ == 8
    codes = clone(fitted).set_output(transform="pandas").fit_transform(PANDAS)
    assert list(codes.index) == list(PANDAS.index)
    assert list(codes.columns) == ["vae0", "vae1"]


def test_pipelines_and_column_transformers_take_it() -> None:
    answer = PANDAS["member"].to_numpy()
    columns = ColumnTransformer([("codes", small(), ["height", "size", "city"])], remainder="drop")
    model = make_pipeline(columns, LogisticRegression()).fit(PANDAS, answer)
    assert model.predict(PANDAS).shape == (N,)


def test_a_saved_run_takes_the_same_frames(fitted: reparam.VAE, tmp_path: Path) -> None:
    again = reparam.load(fitted.save(tmp_path / "run"))
    np.testing.assert_array_equal(again.transform(PANDAS), fitted.transform(PANDAS))
    assert isinstance(again.reconstruct(PANDAS), pd.DataFrame)
    assert isinstance(again.sample(3), np.ndarray)  # a run holds no frame to be like


def test_fitting_an_array_next_forgets_the_frame() -> None:
    vae = small().fit(PANDAS[["height", "age"]].dropna())
    assert isinstance(vae.sample(2), pd.DataFrame)
    assert isinstance(vae.fit(RNG.normal(size=(40, 2))).sample(2), np.ndarray)
