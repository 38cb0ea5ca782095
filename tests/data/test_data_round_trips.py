from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from reparam.data import Column, Reading, conform, load, write_rows
from reparam.data.coding import decode, encode
from reparam.data.completion import write_completed
from reparam.errors import DataError, ParameterError

N = 40
RNG = np.random.default_rng(0)
LINES = [
    f"{n},{n % 7}.{n % 9 + 1},{'xyz'[n % 3]},{'yes' if n % 2 else 'no'},2024-02-{1 + n % 28:02d},{n % 5 + 1},"
    f"{n * n % 83},only"
    for n in range(N)
]
HEADER = "id,real,letter,answer,day,grade,count,same"
TEXT = "\n".join([HEADER, *LINES]) + "\n"


def saved(folder: Path, text: str, name: str = "t.csv") -> Path:
    (folder / name).write_text(text)
    return folder / name


def test_a_csv_comes_back_cell_by_cell(tmp_path: Path) -> None:
    data = load(saved(tmp_path, TEXT))
    out = write_rows(tmp_path / "out.csv", data.rows, data.schema)
    assert out.read_text() == "\n".join(line.partition(",")[2] for line in [HEADER, *LINES]) + "\n"


def test_new_rows_hold_nothing_that_no_column_may_hold(tmp_path: Path) -> None:
    data = load(saved(tmp_path, TEXT))
    wild = RNG.normal(0, 1e3, (500, data.schema.size)) + np.where(np.arange(data.schema.size) == 3, 1.7e9, 0)
    written = write_rows(tmp_path / "out.csv", wild, data.schema)
    lines = [line.split(",") for line in written.read_text().splitlines()[1:]]
    real, letter, answer, day, grade, count, same = zip(*lines, strict=True)
    assert all(len(text.partition(".")[2]) <= 1 for text in real)  # no cell of the data has more decimals
    assert 0 <= min(map(float, real)) <= max(map(float, real)) <= 6.9
    assert set(letter) <= {"x", "y", "z"}
    assert set(answer) == {"yes", "no"}
    assert {datetime.date.fromisoformat(text).month for text in day} == {2}
    assert set(grade) <= set("12345")
    assert all(text.isdigit() and int(text) <= 82 for text in count)
    assert set(same) == {"only"}


CELLS = {  # cells, what they are stored as after a table of that type
    "int64": pa.array([3, None, 2**40 + 1, 7] * 10, pa.int64()),
    "uint8": pa.array([3, None, 250, 7] * 10, pa.uint8()),
    "float32": pa.array([0.1, None, 2.5, -7.0] * 10, pa.float32()),
    "decimal": pa.array([1, None, 2, 3] * 10, pa.decimal128(9, 2)),
    "string": pa.array(["a", None, "b", "c"] * 10),
    "large_string": pa.array(["a", None, "b", "c"] * 10, pa.large_string()),
    "dictionary": pa.array(["a", None, "b", "c"] * 10).dictionary_encode(),
    "bool": pa.array([True, None, False, True] * 10),
    "date32": pa.array([1, None, 20000, -30] * 10, pa.date32()),
    "timestamp in ms": pa.array([1, None, 1_700_000_000_001, -30] * 10, pa.timestamp("ms")),
    "timestamp in a zone": pa.array([1, None, 1_700_000_000_000_001, 5] * 10, pa.timestamp("us", "Europe/Berlin")),
}


@pytest.mark.parametrize("name", CELLS)
def test_cells_of_every_type_of_arrow_come_back(tmp_path: Path, name: str) -> None:
    table = pa.table({"cells": CELLS[name], "other": RNG.normal(size=N)})
    parquet.write_table(table, tmp_path / "t.parquet")
    data = load(tmp_path / "t.parquet")
    assert data.schema.table is not None
    assert data.schema.table[0].missing == 10
    write_rows(tmp_path / "out.parquet", data.rows, data.schema)
    back = parquet.read_table(tmp_path / "out.parquet")
    assert back["cells"].to_pylist() == CELLS[name].to_pylist()
    if name not in ("decimal", "dictionary"):
        assert back["cells"].type == CELLS[name].type
    np.testing.assert_array_equal(conform(tmp_path / "out.parquet", data.schema).rows, data.rows)


