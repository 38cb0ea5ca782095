"""What fuzzing shares: how many cases are tried, and values from outside."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import strategies as st

CASES = int(os.environ.get("REPARAM_FUZZ_CASES", "60"))
"""A few in ``make test``, ten thousand in ``make fuzz``."""

NASTY_TEXT = ["", "\ud800", "$_^{$", "x" * 5000, "a\nb", "../../etc", "\0", "low_rank:99", "iwae:1e20", "é", "🂡", "nan"]
NASTY_NUMBERS = [0, -1, 1, 2**31, 2**63, 10**20, 10**400, 0.5, -0.0, 1e308, 5e-324, True, False, None]


def texts() -> st.SearchStrategy[str]:
    return st.sampled_from(NASTY_TEXT) | st.text(max_size=20)


def json_values() -> st.SearchStrategy[Any]:
    """Any value that JSON knows, and some that hurt."""
    leaves = st.sampled_from(NASTY_NUMBERS) | texts() | st.floats(allow_nan=False, allow_infinity=False)
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
        max_leaves=8,
    )
