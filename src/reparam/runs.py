"""A run folder: what was trained, on what, and where training stands. Opening one executes no code.

======================  =============================================================
``config.json``         the format, the version, every setting, what ``auto`` chose
``data.json``           the schema and preprocessing, the source, the rows held out
``model.safetensors``   the weights that are used
``state.safetensors``   the newest weights, the optimiser, the key, the position
``metrics.jsonl``       one line per epoch
======================  =============================================================

A folder is written under a temporary name beside its place, synced, and renamed.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from reparam.errors import RunError

FORMAT = 1
CONFIG, DATA, MODEL, STATE, METRICS = (
    "config.json",
    "data.json",
    "model.safetensors",
    "state.safetensors",
    "metrics.jsonl",
)
FILES = (CONFIG, DATA, MODEL, STATE, METRICS)


@dataclass(frozen=True)
class Run:
    """The contents of a run folder, as plain values and arrays."""

    config: Mapping[str, Any]
    data: Mapping[str, Any]
    model: Mapping[str, NDArray[Any]]
    state: Mapping[str, NDArray[Any]]
    metrics: tuple[Mapping[str, Any], ...]


def write_run(path: str | Path, run: Run, *, overwrite: bool = False) -> Path:
    """Write a run folder whole or not at all.

    Raises:
        RunError: the place is taken, see :func:`check_place`; or it cannot be written.
    """
    place = Path(path)
    check_place(place, overwrite=overwrite)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
    except OSError as error:
        raise RunError(f"{place}: cannot write here ({error.strerror}). Choose another folder.") from error
    try:
        _write_files(folder, run)
        folder.chmod(0o755)
        _swap(folder, place)
    except OSError as error:
        raise RunError(f"{place}: cannot write here ({error.strerror}). Nothing was changed.") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return place


def check_place(path: str | Path, *, overwrite: bool = False) -> None:
    """Refuse a place that holds something else, or a run that is not to be overwritten.

    Raises:
        RunError: the place is a file, a folder that is no run, or a run without ``overwrite``.
    """
    place = Path(path)
    if not place.exists() and not place.is_symlink():
        return
    if not place.is_dir():
        raise RunError(f"{place} is a file: a run is a folder. Choose another name.")
    if any(place.iterdir()):
        if not (place / CONFIG).is_file() or not (place / MODEL).is_file():
            raise RunError(f"{place} holds something that is not a run, and is left alone. Choose another folder.")
        if not overwrite:
            raise RunError(f"{place} holds a run already: --resume continues it, --overwrite replaces it.")


def read_run(path: str | Path) -> Run:
    """Read a run folder.

    Raises:
        RunError: it is missing, or a file in it is missing, damaged, or of another format.
    """
    place = Path(path)
    if not place.is_dir():
        raise RunError(f"{place} is no run folder. 'reparam train DATA --out {place}' makes one.")
    config = _read_json(place / CONFIG)
    if config.get("format") != FORMAT:
        raise RunError(f"{place / CONFIG}: format {config.get('format')!r} is unknown; this version reads {FORMAT}.")
    return Run(
        config=config,
        data=_read_json(place / DATA),
        model=_read_tensors(place / MODEL),
        state=_read_tensors(place / STATE),
        metrics=tuple(_read_lines(place / METRICS)),
    )


def _write_files(folder: Path, run: Run) -> None:
    _write_text(folder / CONFIG, _json(run.config))
    _write_text(folder / DATA, _json(run.data))
    _write_text(folder / METRICS, "".join(json.dumps(line, allow_nan=False) + "\n" for line in run.metrics))
    for name, tensors in ((MODEL, run.model), (STATE, run.state)):
        save_file({key: np.asarray(value, order="C") for key, value in tensors.items()}, folder / name)
        (folder / name).chmod(0o644)
        _sync(folder / name)
    _sync(folder)


def _swap(folder: Path, place: Path) -> None:
    """Put the new folder in the place of the old, which is kept until the new one stands; pictures beside it stay."""
    old = folder.with_name(folder.name + ".old")
    if place.exists():
        place.rename(old)
    try:
        folder.rename(place)
    except OSError:
        if old.exists():
            old.rename(place)
        raise
    for other in old.iterdir() if old.exists() else ():
        if other.name not in FILES:
            other.rename(place / other.name)
    shutil.rmtree(old, ignore_errors=True)
    _sync(place.parent)


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    _sync(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _json(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _read_json(path: Path) -> dict[str, Any]:
    document = _parse(path, _read_text(path))
    if not isinstance(document, dict):
        raise RunError(f"{path}: a JSON object is required. The run is damaged.")
    return document


def _read_lines(path: Path) -> Iterable[dict[str, Any]]:
    return [_parse(path, line) for line in _read_text(path).splitlines()]


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{path}: cannot be read ({error}). {path.parent} is no run folder, or is damaged.") from error


def _parse(path: Path, text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise RunError(f"{path}: is not JSON ({error}). The run is damaged.") from error


def _read_tensors(path: Path) -> dict[str, NDArray[Any]]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise RunError(f"{path}: cannot be read as safetensors ({error}). The run is damaged.") from error
