"""Standard output and error as they are: of any encoding, closed, full, or read by nobody."""

from __future__ import annotations

import codecs
import errno
import io
import logging
import os
import sys
from typing import Any

NOBODY_READS, UNUSABLE = 141, 2  # as a shell tells of SIGPIPE
PLAIN = {"−": "-", "×": "x", "…": "...", "·": ".", "→": "->", "±": "+/-", "≤": "<=", "’": "'"}
PLAIN |= {"α": "alpha", "β": "beta", "ε": "epsilon", "σ": "sigma", "φ": "phi", "√": "sqrt "}
PLAIN |= {"²": "^2", "µ": "u", "–": "-"}


HEARD_BY_NOBODY = logging.NullHandler()
TALKATIVE = ("PIL", "matplotlib")  # of damaged files, which we tell in one line, and of their caches


def prepare() -> None:
    """Let every text be written in whatever encoding there is: what it lacks is spelt. Libraries log nothing here."""
    for library in TALKATIVE:
        logging.getLogger(library).addHandler(HEARD_BY_NOBODY)
    codecs.register_error("reparam", _spelt)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="reparam")


def finish(code: int) -> int:
    """Write what is left; the exit code, which tells if standard output could not be written to its end."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except (OSError, ValueError) as error:
        return broken(error, code)
    return code


def broken(error: OSError | ValueError, code: int = 0) -> int:
    """The exit code where standard output cannot be written; what it still holds is dropped."""
    _drop(sys.stdout)
    if isinstance(error, OSError) and error.errno == errno.EPIPE:
        return code or NOBODY_READS
    from reparam.cli.options import tell

    tell(f"reparam: standard output cannot be written: {getattr(error, 'strerror', None) or error}.")
    return UNUSABLE


def _drop(stream: Any) -> None:
    try:
        number = stream.fileno()
    except io.UnsupportedOperation:  # it is in memory
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)


def _spelt(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(PLAIN.get(letter, f"\\u{ord(letter):04x}") for letter in text), error.end
