"""Stand-ins for imports that are not installed: they fail where they are used, not where they are imported."""

from __future__ import annotations

import argparse
import ast
import importlib.abc
import importlib.machinery
import importlib.util
import linecache
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

BASES = {"LightningModule": ("torch.nn", "Module"), "LightningDataModule": ("builtins", "object")}
"""Classes of packages that are often absent → what a subclass of theirs can do without them."""


class MissingError(ImportError):
    """A stand-in was used."""


class StandIn(ModuleType):
    """Anything of a package that is not installed: imported, passed on, subclassed and annotated with, but not used."""

    __path__ = []  # noqa: RUF012 - what a package has

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        return StandIn(f"{self.__name__}.{name}")

    def __getitem__(self, key: object) -> StandIn:
        """Return itself, for annotations."""
        return self

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Pass a decorated function on; anything else is a use."""
        if len(arguments) == 1 and not options and callable(arguments[0]):
            return arguments[0]  # a decorator
        if not arguments and not options:
            return self  # what makes a decorator
        raise MissingError(f"{self.__name__.partition('.')[0]} is not installed ({self.__name__} is called)")

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type, ...]:
        module, name = BASES.get(self.__name__.rpartition(".")[2], ("builtins", "object"))
        base = getattr(sys.modules.get(module), name, object)
        return () if base in bases else (base,)


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Last in the line of finders: a stand-in for what files below ``root`` import and nobody else finds."""

    def __init__(self, root: Path):
        self.root = root
        self.missing: list[str] = []

    def find_spec(self, name: str, path: object = None, target: object = None) -> importlib.machinery.ModuleSpec | None:
        """A spec of a stand-in where the importing file is the user's."""
        parent = sys.modules.get(name.rpartition(".")[0])
        if not isinstance(parent, StandIn) and not self._asked_by_user():
            return None
        self.missing.append(name)
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        """The stand-in."""
        return StandIn(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing to run."""

    def _asked_by_user(self) -> bool:
        frame: FrameType | None = sys._getframe(1)
        while frame is not None and ("importlib" in frame.f_code.co_filename or frame.f_code.co_filename == __file__):
            frame = frame.f_back
        if frame is None or str(self.root) not in frame.f_code.co_filename:
            return False
        return not _is_prepared(frame.f_code.co_filename, frame.f_lineno)


@lru_cache(maxsize=64)
def _guarded_lines(file: str) -> frozenset[int]:
    """The lines of a file below a ``try`` that says what to do without an import."""
    tree = ast.parse("".join(linecache.getlines(file)))
    guards = [node for node in ast.walk(tree) if isinstance(node, ast.Try) and any(map(_catches, node.handlers))]
    return frozenset(
        line
        for node in guards
        for part in node.body
        for line in range(part.lineno, (part.end_lineno or part.lineno) + 1)
    )


def _catches(handler: ast.ExceptHandler) -> bool:
    """Whether it catches an ImportError, and does not merely say that something is not installed."""
    caught = ast.unparse(handler.type) if handler.type is not None else "Exception"
    return bool(re.search(r"ImportError|ModuleNotFoundError|\bException", caught)) and not any(
        isinstance(node, ast.Raise) for node in ast.walk(handler)
    )


def _is_prepared(file: str, line: int) -> bool:
    """Whether the code has an answer of its own to a missing import."""
    try:
        return line in _guarded_lines(file)
    except SyntaxError:
        return False


@contextmanager
def asking_nothing() -> Iterator[None]:
    """Parsed arguments take their defaults, required ones None: there is nobody to give them."""
    original = argparse.ArgumentParser.parse_known_args

    def parsed(self: Any, *arguments: Any, **options: Any) -> Any:
        for action in self._actions:
            action.required = False
        return original(self, *arguments, **options)

    setattr(argparse.ArgumentParser, "parse_known_args", parsed)  # noqa: B010 - the original has overloads
    try:
        yield
    finally:
        setattr(argparse.ArgumentParser, "parse_known_args", original)  # noqa: B010


@contextmanager
def standing_in(root: Path) -> Iterator[Finder]:
    """Import what is missing as stand-ins; afterwards they are gone from the import system."""
    finder = Finder(root)
    sys.meta_path.append(finder)
    try:
        yield finder
    finally:
        sys.meta_path.remove(finder)
        for name in finder.missing:
            sys.modules.pop(name, None)


def from_sibling(package: str, name: str, folders: list[Path]) -> Any:
    """``from package import name`` where the package's own file does not say so: the sibling file that defines it.

    Raises:
        MissingError: no file of the folder defines it.
    """
    for folder in folders:
        for path in sorted((folder / package.replace(".", "/")).glob("*.py")):
            tree = ast.parse(path.read_text(encoding="utf-8", errors="replace"))
            if any(isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name for node in tree.body):
                return getattr(importlib.import_module(f"{package}.{path.stem}"), name)
    raise MissingError(f"cannot import {name} from {package}")


class OldBackend(ModuleType):
    """Keras 2's backend by today's names: ``K.exp`` is ``keras.ops.exp``, ``K.random_normal`` draws with Keras 3."""

    def __init__(self, backend: ModuleType):
        super().__init__(backend.__name__)
        self.__dict__["_backend"] = backend

    def __getattr__(self, name: str) -> Any:
        keras = sys.modules["keras"]
        draw = {"random_normal": keras.random.normal, "random_uniform": keras.random.uniform}.get(name)
        if draw is not None:
            return lambda shape, *arguments, **options: draw(tuple(map(int, shape)), *arguments, **options)
        return getattr(keras.ops, {"int_shape": "shape"}.get(name, name), None) or getattr(self._backend, name)


USUAL = {
    "np": "numpy", "tf": "tensorflow", "torch": "torch", "nn": "torch.nn", "F": "torch.nn.functional", "jax": "jax",
    "jnp": "jax.numpy", "keras": "keras", "layers": "keras.layers", "K": "keras.backend", "math": "math",
}  # fmt: skip
"""What these names mean wherever a file uses them."""


def usual_imports(tree: ast.Module) -> dict[str, ModuleType]:
    """The modules that a fragment of a file uses by their usual names and never imports.

    >>> list(usual_imports(ast.parse("import math" + chr(10) + "def f(x): return np.exp(x) * math.pi")))
    ['np']
    """
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    used = {node.id for node in names if isinstance(node.ctx, ast.Load)}
    bound = {node.id for node in names if not isinstance(node.ctx, ast.Load)}
    bound |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    bound |= {(one.asname or one.name).partition(".")[0] for one in ast.walk(tree) if isinstance(one, ast.alias)}
    absent = () if "*" in bound else [name for name in USUAL if name in used and name not in bound]
    return {name: module for name in absent if (module := _imported(USUAL[name])) is not None}


def old_interfaces(module: ModuleType, source: str) -> None:
    """Names of Keras 2's backend and of TensorFlow 1, where the installed version keeps them elsewhere."""
    for name, value in list(vars(module).items()):
        if not isinstance(value, ModuleType) or isinstance(value, StandIn):
            continue
        if value.__name__.endswith("keras.backend") and not hasattr(value, "random_normal"):
            setattr(module, name, OldBackend(value))
        elif value.__name__ == "tensorflow" and re.search(rf"\b{name}\.(placeholder|random_normal|log)\(", source):
            setattr(module, name, _imported("tensorflow.compat.v1") or value)


def _imported(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None
