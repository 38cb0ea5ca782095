"""``FILE.py[:NAME]`` → the namespace to audit.

The file is the user's own program and is run. What goes wrong in it is told as its own: file, line, exception.
"""

from __future__ import annotations

import importlib.util
import inspect
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from reparam.errors import DataError, UnknownNameError


def load(target: str) -> tuple[Any, ModuleType]:
    """Run the file and return what ``NAME`` picks in it (the module itself without ``NAME``), and the module.

    Raises:
        DataError: no such file, it is not Python, or it raised while being run.
        UnknownNameError: the file defines no such name.
    """
    path, name = _split(target)
    module = _run(path)
    if not name:
        return module, module
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            raise UnknownNameError(f"name in {path.name}", name, _public_names(module))
        found = getattr(found, part)
    return found, module


def _split(target: str) -> tuple[Path, str]:
    """A path that exists as it stands wins, so that a colon in a folder's name does no harm."""
    if Path(target).is_file():
        return Path(target), ""
    file, colon, name = target.rpartition(":")
    named = bool(colon) and all(part.isidentifier() for part in name.split("."))
    path = Path(file) if named else Path(target)
    if path.is_dir():
        raise DataError(f"{path} is a folder. Give the Python file to verify: FILE.py or FILE.py:NAME.")
    if not path.is_file():
        raise DataError(f"no file {path}. Give a Python file that exists: FILE.py or FILE.py:NAME.")
    return path, name if named else ""


def _run(path: Path) -> ModuleType:
    """Import the file under a name of its own, its folder first on the path as if it had been started."""
    name = f"verified_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path, loader=_NoBytecode(name, str(path)))
    if spec is None or spec.loader is None:
        raise DataError(f"{path} cannot be read as Python. Give a Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    folder = str(path.resolve().parent)
    if folder not in sys.path[:1]:
        sys.path.insert(0, folder)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise DataError(f"{path}: running the file raised {describe(error, str(path))}. Mend the file.") from error
    return module


class _NoBytecode(SourceFileLoader):
    """Leaves no ``__pycache__`` beside the user's file, and reads no stale one."""

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


def _public_names(module: ModuleType) -> list[str]:
    names = [name for name, value in vars(module).items() if not name.startswith("_") and not inspect.ismodule(value)]
    return names or ["(nothing)"]


def describe(error: BaseException, file: str = "") -> str:
    """The exception on one line: its type, its text, and the last line of the user's own code that it passed."""
    text = " ".join(str(error).split()) or "no text"
    line = error.lineno if isinstance(error, SyntaxError) and error.filename == file else _user_line(error, file)
    return f"{type(error).__name__}: {_shortened(text)}" + (f" (line {line})" if line else "")


def _shortened(text: str, width: int = 240) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _user_line(error: BaseException, file: str) -> int | None:
    frames = traceback.extract_tb(error.__traceback__)
    return next((frame.lineno for frame in reversed(frames) if frame.filename == file), None)


@contextmanager
def prints_on_stderr() -> Iterator[None]:
    """Whatever the user's program prints goes to standard error: standard output carries the answer alone."""
    standard_output = sys.stdout
    sys.stdout = sys.stderr
    try:
        yield
    finally:
        sys.stdout = standard_output
