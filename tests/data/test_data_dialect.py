from __future__ import annotations

import csv
import gzip
from pathlib import Path

import numpy as np
import pytest

from reparam.data import Reading, load
from reparam.data.dialect import recognise, records
from reparam.errors import DataError, ParameterError, RunError

NUMBERS = "".join(f"{n % 7}.25,{n % 5 + 1}.5\n" for n in range(30))
ROWS = np.array([[n % 7 + 0.25, n % 5 + 1.5] for n in range(30)])


def saved(folder: Path, text: str | bytes, name: str = "t.csv") -> Path:
    content = text.encode() if isinstance(text, str) else text
    (folder / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return folder / name


WRITTEN = {  # the same thirty rows, as people write them
    "plain": "a,b\n" + NUMBERS,
    "no header": NUMBERS,
    "windows": ("a,b\n" + NUMBERS).replace("\n", "\r\n"),
    "byte order mark": "\ufeffa,b\n" + NUMBERS,
    "semicolons": ("a;b\n" + NUMBERS.replace(",", ";")),
    "semicolons and decimal commas": "a;b\n" + NUMBERS.replace(",", ";").replace(".", ","),
    "decimal commas without a header": NUMBERS.replace(",", ";").replace(".", ","),
    "tabs and decimal commas": "a\tb\n" + NUMBERS.replace(",", "\t").replace(".", ","),
    "bars": "a|b\n" + NUMBERS.replace(",", "|"),
    "quotes": "a,b\n" + "".join('"{}","{}"\n'.format(*line.split(",")) for line in NUMBERS.splitlines()),
    "quoted decimal commas": "a,b\n"
    + "".join('"{}","{}"\n'.format(*line.replace(".", "#").split(",")) for line in NUMBERS.splitlines()).replace(
        "#", ","
    ),
    "spaces": "a , b\n" + NUMBERS.replace(",", " , "),
    "blank lines": "\n\na,b\n\n" + NUMBERS.replace("\n", "\n\n"),
    "utf-16": ("a,b\n" + NUMBERS).encode("utf-16"),
    "names with umlauts": "größe,β\n" + NUMBERS,
}


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz"])
@pytest.mark.parametrize("written", WRITTEN)
def test_the_same_rows_are_read_however_they_are_written(tmp_path: Path, name: str, written: str) -> None:
    data = load(saved(tmp_path, WRITTEN[written], name))
    np.testing.assert_array_equal(data.rows, ROWS)


HEADERS = {  # text, named columns or None
    "names over numbers": ("x,y\n1,2\n3,4\n", ("x", "y")),
    "a number among the names": ("x,2\n1,2\n3,4\n", ("x", "2")),
    "numbers and text, and no names": ("39, State-gov\n50, Private\n38, Private\n", None),
    "text over text that comes again": ("red,yes\nblue,no\nred,no\nblue,yes\n", None),
    "text over text that does not": ("colour,answer\nblue,no\nred,no\nblue,yes\n", ("colour", "answer")),
    "text twice in the first row": ("yes,yes\nno,yes\nyes,no\n", None),
    "dates below": ("day\n2020-01-01\n2021-01-01\n", ("day",)),
    "dates alone": ("2020-01-01\n2021-01-01\n2022-01-01\n", None),
    "labels behind numbers": ("5.1,3.5,setosa\n4.9,3.0,setosa\n6.2,2.2,virginica\n", None),
    "missing cells in the first row": ("?,2.5\n1,3\n2,4\n", None),
}


@pytest.mark.parametrize("case", HEADERS)
def test_a_header_is_told_from_data(tmp_path: Path, case: str) -> None:
    text, names = HEADERS[case]
    data = load(saved(tmp_path, text))
    assert data.judgement is not None
    found = tuple(column.name for column in data.judgement.columns)
    assert found == (names or tuple(f"column_{place}" for place in range(len(found))))
    assert len(data.rows) == len(text.splitlines()) - (names is not None)


def test_a_separator_in_a_quoted_name_separates_nothing(tmp_path: Path) -> None:
    """Found by Hypothesis."""
    data = load(saved(tmp_path, '";\n0",b\n1,2\n2,4\n3,4\n'))
    assert data.schema.columns == (";\n0", "b")
    assert data.rows.tolist() == [[1, 2], [2, 4], [3, 4]]


def test_what_cannot_be_seen_may_be_said(tmp_path: Path) -> None:
    path = saved(tmp_path, "name_1,x\n" + "".join(f"'a,{n % 2}',{n % 3 - 9}\n" for n in range(30)))
    data = load(path, reading=Reading(quote="'", missing=("-9",)))
    assert data.schema.table is not None
    assert data.schema.table[0].levels == ("a,0", "a,1")
    assert data.schema.table[1].missing == 10
    assert load(saved(tmp_path, "a b\n1 2\n3 4\n"), reading=Reading(delimiter=" ")).rows.tolist() == [[1, 2], [3, 4]]
    unnamed = load(saved(tmp_path, "x,y\np,q\np,q\nx,q\n"), reading=Reading(header=False))
    assert len(unnamed.rows) == 4


def test_labels_of_a_table_without_a_header_lose_no_row(tmp_path: Path) -> None:
    data = load(saved(tmp_path, "5.1,3.5,setosa\n4.9,3.0,setosa\n6.2,2.2,virginica\n"), labels="column_2")
    assert data.labels is not None
    assert data.labels.tolist() == ["setosa", "setosa", "virginica"]
    assert len(data.rows) == 3


def test_quoted_cells_may_hold_separators_quotes_and_line_ends(tmp_path: Path) -> None:
    cells = "".join(f'"a, ""{n % 2}""\nb",{n % 7}.5\n' for n in range(30))
    data = load(saved(tmp_path, "t,x\n" + cells))
    assert data.schema.table is not None
    assert data.schema.table[0].levels == ('a, "0"\nb', 'a, "1"\nb')


def test_a_cell_may_be_longer_than_pythons_reader_takes_by_default(tmp_path: Path) -> None:
    limit = 131_072
    data = load(saved(tmp_path, "t,x\n" + f'{"long" * limit},1.5\n"short\ner",2.5\n' * 5))
    assert data.schema.table is not None
    assert data.schema.table[0].levels == ("long" * limit, "short\ner")


def test_pythons_limit_on_cells_is_what_it_was_whoever_stops_at_a_row(tmp_path: Path) -> None:
    limit, path = csv.field_size_limit(), saved(tmp_path, "t,x\n" + "a,1\n" * 9)
    dialect = recognise(path, Reading())
    first, second = records(path, dialect), records(path, dialect)
    next(first), next(second)
    assert csv.field_size_limit() == limit
    first.close()
    second.close()
    assert csv.field_size_limit() == limit


BAD = {  # text, what the error says
    "one bad cell": ("a,b\n" + "1.5,x\n" * 30 + "l.5,x\n", "line 32, column 'a' holds 'l.5', but 30 other cells"),
    "a quote that is never closed": (
        't,a\nx,1\ny,2\n"z,3\nw,4\n',
        'a quote " that opens in the row of line 4 is not closed',
    ),
    "a quote that is open to the end of a long file": (
        't,a\nx,1\n"y,2\n' + "z,3\n" * 40_000,
        "in the row of line 3 is not",
    ),
    "a quote that the next one closes": (
        't,a\n"x",1\n"y,2\n"z",3\n"w",4\n',
        'a quote " that opens in the row of line 3 is not closed where its cell ends',
    ),
    "a bad cell behind quoted line ends": ('t,a\n"x\ny",1\n"x\nz",2\nw,3O\n', "line 6, column 'a' holds '3O'"),
    "the type changes midway": (
        "a\n" + "".join(f"{n}\n" for n in range(50)) + "".join(f"x{n}\n" for n in range(50)),
        r"line 52, column 'a' holds 'x0'.*\(50 such cells\)",
    ),
    "ragged rows": ("a,b\n" + "1,x\n" * 30 + "1,x,2\n", "line 32 has 3 cells, but the first row has 2"),
    "mixed encodings": ("a,b\nü,1\n".encode() + "ü,2\n".encode("latin-1"), "line 3 holds the byte 0xfc"),
    "one name twice": ("a,a\n1,2\n", "more than one column called 'a'"),
    "nothing in any cell": ("a,b\n,\n?,NA\n", "no column to model: 'a' is left out .every cell is empty"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_that_says_where(tmp_path: Path, case: str) -> None:
    text, told = BAD[case]
    with pytest.raises(DataError, match=told) as caught:
        load(saved(tmp_path, text))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("first", [2**60, 2**64 - 30, 2**70])
def test_whole_numbers_beyond_2_to_the_53_are_names_and_no_numbers(tmp_path: Path, first: int) -> None:
    path = saved(tmp_path, "key,x\n" + "".join(f"{first + n},{n % 7}.5\n" for n in range(30)))
    data = load(path)
    assert data.judgement is not None
    assert data.judgement.columns[0].kind == "identifier"
    assert "beyond 2^53" in data.judgement.columns[0].reason
    with pytest.raises(DataError, match=rf"line 2, column 'key' holds '{first}', which is not a number that"):
        load(path, reading=Reading(columns=(("key", "real"),)))


def test_a_column_without_a_name_is_told(tmp_path: Path) -> None:
    data = load(saved(tmp_path, ",x\n" + "".join(f"{n},{n % 7}.5\n" for n in range(30))))
    assert data.judgement is not None
    assert [(column.name, column.kind) for column in data.judgement.columns] == [
        ("column_0", "identifier"),
        ("x", "real"),
    ]
    assert "column 0 (counted from 0) has no name" in data.judgement.remarks[0]


def test_how_data_are_read_survives_json_and_refuses_what_cannot_be_meant() -> None:
    reading = Reading("y", "id", False, ("-9",), ";", "'", (("age", "real"),), ("zip",))
    assert Reading.from_json(reading.to_json()) == reading
    assert Reading.from_json({"data": "x.csv", "labels": None, "rows": 7}) == Reading()
    with pytest.raises(RunError, match="how the data were read"):
        Reading.from_json({"columns": [["a"]]})
    with pytest.raises(ParameterError, match="'delimiter' parameter of Reading must be one character of ASCII"):
        Reading(delimiter=", ")
    with pytest.raises(ParameterError, match="'age' is named twice"):
        Reading(columns=(("age", "real"),), drop=("age",))
