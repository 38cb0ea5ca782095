"""The engine: one cause told once, what is not enough, what was selected, and the formats of the answer."""

from __future__ import annotations

import ast
import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from reparam.errors import UnknownNameError
from reparam.verification import verify
from reparam.verification.audit import verify_loaded
from reparam.verification.checks import CHECKS
from reparam.verification.loading import load
from reparam.verification.rendering import to_github, to_sarif

GALLERY = Path(__file__).parent / "gallery"
NAMES = {check.name for check in CHECKS}


def kl(mean, raw):
    return 0.5 * np.sum(mean**2 + np.exp(raw) - 1 - raw, axis=1)


def sample(mean, raw, eps):
    return mean + np.exp(0.5 * raw) * eps


def bound(log_w):
    return np.logaddexp.reduce(log_w, 1) - np.log(log_w.shape[1])


def squares(x, decoded):
    return np.sum((x - decoded) ** 2, axis=1)


def broken_classes():
    tree = ast.parse((GALLERY / "broken_numpy.py").read_text(encoding="utf-8"))
    return [node.name for node in tree.body if isinstance(node, ast.ClassDef)]


@pytest.mark.parametrize("name", broken_classes())
def test_every_pointer_ends_at_a_failure(name):
    report = verify_loaded(load(f"{GALLERY}/broken_numpy.py:{name}"))
    for finding in report.findings:
        for pointer in re.findall(r"see ([a-z-]+)", finding.measured):
            assert report[pointer].status in ("fail", "unusable"), finding


def test_the_registry_has_no_circle_and_no_unknown_name():
    def grounds(name, above=()):
        assert name not in above
        check = next(check for check in CHECKS if check.name == name)
        return [grounds(one, (*above, name)) for one in check.after]

    assert all(set(check.after) <= NAMES for check in CHECKS)
    assert [grounds(check.name) for check in CHECKS]


@pytest.mark.parametrize(
    ("namespace", "code", "missing"),
    [
        (SimpleNamespace(sample=sample, kl=kl, reconstruction_loss=squares), 0, ""),
        (SimpleNamespace(sample=sample, kl=kl), 3, "neither a reconstruction loss nor a joint loss"),
        (SimpleNamespace(sample=sample, kl=kl, PARTS="sample, kl"), 0, ""),
        (SimpleNamespace(sample=sample, kl=kl, PARTS=("sample", "loss")), 3, "no joint loss"),
        (SimpleNamespace(kl=kl, reconstruction_loss=squares), 3, "no sampler"),
        (SimpleNamespace(sample=sample), 3, "neither a KL nor a joint loss"),
        (SimpleNamespace(sample=sample, kl=lambda mean, raw: -kl(mean, raw)), 1, ""),
        (SimpleNamespace(bound=bound), 3, "no sampler"),
        (SimpleNamespace(bound=bound, PARTS="bound"), 0, ""),
        (SimpleNamespace(sample=sample, kl=lambda mean, raw: {}["kl"]), 3, "KeyError"),
    ],
)
def test_exit_codes_say_whether_there_was_enough_to_judge(namespace, code, missing):
    report = verify(namespace)
    assert report.exit_code == code
    assert missing in " ".join(report.missing)


def test_checks_are_selected_and_ignored_by_name():
    namespace = SimpleNamespace(sample=sample, kl=lambda mean, raw: -kl(mean, raw))
    assert [f.check for f in verify(namespace, select=["scale-range"]).findings] == ["scale-range"]
    assert verify(namespace, ignore=["kl-nonnegative-zero-at-prior"]).passed
    with pytest.raises(UnknownNameError, match="Did you mean 'scale-range'"):
        verify(namespace, select=["scale-rang"])


TERMS = ("reconstruction-sums-over-features", "likelihood-support", "batch-reduction-consistent")


