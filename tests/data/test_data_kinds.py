from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from reparam.data import Column, Reading, coding, load, span
from reparam.data.cells import Cells, understood
from reparam.data.kinds import KIND_OF, LIKELIHOOD_OF, judge_column
from reparam.errors import DataError, ParameterError, UnknownNameError
from reparam.probability.likelihoods import LIKELIHOODS

RNG = np.random.default_rng(0)
N = 400
GAMMA = stats.gamma(1.5).rvs(N, random_state=0) + 0.01
COUNTS = stats.nbinom(2, 0.05).rvs(N, random_state=0)
WORDS = ["an answer of many words, and no two alike", "something else that nobody else would say"]


def judged(cells: list[Any], name: str = "x", asked: str | None = None) -> Column:
    text = pa.array([None if cell is None else str(cell) for cell in cells], pa.string())
    return judge_column(name, 0, understood(text), asked)


CASES = {  # cells, kind, levels
    "fractions": (RNG.normal(size=N).round(3), "real", None),
    "skewed and positive": (GAMMA.round(4), "positive", None),
    "wide counts": (COUNTS, "count", None),
    "whole numbers around a mean that is far larger": (RNG.normal(2000, 15, N).astype(int), "real", None),
    "whole numbers below zero": (RNG.integers(-40, 40, N), "real", None),
    "whole numbers beyond what is counted": (RNG.integers(0, 10**7, N), "real", None),
    "zeros and ones": (RNG.integers(0, 2, N), "binary", ("0", "1")),
    "two whole numbers": (RNG.choice([1, 9], N), "binary", ("1", "9")),
    "a few whole numbers": (RNG.integers(3, 9, N), "ordinal", tuple("345678")),
    "whole numbers of which one stands out": ([*range(30, 51)] * 20 + [40] * 200, "ordinal", None),
    "whole numbers with a point": ([f"{n % 4}.0" for n in range(N)], "ordinal", tuple("0123")),
    "yes and no": (RNG.choice(["yes", "no"], N), "binary", ("no", "yes")),
    "true and false": (RNG.choice(["True", "False"], N), "binary", ("False", "True")),
    "names": (RNG.choice(["b", "a", "c"], N), "categorical", ("a", "b", "c")),
    "more whole numbers than a digit holds": (RNG.integers(1, 13, N), "ordinal", tuple(map(str, range(1, 13)))),
    "names in a known order": (RNG.choice(["high", "low", "medium"], N), "ordinal", ("low", "medium", "high")),
    "intervals": (RNG.choice(["18-24", "<18", "25-64", "65+"], N), "ordinal", ("<18", "18-24", "25-64", "65+")),
    "numbers up to 3+": (RNG.choice(["0", "1", "2", "3+"], N), "ordinal", ("0", "1", "2", "3+")),
    "codes with leading zeros": (RNG.choice(["007", "012", "100"], N), "categorical", ("007", "012", "100")),
    "days": ([f"2024-02-{1 + n % 28:02d}" for n in range(N)], "date", None),
    "moments": ([f"2024-02-03 10:{n % 60:02d}:00" for n in range(N)], "date", None),
    "German days": ([f"{1 + n % 28:02d}.02.2024" for n in range(N)], "date", None),
    "one value": (["z"] * N, "constant", ("z",)),
    "one number": ([2.5] * N, "constant", None),
    "nothing": ([None, "?", ""] * 10, "constant", None),
    "row numbers": (range(1, N + 1), "identifier", None),
    "keys": ([f"{RNG.integers(1 << 60):x}" for _ in range(N)], "identifier", None),
    "sentences": ([f"{WORDS[n % 2]} {n}" for n in range(N)], "text", None),
}


@pytest.mark.parametrize("case", CASES)
def test_the_kind_of_a_column(case: str) -> None:
    cells, kind, levels = CASES[case]
    column = judged(list(cells))
    if kind == "ordinal" and levels is None:
        levels = tuple(map(str, sorted(set(cells))))
    assert (column.kind, column.levels) == (kind, levels)
    assert column.reason
    assert "\n" not in column.reason
    assert bool(coding(column)) is True
    assert Column.from_json(column.to_json()) == column


