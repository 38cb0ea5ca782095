"""What several commands share: their arguments, and how they speak."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from reparam.location import check_data, check_own, check_run
from reparam.version import __version__


def _check_data(text: str | None) -> str | None:
    """DATA that are there, or none."""
    return None if text is None else check_data(text)


RunPath = Annotated[
    Path, typer.Argument(metavar="RUN", help="A run folder, made by 'reparam train'.", callback=check_run)
]
Data = Annotated[
    str,
    typer.Argument(metavar="DATA", help="A path, file.npz:array, or a name such as digits.", callback=_check_data),
]
OwnData = Annotated[
    str | None,
    typer.Argument(
        metavar="[DATA]",
        help="By default the rows that the run held out, or all of its rows if none.",
        callback=_check_data,
    ),
]
Output = Annotated[Path, typer.Option("--out", "-o", help="The file: .npy, .npz, .csv, .parquet, or .png for images.")]
RowsOrPictures = Annotated[
    Path,
    typer.Option(
        "--out", "-o", help="The file: .npy, .npz, .csv, .parquet, .png; or, of images, a folder of .png (no ending)."
    ),
]
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
Shape = Annotated[
    str | None,
    typer.Option(
        metavar="H,W[,C]", help="The shape of one image where rows are flat: 28,28 or 32,32,3 (channels last)."
    ),
]
ChannelsFirst = Annotated[
    bool | None,
    typer.Option("--channels-first", help="An array is N×C×H×W, or flat so; --shape is then C,H,W. Never guessed."),
]
Resize = Annotated[
    str | None, typer.Option(metavar="N|H,W", help="Resize pictures in files to N × N, or to height,width (Lanczos).")
]
Crop = Annotated[
    bool | None, typer.Option("--crop", help="Cut the middle to the aspect of --resize first, rather than stretch.")
]
Gray = Annotated[bool | None, typer.Option("--gray", help="Turn colours of pictures in files into grey.")]
SkipBroken = Annotated[
    bool | None, typer.Option("--skip-broken", help="Leave out, and count, pictures that cannot be read.")
]
Given = Annotated[
    list[str] | None,
    typer.Option(metavar="COLUMN=VALUE", help="What a column of the model's condition holds. Repeatable."),
]
Streamed = Annotated[
    bool | None,
    typer.Option("--stream/--in-memory", help="Read DATA part by part; by default where they are large."),
]
Engine = Annotated[
    str | None, typer.Option(metavar="ray|spark", help="Let a cluster read DATA and write a folder of Parquet files.")
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output, nothing else there.")]
Seed = Annotated[
    int | None,
    typer.Option(min=0, max=2**32 - 1, help="The seed of these draws, by default the run's own."),
]
Samples = Annotated[
    int | None,
    typer.Option(
        min=1, max=10**7, help="K, the draws per row of the K-sample bound, by default the run's bound_samples."
    ),
]
Temperatures = Annotated[
    int,
    typer.Option(min=0, max=10**6, metavar="TEMPERATURES", help="Annealed importance sampling; 0 leaves it out."),
]
RENAMED = {"random_state": "seed", "n_samples": "count", "columns": "column", "header": "no_header"}
PYTHON_WORDS = {
    "early_stopping=False": "--validation-fraction 0",
    "'early_stopping' parameter of VAE": "'--validation-fraction' option",
    "option cannot change from True to False": "option cannot become 0",
    "option cannot change from False to True": "option cannot leave 0",
    "(clip_norm)": "(--clip-norm)",
    "Fit anew (warm_start=False)": "Train without --resume",
    "fit anew (warm_start=False)": "train without --resume",
    "(given={'column': value})": "(--given COLUMN=VALUE)",
}
ASSIGNED = re.compile(r"\b([a-z]+(?:_[a-z]+)*)='([\w.:,-]+)'")
PARAMETERS = re.compile(r"parameters of VAE (\w+(?:, \w+)*)")
PARAMETER = re.compile(r"'(\w+)' parameter of (?:VAE|Reading|measure_gradient)\b(?:\.\w+)?")
SECONDS_BETWEEN_LINES = 5.0


class Kept(int):
    """The exit code of a command that was interrupted, has kept what it had, and has said so."""


def show_version(asked: bool) -> None:
    """Print the version and end, if that was asked for."""
    if asked:
        print(f"reparam {__version__}")
        raise typer.Exit


def as_options(text: str) -> str:
    """An error of the estimator in the words of the command line: its parameters are options here.

    >>> as_options("The 'batch_size' parameter of VAE must be an int. Hold out none (early_stopping=False).")
    "The '--batch-size' option must be an int. Hold out none (--validation-fraction 0)."
    >>> as_options("choose start='random'.")
    'choose --start random.'
    """
    for python, words in PYTHON_WORDS.items():
        text = text.replace(python, words)
    text = PARAMETERS.sub(lambda found: "options " + ", ".join(map(option, found[1].split(", "))), text)
    text = PARAMETER.sub(lambda found: f"'{option(found[1])}' option", text)
    return ASSIGNED.sub(lambda found: f"{option(found[1])} {found[2]}", text)


def option(name: str) -> str:
    """A parameter of the estimator as an option of the command line."""
    return "--" + RENAMED.get(name, name).replace("_", "-")


def tell(text: str) -> None:
    """Say something on standard error; if that is closed or full nobody hears it, and the work goes on."""
    if sys.stderr is not None:
        with suppress(OSError, ValueError):
            print(text, file=sys.stderr, flush=True)


def rows_done(what: str) -> Callable[[int, int], None]:
    """Progress over rows: a line every few seconds, and none of what takes less."""
    return _now_and_then(f"{what}: {{:,}} of {{:,}} rows")


def parts_done(what: str) -> Callable[[int, int], None]:
    """Progress over the parts of a stream: likewise."""
    return _now_and_then(f"{what}: part {{:,}} of {{:,}}")


def _now_and_then(line: str) -> Callable[[int, int], None]:
    """A report that tells what is done, and of how much, every few seconds, and not at the end."""
    said = time.monotonic()

    def report(done: int, total: int) -> None:
        nonlocal said
        if done < total and time.monotonic() - said >= SECONDS_BETWEEN_LINES:
            said = time.monotonic()
            tell(line.format(done, total))

    return report


def answer(document: Mapping[str, Any]) -> None:
    """Print what a command found as a JSON document on standard output; what is not finite is null."""
    from reparam.evaluation.results import plain

    unicode = (getattr(sys.stdout, "encoding", None) or "utf-8").lower().replace("-", "") == "utf8"
    print(json.dumps(plain(document), indent=2, ensure_ascii=not unicode, allow_nan=False))


def given_values(given: Sequence[str]) -> dict[str, str]:
    """Values by column.

    Raises:
        ParameterError: one is not COLUMN=VALUE, or a column is given twice.
    """
    from reparam.errors import ParameterError

    found: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise ParameterError(f"--given must be COLUMN=VALUE, such as class=3. Got {text!r} instead.")
        if name in found:
            raise ParameterError(f"--given says twice what {name!r} holds. Say it once.")
        found[name] = value
    return found


def check_output(path: Path, *inputs: str, also: Sequence[str] = (), pictures: bool = False) -> None:
    """Refuse a file that cannot be written, before anything is computed.

    Args:
        path: the file.
        inputs: what is read, which is not to be replaced.
        also: endings that the command writes beside those of all.
        pictures: whether a folder of pictures may be written.

    Raises:
        ParameterError: the ending is unknown, or the file is one of the inputs.
        DataError: the folder is missing, or nothing may be written there.
    """
    from reparam.data import WRITERS, is_folder
    from reparam.errors import ParameterError

    known, place = (*WRITERS, *also), path.expanduser()
    if not (pictures and is_folder(place)):
        if path.suffix.lower() not in known:
            folder = ", or a name without an ending for a folder of pictures" if pictures else ""
            raise ParameterError(f"the ending of {str(path)!r} is unknown. Known: {', '.join(known)}{folder}.")
        check_file(place)
    check_writable(place)
    for data in inputs:
        if any(same_file(place, Path(name).expanduser()) for name in (data, data.rpartition(":")[0])):
            raise ParameterError(f"-o {path} is the file that is read: it would be replaced. Choose another name.")
        if place.is_dir() and _is_read(place, data):
            raise ParameterError(f"-o {path} holds {data}, which is read: it would be replaced. Choose another folder.")


def _is_read(folder: Path, data: str) -> bool:
    """Whether files of a folder are among those that a path or a pattern names."""
    import glob

    pattern, own = str(Path(data).expanduser()), folder.resolve()
    named = glob.iglob(pattern, recursive=True) if glob.has_magic(pattern) else [pattern]
    paths = map(Path.resolve, map(Path, named))
    return any(own in path.parents or (path.is_dir() and path in own.parents) for path in paths)


def check_labels(labels: str | None, data: str | None) -> None:
    """Refuse a column of labels where no DATA are named that have it; a run's own data bring those that they have.

    Raises:
        ParameterError: so it is.
    """
    from reparam.errors import ParameterError

    if labels is not None and data is None:
        raise ParameterError("--labels names a column of DATA: name DATA too, or leave --labels out.")


def check_folder(place: Path) -> None:
    """Refuse a file whose folder is missing, or in which nothing may be written.

    Raises:
        DataError: so it is.
    """
    check_writable(place)
    check_file(place)


def check_file(place: Path) -> None:
    """Refuse a folder where a file is to be.

    Raises:
        DataError: so it is.
    """
    from reparam.errors import DataError

    if place.is_dir():
        raise DataError(f"{place} is a folder; a file name is required.")


def check_writable(place: Path) -> None:
    """Refuse a place whose folder is missing, or in which nothing may be written.

    Raises:
        DataError: so it is.
    """
    from reparam.errors import DataError

    folder = check_own(place).parent
    if not folder.is_dir():
        raise DataError(f"there is no folder {str(folder)!r} to write {place.name!r} in. Make it first.")
    if not os.access(folder, os.W_OK):
        raise DataError(f"nothing may be written in {str(folder)!r}. Choose another place.")


def same_file(one: Path, other: Path) -> bool:
    """Whether two names are of one file that is there."""
    try:
        return one.samefile(other)
    except OSError:
        return False


def picture_path(out: Path | None, run: Path, name: str) -> Path:
    """Where a picture goes, by default among the run's own; checked before anything is computed."""
    from reparam.runs import PICTURES

    return run / PICTURES / f"{name}.png" if out is None else checked_picture(out)


