"""``pytest --reparam-verify``: one test per file that holds parts of a variational autoencoder.

``--reparam-verify=GLOB`` says which files (``*vae*.py`` by default), test files apart. A failed check fails the test; a
file of which too little could be judged is skipped, with what is missing.
"""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """The one option."""
    group = parser.getgroup("reparam")
    group.addoption(
        "--reparam-verify", nargs="?", const="*vae*.py", metavar="GLOB", help="audit the VAEs in files that match GLOB"
    )


def pytest_collect_file(parent: pytest.Collector, file_path: Path) -> pytest.File | None:
    """A file that matches, as a test file of its own."""
    pattern = parent.config.getoption("--reparam-verify")
    if not pattern or not matches(file_path, pattern) or file_path.suffix not in (".py", ".ipynb"):
        return None
    is_test = any(fnmatch(file_path.name, one) for one in parent.config.getini("python_files"))
    return None if is_test else AuditedFile.from_parent(parent, path=file_path)


def matches(path: Path, pattern: str) -> bool:
    """Whether a path ends as the pattern does, in letters of either case.

    >>> matches(Path("/a/models/VAE.py"), "*vae*.py"), matches(Path("/a/models/b.py"), "models/*.py")
    (True, True)
    """
    return Path(str(path).lower()).match(pattern.lower())


class AuditedFile(pytest.File):
    """A file with one test: its audit."""

    def collect(self) -> Iterator[pytest.Item]:
        """The test."""
        yield Audit.from_parent(self, name="reparam-verify")


class Audit(pytest.Item):
    """The audit of one file."""

    def runtest(self) -> None:
        """Load, audit, and raise where a check fails."""
        from reparam.verification.audit import verify_loaded
        from reparam.verification.loading import load
        from reparam.verification.subject import NothingFoundError

        try:
            report = verify_loaded(load(str(self.path)))
        except NothingFoundError as error:
            pytest.skip(str(error))
        report.raise_if_failed()
        if report.missing:
            pytest.skip(f"not enough to judge: {'; '.join(report.missing)}")

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: object = None) -> str:
        """The findings, without a traceback through the audit."""
        return str(excinfo.value)

    def reportinfo(self) -> tuple[Path, None, str]:
        """Where pytest says the test is."""
        return self.path, None, f"reparam verify {self.path.name}"
