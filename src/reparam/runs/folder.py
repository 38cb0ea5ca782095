"""The files of a run, and how a new set of them takes the place of the old one in one step.

A new checkpoint is written into a hidden folder, synced, and renamed to ``.next``: with that rename it stands, whole.
Then its files move to their places one by one, the old ones to ``previous/``. The newest checkpoint is at every
instant the file in ``.next`` where there is one, else the file at the top.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file

from reparam.documents import checked, parsed
from reparam.errors import RunError
from reparam.location import check_run
from reparam.runs.documents import FORMAT, Config, Line
from reparam.specification import shown
from reparam.storage import begun, sync

CONFIG, DATA, MODEL, STATE, METRICS = (
    "config.json",
    "data.json",
    "model.safetensors",
    "state.safetensors",
    "metrics.jsonl",
)
FILES = (DATA, METRICS, MODEL, STATE, CONFIG)
SUMMED = (METRICS, MODEL, STATE)
SUMMED_SINCE, SEALED_SINCE = 2, 3
UNSEALED = {DATA: "data", CONFIG: "seals"}
"""Of a document the one field that its seal leaves out: people may mend where their data lie, and rows have a sum."""
NEXT, PREVIOUS, DISCARDED, STAGING = ".next", "previous", ".discarded", ".saving."
MAX_BYTES = {CONFIG: 2**24, DATA: 2**28, METRICS: 2**28}
DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "U32": "uint32", "I32": "int32", "I64": "int64"}
DTYPES |= {"U8": "uint8", "I8": "int8", "U16": "uint16", "I16": "int16", "U64": "uint64", "BOOL": "bool"}


@dataclass(frozen=True)
class Run:
    """The contents of a run folder, as plain values and arrays."""

    config: Mapping[str, Any]
    data: Mapping[str, Any]
    model: Mapping[str, NDArray[Any]]
    state: Mapping[str, NDArray[Any]]
    metrics: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class Shape:
    """What the head of a file says of a tensor."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


@dataclass(frozen=True)
class Checkpoint:
    """One set of the files of a run, each in the first of some folders that has it; nothing in them is trusted."""

    folders: tuple[Path, ...]

    def path(self, name: str) -> Path:
        """Where a file is, or should be.

        Raises:
            RunError: a folder stands there, a pipe, which may never end, or a device.
        """
        places = [folder / name for folder in self.folders]
        found = next((place for place in places if place.exists()), None)
        if found is not None and not found.is_file():
            raise RunError(f"{found}: is no file. {found.parent} is no run folder, or is damaged.")
        return found or places[-1]

    def config(self) -> Config:
        """``config.json``.

        Raises:
            RunError: it is missing, or not what it should be; so it is below.
        """
        path = self.path(CONFIG)
        document = _object(path)
        known = document.get("format")
        if isinstance(known, int) and known > FORMAT:
            raise RunError(f"{path}: format {shown(known)} is unknown: a newer version of reparam wrote it.")
        config = checked(Config, document, str(path))
        self._check_seal(CONFIG, document, config)
        return config

    def data(self, config: Config) -> dict[str, Any]:
        """``data.json``, an object."""
        document = _object(self.path(DATA))
        self._check_seal(DATA, document, config)
        return document

    def metrics(self, config: Config) -> tuple[dict[str, Any], ...]:
        """``metrics.jsonl``, a line for each epoch in their order."""
        path = self.path(METRICS)
        lines = [parsed(line, path) for line in _text(path).splitlines()]
        for number, line in enumerate(lines, start=1):
            if checked(Line, line, f"{path}, line {number}").epoch != number:
                raise RunError(f"{path}: line {number} tells of epoch {line['epoch']}. The run is damaged.")
        self._check_sum(METRICS, config)
        return tuple(lines)

    def shapes(self, name: str) -> dict[str, Shape]:
        """What the tensors of a file are, from its head alone."""
        path = self.path(name)
        try:
            with safe_open(path, framework="numpy") as file:
                heads = {key: file.get_slice(key) for key in file.keys()}  # noqa: SIM118 - it is no mapping
                return {key: Shape(tuple(h.get_shape()), _dtype(path, h.get_dtype())) for key, h in heads.items()}
        except (OSError, SafetensorError) as error:
            raise RunError(f"{path}: cannot be read as safetensors ({error}). The run is damaged.") from error

    def tensors(self, name: str, config: Config) -> dict[str, NDArray[Any]]:
        """The tensors of a file, whose bytes are those that were written."""
        self._check_sum(name, config)
        path = self.path(name)
        try:
            return load_file(path)
        except (OSError, SafetensorError) as error:
            raise RunError(f"{path}: cannot be read as safetensors ({error}). The run is damaged.") from error

    def _check_seal(self, name: str, document: Mapping[str, Any], config: Config) -> None:
        if (config.seals or config.format >= SEALED_SINCE) and config.seals.get(name) != seal(name, document):
            raise RunError(f"{self.path(name)}: does not say what was written. The run is damaged.")

    def _check_sum(self, name: str, config: Config) -> None:
        if config.format >= SUMMED_SINCE and name not in config.files:
            raise RunError(f"{self.path(CONFIG)}: the checksum of {name} is missing. The run is damaged.")
        if name in config.files and summed(self.path(name)) != vars(config.files[name]):
            raise RunError(f"{self.path(name)}: its bytes are not those that were written. The run is damaged.")


