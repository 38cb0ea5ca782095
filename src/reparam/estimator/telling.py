"""How a fit in Python shows itself: a bar that is rewritten in place in a notebook, lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from reparam.markup import display_progress
from reparam.markup.html import clock
from reparam.training import Record

Tell = Callable[[Record], None]
PAUSE = 0.1
"""Seconds between two changes of a bar at least, as of tqdm: a notebook keeps every one."""


@contextmanager
def telling(verbose: int, epochs: int) -> Iterator[Tell]:
    """What is called with the record of every epoch.

    Args:
        verbose: a line for every so many epochs, or a bar that is so often rewritten; 0 shows nothing.
        epochs: how many are done at most.
    """
    if not verbose:
        yield lambda record: None
    elif in_notebook():
        with _bar(verbose, epochs) as tell:
            yield tell
    else:
        yield lambda record: print(told(record, epochs)) if record.epoch % verbose == 0 else None


def told(record: Record, epochs: int) -> str:
    """An epoch as ``verbose`` prints it."""
    held_out = "" if record.validation is None else f", held out {record.validation.bound:.4f}"
    return f"epoch {record.epoch}/{epochs}: bound {record.training.bound:.4f}{held_out} nats, {record.seconds:.2f} s"


def in_notebook() -> bool:
    """Whether a notebook's kernel runs this, which shows HTML; IPython is not imported for the question."""
    get_ipython: Any = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)
    return hasattr(get_ipython(), "kernel")


@contextmanager
def _bar(every: int, epochs: int) -> Iterator[Tell]:
    """A bar below the cell; a fit that is interrupted or fails leaves it where it stood, and says so."""
    from IPython.display import display

    started, first, shown_at, last = time.perf_counter(), 0, 0.0, None
    place = display(_shown("compiling …", 0.0), raw=True, display_id=True)

    def draw(record: Record, end: str = "") -> None:
        place.update(
            _shown(_line(record, epochs, first, time.perf_counter() - started) + end, record.epoch / epochs), raw=True
        )

    def tell(record: Record) -> None:
        nonlocal first, shown_at, last
        first, last, now = first or record.epoch, record, time.perf_counter()
        if record.epoch % every == 0 and now - shown_at >= PAUSE:
            draw(record)
            shown_at = now

    try:
        yield tell
    except BaseException as error:
        end = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        if last is None:
            place.update(_shown(end, 0.0), raw=True)
        else:
            draw(last, f" · {end}")
        raise
    if last is not None:
        draw(last)


def _line(record: Record, epochs: int, first: int, elapsed: float) -> str:
    """An epoch with the time that is gone and that is left; the first is compiled too, so it tells no pace."""
    held_out = "" if record.validation is None else f" · held out {record.validation.bound:.2f}"
    told = f"epoch {record.epoch}/{epochs} · bound {record.training.bound:.2f}{held_out} nats · {clock(elapsed)}"
    left = (epochs - record.epoch) * record.seconds
    return told + (f", at most {clock(left)} left" if left and record.epoch > first else "")


def _shown(text: str, done: float) -> dict[str, str]:
    """For what shows HTML, and for what shows text alone."""
    return {"text/html": display_progress(text, done), "text/plain": text}
