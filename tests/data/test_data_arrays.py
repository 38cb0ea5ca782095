from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from reparam.data import from_array, moments
from reparam.errors import DataError, ParameterError

GREY = np.uint8([[[0, 255], [3, 4]], [[5, 6], [7, 8]]])

STORED = [  # array, stored dtype, event shape, scale, units
    (GREY, "uint8", (2, 2), 255.0, "x/255"),
    (GREY[..., None].repeat(3, axis=3), "uint8", (2, 2, 3), 255.0, "x/255"),
    (GREY.reshape(2, 4), "uint8", (4,), 255.0, "x/255"),
    (GREY % 2, "uint8", (2, 2), 1.0, "x"),
    (GREY > 4, "uint8", (2, 2), 1.0, "x"),
    (GREY.astype("i1"), "int8", (2, 2), 1.0, "x"),
    (GREY.astype(">u2"), "uint16", (2, 2), 1.0, "x"),
    (GREY.astype("<i2"), "int16", (2, 2), 1.0, "x"),
    (GREY.astype(">i4"), "int32", (2, 2), 1.0, "x"),
    (GREY.astype("u4"), "int32", (2, 2), 1.0, "x"),
    (GREY.astype("i8"), "int32", (2, 2), 1.0, "x"),
    (GREY.astype("u8"), "int32", (2, 2), 1.0, "x"),
    (GREY.astype("f2"), "float32", (2, 2), 1.0, "x"),
    (GREY.astype(">f4"), "float32", (2, 2), 1.0, "x"),
    (GREY.astype("f8"), "float64", (2, 2), 1.0, "x"),
    (GREY.astype(np.longdouble), "float64", (2, 2), 1.0, "x"),
]


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize(
    ("array", "dtype", "shape", "scale", "units"),
    STORED,
    ids=[f"{case[0].dtype.str}-{case[0].shape}" for case in STORED],
)
def test_the_type_and_shape_decide_how_an_array_is_kept(
    *, array: np.ndarray, dtype: str, shape: tuple[int, ...], scale: float, units: str, order: Any
) -> None:
    data = from_array(np.asarray(array, order=order))
    assert (data.schema.dtype, data.schema.event_shape) == (dtype, shape)
    assert (data.schema.shift, data.schema.scale, data.schema.units) == (0.0, scale, units)
    assert data.rows.dtype == dtype
    assert data.rows.dtype.isnative
    assert data.rows.flags.c_contiguous
    np.testing.assert_array_equal(data.rows, array.reshape(len(array), -1))


def test_an_array_that_is_as_it_must_be_is_not_copied() -> None:
    array = np.zeros((2, 3), np.float32)
    assert np.shares_memory(from_array(array).rows, array)


REFUSED = [
    (np.array([[{}]], object), "pickle"),
    (np.ones((2, 2), complex), "complex"),
    (np.array([["a", "b"]]), "text"),
    (np.array([[b"a"]]), "text"),
    (np.zeros((2, 2), "M8[D]"), "dates"),
    (np.zeros((2, 2), "m8[s]"), "time spans"),
    (np.zeros((2, 2), [("a", float)]), "records"),
    (np.float64(3), r"shape \(\)"),
    (np.zeros(5), r"shape \(5,\)"),
    (np.zeros((0, 3)), "no rows"),
    (np.zeros((3, 0)), "no columns"),
    (np.zeros((3, 2, 0)), "no columns"),
    (np.array([[2**53 + 1]]), r"row 0, column 0 holds 9007199254740993; whole numbers beyond 2\^53"),
    (np.array([[0, -(2**53) - 1]]), r"row 0, column 1 .*2\^53"),
    (np.array([[2**63]], np.uint64), r"2\^53"),
    (np.array([[0.0, 1e39]]), "row 0, column 1, is infinite, or beyond 3.4e38"),
    (np.array([[0.0], [-1e300]]), "row 1, column 0, is infinite"),
    (np.float32([[0, 1], [np.inf, 0]]), "1 of 4 values.* row 1, column 0, is infinite"),
    (np.float32([[0, 1], [0, np.nan], [np.nan, 0]]), r"2 of 6 values.* row 1, column 1, is missing \(NaN\)"),
]


