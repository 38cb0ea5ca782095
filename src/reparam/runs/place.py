"""The place of a run: tried before anything is trained, held while it is, and never taken from somebody else."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from safetensors import SafetensorError

from reparam.errors import RunError
from reparam.location import check_own
from reparam.runs.folder import CONFIG, MODEL, NEXT, PREVIOUS, STAGING, Run, checkpoints, publish, save
from reparam.storage import begun, lock, sync

PICTURES, REPORT = "plots", "report.html"
Mark = tuple[int, int, int]


@dataclass
class Place:
    """A folder that this process alone may write a run into.

    Args:
        shown: as the user named it.
        path: where it really is.
        inode: of the folder itself, to know it again.
        mark: of the run that is there and may be replaced, None where there is none.
        replaces: whether that run is another than the one to be saved.
    """

    shown: Path
    path: Path
    inode: int
    mark: Mark | None = None
    replaces: bool = False
    kept: bool = field(default=False, init=False)

    def write(self, run: Run) -> None:
        """Add a checkpoint, in one step.

        Raises:
            RunError: it cannot be written, and the newest checkpoint is the one that it was; or another run was put
                there meanwhile, which is left alone.
        """
        if not self.is_mine():
            raise ForeignRunError(f"{self.shown}: another run was put there meanwhile, and is left alone.")
        try:
            save(self.path, run)
            if self.replaces:
                _forget(self.path)
        except (OSError, SafetensorError) as error:
            raise RunError(
                f"{self.shown}: cannot write here ({_reason(error)}). What was kept there is kept."
            ) from error
        self.mark, self.replaces, self.kept = mark(self.path), False, True

    def is_mine(self) -> bool:
        """Whether the folder is the one that was reserved, and holds what this process left there."""
        try:
            return self.path.stat().st_ino == self.inode and mark(self.path) == self.mark
        except OSError:
            return False


class ForeignRunError(RunError):
    """A run stands where another was to be written."""


@contextmanager
def reserve(path: str | Path, *, overwrite: bool = False, resume: bool = False) -> Iterator[Place]:
    """Hold a place for a run: made, tried, and locked until the block ends. A folder that stays empty is removed.

    Args:
        path: the folder; a symbolic link is followed.
        overwrite: replace a run that is there.
        resume: go on with the run that is there.

    Raises:
        RunError: the place is taken, see :func:`check_place`; another process is writing there; or nothing can be
            written there.
    """
    shown = Path(path)
    check_place(shown, overwrite=overwrite or resume)
    with ExitStack() as stack:
        try:
            place = Path(os.path.realpath(shown.expanduser()))
            stack.enter_context(_made(place))
            descriptor = os.open(place, os.O_RDONLY)
            stack.callback(os.close, descriptor)
            if not lock(descriptor):
                raise RunError(
                    f"{shown}: another process is writing a run there. Wait for it, or choose another folder."
                )
            check_place(shown, overwrite=overwrite or resume)  # again, now that nobody else may change it
            _try(place)
            publish(place)
        except OSError as error:
            raise RunError(f"{shown}: cannot write here ({_reason(error)}). Choose another folder.") from error
        yield Place(shown, place, place.stat().st_ino, mark(place), replaces=overwrite and not resume)


def check_room(place: Place, needed: int) -> None:
    """Refuse a disk on which a run of so many bytes, and the checkpoint before it, do not fit.

    Raises:
        RunError: it is full.
    """
    free = shutil.disk_usage(place.path).free
    if free < needed:
        raise RunError(
            f"{place.shown}: the disk has {free / 2**20:,.1f} MiB left, but a run and its checkpoints need "
            f"{needed / 2**20:,.1f} MiB. Free some, or choose another folder."
        )


def write_run(path: str | Path, run: Run, *, overwrite: bool = False) -> Path:
    """Write a run folder whole or not at all.

    Raises:
        RunError: the place is taken, see :func:`check_place`; or it cannot be written.
    """
    with reserve(path, overwrite=overwrite) as place:
        place.write(run)
    return Path(path)


def check_place(path: str | Path, *, overwrite: bool = False) -> None:
    """Refuse a place that holds something else, or a run that is not to be overwritten.

    Raises:
        DataError: the place is a URI.
        RunError: the place is a file, a folder that is no run, or a run without ``overwrite``.
    """
    place = check_own(Path(path))
    try:
        if not place.exists():
            return
        if not place.is_dir():
            raise RunError(f"{place} is a file: a run is a folder. Choose another name.")
        if not any(entry for entry in place.iterdir() if not entry.name.startswith(STAGING)):
            return
        newest = next(checkpoints(place))
    except OSError as error:
        raise RunError(f"{place}: cannot be looked into ({error.strerror}). Choose another folder.") from error
    if (
        not (newest.path(CONFIG).is_file() and newest.path(MODEL).is_file())
        and not (place / PREVIOUS / CONFIG).is_file()
    ):
        raise RunError(f"{place} holds something that is not a run, and is left alone. Choose another folder.")
    if not overwrite:
        raise RunError(f"{place} holds a run already: --resume continues it, --overwrite replaces it.")


def is_run(path: str | Path) -> bool:
    """Whether a checkpoint stands there, or most of one."""
    return any((Path(path) / name).exists() for name in (CONFIG, NEXT, PREVIOUS))


@contextmanager
def _made(place: Path) -> Iterator[None]:
    """The folder and those above it, made where they are missing; what is empty at the end goes again."""
    missing = [folder for folder in (place, *place.parents) if not folder.exists()]
    with ExitStack() as stack:
        for folder in reversed(missing):
            folder.mkdir(exist_ok=True)
            stack.enter_context(begun(folder))
            stack.callback(_remove_if_empty, folder)
        yield


def _remove_if_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()


def _try(place: Path) -> None:
    """Write a little, to see that it can be done."""
    trial = place / f"{STAGING}trial"
    with begun(trial):
        try:
            trial.write_bytes(bytes(4096))
            sync(trial)
        finally:
            trial.unlink(missing_ok=True)


def _forget(place: Path) -> None:
    """Remove what is left of a run that was replaced: its last checkpoint, its pictures, its report."""
    shutil.rmtree(place / PREVIOUS, ignore_errors=True)
    for picture in (place / PICTURES).glob("*.png"):
        picture.unlink()
    _remove_if_empty(place / PICTURES)
    (place / REPORT).unlink(missing_ok=True)


def mark(path: str | Path) -> Mark | None:
    """By what a run is known again: its config.json is a new file at every save."""
    try:
        found = (Path(path) / CONFIG).stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
