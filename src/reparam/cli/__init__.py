"""The command line: one command, one file.

Nothing heavy is imported until a command runs, so that ``--help`` answers at once: a command's module imports
only the standard library, typer and :mod:`reparam.errors` at its top.
"""

from __future__ import annotations

import errno
import json
import os
import sys
import warnings
from collections.abc import Sequence
from functools import cache
from typing import Annotated, Any, NoReturn, TypeGuard

import typer

from reparam.cli import streams
from reparam.cli.compare import compare
from reparam.cli.decode import decode
from reparam.cli.encode import encode
from reparam.cli.evaluate import evaluate
from reparam.cli.explore import explore
from reparam.cli.gap import gap
from reparam.cli.gradients import gradients
from reparam.cli.impute import impute
from reparam.cli.inspect import inspect
from reparam.cli.interpolate import interpolate
from reparam.cli.options import Kept, as_options, show_version, tell
from reparam.cli.parts import parts
from reparam.cli.plot import plot
from reparam.cli.reconstruct import reconstruct
from reparam.cli.report import report
from reparam.cli.sample import sample
from reparam.cli.score import score
from reparam.cli.sharing import is_shared, shared
from reparam.cli.train import train
from reparam.cli.traverse import traverse
from reparam.cli.verify import verify
from reparam.errors import ParameterError, ReparamError, ReparamWarning

COMMANDS = (
    train,
    evaluate,
    encode,
    decode,
    sample,
    reconstruct,
    interpolate,
    traverse,
    score,
    impute,
    gap,
    gradients,
    plot,
    explore,
    report,
    compare,
    inspect,
    parts,
    verify,
)
DONE, UNUSABLE, INTERRUPTED = 0, 2, 130
LONGEST_LINE = 1000
"""Of an error; more is a name or a value beyond reason, of which the middle is left out."""

app = typer.Typer(
    name="reparam",
    help="Train, use and audit variational autoencoders.",
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
SHARED = (evaluate, encode, score, impute, gap)
"""The commands whose rows devices and processes share; train says so by itself, for its settings may do so too."""
for command in COMMANDS:
    app.command()(shared(command) if command in SHARED else command)


@app.callback()
def _program(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=show_version, help="Tell the version.")
    ] = (False),
) -> None:
    """Train, use and audit variational autoencoders."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line: exit 0 done, 1 the answer is no, 2 unusable input with one line that says why.

    128 and the number of a signal is what one leaves; 141 that nobody read standard output to its end. A fault of
    reparam itself is one line and 2 as well; in Python's development mode it is raised.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    with warnings.catch_warnings():
        if not sys.flags.dev_mode:
            warnings.simplefilter("ignore")  # of NumPy and others: to a user of the command line they say nothing
        warnings.simplefilter("always", ReparamWarning)
        warnings.showwarning = _show_warning
        streams.prepare()
        code = streams.finish(_run(given))
        if code == UNUSABLE and is_shared():
            os._exit(code)  # at exit JAX would wait for the processes that are lost
        sys.exit(code)


@cache
def parser() -> Any:
    """What parses a command line; making it takes longer than using it."""
    return typer.main.get_command(app)


def _run(arguments: list[str]) -> int:
    """The exit code of a command line."""
    try:
        code = parser().main(arguments or ["--help"], prog_name="reparam", standalone_mode=False)
    except SystemExit as end:  # typer's answer to a shell that asks for completion, and to a pipe that nobody reads
        return DONE if not end.code else streams.broken(BrokenPipeError(errno.EPIPE, ""))
    except Exception as error:
        if _is_of_output(error):
            return streams.broken(error)
        if _is_of_words(error, arguments):
            error = ParameterError(f"an argument is no text: {error.object!r} holds bytes that are not UTF-8.")
        if not _is_told(error) and sys.flags.dev_mode:
            raise
        _complain(_text(error), as_json="--json" in arguments)
        return UNUSABLE
    if code == INTERRUPTED and not isinstance(code, Kept):
        _complain("interrupted; nothing was written.")
    return int(code) if isinstance(code, int) else DONE


def _is_told(error: Exception) -> bool:
    """Whether the error is about input: its own text suffices."""
    told = isinstance(error, ReparamError | OSError | MemoryError)
    return told or _is_usage(error) or _of_device(error) is not None


def _is_of_output(error: Exception) -> TypeGuard[OSError]:
    """Whether the fault is standard output, which is full or gone: files that cannot be written say their names."""
    full = (errno.ENOSPC, errno.EIO, errno.EBADF)
    return isinstance(error, OSError) and error.filename is None and error.errno in full


def _is_of_words(error: Exception, arguments: Sequence[str]) -> TypeGuard[UnicodeEncodeError]:
    """Whether the fault is an argument whose bytes are no text, where not only a name of a file is asked for."""
    return isinstance(error, UnicodeEncodeError) and any(error.object in argument for argument in arguments)


def _is_usage(error: Exception) -> bool:
    """Whether the arguments could not be parsed; typer does not export the class of these errors."""
    return hasattr(error, "format_message")


def _text(error: Any) -> str:
    if _is_usage(error):
        place, said = getattr(error, "ctx", None), error.format_message()
        stop = "" if said.endswith((".", "?")) else "."
        return f"{said}{stop} Try '{place.command_path if place else 'reparam'} --help'."
    if isinstance(error, MemoryError):
        return "memory does not suffice. Use fewer rows, or a smaller batch size or model."
    if isinstance(error, ReparamError):
        return as_options(str(error))
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}." if error.filename is not None else str(error)
    return _of_device(error) or (
        f"a fault of reparam itself: {type(error).__name__}: {error} (PYTHONDEVMODE=1 shows where)."
    )


def _of_device(error: Exception) -> str | None:
    """What JAX says of a device that is not there, or of its memory, as a user needs it."""
    if isinstance(error, RuntimeError) and "RESOURCE_EXHAUSTED" in str(error):
        return "memory does not suffice. Use fewer rows, or a smaller batch size or model."
    asked = os.environ.get("JAX_PLATFORMS")
    if asked and not isinstance(error, ReparamError | OSError) and not _has_device():
        return f"JAX finds no device for JAX_PLATFORMS={asked!r}. Unset it, or set it to 'cpu'."
    return None


def _has_device() -> bool:
    """Whether JAX starts; where it does not, it raises now this and now that."""
    import jax

    try:
        return bool(jax.devices())
    except Exception:
        return False


def _complain(text: str, *, as_json: bool = False) -> None:
    line = " ".join(text.split())
    line = line if len(line) <= LONGEST_LINE else f"{line[: LONGEST_LINE // 2]} … {line[-LONGEST_LINE // 4 :]}"
    tell(f"reparam: {line}")
    if as_json:
        print(json.dumps({"error": line}))


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    _complain(f"warning: {as_options(str(message))}")
