from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import feather, parquet

from reparam.data import load
from reparam.errors import DataError


def saved(folder: Path, text: str | bytes, name: str = "t.csv") -> Path:
    content = text.encode() if isinstance(text, str) else text
    (folder / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return folder / name


READ = [  # text, columns, rows, dtype
    ("a,b\n1,2.5\n3,4\n", ("a", "b"), [[1, 2.5], [3, 4]], "float64"),
    ("1,2.5\n3,4\n", None, [[1, 2.5], [3, 4]], "float64"),
    ("1,2\n3,4\n", None, [[1, 2], [3, 4]], "int32"),
    ("a,b\n1,2\n3,-4\n", ("a", "b"), [[1, 2], [3, -4]], "int32"),
    ("a,2\n1,2\n", ("a", "2"), [[1, 2]], "int32"),
    ("a,b\n1,true\n3,false\n", ("a", "b"), [[1, 1], [3, 0]], "float64"),
    ("a,b\n1,3000000000\n", ("a", "b"), [[1, 3e9]], "float64"),
    ("a\n1\n2\n", ("a",), [[1], [2]], "int32"),
    (" a , b\n 1 , 2\n", ("a", "b"), [[1, 2]], "int32"),
    ('"a, b","c ""d"""\n1,2\n', ("a, b", 'c "d"'), [[1, 2]], "int32"),
    ('"a\nb",c\n1,2\n', ("a\nb", "c"), [[1, 2]], "int32"),
    ("\ufeffa,b\r\n1,2\r\n", ("a", "b"), [[1, 2]], "int32"),
    ("\n\na,b\n\n1,2\n\n", ("a", "b"), [[1, 2]], "int32"),
    ("a;b\n1;2\n", ("a", "b"), [[1, 2]], "int32"),
    ("a\tb\n1\t2\n", ("a", "b"), [[1, 2]], "int32"),
    ("1e-3,1E3\n", None, [[1e-3, 1e3]], "float64"),
    ("x\n3000000000\n0.5\n", ("x",), [[3e9], [0.5]], "float64"),
    ("größe,β\n1,2\n", ("größe", "β"), [[1, 2]], "int32"),
]


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.tsv", "T.CSV"])
@pytest.mark.parametrize(("text", "columns", "rows", "dtype"), READ, ids=[repr(case[0])[:20] for case in READ])
def test_tables_of_text(
    *, tmp_path: Path, name: str, text: str, columns: tuple[str, ...] | None, rows: list[list[float]], dtype: str
) -> None:
    data = load(saved(tmp_path, text, name))
    assert data.schema.columns == columns
    assert (data.schema.dtype, data.schema.units, data.schema.scale) == (dtype, "x", 1.0)
    np.testing.assert_array_equal(data.rows, np.array(rows, dtype))


REFUSED = [
    ("a,b\n1,2\n3\n", "line 3 has 1 cells, but the first row has 2"),
    ("1,2\n3,4\n\n5,6,7\n", "line 4 has 3 cells, but the first row has 2"),
    ("a,a,b,b\n1,2,3,4\n", r"more than one column called 'a', 'b' \(columns 0, 1, counted from 0\)"),
    ("column_1,\n0,1\n", r"column 1 \(counted from 0\) has no name"),
    ("a,b\n1,2\n2,3\n\nx,3\n", "line 5, column 'a' holds 'x', but 2 other cells of that column hold numbers"),
    ("1,2\n3,4\n5,6O\n", "line 3, column 'column_1' holds '6O'.*--missing '6O'.*--column column_1=categorical"),
    ("a\n" + "".join(f"{n}.5\n" for n in range(40)) + "x\ny\n", r"line 42, .* holds 'x', .*\(2 such cells\)"),
    ("a\n" + "7.5\n" * 30 + "x\ny\nz\n" * 5, r"line 32, column 'a' holds 'x', .*15 such cells"),
    ("a,b\n1,inf\n", "infinite"),
    ("a,b\n1,1e39\n", "infinite, or beyond"),
    ("a,b\n1,1e999\n", "infinite, or beyond"),
    ("a,b\n1,x\n1,y\ninf,z\n", "line 4, column 'a' is infinite"),
    ("a,b\n", "no rows"),
    ("\n\n", "no rows"),
    (
        "a,b\n1,2\n3,\xff\n".encode("latin-1"),
        "line 3 holds the byte 0xff, which is not UTF-8.*in Windows-1252 it is 'ÿ'",
    ),
    ("a,b\n,\n,\n", "no column to model: 'a' is left out \\(every cell is empty\\)"),
    (b"\0\0\0\0", "t.csv"),
    ('"a,b\n1,2\n', "t.csv"),
]


@pytest.mark.parametrize(("text", "message"), REFUSED, ids=[repr(case[0])[:20] for case in REFUSED])
def test_tables_that_cannot_be_used_are_refused_in_one_line(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        load(saved(tmp_path, text))
    assert "t.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_cut_gzip_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, "a,b\n" + "1,2\n" * 1000, "t.csv.gz")
    whole = path.read_bytes()
    for length in range(1, len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match="truncated"):
            load(path)


def test_a_column_that_turns_to_fractions_late_is_read_exactly(tmp_path: Path) -> None:
    data = load(saved(tmp_path, "a\n" + "1\n" * 600_000 + "1.5\n"))
    assert data.rows.shape == (600_001, 1)
    assert data.rows[-1, 0] == 1.5


def test_labels_leave_the_rows(tmp_path: Path) -> None:
    path = saved(tmp_path, "a,kind,b\n1,cat,2\n3,dog,4\n")
    data = load(path, labels="kind")
    assert data.schema.columns == ("a", "b")
    assert data.labels is not None
    assert data.labels.tolist() == ["cat", "dog"]
    np.testing.assert_array_equal(data.rows, [[1, 2], [3, 4]])
    with pytest.raises(DataError, match=r"unknown column 'kid'. Did you mean 'kind'"):
        load(path, labels="kid")


def test_labels_of_a_table_without_a_header_are_named_by_position(tmp_path: Path) -> None:
    data = load(saved(tmp_path, "1,2,7\n3,4,8\n"), labels="column_2")
    assert data.schema.columns == ("column_0", "column_1")
    assert data.labels is not None
    assert data.labels.tolist() == [7, 8]


def test_missing_labels_and_a_table_of_labels_alone_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="1 labels are missing in column 'k'"):
        load(saved(tmp_path, "a,k\n1,\n3,5\n"), labels="k")
    with pytest.raises(DataError, match="no columns"):
        load(saved(tmp_path, "k\n1\n3\n"), labels="k")


def write_table(table: pa.Table, path: Path) -> Path:
    if path.suffix == ".parquet":
        parquet.write_table(table, path)
    elif path.suffix == ".feather":
        feather.write_feather(table, path)
    else:
        stream = pa.ipc.new_stream if path.stem == "stream" else pa.ipc.new_file
        with stream(str(path), table.schema) as writer:
            writer.write_table(table)
    return path


BINARY = ["t.parquet", "t.feather", "t.arrow", "stream.arrow"]
TYPES = [
    ({"a": pa.array([1, 2], pa.uint8()), "b": pa.array([200, 3], pa.uint8())}, "uint8"),
    ({"a": pa.array([1, 2], pa.uint16()), "b": pa.array([-1, 3], pa.int16())}, "int32"),
    ({"a": pa.array([1, 2], pa.int64()), "b": pa.array([1, 3], pa.uint64())}, "int32"),
    ({"a": pa.array([True, False])}, "uint8"),
    ({"a": pa.array([1.5, 2]), "b": pa.array([1, 3])}, "float64"),
    ({"a": pa.array([1.5, 2], pa.float32()), "b": pa.array([True, False])}, "float64"),
    ({"a": pa.array([1, 2], pa.decimal128(5, 2))}, "float64"),
    ({"a": pa.chunked_array([[1], [2]]), "b": pa.chunked_array([[0.5, 1.5]])}, "float64"),
]


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize(("columns", "dtype"), TYPES)
def test_arrow_and_parquet_tables(tmp_path: Path, name: str, columns: dict[str, Any], dtype: str) -> None:
    data = load(write_table(pa.table(columns), tmp_path / name))
    assert data.schema.columns == tuple(columns)
    assert (data.schema.dtype, data.schema.scale) == (dtype, 1.0)
    expected = np.array([[float(value) for value in column.to_pylist()] for column in columns.values()]).T
    np.testing.assert_array_equal(data.rows, expected.astype(dtype))


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"a": [[1], [2]]}, "no column to model: 'a' is left out .cells of type list"),
        ({"a": [1.0, float("inf")]}, "infinite"),
        ({"a": ["x", "y", "z"], "b": [1.0, float("inf"), 2.0]}, "row 1, column 'b' is infinite"),
        ({"a": pa.array([], pa.float32())}, "no rows"),
        ({}, "no (rows|columns)"),
    ],
)
def test_binary_tables_that_cannot_be_used(tmp_path: Path, name: str, columns: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load(write_table(pa.table(columns), tmp_path / name))


@pytest.mark.parametrize("name", BINARY)
def test_a_binary_table_cut_or_of_another_kind_is_refused(tmp_path: Path, name: str) -> None:
    path = write_table(pa.table({"a": np.arange(1000.0)}), tmp_path / name)
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], whole[:7], b"nonsense and more of it"):
        path.write_bytes(content)
        with pytest.raises(DataError, match="truncated, damaged or no"):
            load(path)


@pytest.mark.parametrize("name", ["t.parquet", "t.feather"])
def test_the_index_that_pandas_wrote_is_no_data(tmp_path: Path, name: str) -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0]}, index=[7, 9])
    write_table(pa.Table.from_pandas(frame), tmp_path / name)
    assert load(tmp_path / name).schema.columns == ("a",)


def test_missing_cells_are_kept(tmp_path: Path) -> None:
    data = load(saved(tmp_path, "a,b,c\n1,?,\n3,4,\n,6,\n"))
    np.testing.assert_array_equal(data.rows, [[1, np.nan], [3, 4], [np.nan, 6]])
    assert data.schema.columns == ("a", "b")
    assert data.schema.beside is not None
    assert [(column.name, column.reason) for column in data.schema.beside] == [("c", "every cell is empty")]
