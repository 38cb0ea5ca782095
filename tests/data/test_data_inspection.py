from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from reparam.data import Schema, from_array, inspect, load, split
from reparam.data.inspection import Tally
from reparam.errors import DataError, ParameterError

FACTS = [  # array, binary, counts, unit interval
    (np.array([[0, 1], [1, 1]], bool), True, True, True),
    (np.array([[0, 1], [1, 1]], np.uint8), True, True, True),
    (np.array([[0.0, 1.0], [1.0, 1.0]]), True, True, True),
    (np.array([[0, 255], [255, 0]], np.uint8), True, True, True),
    (np.array([[0, 255], [254, 0]], np.uint8), False, False, True),
    (np.array([[0.0, 0.5]]), False, False, True),
    (np.array([[0, 2]], np.uint16), False, True, False),
    (np.array([[0.0, 2.0]]), False, True, False),
    (np.array([[-1, 2]]), False, False, False),
    (np.array([[-0.5, 0.5]]), False, False, False),
]


def test_what_one_lot_of_rows_is_not_all_are_not() -> None:
    """Whole numbers, counts, zeros and ones, in two lots whichever comes first, as in one; gaps are none of them."""
    one, other = np.array([[0.0, 1.0, np.nan], [1.0, 1.0, 0.0]]), np.array([[3.0, 0.5, 1.0], [np.nan, -2.0, 0.0]])
    schema = Schema("x", (3,), "float64")
    whole = Tally.of(3).with_rows(np.concatenate([one, other]), schema)
    for first, second in ((one, other), (other, one)):
        tally = Tally.of(3).with_rows(first, schema).with_rows(second, schema)
        assert tally.whole.tolist() == whole.whole.tolist() == [True, False, True]
        assert (tally.counts, tally.binary) == (whole.counts, whole.binary) == (False, False)
        assert tally.count.tolist() == whole.count.tolist() == [3, 4, 3]
        np.testing.assert_allclose(tally.square, whole.square, rtol=1e-12)
        np.testing.assert_allclose(tally.mean, np.nanmean(np.concatenate([one, other]), axis=0), rtol=1e-12)


@pytest.mark.parametrize(("array", "binary", "counts", "unit"), FACTS, ids=range(len(FACTS)))
def test_what_the_values_are(array: np.ndarray, binary: bool, counts: bool, unit: bool) -> None:
    summary = inspect(from_array(array))
    assert (summary.binary, summary.counts, summary.unit_interval) == (binary, counts, unit)


def test_a_fraction_in_the_last_block_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reparam.data.statistics.BLOCK_VALUES", 4)
    array = np.zeros((21, 2))
    assert inspect(from_array(array)).binary
    array[-1, -1] = 0.5
    summary = inspect(from_array(array))
    assert not summary.binary
    assert not summary.counts


def test_the_columns_of_a_table() -> None:
    array = np.array([[1.0, 5.0, np.nan, np.nan], [3.0, 5.0, 2.0, np.nan]])
    summary = inspect(from_array(array, columns=["a", "b", "c", "d"], allow_missing=True, labels=[4, 4]))
    a, b, c, d = summary.columns
    assert (a.name, a.minimum, a.maximum, a.mean, a.std, a.missing, a.constant) == ("a", 1, 3, 2, 1, 0, False)
    assert (b.constant, c.constant, d.constant) == (True, True, True)
    assert (c.mean, c.std, c.missing) == (2, 0, 1)
    assert np.isnan([d.minimum, d.maximum, d.mean, d.std]).all()
    assert (summary.missing, summary.constant, summary.labels) == (3, ("b", "c", "d"), 1)
    assert (summary.minimum, summary.maximum) == (1, 5)


def test_columns_without_names_are_called_by_position() -> None:
    assert [column.name for column in inspect(from_array(np.eye(2))).columns] == ["column_0", "column_1"]


def test_digits() -> None:
    summary = inspect(load("digits"))
    assert (summary.rows, summary.event_shape, summary.image, summary.labels) == (1797, (8, 8), True, 10)
    assert (summary.minimum, summary.maximum, summary.model_maximum) == (0, 16, 1)
    assert len(summary.constant) == 3  # pixels that no writer touched


@given(st.integers(2, 300), st.floats(0.001, 0.999), st.integers(0, 2**32))
def test_a_split_is_sorted_disjoint_whole_and_repeatable(rows: int, fraction: float, seed: int) -> None:
    train, validation = split(rows, fraction, seed)
    assert sorted([*train, *validation]) == list(range(rows))
    assert (np.diff(train) > 0).all()
    assert (np.diff(validation) > 0).all()
    assert len(validation) == min(max(round(rows * fraction), 1), rows - 1)
    for first, second in zip((train, validation), split(rows, fraction, seed), strict=True):
        np.testing.assert_array_equal(first, second)


def test_another_seed_splits_otherwise() -> None:
    assert not np.array_equal(split(1000, 0.1, 0)[1], split(1000, 0.1, 1)[1])


@pytest.mark.parametrize("rows", [0, 1])
def test_too_few_rows_cannot_be_split(rows: int) -> None:
    with pytest.raises(DataError, match="at least 2"):
        split(rows, 0.1, 0)


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, float("nan")])
def test_a_fraction_outside_its_domain_is_refused(fraction: float) -> None:
    with pytest.raises(ParameterError, match=r"\(0, 1\)"):
        split(10, fraction, 0)


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(ParameterError, match="seed"):
        split(10, 0.1, -1)


@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 6), st.integers(1, 3))))
def test_extremes_agree_with_numpy(array: np.ndarray) -> None:
    summary = inspect(from_array(array))
    assert (summary.minimum, summary.maximum) == (array.min(), array.max())
    assert [column.mean for column in summary.columns] == pytest.approx(array.mean(axis=0).tolist())
    assert [column.std for column in summary.columns] == pytest.approx(array.std(axis=0).tolist())
