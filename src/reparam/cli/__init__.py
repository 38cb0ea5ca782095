"""The command line: one command, one file.

Nothing heavy is imported until a command runs, so that ``--help`` answers at once: a command's module imports
only the standard library, typer and :mod:`reparam.errors` at its top.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from typing import Any, NoReturn

import typer

from reparam.cli.compare import compare
from reparam.cli.decode import decode
from reparam.cli.encode import encode
from reparam.cli.evaluate import evaluate
from reparam.cli.explore import explore
from reparam.cli.gap import gap
from reparam.cli.gradients import gradients
from reparam.cli.impute import impute
from reparam.cli.inspect import inspect
from reparam.cli.plot import plot
from reparam.cli.reconstruct import reconstruct
from reparam.cli.report import report
from reparam.cli.sample import sample
from reparam.cli.score import score
from reparam.cli.train import train
from reparam.cli.verify import verify
from reparam.errors import ReparamError, ReparamWarning

COMMANDS = (
    train,
    evaluate,
    encode,
    decode,
    sample,
    reconstruct,
    score,
    impute,
    gap,
    gradients,
    plot,
    explore,
    report,
    compare,
    inspect,
    verify,
)
DONE, UNUSABLE, INTERRUPTED = 0, 2, 130

app = typer.Typer(
    name="reparam",
    help="Train, use and audit variational autoencoders.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for command in COMMANDS:
    app.command()(command)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line: exit 0 done, 1 the answer is no, 2 unusable input with one line that says why.

    130 is an interrupt that left nothing behind. A fault of reparam itself is one line and 2 as well; in Python's
    development mode it is raised.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("always", ReparamWarning)
        warnings.showwarning = _show_warning
        sys.exit(_run(list(sys.argv[1:] if arguments is None else arguments)))


def _run(arguments: list[str]) -> int:
    """The exit code of a command line."""
    try:
        code = typer.main.get_command(app).main(arguments or ["--help"], prog_name="reparam", standalone_mode=False)
    except typer.Abort:
        code = INTERRUPTED
    except Exception as error:
        if not _is_told(error) and sys.flags.dev_mode:
            raise
        _complain(_text(error))
        return UNUSABLE
    if code == INTERRUPTED:
        _complain("interrupted; nothing was written.")
    return code if isinstance(code, int) else DONE


def _is_told(error: Exception) -> bool:
    """Whether the error is about input: its own text suffices."""
    return isinstance(error, ReparamError | OSError | MemoryError) or _is_usage(error)


def _is_usage(error: Exception) -> bool:
    """Whether the arguments could not be parsed; typer does not export the class of these errors."""
    return hasattr(error, "format_message")


def _text(error: Any) -> str:
    if _is_usage(error):
        place = getattr(error, "ctx", None)
        return f"{error.format_message()} Try '{place.command_path if place else 'reparam'} --help'."
    if isinstance(error, MemoryError):
        return "memory does not suffice. Use fewer rows, or a smaller batch size or model."
    if isinstance(error, ReparamError | OSError):
        return str(error)
    return f"a fault of reparam itself: {type(error).__name__}: {error} (PYTHONDEVMODE=1 shows where)."


def _complain(text: str) -> None:
    print(f"reparam: {' '.join(text.split())}", file=sys.stderr)


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    _complain(f"warning: {message}")
