"""How a process ends when it is told to from outside: Ctrl-C, SIGTERM of a scheduler, SIGHUP of a terminal that closes.

Only the standard library is imported here, so that a handler stands before anything slow is imported. It raises
nothing: an exception in the middle of somebody's callback may be swallowed, and the process go on.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
STDERR = 2
GRACE_SECONDS = 5.0  # schedulers kill some seconds after they ask


def end_at_once() -> None:
    """From now on a signal ends the process; what it has begun to write and not finished is removed."""
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, _end)


@contextmanager
def ending_in_order(stop_now: Callable[[], object]) -> Iterator[list[int]]:
    """Signals are noted in the list that is given, for the block to end when it can; some do not wait for that.

    A second signal, or SIGTERM and SIGHUP after some seconds, ends the process after ``stop_now`` was called from
    another thread, for at most as long again. So it ends even if the main thread hangs in compiled code.
    """
    noted: list[int] = []
    hears, rings = os.pipe()
    os.set_blocking(rings, False)
    watch = threading.Thread(target=_watch, args=(hears, noted, stop_now), daemon=True)
    before = {number: signal.getsignal(number) for number in SIGNALS}
    heard = [number for number in SIGNALS if before[number] is not signal.SIG_IGN]
    wakeup = signal.set_wakeup_fd(rings, warn_on_full_buffer=False)
    try:
        for number in heard:
            signal.signal(number, _nothing)
        watch.start()
        yield noted
    finally:
        signal.set_wakeup_fd(wakeup)
        for number in heard:
            signal.signal(number, before[number])
        os.close(rings)
        watch.join(GRACE_SECONDS)
        os.close(hears)


def said(text: str) -> None:
    """A line on standard error, from anywhere; print would fail in the middle of another print."""
    with contextlib.suppress(OSError):
        os.write(STDERR, f"{text}\n".encode())


def _watch(hears: int, noted: list[int], stop_now: Callable[[], object]) -> None:
    """Read the signals that arrive, until the pipe is closed."""
    while heard := os.read(hears, 1):
        number = heard[0]
        if number not in SIGNALS:
            continue
        if noted:
            _stop(number, stop_now)
        noted.append(number)
        if number == signal.SIGINT:
            said("stopping after this epoch; Ctrl-C again stops at once")
        else:
            said("stopping: what is trained is kept")
            patience = threading.Timer(GRACE_SECONDS, _stop, (number, stop_now))
            patience.daemon = True
            patience.start()


def _stop(number: int, stop_now: Callable[[], object]) -> None:
    keeping = threading.Thread(target=stop_now, daemon=True)
    keeping.start()
    keeping.join(GRACE_SECONDS)
    _leave(number)


def _end(number: int, _: Any) -> None:
    said("reparam: interrupted; nothing was written.")
    _leave(number)


def _leave(number: int) -> None:
    storage = sys.modules.get("reparam.storage")
    if storage is not None:
        storage.remove_unfinished()
    os._exit(128 + number)


def _nothing(number: int, _: Any) -> None:
    """A handler that leaves it to the thread that is woken."""
