"""The user's program kept in its bounds: where it prints, how long it runs, how much memory it takes."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

from reparam.errors import DataError

STDOUT, STDERR = 1, 2


class OverTimeError(BaseException):
    """Time is up; no ``except Exception`` of the user's code may hold it."""


@contextmanager
def prints_on_stderr() -> Iterator[None]:
    """Whatever the user's program prints goes to standard error: standard output carries the answer alone.

    So does what is printed past Python's streams, by compiled libraries and by child processes.
    """
    standard_output = sys.stdout
    sys.stdout = sys.stderr
    try:
        with _descriptors():
            yield
    finally:
        sys.stdout = standard_output


@contextmanager
def _descriptors() -> Iterator[None]:
    """The system's own standard output is its standard error, or nothing where that is closed."""
    try:
        elsewhere = os.dup(STDERR)
    except OSError:
        elsewhere = os.open(os.devnull, os.O_WRONLY)
    try:
        before = os.dup(STDOUT)
    except OSError:  # it is closed itself
        before = os.dup(elsewhere)
    os.dup2(elsewhere, STDOUT)
    try:
        yield
    finally:
        with suppress(OSError, AttributeError, TypeError):
            ctypes.CDLL(None).fflush(None)  # what C has not written yet
        os.dup2(before, STDOUT)
        os.close(before)
        os.close(elsewhere)


@contextmanager
def limits(seconds: float, gibibytes: float) -> Iterator[None]:
    """Stop whatever runs inside after ``seconds``, and let it take no more than ``gibibytes`` of data memory.

    Raises:
        DataError: the time ran out.
    """
    try:
        with _memory(gibibytes), _time(seconds), _to_the_end():
            yield
    except OverTimeError:
        raise DataError(
            f"the audit ran for {seconds:g} seconds and was stopped. Give it more (--timeout), or a smaller model."
        ) from None


@contextmanager
def _to_the_end() -> Iterator[None]:
    """``os._exit`` raises what ``sys.exit`` does: an audit that ended halfway with 0 would look like a pass."""
    process, at_once = os.getpid(), os._exit

    def leave(status: int) -> NoReturn:
        if os.getpid() != process:  # a child of the file's own
            at_once(status)
        sys.exit(status)

    os._exit = leave
    try:
        yield
    finally:
        os._exit = at_once


@contextmanager
def _time(seconds: float) -> Iterator[None]:
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise OverTimeError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def _memory(gibibytes: float) -> Iterator[None]:
    try:
        import resource
    except ImportError:  # no such limit on this system
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = int(gibibytes * 2**30)
    resource.setrlimit(resource.RLIMIT_DATA, (wanted if hard < 0 else min(wanted, hard), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
