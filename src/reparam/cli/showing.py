"""What the commands that show runs share: their arguments, opened."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

from reparam import runs as folders
from reparam.cli.sources import given_data, held_out, own_data, rows_for
from reparam.data import Dataset
from reparam.errors import DataError, ReparamWarning, RunError
from reparam.estimator import load
from reparam.estimator.fitting import check_support
from reparam.estimator.use import FittedUse
from reparam.estimator.vae import VAE
from reparam.insight import Session
from reparam.storage import whole_file


def runs_and_data(words: Sequence[str]) -> tuple[list[Path], str | None]:
    """Run folders, and what comes after them if it is no run folder.

    Raises:
        DataError: there is no run among the words, or more than one word is no run.
    """
    runs = [Path(word) for word in words if (Path(word) / folders.CONFIG).is_file()]
    others = [word for word in words if not (Path(word) / folders.CONFIG).is_file()]
    if not runs:
        return [Path(words[0])], (words[1] if len(words) > 1 else None)
    if len(others) > 1 or (others and words[-1] != others[0]):
        raise DataError(f"{others[0]} is no run folder. Give run folders, then DATA once, at the end.")
    return runs, (others[0] if others else None)


def open_sessions(runs: Sequence[Path], data: str | None, labels: str | None, *, own: bool = True) -> list[Session]:
    """A session for each run, all on the same rows: DATA, or all of each run's own rows.

    With ``own`` False the rows are those that the first run held out, so that none of it was trained on.

    Raises:
        DataError: the rows cannot be read, or have another shape than a run takes.
    """
    vaes = [load(run) for run in runs]
    sessions = []
    for run, vae in zip(runs, vaes, strict=True):
        rows, source = (
            _rows(vae, data, labels, own=own) if own or run is runs[0] else _as_of(vaes[0], vae, data, labels)
        )
        sessions.append(Session(vae, rows, _name(run, runs), source))
    return sessions


def _rows(vae: VAE, data: str | None, labels: str | None, *, own: bool) -> tuple[Dataset, str]:
    if data is not None:
        dataset = given_data(vae, data, labels=labels)
        check_support(vae.fitted_, dataset.rows)
        return dataset, f"{len(dataset.rows):,} rows of {data}"
    if not own:
        return rows_for(vae, None)
    dataset = own_data(vae)
    return dataset, f"{len(dataset.rows):,} rows of {dataset.schema.name}"


def _as_of(first: VAE, vae: VAE, data: str | None, labels: str | None) -> tuple[Dataset, str]:
    """The rows of the first run, as another run sees them.

    Raises:
        DataError: the two runs were not trained on the same data.
    """
    if data is not None:
        return _rows(vae, data, labels, own=False)
    own = own_data(vae)
    if _split_of(vae) != _split_of(first):
        text = (
            "the runs held out different rows: some of those measured may have been trained on. Give DATA new to all."
        )
        warnings.warn(text, ReparamWarning, stacklevel=3)
    if vae.fitted_.sha256 != first.fitted_.sha256:
        raise DataError("the runs were trained on different data. Give DATA, which all of them can read.")
    chosen = held_out(first, own)
    return chosen, f"the {len(chosen.rows):,} rows that the first run held out"


def _split_of(vae: VAE) -> tuple[bool, float, int]:
    """What the rows that a run held out are chosen by."""
    chosen = vae.fitted_.configuration
    return chosen.early_stopping, chosen.validation_fraction, chosen.seed


def _name(run: Path, runs: Sequence[Path]) -> str:
    """The folder's name, or its path where two have the same."""
    same = [other for other in runs if other.name == run.name]
    return run.name if len(same) == 1 else str(run)


def check_unconditional(run: Path, vae: FittedUse) -> None:
    """Refuse a run that shows nothing before its condition is given.

    Raises:
        RunError: it was trained with one.
    """
    names = vae.fitted_.configuration.condition
    if names:
        raise RunError(
            f"{run} was trained with --condition {' '.join(names)}, and pictures of all of it would not know what to "
            "give. 'reparam sample', 'traverse', 'interpolate' and 'decode' take --given."
        )


def write_page(page: str, place: Path) -> None:
    """Write an HTML document.

    Raises:
        DataError: the file cannot be written.
    """
    try:
        with whole_file(place) as file:
            file.write(page.encode())
    except OSError as error:
        raise DataError(f"{place} cannot be written: {error.strerror}. Choose another place with -o.") from error
