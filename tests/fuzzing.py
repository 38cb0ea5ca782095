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
LONGEST_WAIT_SECONDS = 600
STATM = Path("/proc/self/statm")


class TooSlowError(AssertionError):
    """A case took longer than it may."""


@contextmanager
def limits(seconds: float = SECONDS) -> Iterator[None]:
    """What one case may take: a gibibyte of memory more than there is, and half a minute of work or ten of waiting.

    Work is seconds of processors, for a machine may have others to do first. Code that hears no signal, for it never
    comes back from C, ends the process after twenty minutes, with its stack.
    """
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    if STATM.exists():
        taken = int(STATM.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY_BYTES, hard))
    before = {number: signal.signal(number, _too_slow) for number in (signal.SIGPROF, signal.SIGALRM)}
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, LONGEST_WAIT_SECONDS)
    faulthandler.dump_traceback_later(2 * LONGEST_WAIT_SECONDS, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        for timer in (signal.ITIMER_PROF, signal.ITIMER_REAL):
            signal.setitimer(timer, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _too_slow(number: int, _: Any) -> None:
    took = f"worked for {SECONDS}" if number == signal.SIGPROF else f"waited for {LONGEST_WAIT_SECONDS}"
    raise TooSlowError(f"a case {took} seconds")


NASTY_TEXT = ["", "\ud800", "$_^{$", "x" * 5000, "a\nb", "../../etc", "\0", "low_rank:99", "iwae:1e20", "é", "🂡", "nan"]
NASTY_NUMBERS = [0, -1, 1, 2**31, 2**63, 10**20, 10**400, 0.5, -0.0, 1e308, 5e-324, True, False, None]


ANY_LETTER = st.characters(exclude_categories=[])
"""Half a surrogate too."""


def texts() -> st.SearchStrategy[str]:
    return st.sampled_from(NASTY_TEXT) | st.text(ANY_LETTER, max_size=20)


def json_values() -> st.SearchStrategy[Any]:
    """Any value that JSON knows, and some that hurt."""
    leaves = st.sampled_from(NASTY_NUMBERS) | texts() | st.floats(allow_nan=False, allow_infinity=False)
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(ANY_LETTER, max_size=5), inner, max_size=4),
        max_leaves=8,
    )
