"""How training shows itself: a live table on a terminal, some plain lines elsewhere; on standard error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from reparam.cli.options import tell
from reparam.markup.html import clock
from reparam.training import Record

Show = Callable[[Record], None]
Draw = Callable[[dict[str, str], float], None]


@contextmanager
def progress(epochs: int, rows: int, log_every: int | None = None, *, quiet: bool = False) -> Iterator[Show]:
    """A display of training: called with the record of every epoch.

    Args:
        epochs: how many are done at most.
        rows: training rows that an epoch visits, each as often as it does.
        log_every: a plain line for every so many epochs; by default ten lines, and a table on a terminal.
        quiet: show nothing.
    """
    if quiet:
        yield lambda record: None
        return
    console = Console(stderr=True)
    first, every = True, log_every or max(1, epochs // 10)
    live = console.is_terminal and log_every is None
    with _live(console) if live else _plain() as draw:

        def show(record: Record) -> None:
            nonlocal first
            if live or first or record.epoch % every == 0 or record.epoch == epochs:
                draw(figures(record, epochs, rows, first=first), record.epoch / epochs)
            first = False

        yield show


def figures(record: Record, epochs: int, rows: int, *, first: bool = False) -> dict[str, str]:
    """What a record says, by name, ready to be read; nats per datum.

    The first epoch of a process is compiled before it runs, so its time is told as such; the others' is not like it.
    """
    training, validation = record.training, record.validation
    return {
        "epoch": f"{record.epoch:{len(str(epochs))}d}/{epochs}",
        "bound": f"{training.bound:.2f}",
        **({} if validation is None else {"held out": f"{validation.bound:.2f}"}),
        "reconstruction": f"{training.reconstruction:.2f}",
        "KL": f"{training.kl:.2f}",
        **({} if training.active_units is None else {"active units": str(training.active_units)}),
        **({"without density": str(training.without_density)} if training.without_density else {}),
        **({"skipped": f"{training.skipped} steps"} if training.skipped else {}),
        **(_compiled(record) if first else _pace(record, epochs, rows)),
    }


def _compiled(record: Record) -> dict[str, str]:
    return {"compiled and done in": f"{record.seconds:.1f} s"}


def _pace(record: Record, epochs: int, rows: int) -> dict[str, str]:
    left = (epochs - record.epoch) * record.seconds
    return {"examples/s": f"{rows / record.seconds:,.0f}", "left": clock(left)}


@contextmanager
def _plain() -> Iterator[Draw]:
    yield lambda shown, _: tell("  ".join(f"{name} {text}" for name, text in shown.items()))


@contextmanager
def _live(console: Console) -> Iterator[Draw]:
    with Live(console=console, auto_refresh=False) as live:

        def draw(shown: dict[str, str], done: float) -> None:
            with suppress(OSError):  # the terminal is gone, training goes on
                live.update(Group(_row(shown), ProgressBar(1.0, done, width=60)), refresh=True)

        yield draw


def _row(shown: dict[str, str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 1, 0, 0))
    for name in shown:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_row(*shown.values())
    return table
