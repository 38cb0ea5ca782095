"""What the user named → a file, the name in it, and its source."""

from __future__ import annotations

import ast
import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path

from reparam.errors import DataError

FORMS = "FILE.py, FILE.py:NAME, NOTEBOOK.ipynb or package.module:NAME"
NOT_PYTHON = ("%", "!", "?")
"""What begins a line that only a notebook understands."""


@dataclass(frozen=True)
class Target:
    """A file, the dotted name to audit in it (empty for all of it), and the module's name where it is a package's."""

    path: Path
    name: str = ""
    module: str = ""

    def source(self) -> str:
        """The Python of the file; of a notebook its code cells, one below the other.

        Raises:
            DataError: the file cannot be read as text, or as a notebook.
        """
        try:
            text = self.path.read_text(encoding="utf-8")
            return _cells(text) if self.path.suffix == ".ipynb" else text
        except (UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
            raise DataError(f"{self.path} cannot be read as Python: {error}. Give {FORMS}.") from error


def located(target: str) -> Target:
    """A path that exists as it stands wins, so that a colon in a folder's name does no harm.

    Raises:
        DataError: there is neither such a file nor such a module.
    """
    if Path(target).is_file():
        return Target(Path(target))
    before, colon, name = target.rpartition(":")
    named = bool(colon) and all(part.isidentifier() for part in name.split("."))
    place, name = (before, name) if named else (target, "")
    if Path(place).is_file():
        return Target(Path(place), name)
    if Path(place).is_dir():
        raise DataError(f"{Path(place)} is a folder. Give the file to verify: {FORMS}.")
    origin = _origin(place)
    if origin is None:
        raise DataError(f"no file {place}. Give what exists: {FORMS}.")
    return Target(origin, name, place)


def _origin(module: str) -> Path | None:
    """The file of a dotted module that can be imported."""
    if not all(part.isidentifier() for part in module.split(".")):
        return None
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None
    return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None


def _cells(text: str) -> str:
    cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    return "\n\n".join(filter(None, (_python("".join(cell["source"])) for cell in cells)))


def _python(cell: str) -> str:
    """The cell without magics and shell lines; nothing of a cell that is no Python even so."""
    if cell.lstrip().startswith("%%"):
        return ""
    lines = ["" if line.lstrip().startswith(NOT_PYTHON) or line.endswith("?") else line for line in cell.splitlines()]
    text = "\n".join(lines)
    try:
        ast.parse(text)
    except SyntaxError:
        return ""
    return text
