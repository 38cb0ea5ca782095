"""The distributions: built twice, from the repository and from the first one's own source, byte for byte the same."""

from __future__ import annotations

import hashlib
import os
import runpy
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from release.pins import ROOT

NO_HISTORY = 1577836800  # the first second of 2020, where git tells no date


def version() -> str:
    """Of reparam, as its source tells it."""
    told: dict[str, Any] = runpy.run_path(str(ROOT / "src" / "reparam" / "version.py"))
    return str(told["__version__"])


def epoch() -> int:
    """The date of a release in seconds since 1970: as the environment says, or that of the last commit."""
    if "SOURCE_DATE_EPOCH" in os.environ:
        return int(os.environ["SOURCE_DATE_EPOCH"])
    asked = ["git", "-C", str(ROOT), "log", "-1", "--format=%ct"]
    answered = subprocess.run(asked, capture_output=True, text=True, check=False) if shutil.which("git") else None
    return int(answered.stdout) if answered is not None and answered.returncode == 0 else NO_HISTORY


def build(source: Path, target: Path, **environment: str) -> dict[str, Path]:
    """Build a source distribution, and a wheel from it; both by name.

    Raises:
        subprocess.CalledProcessError: it cannot be built.
    """
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(target), str(source)]
    surroundings = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch()), **environment}
    subprocess.run(command, env=surroundings, check=True, stdout=subprocess.DEVNULL)
    return {path.name: path for path in sorted(target.iterdir())}


def digests(files: dict[str, Path]) -> dict[str, str]:
    """The SHA-256 of each file."""
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}


def build_twice(target: Path) -> dict[str, Path]:
    """Build both distributions into a folder, and again elsewhere at another hour from nothing but the first's source.

    Raises:
        SystemExit: the two differ.
    """
    shutil.rmtree(target, ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder:
        first = build(ROOT, target, TZ="UTC")
        source = next(path for name, path in first.items() if name.endswith(".tar.gz"))
        with tarfile.open(source) as archive:
            archive.extractall(folder, filter="data")
        second = build(Path(folder, source.name.removesuffix(".tar.gz")), Path(folder, "again"), TZ="Asia/Kolkata")
        if digests(first) != digests(second):
            sys.exit(f"built twice, and not the same: {digests(first)} and {digests(second)}")
    return first


def check(files: dict[str, Path]) -> None:
    """What an index of packages would refuse.

    Raises:
        subprocess.CalledProcessError: it would refuse them.
    """
    twine = [sys.executable, "-m", "twine", "--no-color", "check", "--strict"]
    subprocess.run([*twine, *map(str, files.values())], check=True)
