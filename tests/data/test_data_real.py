"""Real data sets that lie beside the repository; skipped where they are absent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from reparam.data import inspect, load

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "data"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the folder ../shared/data with real data is absent")

READ = [  # source, shape, event shape, dtype, units, classes
    ("frey.npz", (1965, 560), (28, 20), "uint8", "x/255", None),
    ("mnist.npz:test_x", (10000, 784), (28, 28), "uint8", "x/255", 10),
    ("oilflow3class.npz:DataTrn", (1000, 12), (12,), "float64", "x", 3),
    ("mouse_bladder_cell_select_2100.npz:x", (2100, 20670), (20670,), "uint16", "x", 16),
]


@pytest.mark.parametrize(("source", "shape", "event_shape", "dtype", "units", "classes"), READ)
def test_real_data_are_read_as_they_are(
    *,
    source: str,
    shape: tuple[int, int],
    event_shape: tuple[int, ...],
    dtype: str,
    units: str,
    classes: int | None,
) -> None:
    data = load(FOLDER / source)
    assert data.rows.shape == shape
    assert (data.schema.event_shape, data.schema.dtype, data.schema.units) == (event_shape, dtype, units)
    assert data.schema.columns is None
    assert (None if data.labels is None else len(np.unique(data.labels))) == classes


def test_cell_counts_are_seen_as_counts() -> None:
    summary = inspect(load(FOLDER / "mouse_bladder_cell_select_2100.npz:x"))
    assert summary.counts
    assert not summary.binary
    assert summary.maximum == 303


def test_the_last_column_of_wine_may_be_its_label() -> None:
    data = load(FOLDER / "winequality-red.csv.gz", labels="column_11")
    assert data.rows.shape == (1599, 11)
    assert data.labels is not None
    assert sorted(set(data.labels.tolist())) == [3, 4, 5, 6, 7, 8]


def test_horse_colic_keeps_every_hole() -> None:
    data = load(FOLDER / "horse-colic.csv.gz")
    assert data.rows.shape == (300, 28)
    assert np.isnan(data.rows).sum() == 1605
    assert inspect(data).missing == 1605
    assert data.judgement is not None
    assert {column.kind for column in data.judgement.columns[24:27]} == {"categorical"}  # lesions: codes such as 02208


def test_adult_is_judged_as_people_would() -> None:
    data = load(FOLDER / "adult-train.csv.gz")
    assert data.rows.shape == (32561, 15)
    assert data.judgement is not None
    kinds = "count categorical real categorical ordinal categorical categorical categorical categorical binary"
    assert [column.kind for column in data.judgement.columns[:10]] == kinds.split()
    assert np.isnan(data.rows).sum() == 1836 + 1843 + 583
    told = "\n".join(data.judgement.remarks)
    assert "'column_4' says the same as 'column_3', one to one" in told  # years of education and its name
    assert "'column_13' holds 'Holand-Netherlands' once, on line 19610" in told


def test_wine_is_judged_a_table_of_real_columns_and_a_grade() -> None:
    data = load(FOLDER / "winequality-red.csv.gz")
    assert data.schema.table is not None
    assert {column.kind for column in data.schema.table[:11]} == {"real", "positive"}
    assert data.schema.table[11].levels == ("3", "4", "5", "6", "7", "8")
    assert load(FOLDER / "winequality-red.csv.gz", labels="column_11").schema.table is None
