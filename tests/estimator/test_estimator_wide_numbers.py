"""Numbers that single precision cannot tell apart are told apart, and are no counts or bits."""

from __future__ import annotations

import numpy as np
import pytest

from reparam.data import from_array
from reparam.estimator import Configuration, fitting

NOISE = np.random.default_rng(0).normal(size=(200, 2))
WIDE = {
    "seconds one apart": 1.7e9 + np.arange(40.0)[:, None] * [1, 2],
    "whole seconds": (1_700_000_000 + np.arange(40))[:, None] * [1, 1],
    "whole numbers beyond int32": (2**40 + np.arange(40))[:, None] * [1, 1],
    "a ten-thousandth of twelve million": 12345678.9 + 1e-4 * NOISE,
}


@pytest.mark.parametrize("case", WIDE)
def test_wide_numbers_are_seen_as_numbers_of_unit_spread_and_come_back(case: str) -> None:
    data = from_array(WIDE[case])
    fitted = fitting.begin(Configuration(hidden=(4,)), data)
    assert str(fitted.likelihood).startswith("gaussian")
    rows, schema = fitted.stored(data.rows)
    seen = np.asarray(schema.apply(rows), np.float64)
    np.testing.assert_allclose(seen.std(axis=0), 1.0, rtol=1e-4)
    assert len(np.unique(seen[:, 0])) == len(data.rows)
    back = seen * np.asarray(fitted.schema.scale) + np.asarray(fitted.schema.shift)
    np.testing.assert_allclose(back - data.rows, 0.0, atol=1e-6 * float(data.rows.std()))
