"""What fuzzing shares: how many cases are tried, what each may take, and values from outside."""

from __future__ import annotations

import faulthandler
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

CASES = int(os.environ.get("REPARAM_FUZZ_CASES", "60"))
"""A few in ``make test``, ten thousand in ``make fuzz``."""

MEMORY_BYTES = 2**30
SECONDS = 30
LONGEST_SECONDS = 120
STATM = Path("/proc/self/statm")


class TooSlowError(AssertionError):
    """A case took longer than it may."""


@contextmanager
def limits() -> Iterator[None]:
    """What one case may take: a gibibyte of memory more than there is, and half a minute.

    Code that hears no signal, for it never comes back from C, ends the process after two minutes, with its stack.
    """
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    if STATM.exists():
        taken = int(STATM.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY_BYTES, hard))
    before = signal.signal(signal.SIGALRM, _too_slow)
    signal.alarm(SECONDS)
    faulthandler.dump_traceback_later(LONGEST_SECONDS, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _too_slow(*_: Any) -> None:
    raise TooSlowError(f"a case took more than {SECONDS} seconds")


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