@settings(deadline=None)
@given(st.lists(st.none() | st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_numbers_are_kept_to_the_last_bit(values: list[float | None]) -> None:
    column = Column("x", "real", "gaussian", lower=-np.inf, upper=np.inf)
    rows, bad = encode(pa.array(values, pa.float64()), column)
    assert not len(bad)
    assert decode(rows, column).to_pylist() == values


def test_seconds_one_apart_stay_apart(tmp_path: Path) -> None:
    moments = [f"2023-11-14 22:13:{n:02d}" for n in range(N)]
    data = load(saved(tmp_path, "when,x\n" + "".join(f"{text},{n % 3}.5\n" for n, text in enumerate(moments))))
    np.testing.assert_array_equal(np.diff(data.rows[:, 0]), np.ones(N - 1))
    shown = data.schema.standardized((1.7e9 + 20, 0.0), (10.0, 1.0)).stored(data.rows)
    np.testing.assert_allclose(np.diff(shown[:, 0]), 0.1, rtol=1e-5)


HOLED = (
    "id;when;size;weight;note\n"
    '01;2024-02-03;large; 7,50;"a; ""b"""\n'
    "02;?;small;-0,10;NA\n"
    '03;2024-02-05;;8,00;"a; ""b"""\n'
    "04;2024-02-09;small;n/a;c\n"
) + "".join(f"{n:02d};2024-02-{n:02d};large;{n},25;c\n" for n in range(5, 25))


def test_filling_a_file_touches_its_missing_cells_alone(tmp_path: Path) -> None:
    path, reading = saved(tmp_path, HOLED), Reading(missing=("n/a",))
    data = load(path, reading=reading)
    assert np.isnan(data.rows).sum() == 4
    whole = np.where(np.isnan(data.rows), [[1707350400.0, 0.0, 3.125, 1.0]], data.rows)
    out = tmp_path / "out.csv"
    assert write_completed(out, str(path), whole, data.schema, reading=reading)
    expected = HOLED.replace(";?;", ";2024-02-08;").replace(";;", ";small;").replace("n/a", "3,12")
    assert out.read_text() == expected.replace(";NA", ";c")


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_filling_keeps_every_column_in_its_place_and_type(tmp_path: Path, name: str) -> None:
    table = pa.table({"key": [f"k{n}" for n in range(N)], "n": [None, 3, 1, 2] * 10, "x": RNG.normal(size=N)})
    if name == "t.csv":
        rows = zip(*(column.to_pylist() for column in table.columns), strict=True)
        lines = [",".join("" if cell is None else str(cell) for cell in row) for row in rows]
        saved(tmp_path, "\n".join(["key,n,x", *lines]) + "\n")
    else:
        parquet.write_table(table, tmp_path / name)
    data = load(tmp_path / name)
    out, whole = tmp_path / f"out{name[1:]}", np.nan_to_num(data.rows, nan=2)
    assert write_completed(out, str(tmp_path / name), whole, data.schema, reading=Reading())
    again = load(out, reading=Reading(columns=(("n", "ordinal"),)))
    assert again.judgement is not None
    assert [column.name for column in again.judgement.columns] == ["key", "n", "x"]
    assert again.rows[::4, 0].tolist() == [2.0] * 10  # the code of 3, which is what the rows said
    assert again.rows[1:4, 0].tolist() == [2.0, 0.0, 1.0]
    if name == "t.parquet":
        assert parquet.read_table(out).schema.equals(table.schema)


USED: dict[str, tuple[str, Any]] = {
    "the same": (TEXT, None),
    "other order and more columns": (
        "more,letter,answer,day,grade,count,real\n"
        + "".join("?,{2},{3},{4},{5},{6},{1}\n".format(*line.split(",")) for line in LINES),
        None,
    ),
    "no header, every column": ("\n".join(LINES) + "\n", None),
    "no header, modelled columns": ("\n".join(",".join(line.split(",")[1:-1]) for line in LINES) + "\n", None),
    "a new level": (TEXT.replace("0,0.1,x", "0,0.1,q"), r"line 2, column 'letter' holds 'q', which is none of the 3"),
    "a number that is none": (
        TEXT.replace("0,0.1,x", "0,zero,x"),
        r"line 2, column 'real' holds 'zero', which is not a",
    ),
    "another way to write dates": (
        TEXT.replace("2024-02-01", "1.2.2024"),
        r"column 'day' holds '1.2.2024', which is not",
    ),
    "a column too few": ("real,letter\n1,x\n", "lacks 4 of the 6 columns that are required: 'answer'"),
    "columns without names, too few": ("1,x\n2,y\n", "has 2 columns without names, but the model was made for 6"),
}


@pytest.mark.parametrize("case", USED)
def test_new_rows_for_a_schema(tmp_path: Path, case: str) -> None:
    trained = load(saved(tmp_path, TEXT))
    text, told = USED[case]
    path = saved(tmp_path, text, "new.csv")
    if told is not None:
        with pytest.raises(DataError, match=told) as caught:
            conform(path, trained.schema)
        assert "\n" not in str(caught.value)
    else:
        np.testing.assert_array_equal(conform(path, trained.schema).rows, trained.rows)


def test_a_new_level_may_be_missing_when_that_is_said(tmp_path: Path) -> None:
    trained = load(saved(tmp_path, TEXT))
    strange = saved(tmp_path, TEXT.replace("0,0.1,x", "0,0.1,q"), "new.csv")
    rows = conform(strange, trained.schema, unknown="missing").rows
    assert np.argwhere(np.isnan(rows)).tolist() == [[0, 1]]
    with pytest.raises(ParameterError, match="unknown value of 'unknown' 'ignore'"):
        conform(strange, trained.schema, unknown="ignore")


def test_numbers_of_no_table_do_not_conform_to_one(tmp_path: Path) -> None:
    trained = load(saved(tmp_path, TEXT))
    np.save(tmp_path / "x.npy", trained.rows)
    with pytest.raises(DataError, match=r"x.npy is no table with the columns of t.csv.*'real', 'letter'"):
        conform(tmp_path / "x.npy", trained.schema)


def test_the_column_that_names_rows_is_kept_beside_them(tmp_path: Path) -> None:
    data = load(saved(tmp_path, TEXT), reading=Reading(index="id"))
    assert data.index is not None
    out = write_rows(tmp_path / "out.csv", data.rows, data.schema, index=data.index, index_name="id")
    assert out.read_text() == TEXT
    assert data.take(np.array([3, 1])).index.tolist() == ["3", "1"]  # type: ignore[union-attr]