@pytest.mark.parametrize(
    ("select", "ignore", "code"),
    [
        (["kl-sums-over-latents"], [], 0),
        (["kl-matches-sampler"], [], 0),
        (["beta-effective"], [], 3),
        (["likelihood-support"], [], 3),
        ([], TERMS, 0),
        ([], TERMS[:2], 3),
    ],
)
def test_what_no_check_is_asked_about_is_not_missed(select, ignore, code):
    assert verify(SimpleNamespace(sample=sample, kl=kl), select=select, ignore=ignore).exit_code == code


def test_declarations_are_set_by_flag_and_by_comment(tmp_path):
    source = "import numpy as np\ndef sample(mean, raw, eps): return mean + np.exp(raw) * eps\n"
    path = tmp_path / "vae.py"
    path.write_text(source)
    assert verify_loaded(load(str(path)), declared={"SCALE": "log_variance"})["sampler-location-scale"].status == "fail"
    path.write_text(source + "# reparam: SCALE = log_variance\n")
    assert verify_loaded(load(str(path)))["sampler-location-scale"].status == "fail"
    path.write_text(source + "# reparam: SCALE = log_std\n")
    assert verify_loaded(load(str(path)))["sampler-location-scale"].status == "pass"


def test_every_check_is_explained():
    for check in CHECKS:
        assert all([check.why, check.mathematics, check.broken, check.mended])
        assert all(word in str(check) for word in ("Why:", "Mathematics:", "Broken:", "Mended:"))


def test_annotations_and_sarif_name_file_line_and_check(tmp_path):
    path = tmp_path / "vae.py"
    path.write_text("import numpy as np\n\n\ndef kl(mean, raw):\n    return np.sum(mean**2, axis=1) * -1\n")
    report = verify_loaded(load(str(path)))
    assert f"::error file={path},line=4,title=kl-nonnegative-zero-at-prior::" in to_github(str(path), report)
    log = json.loads(to_sarif({str(path): report}))
    (first, *_) = log["runs"][0]["results"]
    assert (first["ruleId"], first["level"]) == ("kl-nonnegative-zero-at-prior", "error")
    assert first["locations"][0]["physicalLocation"]["region"]["startLine"] == 4
    assert {rule["id"] for rule in log["runs"][0]["tool"]["driver"]["rules"]} == NAMES


def test_an_audit_that_runs_too_long_is_stopped(tmp_path):
    from reparam.errors import DataError
    from reparam.verification.loading import limits

    path = tmp_path / "vae.py"
    path.write_text("def kl(mean, raw):\n    while True:\n        pass\n")
    with pytest.raises(DataError, match="ran for 0.3 seconds"), limits(0.3, 64.0):
        verify_loaded(load(str(path)))


def test_the_pytest_plugin_fails_passes_and_skips(tmp_path, monkeypatch):
    import subprocess

    sampler = "import numpy as np\ndef sample(mu, logvar, eps): return mu + np.exp({} * logvar) * eps\n"
    term = (
        "def kl(mu, logvar): return 0.5 * np.sum(mu**2 + np.exp(logvar) - 1 - logvar, axis=1)\n"
        "def reconstruction_loss(recon_x, x): return np.sum((recon_x - x) ** 2, axis=1)\n"
    )
    (tmp_path / "good_vae.py").write_text(sampler.format(0.5) + term)
    (tmp_path / "bad_vae.py").write_text(sampler.format(1) + term)
    (tmp_path / "little_vae.py").write_text(sampler.format(0.5))
    (tmp_path / "vae_plots.py").write_text("def plot(x): return x\n")
    (tmp_path / "test_vae.py").write_text("def sample(mean, raw): return mean\n")
    (tmp_path / "other.py").write_text("1 / 0\n")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-rs",
        "-p",
        "reparam.verification.pytest_plugin",
        "--reparam-verify",
    ]
    answer = subprocess.run(
        [*command, "-c", "/dev/null", str(tmp_path)], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert "1 failed, 1 passed, 2 skipped" in answer.stdout, answer.stdout + answer.stderr
    assert "use exp(0.5·raw) in the sampler" in answer.stdout
    assert "not enough to judge" in answer.stdout
    assert "vae_plots.py defines none of" in answer.stdout