def test_every_likelihood_that_is_named_is_known() -> None:
    assert {*LIKELIHOOD_OF.values(), *KIND_OF} - {""} <= set(LIKELIHOODS)


def test_missing_cells_are_counted_and_the_range_is_that_of_the_others() -> None:
    column = judged([1.5, None, "NA", 7.25, " ? ", "3"])
    assert (column.missing, column.lower, column.upper, column.whole) == (3, 1.5, 7.25, False)
    assert span(column) == "1.5 … 7.25"
    whole = judged(list(COUNTS))
    assert (whole.lower, whole.upper, whole.whole) == (COUNTS.min(), COUNTS.max(), True)


def test_whole_numbers_that_are_all_different_are_names_only_where_their_name_or_order_says_so() -> None:
    numbers = list(range(500, 500 + N))
    assert judged(numbers, "customer_id").kind == "identifier"
    assert judged(numbers, "customerId").kind == "identifier"
    assert judged(numbers, "income").kind == "count"
    assert judged(numbers, "humid").kind == "count"  # ends in id, and is no key


def test_more_levels_than_can_be_learned_are_refused() -> None:
    cells = [f"L{n}" for n in range(10_001)] * 2
    assert len(judged(cells[1:10_001], asked="categorical").levels or ()) == 10_000
    with pytest.raises(
        ParameterError, match="'x' cannot be ordinal: its cells hold 10,001 different values, and at most"
    ):
        judged(cells, asked="ordinal")


@pytest.mark.parametrize(
    ("asked", "kind", "likelihood"),
    [
        ("categorical", "categorical", "categorical"),
        ("real", "real", "gaussian"),
        ("gaussian", "real", "gaussian"),
        ("student-t", "real", "student_t"),
        ("poisson", "count", "poisson"),
        ("identifier", "identifier", ""),
    ],
)
def test_the_user_may_say_what_a_column_is(asked: str, kind: str, likelihood: str) -> None:
    column = judged([3, 1, 2, 1] * 10, asked=asked)
    assert (column.kind, column.likelihood, column.reason) == (kind, likelihood, "chosen by the user")
    assert column.levels == (("1", "2", "3") if kind == "categorical" else None)
    with pytest.raises(UnknownNameError, match="unknown kind of the column 'x' 'gausian'. Did you mean 'gaussian'"):
        judged([1, 2], asked="gausian")


def test_types_that_no_likelihood_explains_are_left_out_with_their_name() -> None:
    column = judge_column("x", 0, Cells(pa.array([[1], [2]]), "list<item: int64>"))
    assert (column.kind, column.likelihood) == ("text", "")
    assert "list<item: int64>" in column.reason


def table(folder: Path, columns: dict[str, Any]) -> Path:
    lines = zip(*columns.values(), strict=True)
    (folder / "t.csv").write_text("\n".join([",".join(columns), *(",".join(map(str, line)) for line in lines)]) + "\n")
    return folder / "t.csv"


PLAIN = {
    "real numbers": ({"a": RNG.normal(size=N), "b": GAMMA}, "real numbers"),
    "counts": ({"a": COUNTS, "b": COUNTS[::-1] + 1}, "counts"),
    "zeros and ones": ({"a": RNG.integers(0, 2, N), "b": RNG.integers(0, 2, N)}, "0 or 1"),
    "pixels": ({f"p{n}": RNG.integers(0, 256 if n % 3 else 1 + n % 2, N) for n in range(65)}, "one thing measured"),
    "few rows": ({"a": [1, 2], "b": [0, 1]}, "fewer than 10 rows"),
}


@pytest.mark.parametrize("case", PLAIN)
def test_numbers_of_one_kind_stay_what_they_were(tmp_path: Path, case: str) -> None:
    columns, reason = PLAIN[case]
    data = load(table(tmp_path, columns))
    assert data.judgement is not None
    assert reason in data.judgement.plain
    assert data.schema.table is None
    np.testing.assert_array_equal(data.rows, np.array([list(values) for values in columns.values()]).T)


