"""Running a file's definitions (or all of it, where there is no script), and telling what went wrong as the file's own.

Statements are run one by one in a module of their own, with ``sys.argv`` of their own and the file's folder and
repository on the path.
"""

from __future__ import annotations

import ast
import copy
import inspect
import linecache
import os
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from reparam.errors import DataError, UnknownNameError
from reparam.verification.loading.definitions import definitions, has_script, makers
from reparam.verification.loading.standins import (
    Finder,
    MissingError,
    StandIn,
    asking_nothing,
    from_sibling,
    old_interfaces,
    standing_in,
    usual_imports,
)
from reparam.verification.loading.targets import Target, located


@dataclass
class Loaded:
    """What is to be audited, the module that it stands in, and how that was run."""

    namespace: Any
    module: ModuleType
    tree: ast.Module
    script_skipped: bool
    missing: tuple[str, ...] = ()
    supplied: tuple[str, ...] = ()
    _runner: _Runner | None = field(default=None, repr=False)

    def demand(self, names: Iterable[str]) -> None:
        """Run the skipped top-level assignments of these names, and what they need, as far as they can be run."""
        if self._runner is not None:
            for name in names:
                self._runner.demand(name)


def load(target: str, call: str | None = None, definitions_only: bool | None = None) -> Loaded:
    """Run a file and return what ``NAME`` picks in it (the module itself without ``NAME``).

    ``call``: an expression that makes the object to audit, such as ``"VAE(20)"``. ``definitions_only``: whether to
    leave the script of the file unrun; by default where it has one.

    Raises:
        DataError: no such file, it is not Python, or it raised while being run.
        UnknownNameError: the file defines no such name.
    """
    place = located(target)
    runner = _Runner(place, definitions_only)
    module = runner.run()
    loaded = Loaded(
        module,
        module,
        runner.tree,
        runner.definitions_only,
        tuple(dict.fromkeys(runner.missing)),
        tuple(runner.supplied),
        runner,
    )
    if call is not None:
        loaded.namespace = runner.evaluate(call)
    for part in filter(None, place.name.split(".")):
        runner.demand(part)
        if not hasattr(loaded.namespace, part):
            raise UnknownNameError(f"name in {place.path.name}", place.name, _public_names(module))
        loaded.namespace = getattr(loaded.namespace, part)
    return loaded


