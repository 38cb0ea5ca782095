"""What a release is held to, but for what takes minutes or the internet: ``make release-check``, ``make audit``."""

from __future__ import annotations

import json
import re
from email.message import Message
from types import SimpleNamespace

import pytest
from packaging.requirements import Requirement
from release import audit, installed, licences, pins, wheel
from release.dependencies import dependencies


def package(**fields: str | list[str]) -> SimpleNamespace:
    metadata = Message()
    for name, values in fields.items():
        for value in values if isinstance(values, list) else [values]:
            metadata[name.replace("_", "-")] = value
    return SimpleNamespace(metadata=metadata)


def test_every_requirement_is_pinned_and_nothing_else_stands_there():
    told = pins.project()
    texts = [*told["dependencies"], *(text for extra in pins.extras() for text in told["optional-dependencies"][extra])]
    assert pins.unpinned([Requirement(text).name for text in texts], pins.pins()) == []
    lines = pins.CONSTRAINTS.read_text().splitlines()
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines)
    assert len(pins.pins()) == len(lines)


def test_what_is_installed_and_not_pinned_is_named():
    assert pins.unpinned(["NumPy", "left_pad", "reparam"], {"numpy": "2"}) == ["left-pad"]


def test_every_package_under_reparam_has_a_licence_that_is_allowed():
    found = {name: licences.licence(package) for name, package in dependencies().items()}
    assert {"jax", "numpy", "tqdm", "ml-dtypes"} <= set(found)  # those that its dependencies need too
    assert licences.refused(found) == []


OSI = "License :: OSI Approved :: "


@pytest.mark.parametrize(
    ("fields", "told", "allowed"),
    [
        ({"License_Expression": "MIT"}, "MIT", True),
        ({"License": "The MIT License (MIT)", "Classifier": f"{OSI}MIT License"}, "MIT", True),
        ({"License": "Apache-2.0 OR GPL-3.0-only"}, "Apache-2.0 OR GPL-3.0-only", True),
        ({"License": "a text of its own " * 9, "Classifier": f"{OSI}BSD License"}, "BSD", True),
        ({"License_Expression": "GPL-3.0-or-later"}, "GPL-3.0-or-later", False),
        ({"License_Expression": "MPL-2.0"}, "MPL-2.0", False),  # but for the packages that are named
        ({"License": "MIT-like", "Classifier": f"{OSI}Other Free"}, "Other Free", False),
        ({"Classifier": [f"{OSI}MIT License", f"{OSI}GNU General Public License (GPL)"]}, "MIT AND GPL", False),
        ({}, "unknown", False),
    ],
)  # fmt: skip
def test_a_licence_is_read_and_judged(fields, told, allowed):
    assert licences.licence(package(**fields)) == told
    assert (licences.refused({"some-package": told}) == []) is allowed


def test_an_exception_is_of_one_package_and_one_licence():
    assert licences.refused({"tqdm": "MPL-2.0 AND MIT", "certifi": "MPL-2.0"}) == []
    assert len(licences.refused({"tqdm": "GPL-3.0-only", "other": "MPL-2.0 AND MIT"})) == 2


SOUND = {"name": "jax", "version": "1", "vulns": []}
SKIPPED = {"name": "numpy", "skip_reason": "not found"}
BAD = {"name": "rich", "version": "2", "vulns": [{"id": "X-1", "fix_versions": ["3"]}]}


@pytest.mark.parametrize(
    ("packages", "code"),
    [([SOUND], 0), ([SOUND, SKIPPED], 3), ([SKIPPED], 3), ([], 3), ([SOUND, BAD], 1), ([SKIPPED, BAD], 1)],
)
def test_an_audit_that_could_not_look_is_not_taken_for_a_clean_one(packages, code):
    assert audit.judged({"dependencies": packages})[0] == code


def test_an_audit_without_an_answer_says_so(monkeypatch):
    monkeypatch.setattr(
        audit.subprocess, "run", lambda *_, **__: SimpleNamespace(stdout="", stderr="a\nno such host\n", returncode=1)
    )
    assert audit.asked(()) == (3, "the service cannot be reached: no such host")


def test_the_date_of_a_release_is_that_of_the_environment_first(monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1234567890")
    assert wheel.epoch() == 1234567890


def test_the_example_of_the_readme_is_found_and_parses():
    assert "reparam.VAE(" in installed.example()
    compile(installed.example(), "README.md", "exec")


def test_a_bill_of_materials_names_every_package_and_who_needs_it(tmp_path, monkeypatch):
    pytest.importorskip("cyclonedx", reason="cyclonedx-python-lib is of the extra 'release'")
    from release import sbom

    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1234567890")
    first = sbom.write(tmp_path).read_bytes()
    assert sbom.write(tmp_path).read_bytes() == first
    document = json.loads(first)
    assert document["bomFormat"] == "CycloneDX"
    assert document["metadata"]["timestamp"].startswith("2009-02-13T23:31:30")
    found = {component["name"]: component for component in document["components"]}
    assert set(found) == set(dependencies())
    assert all(component["version"] and component["licenses"] for component in found.values())
    below = {entry["ref"].partition("==")[0]: entry.get("dependsOn", []) for entry in document["dependencies"]}
    assert any(ref.startswith("jax==") for ref in below["reparam"])
    assert any(ref.startswith("ml-dtypes==") for ref in below["jax"])