def checked_picture(out: Path) -> Path:
    """A place for a picture.

    Raises:
        ParameterError: the ending is not .png.
        DataError: its folder is missing.
    """
    from reparam.errors import ParameterError

    if out.suffix != ".png":
        raise ParameterError(f"-o must end in .png, for it is a picture. Got {str(out)!r}.")
    check_folder(out.expanduser())
    return out.expanduser()


def checked_page(out: Path) -> Path:
    """A place for an HTML document.

    Raises:
        ParameterError: the ending is not .html.
        DataError: nothing can be written there.
    """
    from reparam.errors import ParameterError

    if out.suffix != ".html":
        raise ParameterError(f"-o must end in .html, for it is a page. Got {str(out)!r}.")
    place = out.expanduser()
    check_folder(place)
    return place


def checked_folder(out: Path) -> Path:
    """A folder for pictures, which need not be there yet.

    Raises:
        DataError: a file is there, or nothing may be written where it is to be.
    """
    from reparam.errors import DataError

    place = check_own(out.expanduser())
    there = next(path for path in (place, *place.absolute().parents) if path.exists())
    if not there.is_dir():
        raise DataError(f"{there} is a file; a folder is required. Choose another with -o.")
    if not os.access(there, os.W_OK):
        raise DataError(f"nothing may be written in {str(there)!r}. Choose another place.")
    return place


def tell_written(path: Path, what: str, document: Mapping[str, Any], *, as_json: bool) -> None:
    """Say what was written where, or print it as JSON."""
    if as_json:
        answer({**document, "out": str(path)})
    else:
        print(f"{what}: {path}")
