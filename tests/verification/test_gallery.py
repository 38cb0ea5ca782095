"""Every correct module passes all checks; every broken one fails the right ones and no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from reparam.verification.audit import verify_loaded
from reparam.verification.loading import load

GALLERY = Path(__file__).parent / "gallery"
FILES = {
    "correct": ("correct_numpy", "correct_jax", "correct_torch"),
    "broken": ("broken_numpy", "broken_jax", "broken_torch"),
}


def _classes(kind: str) -> list[pytest.ParameterSet]:
    """Every class that its own file defines, without importing a framework that is not installed."""
    return [pytest.param(file, name, id=f"{file}:{name}") for file in FILES[kind] for name in _names(file)]


def _names(file: str) -> list[str]:
    import ast

    tree = ast.parse((GALLERY / f"{file}.py").read_text(encoding="utf-8"))
    return [node.name for node in tree.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")]


def _loaded(file: str, name: str):
    framework = file.rpartition("_")[2]
    if framework != "numpy":
        pytest.importorskip(framework, reason=f"{framework} is not installed")
    return load(f"{GALLERY / file}.py:{name}")


@pytest.mark.parametrize(("file", "name"), _classes("correct"))
def test_correct_code_passes_every_check(file, name):
    report = verify_loaded(_loaded(file, name))
    assert report.failures == ()
    assert {finding.status for finding in report.findings} & {"pass"}


@pytest.mark.parametrize(("file", "name"), _classes("broken"))
def test_broken_code_fails_the_right_checks_alone(file, name):
    loaded = _loaded(file, name)
    report = verify_loaded(loaded)
    assert sorted(finding.check for finding in report.failures) == sorted(loaded.namespace.FAILS), report.failures
    assert all(finding.fix and finding.measured for finding in report.failures)