@pytest.mark.parametrize(
    ("array", "message"), REFUSED, ids=[f"{a.dtype}-{a.shape}-{i}" for i, (a, _) in enumerate(REFUSED)]
)
def test_what_is_no_table_of_finite_numbers_is_refused_in_one_line(array: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        from_array(array, name="x.npy")
    assert str(caught.value).startswith("x.npy")
    assert "\n" not in str(caught.value)


def test_whole_numbers_too_wide_for_int32_are_kept_in_double_precision() -> None:
    wide = np.array([[2**31, -(2**31) - 1, 2**53]])
    data = from_array(wide)
    assert data.schema.dtype == "float64"
    np.testing.assert_array_equal(data.rows.astype(np.int64), wide)


def test_the_ends_of_int32_and_of_float32_are_kept() -> None:
    ends = np.array([[-(2**31), 2**31 - 1]])
    np.testing.assert_array_equal(from_array(ends).rows, ends)
    largest = float(np.finfo(np.float32).max)
    assert from_array(np.array([[largest]])).rows[0, 0] == np.float32(largest)


@pytest.mark.parametrize("row", [0, 6, 7, 8, 29])
def test_the_first_bad_value_is_found_across_blocks(row: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reparam.data.statistics.BLOCK_VALUES", 14)  # 7 rows a block
    array = np.zeros((30, 2))
    array[row, 1] = array[29, 1] = np.nan
    with pytest.raises(DataError, match=f"{1 + (row != 29)} of 60 .*row {row}, column 1 \\('b'\\)"):
        from_array(array, columns=["a", "b"])


def test_missing_values_are_kept_when_asked_for_but_infinity_is_not() -> None:
    array = np.array([[1.0, np.nan], [3.0, 5.0]])
    np.testing.assert_array_equal(from_array(array, allow_missing=True).rows, array)
    with pytest.raises(DataError, match="infinite"):
        from_array(array * np.inf, allow_missing=True)


def test_one_row_is_allowed() -> None:
    assert from_array(np.zeros((1, 4))).rows.shape == (1, 4)


def test_the_event_shape_may_be_told() -> None:
    data = from_array(GREY.reshape(2, 4), event_shape=(2, 2))
    assert data.schema.event_shape == (2, 2)
    assert data.rows.shape == (2, 4)


@pytest.mark.parametrize("shape", [(2, 3), (5,), (), (-2, -2), (0,)])
def test_an_event_shape_of_another_size_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ParameterError, match="the shape .* but a row of array holds 4"):
        from_array(GREY, event_shape=shape)


def test_names_and_labels_must_be_as_many_as_columns_and_rows() -> None:
    with pytest.raises(ParameterError, match="2 columns, but 1 column names"):
        from_array(np.zeros((3, 2)), columns=["a"])
    with pytest.raises(DataError, match="labels"):
        from_array(np.zeros((3, 2)), labels=[1, 2])


def test_rows_are_shifted_and_scaled_in_double_precision() -> None:
    """Unix seconds one apart lie 128 s apart in single precision, and 12345678.9 ± 1e-4 is one number there."""
    rng = np.random.default_rng(0)
    rows = np.stack([1.7e9 + np.arange(500), 12345678.9 + 1e-4 * rng.normal(size=500)], axis=1)
    mean, std = moments(rows)
    schema = from_array(rows).schema.standardized(tuple(mean.tolist()), tuple(std.tolist()))
    values = schema.stored(rows)
    assert values.dtype == np.float32
    np.testing.assert_allclose(values.mean(axis=0), 0, atol=1e-4)  # of doubles that lie 2e-5 deviations apart
    np.testing.assert_allclose(values.std(axis=0), 1, rtol=1e-6)
    np.testing.assert_allclose(schema.invert(values), rows, rtol=1e-15, atol=3e-5)
    np.testing.assert_array_equal(schema.on_device.apply(values), values)


def test_densities_are_told_in_units_whatever_the_model_sees() -> None:
    schema = from_array(np.array([[0, 255], [3, 4]], np.uint8)).schema
    assert schema.log_volume == 0  # x/255 is both what is seen and what is told
    seen = schema.standardized((1.0, 2.0), (510.0, 255.0))
    assert seen.log_volume == pytest.approx(np.log(2))
    assert seen.on_device.log_volume == pytest.approx(seen.log_volume)


@given(
    hnp.arrays(np.float64, st.tuples(st.integers(1, 20), st.integers(1, 4)), elements=st.floats(-1e6, 1e6)),
    st.integers(1, 12),
)
def test_moments_agree_with_numpy_whatever_the_blocks(rows: np.ndarray, size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("reparam.data.statistics.BLOCK_VALUES", size)
        mean, std = moments(rows)
    np.testing.assert_allclose(mean, rows.mean(axis=0), rtol=1e-9, atol=1e-6)
    np.testing.assert_allclose(std, rows.std(axis=0), rtol=1e-9, atol=1e-6)


def test_moments_leave_out_missing_values() -> None:
    mean, std = moments(np.array([[1.0, np.nan], [3.0, np.nan], [np.nan, np.nan]]))
    np.testing.assert_array_equal(mean, [2, 0])
    np.testing.assert_array_equal(std, [1, 0])
