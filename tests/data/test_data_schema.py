from __future__ import annotations

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from reparam.data import Schema
from reparam.errors import RunError

PIXELS = Schema("pixels", (2, 2), "uint8", None, 0.0, 255.0, "x/255")
TABLE = Schema("t.csv", (3,), "float32", ("a", "b", "c"), (1.0, -2.0, 0.0), (0.5, 2.0, 1.0), "(x − mean)/std")
SCHEMAS = [PIXELS, TABLE, Schema("counts", (4,), "uint16")]


def test_size_is_the_product_of_the_event_shape() -> None:
    assert Schema("x", (4, 5, 3)).size == 60


def test_apply_subtracts_the_shift_and_divides_by_the_scale() -> None:
    np.testing.assert_array_equal(TABLE.apply(np.float32([[1, 0, 7], [2, -2, 0]])), [[0, 1, 7], [2, 0, 0]])
    np.testing.assert_array_equal(PIXELS.apply(np.uint8([[0, 51, 255, 0]])), np.float32([[0, 0.2, 1, 0]]))


def test_what_need_not_be_copied_is_not() -> None:
    rows = np.float32([[1, np.nan, 7], [2, -2, -0.0]])
    same = Schema("x", (3,))
    assert same.apply(rows) is rows
    assert same.apply(np.int16([[1, 2, 3]])).dtype == np.float32
    values = TABLE.stored(rows)
    assert not np.shares_memory(values, rows)
    if jax.default_backend() == "cpu":
        assert jax.device_put(values).unsafe_buffer_pointer() == values.ctypes.data


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: schema.name)
def test_apply_and_invert_give_float32_of_the_kind_that_came(schema: Schema) -> None:
    stored = np.ones((2, schema.size), schema.dtype)
    for rows, kind in ((stored, np.ndarray), (jnp.asarray(stored), jax.Array)):
        values = schema.apply(rows)
        assert isinstance(values, kind)
        assert values.dtype == np.float32
        assert isinstance(schema.invert(values), np.ndarray)
        assert schema.invert(values).dtype == np.float32


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: schema.name)
def test_apply_is_the_same_compiled_by_jax(schema: Schema) -> None:
    rows = np.arange(2 * schema.size).reshape(2, -1).astype(schema.dtype)
    np.testing.assert_allclose(jax.jit(schema.apply)(rows), schema.apply(rows), rtol=1e-6)


@given(hnp.arrays(np.float32, (3, 3), elements=st.floats(-1000, 1000, width=32)))
def test_invert_undoes_apply(rows: np.ndarray) -> None:
    np.testing.assert_allclose(TABLE.invert(TABLE.apply(rows)), rows, rtol=1e-5, atol=1e-5)


@given(hnp.arrays(np.uint8, (3, 4)))
def test_pixels_come_back_exactly(rows: np.ndarray) -> None:
    np.testing.assert_array_equal(np.rint(PIXELS.invert(PIXELS.apply(rows))), rows)


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: schema.name)
def test_a_schema_survives_json_text(schema: Schema) -> None:
    assert Schema.from_json(json.loads(json.dumps(schema.to_json()))) == schema
    assert hash(schema) == hash(Schema.from_json(schema.to_json()))


DAMAGES = [
    ("name", 3),
    ("event_shape", []),
    ("event_shape", [0]),
    ("event_shape", [2.5]),
    ("event_shape", [True]),
    ("event_shape", "3"),
    ("dtype", "float16"),
    ("dtype", ["uint8"]),
    ("columns", ["a", "b"]),
    ("columns", ["a", "a", "b"]),
    ("columns", ["a", "b", 3]),
    ("shift", [0.0]),
    ("shift", "0"),
    ("shift", float("nan")),
    ("scale", 0.0),
    ("scale", -1),
    ("scale", [1.0, 0.0, 1.0]),
    ("scale", float("inf")),
    ("scale", None),
    ("units", None),
    ("unit", 0.0),
    ("unit", [1.0]),
]


@pytest.mark.parametrize(("field", "value"), DAMAGES, ids=str)
def test_a_damaged_field_is_named(field: str, value: object) -> None:
    with pytest.raises(RunError, match=f"'{field}'"):
        Schema.from_json({**TABLE.to_json(), field: value})


@pytest.mark.parametrize("field", list(TABLE.to_json()))
def test_a_missing_field_is_named(field: str) -> None:
    document = TABLE.to_json()
    del document[field]
    with pytest.raises(RunError, match=f"'{field}' of the schema is missing"):
        Schema.from_json(document)


def test_an_unknown_field_and_a_document_of_another_kind_are_refused() -> None:
    with pytest.raises(RunError, match="'code' of the schema is unknown"):
        Schema.from_json({**TABLE.to_json(), "code": "import os"})
    with pytest.raises(RunError, match="JSON object"):
        Schema.from_json([1])  # type: ignore[arg-type]
