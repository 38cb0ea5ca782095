from __future__ import annotations

import json
from dataclasses import replace

import jax
import numpy as np
import pytest

from reparam.data import Column, Schema, check_cells
from reparam.errors import RunError
from reparam.model import Model

AGE = Column("age", "count", "negative_binomial", None, 17.0, 90.0, True, 0, "int64", 3, "whole numbers", 0)
SEX = Column("sex", "binary", "bernoulli", ("Female", "Male"), stored_as="string", place=2)
KEY = Column("id", "identifier", "", stored_as="int64", reason="every value differs", place=1)
PEOPLE = Schema("people.csv", (2,), "float64", ("age", "sex"), table=(AGE, SEX), beside=(KEY,))


@pytest.mark.parametrize("column", [AGE, SEX, KEY], ids=lambda column: column.name)
def test_a_column_survives_json_text(column: Column) -> None:
    assert Column.from_json(json.loads(json.dumps(column.to_json()))) == column


def test_a_table_survives_json_text_and_a_plain_schema_says_nothing_of_tables() -> None:
    assert Schema.from_json(json.loads(json.dumps(PEOPLE.to_json()))) == PEOPLE
    assert not {"table", "beside"} & set(Schema("x", (3,)).to_json())


def test_a_table_goes_through_compiled_programs_as_it_is() -> None:
    assert Model, "its module tells JAX what a schema is made of"
    leaves, structure = jax.tree.flatten(PEOPLE)
    assert jax.tree.unflatten(structure, leaves).table == PEOPLE.table
    rows = np.array([[40.0, np.nan]])
    np.testing.assert_array_equal(jax.jit(lambda schema, x: schema.apply(x))(PEOPLE, rows), rows)


@pytest.mark.parametrize(
    ("column", "field", "value"),
    [
        (AGE, "name", 3),
        (AGE, "kind", "number"),
        (AGE, "likelihood", ""),
        (KEY, "likelihood", "gaussian"),
        (SEX, "levels", None),
        (SEX, "levels", ["a", "b", "c"]),
        (SEX, "levels", ["a", "a"]),
        (SEX, "levels", [0, 1]),
        (AGE, "lower", float("nan")),
        (AGE, "upper", True),
        (AGE, "whole", 1),
        (AGE, "decimals", -1),
        (AGE, "decimals", 0.5),
        (AGE, "stored_as", None),
        (AGE, "missing", -1),
        (AGE, "place", 0.5),
    ],
    ids=str,
)
def test_a_damaged_column_is_refused_by_the_name_of_its_field(column: Column, field: str, value: object) -> None:
    with pytest.raises(RunError, match=f"'{field}'"):
        Column.from_json({**column.to_json(), field: value})


def test_a_field_that_is_missing_or_unknown_is_named() -> None:
    document = AGE.to_json()
    with pytest.raises(RunError, match="'code' of a column is unknown"):
        Column.from_json({**document, "code": "import os"})
    with pytest.raises(RunError, match="'whole' of a column is missing"):
        Column.from_json({name: value for name, value in document.items() if name != "whole"})


@pytest.mark.parametrize(
    ("damaged", "field"),
    [
        ({"table": "x"}, "table"),
        ({"table": [KEY.to_json(), SEX.to_json()]}, "table"),
        ({"table": [AGE.to_json()]}, "table"),
        ({"table": [AGE.to_json(), replace(SEX, name="gender").to_json()]}, "table"),
        ({"beside": [AGE.to_json()]}, "beside"),
    ],
)
def test_a_damaged_table_is_refused(damaged: dict[str, object], field: str) -> None:
    with pytest.raises(RunError, match=f"'{field}' of the schema"):
        Schema.from_json({**PEOPLE.to_json(), **damaged})


DATE = Column("when", "date", "gaussian", lower=0.0, upper=86400.0, whole=True, decimals=0, stored_as="date:%Y-%m-%d")
REAL = Column("x", "real", "gaussian", lower=-1.0, upper=1.0, decimals=3)
LEVELS = Column("n", "categorical", "categorical", ("1", "2", "3"), stored_as="int64")


@pytest.mark.parametrize(
    ("column", "changed"),
    [
        (REAL, {"stored_as": "object"}), (REAL, {"stored_as": "int8", "upper": 300.0}), (REAL, {"lower": -1e308}),
        (REAL, {"stored_as": "timestamp[xx]"}), (REAL, {"kind": "constant", "likelihood": "", "stored_as": "object"}),
        (DATE, {"stored_as": "date:%Q"}), (DATE, {"stored_as": "object"}), (DATE, {"upper": 1e308}),
        (LEVELS, {"levels": ("1", "2", "x")}),
    ],
)  # fmt: skip
def test_a_column_that_cannot_hold_its_range_is_refused(column, changed):
    """The cells of such a column were infinite, or a fault when they were written."""
    check_cells(replace(PEOPLE, table=(column,)))
    with pytest.raises(
        RunError, match=f"'stored_as' of the column '{column.name}' must be a type that holds its range"
    ):
        check_cells(replace(PEOPLE, table=(replace(column, **changed),)))


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"upper": -2.0}, "'upper' of the column 'x'"),
        ({"decimals": 400}, "decimals"),
        ({"likelihood": "categorical"}, "levels"),
    ],
)
def test_a_range_that_is_none_is_refused(changed, told):
    with pytest.raises(RunError, match=told):
        Column.from_json({**REAL.to_json(), **changed})
