from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from polars.testing import assert_frame_equal as assert_polars_equal

from reparam.data import conform_frame, filled, from_frame, is_frame, template, to_frame
from reparam.errors import DataError

N = 40
RNG = np.random.default_rng(0)


def people() -> pd.DataFrame:
    """Every type that a pandas column may have, with holes where a type knows them."""
    frame = pd.DataFrame(
        {
            "age": RNG.integers(18, 90, N),
            "height": RNG.normal(size=N),
            "colour": pd.Categorical(RNG.choice(["x", "y", "z"], N), categories=["z", "y", "x", "unused"]),
            "size": pd.Categorical(RNG.choice(["lo", "mid", "hi"], N), categories=["lo", "mid", "hi"], ordered=True),
            "grade": pd.Categorical(RNG.integers(3, 6, N)),
            "member": RNG.random(N) < 0.5,
            "active": pd.array([True, None, False, None] * (N // 4), dtype="boolean"),
            "visits": pd.array([5, None, 7, 9] * (N // 4), dtype="Int64"),
            "since": pd.date_range("2020-01-01", periods=N, freq="37h"),
            "seen": pd.date_range("2020-01-01", periods=N, freq="37h", tz="Europe/Berlin"),
            "city": RNG.choice(["p", "q", "r"], N),
            "name": [f"person {i}" for i in range(N)],
            "kind": ["only"] * N,
            "single": RNG.normal(size=N).astype("f4"),
            "small": RNG.integers(0, 4, N).astype("i1"),
            7: RNG.normal(size=N),
        },
        index=[f"r{i}" for i in range(N)],
    )
    frame.loc["r3", "height"] = np.nan
    frame.loc["r4", "city"] = None
    frame.loc["r5", "colour"] = None
    frame.loc["r6", "since"] = pd.NaT
    return frame


PANDAS = people()
POLARS = pl.from_pandas(PANDAS.drop(columns=["size", "grade", "seen", 7])).with_columns(
    pl.col("city").cast(pl.Enum(["p", "q", "r"])), pl.col("since").dt.date().alias("day")
)


def assert_same(frame: Any, expected: Any) -> None:
    if isinstance(expected, pd.DataFrame):
        pd.testing.assert_frame_equal(frame, expected)
    else:
        assert_polars_equal(frame, expected)


@pytest.mark.parametrize("frame", [PANDAS, POLARS], ids=["pandas", "polars"])
def test_a_frame_comes_back_from_its_rows_to_the_last_bit(frame: Any) -> None:
    data = from_frame(frame)
    assert_same(to_frame(data.rows, data.schema, like=frame), frame)


def test_every_column_is_judged_by_its_type_and_cells() -> None:
    data = from_frame(PANDAS)
    assert data.judgement is not None
    kinds = {column.name: column.kind for column in data.judgement.columns}
    assert kinds == {
        "age": "count",
        "height": "real",
        "colour": "categorical",
        "size": "ordinal",
        "grade": "categorical",
        "member": "binary",
        "active": "binary",
        "visits": "ordinal",
        "since": "date",
        "seen": "date",
        "city": "categorical",
        "name": "identifier",
        "kind": "constant",
        "single": "real",
        "small": "ordinal",
        "7": "real",
    }
    levels = {column.name: column.levels for column in data.judgement.columns}
    assert levels["size"] == ("lo", "mid", "hi")
    assert levels["grade"] == ("3", "4", "5")
    seconds = data.rows[:, data.schema.columns.index("seen")]  # type: ignore[union-attr]
    np.testing.assert_array_equal(seconds, [stamp.timestamp() for stamp in PANDAS["seen"]])


@pytest.mark.parametrize("frame", [PANDAS, POLARS], ids=["pandas", "polars"])
def test_new_rows_have_the_frames_types_order_categories_and_one_valued_columns(frame: Any) -> None:
    data = from_frame(frame)
    rows = np.nan_to_num(data.rows[:5], nan=0.0) + 0.3  # no code, no whole number: as a mean might be
    made = to_frame(rows, data.schema, like=template(frame))
    expected = [name for name in frame.columns if name != "name"]
    assert list(made.columns) == expected
    assert list(made.dtypes) == [frame[name].dtype for name in expected]
    assert list(made["kind"]) == ["only"] * 5
    assert set(made["city"]) <= {"p", "q", "r"}
    assert float(made["age"].min()) >= float(frame["age"].min())


def test_codes_and_numbers_that_no_column_holds_end_at_its_bounds() -> None:
    frame = pd.DataFrame({"n": [3, 0, 2, 1] * 5, "x": [0.5, -2.25, 7.75, 1.0] * 5, "c": ["a", "b", "c", "a"] * 5})
    data = from_frame(frame)
    made = to_frame(np.array([[-9.0, -9.0, -9.0], [99.0, 99.0, 99.0]]), data.schema, like=template(frame))
    assert made.to_dict("list") == {"n": [0, 3], "x": [-2.25, 7.75], "c": ["a", "c"]}


@pytest.mark.parametrize("frame", [PANDAS, POLARS], ids=["pandas", "polars"])
def test_filling_touches_missing_cells_alone(frame: Any) -> None:
    data = from_frame(frame)
    whole = filled(frame, np.nan_to_num(data.rows, nan=1.0), data.schema)
    assert list(whole.columns) == list(frame.columns)
    assert list(whole.dtypes) == list(frame.dtypes)
    for name in frame.columns:
        before, after = list(frame[name]), list(whole[name])
        for old, new in zip(before, after, strict=True):
            assert not pd.isna(new)
            assert pd.isna(old) or old == new
    assert list(whole["visits"])[1] == 7  # the level with code 1
    assert (list(whole["height"])[3], list(whole["city"])[4]) == (1.0, "q")


def test_columns_are_matched_by_name_and_a_new_level_is_refused_or_missing() -> None:
    schema = from_frame(PANDAS).schema
    turned = PANDAS[list(PANDAS.columns[::-1])].drop(columns=["name", "kind"])
    np.testing.assert_array_equal(conform_frame(turned, schema).rows, from_frame(PANDAS).rows)
    strange = PANDAS.assign(city=["p"] * 3 + ["Atlantis"] * (N - 3))
    with pytest.raises(DataError, match=r"row 3, column 'city' holds 'Atlantis'.*none of the 3 levels.*\(37 such"):
        conform_frame(strange, schema)
    rows = conform_frame(strange, schema, unknown="missing").rows
    place = schema.columns.index("city")  # type: ignore[union-attr]
    assert np.isnan(rows[:, place]).sum() == N - 3
    with pytest.raises(DataError, match="lacks 1 of the 14 columns that are required: 'age'"):
        conform_frame(PANDAS.drop(columns="age"), schema)


def test_numbers_and_text_mixed_in_one_column_are_told() -> None:
    data = from_frame(pd.DataFrame({"mixed": ["12", "x", 7, "x"] * 10, "y": RNG.normal(size=N)}))
    assert data.schema.table is not None
    assert data.schema.table[0].levels == ("12", "7", "x")


def test_a_plain_frame_of_real_numbers_is_numbers_of_one_kind() -> None:
    frame = pd.DataFrame(RNG.normal(size=(N, 3)), columns=list("abc"))
    data = from_frame(frame)
    assert data.schema.table is None
    assert data.schema.columns == ("a", "b", "c")
    assert_same(to_frame(data.rows[:4], data.schema, like=template(frame)), frame[:4])


def test_what_is_a_frame() -> None:
    assert is_frame(PANDAS)
    assert is_frame(POLARS)
    assert not any(map(is_frame, (PANDAS["age"], PANDAS.to_numpy(), None, [[1]])))
