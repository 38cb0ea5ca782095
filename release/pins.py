"""``constraints.txt`` names every package that a fresh resolution of pyproject.toml installs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
CONSTRAINTS = ROOT / "constraints.txt"
MACHINES = ("gpu", "tpu")  # extras whose packages other machines have
OURS = "reparam"


def canonical(name: str) -> str:
    """A package's name as all ways to write it have it.

    >>> canonical("Typing_Extensions")
    'typing-extensions'
    """
    return re.sub(r"[-_.]+", "-", name).lower()


def pins() -> dict[str, str]:
    """The versions of ``constraints.txt`` by canonical name."""
    lines = [line.strip().partition("==") for line in CONSTRAINTS.read_text().splitlines() if line.strip()]
    return {canonical(name): version for name, _, version in lines}


def project() -> dict[str, Any]:
    """What pyproject.toml says of the project."""
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return found


def extras() -> list[str]:
    """The extras that this machine can install."""
    return [name for name in project()["optional-dependencies"] if name not in MACHINES]


def unpinned(names: Iterable[str], pinned: Mapping[str, str]) -> list[str]:
    """Of the packages that are installed those that are not pinned.

    >>> unpinned(["jax", "NumPy", "reparam"], {"numpy": "2.0", "six": "1"})
    ['jax']
    """
    return sorted({canonical(name) for name in names} - {OURS} - set(pinned))


def resolved() -> list[str]:
    """The packages that pip would install into an empty environment, with every extra.

    Raises:
        subprocess.CalledProcessError: pip finds no solution.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
        wanted = ["--report", str(report), "--constraint", str(CONSTRAINTS), f"{ROOT}[{','.join(extras())}]"]
        subprocess.run([*pip, *wanted], check=True)
        return [entry["metadata"]["name"] for entry in json.loads(report.read_text())["install"]]


def main() -> None:
    """Resolve and compare.

    Raises:
        SystemExit: something is not pinned.
    """
    missing = unpinned(resolved(), pins())
    if missing:
        sys.exit(f"constraints.txt: a fresh resolution installs what is not pinned: {', '.join(missing)}")
    print(f"constraints.txt: {len(pins())} packages; a fresh resolution installs none that is not pinned")


if __name__ == "__main__":
    main()
