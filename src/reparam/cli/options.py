"""What several commands share: their arguments, and how they speak."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, made by 'reparam train'.")]
Data = Annotated[str, typer.Argument(metavar="DATA", help="A path, file.npz:array, or a name such as digits.")]
OwnData = Annotated[
    str | None,
    typer.Argument(metavar="[DATA]", help="By default the rows that the run held out, or all of its rows if none."),
]
Output = Annotated[Path, typer.Option("--out", "-o", help="The file: .npy, .npz, .csv, .parquet, or .png for images.")]
Draw = Annotated[bool, typer.Option("--draw", help="Use a draw z from q(z|x), instead of the mean of q(z|x).")]
Labels = Annotated[
    str | None, typer.Option(help="The column (or array of a .npz) that holds labels; never trained on.")
]
NoHeader = Annotated[
    bool | None, typer.Option("--no-header", help="The first row of a CSV is data; by default its cells tell.")
]
Missing = Annotated[
    list[str] | None,
    typer.Option(metavar="TEXT", help="A cell that means: not known, besides an empty one, ? and NA. Repeatable."),
]
Delimiter = Annotated[str | None, typer.Option(help="What separates the cells of a CSV; by default they tell.")]
Quote = Annotated[str | None, typer.Option(help="What quotes the cells of a CSV, by default a double quote.")]
Columns = Annotated[
    list[str] | None,
    typer.Option("--column", metavar="NAME=KIND", help="A column's kind or likelihood: age=gaussian. Repeatable."),
]
Drop = Annotated[list[str] | None, typer.Option(metavar="NAME", help="Leave a column out. Repeatable.")]
Index = Annotated[
    str | None, typer.Option(metavar="COLUMN", help="The column that names the rows; kept in what is written.")
]
Unknown = Annotated[
    str, typer.Option(metavar="refuse|missing", help="A level that the model never saw: an error, or a missing cell.")
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output, nothing else there.")]
Seed = Annotated[
    int | None,
    typer.Option(min=0, max=2**32 - 1, help="The seed of these draws, by default the run's own."),
]
Samples = Annotated[
    int | None,
    typer.Option(help="K, the draws per row of the K-sample bound, by default the run's bound_samples."),
]
Temperatures = Annotated[
    int, typer.Option(min=0, metavar="TEMPERATURES", help="Annealed importance sampling too; 0 leaves it out.")
]
SECONDS_BETWEEN_LINES = 5.0


def tell(text: str) -> None:
    """Say something on standard error, where progress goes."""
    print(text, file=sys.stderr, flush=True)


def rows_done(what: str) -> Callable[[int, int], None]:
    """Progress over rows: a line every few seconds, and none of what takes less."""
    said = time.monotonic()

    def report(done: int, total: int) -> None:
        nonlocal said
        if done < total and time.monotonic() - said >= SECONDS_BETWEEN_LINES:
            said = time.monotonic()
            tell(f"{what}: {done:,} of {total:,} rows")

    return report


def answer(document: Mapping[str, Any]) -> None:
    """Print what a command found as a JSON document on standard output; what is not finite is null."""
    from reparam.evaluation.results import plain

    print(json.dumps(plain(document), indent=2, ensure_ascii=False, allow_nan=False))


def check_output(path: Path, *more: str) -> None:
    """Refuse a file that cannot be written, before anything is computed; some commands write ``more`` endings.

    Raises:
        ParameterError: the ending is unknown.
        DataError: the folder is missing.
    """
    from reparam.data import WRITERS
    from reparam.errors import DataError, ParameterError

    if path.suffix.lower() not in (*WRITERS, *more):
        raise ParameterError(f"the ending of {str(path)!r} is unknown. Known: {', '.join((*WRITERS, *more))}.")
    if not path.expanduser().parent.is_dir():
        raise DataError(f"there is no folder {str(path.parent)!r} to write {path.name!r} in. Make it first.")


def picture_path(out: Path | None, default: Path) -> Path:
    """Where a picture goes, checked before anything is computed.

    Raises:
        ParameterError: the ending is not .png.
        DataError: the folder of ``out`` is missing.
    """
    from reparam.errors import DataError, ParameterError

    if out is None:
        return default
    if out.suffix != ".png":
        raise ParameterError(f"-o must end in .png, for it is a picture. Got {str(out)!r}.")
    if not out.expanduser().parent.is_dir():
        raise DataError(f"there is no folder {str(out.parent)!r} to write {out.name!r} in. Make it first.")
    return out.expanduser()


def tell_written(path: Path, what: str, document: Mapping[str, Any], *, as_json: bool) -> None:
    """Say what was written where, or print it as JSON."""
    if as_json:
        answer({**document, "out": str(path)})
    else:
        print(f"{what}: {path}")
