"""The wheel in an empty environment: README's example runs from it, outside the repository, on every Python at hand."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from release.pins import CONSTRAINTS, ROOT
from release.wheel import version

MINORS = (11, 12, 13, 14)
SAID = """
import importlib.metadata, pathlib, reparam
assert reparam.__version__ == importlib.metadata.version("reparam") == {version!r}
assert pathlib.Path(reparam.__file__).is_relative_to({environment!r}), reparam.__file__
assert vae.transform(X).shape == (1797, 10)
"""


def example() -> str:
    """The first Python of README.md."""
    found = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    if found is None:
        sys.exit("README.md: there is no example in Python.")
    return found[1]


def pythons() -> Iterator[tuple[str, str | None]]:
    """Every Python that reparam supports, and where it is: in the variable PYTHONS, or on the path."""
    given = os.environ.get("PYTHONS", "").split()
    for minor in MINORS:
        name = f"python3.{minor}"
        places = [place for place in (*given, shutil.which(name)) if place is not None and _minor(place) == minor]
        yield name, next(iter(places), None)


def _minor(python: str) -> int | None:
    asked = [python, "-c", "import sys; print(sys.version_info.minor)"]
    try:
        answered = subprocess.run(asked, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return int(answered.stdout) if answered.returncode == 0 else None


def try_out(python: str, wheel: Path) -> None:
    """Install the wheel into an empty environment, and use it there.

    Raises:
        subprocess.CalledProcessError: a step fails.
    """
    surroundings = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    with tempfile.TemporaryDirectory() as folder:
        environment = Path(folder).resolve() / "environment"
        inside = environment / ("Scripts" if os.name == "nt" else "bin")

        def run(*command: object) -> None:
            subprocess.run([*map(str, command)], cwd=folder, env=surroundings, check=True, stdout=subprocess.DEVNULL)

        run(python, "-m", "venv", environment)
        run(inside / "pip", "install", "--quiet", "--disable-pip-version-check", "--constraint", CONSTRAINTS, wheel)
        run(inside / "python", "-c", example() + SAID.format(version=version(), environment=str(environment)))
        run(inside / "reparam", "--version")
        run(inside / "reparam", "inspect", "digits")


def main(wheel: Path) -> None:
    """Try the wheel on every Python at hand, and say which are not.

    Raises:
        SystemExit: not even one is.
    """
    tried = 0
    for name, place in pythons():
        if place is None:
            print(f"{name}: not found here, not tried")
            continue
        try_out(place, wheel)
        tried += 1
        print(f"{name}: {wheel.name} installed into an empty environment, README's example runs")
    if not tried:
        sys.exit("no Python was found: name some in the variable PYTHONS")