class _Runner:
    """One file's statements, run in one module."""

    def __init__(self, target: Target, definitions_only: bool | None):
        self.target, self.file = target, str(target.path)
        self.source = source = target.source()
        if target.path.suffix == ".ipynb":  # so that a function's source can be had
            linecache.cache[self.file] = (len(source), None, source.splitlines(keepends=True), self.file)
        try:
            self.tree = ast.parse(source, self.file)
        except SyntaxError as error:
            raise DataError(f"{self.file}: {describe(error, self.file)}. Mend the file.") from error
        notebook = target.path.suffix == ".ipynb"
        self.definitions_only = (notebook or has_script(self.tree)) if definitions_only is None else definitions_only
        self.module = ModuleType(f"verified_{target.path.stem}")
        self.module.__file__ = self.file
        self.missing: list[str] = []
        self.supplied: list[str] = []
        self.makers = makers(self.tree) if self.definitions_only else {}
        self.demanded: set[str] = set()
        self.flags = _future_flags(self.tree)

    def run(self) -> ModuleType:
        """The module, its definitions made."""
        sys.modules[self.module.__name__] = self.module
        self.module.__package__ = _on_path(self.target.path, self.tree)
        _choose_keras_backend(self.tree)
        statements = definitions(self.tree) if self.definitions_only else iter(self.tree.body)
        with self._surroundings():
            for name, value in usual_imports(self.tree).items():
                setattr(self.module, name, value)
                self.supplied.append(f"{name} as {value.__name__}")
                old_interfaces(self.module, self.source)
            for statement in statements:
                self._run_or_tell(statement)
        _devices_that_exist(self.module)
        return self.module

    def demand(self, name: str) -> None:
        """Run the skipped statements that make a name, after those that they need; what fails stays undone."""
        if name not in self.makers or name in self.demanded or hasattr(self.module, name):
            return
        self.demanded.add(name)
        for statement in self.makers[name]:
            for node in ast.walk(statement):
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                    self.demand(node.id)
            with self._surroundings(), suppress(Exception, SystemExit):
                self._run(statement)
        _devices_that_exist(self.module)

    def evaluate(self, expression: str) -> Any:
        """The value of ``--call``.

        Raises:
            DataError: it raised.
        """
        with self._surroundings():
            try:
                return eval(compile(expression, "--call", "eval"), vars(self.module))
            except Exception as error:
                raise DataError(f"--call {expression!r} raised {describe(error, self.file)}. Mend the call.") from error

    @contextmanager
    def _surroundings(self) -> Iterator[Finder]:
        """``sys.argv`` of the file's own, no bytecode beside it, stand-ins for what is not installed."""
        argv, bytecode = sys.argv, sys.dont_write_bytecode
        sys.argv, sys.dont_write_bytecode = [self.file], True
        try:
            with standing_in(_root(self.target.path)) as finder, asking_nothing():
                yield finder
            self.missing += [name for name in finder.missing if "." not in name]
        finally:
            sys.argv, sys.dont_write_bytecode = argv, bytecode

    def _run_or_tell(self, statement: ast.stmt) -> None:
        try:
            self._run(statement)
        except (Exception, SystemExit) as error:
            if isinstance(statement, ast.Import | ast.ImportFrom) and isinstance(error, ImportError):
                self._stand_in(statement)
            elif not self.definitions_only or isinstance(statement, ast.ClassDef | ast.FunctionDef):
                if self._defined_without_standins(statement) or (self.definitions_only and _from_standin(error)):
                    return
                raise DataError(
                    f"{self.file}: running the file raised {describe(error, self.file)}. Mend the file."
                ) from error

    def _run(self, statement: ast.stmt) -> None:
        code = compile(ast.Module([statement], []), self.file, "exec", flags=self.flags, dont_inherit=True)
        exec(code, vars(self.module))
        if isinstance(statement, ast.Import | ast.ImportFrom):
            old_interfaces(self.module, self.source)

    def _defined_without_standins(self, statement: ast.stmt) -> bool:
        """Whether a class or function can be had without what it uses of a missing package while it is defined."""
        absent = {name for name, value in vars(self.module).items() if isinstance(value, StandIn)}
        if not absent or not isinstance(statement, ast.ClassDef | ast.FunctionDef):
            return False
        bare = copy.deepcopy(statement)
        for node in ast.walk(bare):
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                node.decorator_list = [d for d in node.decorator_list if not _names(d) & absent]
            if isinstance(node, ast.ClassDef):
                node.body = [
                    part for part in node.body if isinstance(part, ast.FunctionDef) or not _names(part) & absent
                ]
                node.body = node.body or [ast.Pass()]
        with suppress(Exception):
            self._run(ast.fix_missing_locations(bare))
            return True
        return False

    def _stand_in(self, statement: ast.Import | ast.ImportFrom) -> None:
        """The names of a failed import, from a sibling file where one defines them."""
        origin = getattr(statement, "module", None) or ""
        for alias in statement.names:
            if alias.name == "*":
                continue
            try:
                value = from_sibling(origin, alias.name, [self.target.path.resolve().parent, _root(self.target.path)])
            except Exception:
                value = StandIn(f"{origin}.{alias.name}".strip("."))
                self.missing.append(value.__name__)
            setattr(self.module, alias.asname or alias.name.partition(".")[0], value)


def _names(node: ast.AST) -> set[str]:
    return {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}


def _from_standin(error: BaseException) -> bool:
    return isinstance(error, MissingError) or isinstance(error.__cause__, MissingError)


def _root(path: Path) -> Path:
    """The repository that the file stands in; its own folder without one."""
    folder = path.resolve().parent
    return next((up for up in (folder, *folder.parents) if (up / ".git").exists()), folder)


def _on_path(path: Path, tree: ast.Module) -> str:
    """Put the folder first on the path and its repository last; return the package that relative imports start from."""
    folder = path.resolve().parent
    levels = [node.level for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    depth = max(levels, default=0)
    places = [folder, *folder.parents]
    if str(folder) not in sys.path[:1]:
        sys.path.insert(0, str(folder))
    for place in dict.fromkeys((places[min(max(depth, 1), len(places) - 1)], _root(path))):
        if str(place) not in sys.path:
            sys.path.append(str(place))
    return ".".join(place.name for place in reversed(places[:depth]))


def _devices_that_exist(module: ModuleType) -> None:
    """A CUDA device among the module's names becomes the CPU on a machine without one."""
    torch: Any = sys.modules.get("torch")
    if not hasattr(torch, "device") or torch.cuda.is_available():
        return
    for name, value in list(vars(module).items()):
        if isinstance(value, torch.device) and value.type == "cuda":
            setattr(module, name, torch.device("cpu"))


def _choose_keras_backend(tree: ast.Module) -> None:
    """Keras runs on what is there: its own choice, TensorFlow, is not always."""
    imported = {name for node in ast.walk(tree) for name in _imported(node)}
    tensorflow = find_spec("tensorflow")  # without a file: a folder of that name
    if "keras" in imported and (tensorflow is None or tensorflow.origin is None):
        os.environ.setdefault("KERAS_BACKEND", next((n for n in ("torch", "jax") if n in imported), "jax"))


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name.partition(".")[0] for alias in node.names]
    return [(node.module or "").partition(".")[0]] if isinstance(node, ast.ImportFrom) else []


def _future_flags(tree: ast.Module) -> int:
    import __future__

    nodes = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "__future__"]
    features = [getattr(__future__, alias.name, None) for node in nodes for alias in node.names]
    return sum(feature.compiler_flag for feature in features if feature is not None)


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
