"""The command line: one command, one file.

Nothing heavy is imported until a command runs, so that ``--help`` answers at once: a command's module imports
only the standard library, typer and :mod:`reparam.errors` at its top.
"""

from __future__ import annotations

import sys

import typer

from reparam.cli.verify import verify
from reparam.errors import ReparamError

app = typer.Typer(
    name="reparam",
    help="Train, use and audit variational autoencoders.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.command()(verify)


def main() -> None:
    """Run the command line: exit 0 done, 1 the answer is no, 2 unusable input with one line that says why."""
    try:
        app()
    except ReparamError as error:
        print(f"reparam: {error}", file=sys.stderr)
        sys.exit(2)
