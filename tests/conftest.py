"""What every test shares."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import jax
import pytest

# JAX keeps millions of objects alive: at its default pace the collector walks them again and again, and frees nothing.
gc.set_threshold(200_000, 50, 100)

MAPPINGS = Path("/proc/self/maps")
MOST_MAPPINGS = 25_000


@pytest.fixture(scope="module", autouse=True)
def programs_are_let_go() -> Iterator[None]:
    """Every compiled program maps memory, of which Linux grants a process 65,530 pieces: beyond them LLVM crashes."""
    yield
    if MAPPINGS.exists() and MAPPINGS.read_bytes().count(b"\n") > MOST_MAPPINGS:
        jax.clear_caches()
        gc.collect()