def checkpoints(place: str | Path) -> Iterator[Checkpoint]:
    """What a run folder holds, the newest first.

    Raises:
        RunError: there is no run.
    """
    folder = Path(place)
    check_run(folder)
    if (folder / NEXT).is_dir():
        yield Checkpoint((folder / NEXT, folder))
    yield Checkpoint((folder,))
    if (folder / PREVIOUS).is_dir():
        yield Checkpoint((folder / PREVIOUS, folder))


def save(place: Path, run: Run) -> None:
    """Add a checkpoint to a folder that nobody else writes, see :func:`reparam.runs.reserve`.

    Raises:
        OSError, SafetensorError: it cannot be written; the newest checkpoint is the one that it was.
    """
    publish(place)
    staging = Path(tempfile.mkdtemp(prefix=STAGING, dir=place))
    with begun(staging):
        try:
            _write_files(staging, run)
            staging.chmod(0o755)
            staging.rename(place / NEXT)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    sync(place)
    publish(place)


def publish(place: Path) -> None:
    """Move the files of ``.next`` to their places and those that stood there to ``previous``; begun once, go on."""
    for left in (*place.glob(f"{STAGING}*"), place / DISCARDED):
        shutil.rmtree(left, ignore_errors=True)
    new, old = place / NEXT, place / PREVIOUS
    if not new.is_dir():
        return
    untouched = all((folder / name).exists() for folder in (new, place) for name in FILES)
    if untouched and old.is_dir():
        old.rename(place / DISCARDED)
        shutil.rmtree(place / DISCARDED, ignore_errors=True)
    old.mkdir(exist_ok=True)
    for name in FILES:
        if (new / name).exists():
            if (place / name).exists():
                os.replace(place / name, old / name)
            os.replace(new / name, place / name)
    new.rmdir()
    if not any(old.iterdir()):
        old.rmdir()
    sync(place)


def summed(path: Path) -> dict[str, Any]:
    """The size and the SHA-256 of a file.

    Raises:
        RunError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return {"bytes": os.fstat(file.fileno()).st_size, "sha256": digest}
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error.strerror}). The run is damaged.") from error


def seal(name: str, document: Mapping[str, Any]) -> str:
    """The SHA-256 of what a document says, however it is laid out, but for its unsealed field.

    Raises:
        RunError: it is nested too deeply to be one that was written.
    """
    sealed = {field: value for field, value in document.items() if field != UNSEALED[name]}
    try:
        return hashlib.sha256(json.dumps(sealed, sort_keys=True).encode()).hexdigest()
    except RecursionError:
        raise RunError(f"{name}: is nested too deeply. The run is damaged.") from None


def _write_files(folder: Path, run: Run) -> None:
    _write_text(folder / DATA, _json(run.data))
    _write_text(folder / METRICS, "".join(json.dumps(line, allow_nan=False) + "\n" for line in run.metrics))
    for name, tensors in ((MODEL, run.model), (STATE, run.state)):
        save_file({key: np.asarray(value, order="C") for key, value in tensors.items()}, folder / name)
        (folder / name).chmod(0o644)
        sync(folder / name)
    config = {**run.config, "files": {name: summed(folder / name) for name in SUMMED}}
    seals = {name: seal(name, document) for name, document in ((DATA, run.data), (CONFIG, config))}
    _write_text(folder / CONFIG, _json({**config, "seals": seals}))
    sync(folder)


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    sync(path)


def _json(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _object(path: Path) -> dict[str, Any]:
    document = parsed(_text(path), path)
    if not isinstance(document, dict):
        raise RunError(f"{path}: a JSON object is required. The run is damaged.")
    return document


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES[path.name]:
            raise RunError(f"{path}: holds more than {MAX_BYTES[path.name]:,} bytes. The run is damaged.")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{path}: cannot be read ({error}). {path.parent} is no run folder, or is damaged.") from error


def _dtype(path: Path, name: str) -> np.dtype[Any]:
    if name not in DTYPES:
        raise RunError(f"{path}: holds numbers of the type {name!r}, which no run has. The run is damaged.")
    return np.dtype(DTYPES[name])