@pytest.mark.parametrize(
    "columns",
    [
        {"a": RNG.normal(size=N), "b": COUNTS},
        {"a": RNG.normal(size=N), "b": ["", *RNG.normal(size=N - 1)]},
        {"a": RNG.normal(size=N), "b": [1] * N},
        {"a": RNG.integers(0, 2, N), "b": RNG.integers(1, 6, N)},
        {"a": RNG.normal(size=N), "b": RNG.choice(["x", "y"], N)},
    ],
)
def test_several_kinds_or_holes_make_a_table(tmp_path: Path, columns: dict[str, Any]) -> None:
    schema = load(table(tmp_path, columns)).schema
    assert schema.table is not None
    assert schema.beside is not None
    assert schema.dtype == "float64"
    assert {column.name for column in (*schema.table, *schema.beside)} == {"a", "b"}


def test_asking_for_kinds_makes_a_table_and_dropped_columns_are_gone(tmp_path: Path) -> None:
    path = table(tmp_path, {"a": RNG.normal(size=N), "b": GAMMA, "c": COUNTS})
    data = load(path, reading=Reading(columns=(("b", "gaussian"),), drop=("c",)))
    assert data.schema.table is not None
    assert [(column.name, column.kind) for column in data.schema.table] == [("a", "real"), ("b", "real")]
    with pytest.raises(DataError, match="unknown column 'd'"):
        load(path, reading=Reading(drop=("d",)))


def test_what_columns_and_rows_say_together(tmp_path: Path) -> None:
    names = RNG.choice(["north", "south", "west"], N)
    x, other = RNG.normal(size=N), RNG.normal(size=N)
    columns = {
        "region": names,
        "code": [{"north": 3, "south": 1, "west": 2}[name] for name in names],
        "x": x,
        "again": x,
        "fahrenheit": 32 - 1.8 * x,
        "other": other,
        "colour": ["red", *RNG.choice(["blue", "green"], N - 1)],
        "class": ["yes" if name == "north" else "no" for name in names],
    }
    data = load(table(tmp_path, columns), labels="class")
    assert data.judgement is not None
    assert data.judgement.remarks == (
        "'code' says the same as 'region', one to one; --drop one of them",
        "'again' repeats 'x' in every row; --drop one of them",
        "'fahrenheit' says the same as 'x', up to units; --drop one of them",
        "'colour' holds 'red' once, on line 2",
        "'region' alone tells the label of every row; --drop it if it is one",
        "'code' alone tells the label of every row; --drop it if it is one",
    )


def test_many_levels_seen_once_are_one_line(tmp_path: Path) -> None:
    names = [f"n{n}" for n in range(6)] + ["often", "more"] * 20
    data = load(table(tmp_path, {"name": names, "x": RNG.normal(size=46)}))
    assert data.judgement is not None
    assert data.judgement.remarks == ("6 levels are seen once, such as 'n0' of 'name' on line 2",)


def test_rows_of_nothing_are_told_and_kept(tmp_path: Path) -> None:
    values = [f"{value:.3f}" for value in RNG.normal(size=30)]
    data = load(table(tmp_path, {"a": [*values, "", "?"], "b": [*values[::-1], "NA", ""]}))
    assert data.judgement is not None
    assert data.rows.shape == (32, 2)
    assert any(told.startswith("2 rows hold nothing") and "line 32" in told for told in data.judgement.remarks)


def test_a_column_of_a_hundred_thousand_names_is_left_out_with_its_number(tmp_path: Path) -> None:
    names = [f"L{n % 100_000}" for n in range(300_000)]
    data = load(table(tmp_path, {"zip": names, "x": RNG.integers(0, 99, 300_000) / 8}))
    assert data.schema.beside is not None
    assert data.schema.beside[0].reason == "100,000 different texts, and at most 1,000 are modelled as categories"


def test_a_thousand_columns_are_judged_each(tmp_path: Path) -> None:
    texts = np.tile(["a", "b", "c"], 7)[:20]
    columns = {f"c{n}": RNG.permutation(texts) if n % 2 else RNG.normal(size=20).round(3) for n in range(1000)}
    data = load(table(tmp_path, columns))
    assert data.schema.table is not None
    assert [column.kind for column in data.schema.table] == ["real", "categorical"] * 500
