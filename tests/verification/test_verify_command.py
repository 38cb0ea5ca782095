"""``reparam verify`` as a program: exit codes, one JSON document, the user's exceptions as the user's own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from rich.cells import cell_len

from reparam.cli import main

GALLERY = Path(__file__).parent / "gallery"


def run(monkeypatch, capsys, *arguments: object) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["reparam", "verify", *map(str, arguments)])
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as stopped:
        main()
    captured = capsys.readouterr()
    return int(stopped.value.code or 0), captured.out, captured.err


def test_correct_code_exits_0_with_a_table(monkeypatch, capsys):
    code, out, _ = run(monkeypatch, capsys, f"{GALLERY}/correct_numpy.py:OwnNoise")
    assert code == 0
    assert "kl-matches-sampler" in out
    assert "Seed 20140501" in out
    assert "false alarm" in out
    assert max(map(cell_len, out.splitlines())) <= 80


def test_broken_code_exits_1_with_the_mending_line(monkeypatch, capsys):
    code, out, _ = run(monkeypatch, capsys, f"{GALLERY}/broken_numpy.py:StdIsVarianceUndeclared")
    assert code == 1
    assert "use exp(0.5·raw) in the sampler" in " ".join(out.split())


def test_json_is_one_list_whatever_the_file_prints(monkeypatch, capsys, tmp_path):
    file = tmp_path / "chatty.py"
    file.write_text("print('loading')\ndef kl(mean, raw):\n    print('kl')\n    return (mean**2).sum(1)\n")
    code, out, err = run(monkeypatch, capsys, file, "--json")
    findings = json.loads(out)
    assert code == 1
    assert {tuple(finding) for finding in findings} == {("check", "status", "measured", "expected", "fix")}
    assert {finding["status"] for finding in findings} <= {"pass", "fail", "warn", "skipped", "unusable"}
    assert "loading" in err
    assert "kl" in err


def test_what_is_printed_past_python_is_not_on_standard_output_either(capfd, tmp_path):
    file = tmp_path / "chatty.py"
    file.write_text("import os\ndef kl(mean, raw):\n    os.write(1, b'raw')\n    return (mean**2).sum(1)\n")
    with pytest.raises(SystemExit):
        main(["verify", str(file), "--json"])
    out, err = capfd.readouterr()
    assert json.loads(out)
    assert "raw" in err


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("x = 1\ny = x / 0\n", ["ZeroDivisionError", "line 2"]),
        ("def kl(:\n", ["SyntaxError", "line 1"]),
        ("import sys\nsys.exit(3)\n", ["SystemExit", "line 2"]),
        ("import os\nos._exit(0)\n", ["SystemExit", "line 2"]),
        ("import no_such_package\n", ["defines none of sample, kl"]),
        ("x = 1\n", ["defines none of sample, kl"]),
        ("SCALE = 'log_varianse'\ndef kl(mean, raw): return 0\n", ["Did you mean 'log_variance'"]),
        ("REDUCTION = 'max'\ndef kl(mean, raw): return 0\n", ["REDUCTION", "'max'"]),
        ("FRAMEWORK = 'theano'\ndef kl(mean, raw): return 0\n", ["FRAMEWORK", "'theano'"]),
        ("LATENT_DIM = 0\ndef kl(mean, raw): return 0\n", ["LATENT_DIM", "[1, inf)"]),
        ("SAMPLE_AXIS = 3\ndef bound(log_w): return 0\n", ["SAMPLE_AXIS", "3"]),
        ("BETA = 'four'\ndef kl(mean, raw): return 0\n", ["BETA", "'four'"]),
        ("SCALE = 3\ndef kl(mean, raw): return 0\n", ["SCALE", "3"]),
    ],
)
def test_unusable_files_exit_2_with_one_line(monkeypatch, capsys, tmp_path, source, told):
    file = tmp_path / "vae.py"
    file.write_text(source)
    code, out, err = run(monkeypatch, capsys, file, "--json")
    assert code == 2
    assert len(err.splitlines()) == 1
    assert all(word in err for word in told), err
    assert all(word in json.loads(out)["error"] for word in told), out


@pytest.mark.parametrize("target", ["missing.py", "missing.py:VAE", "."])
def test_files_that_are_not_there_exit_2(monkeypatch, capsys, target):
    code, _, err = run(monkeypatch, capsys, target)
    assert code == 2
    assert "Give" in err


def test_a_name_that_is_not_there_is_suggested(monkeypatch, capsys):
    code, _, err = run(monkeypatch, capsys, f"{GALLERY}/correct_numpy.py:LogVarianse")
    assert code == 2
    assert "Did you mean 'LogVariance'" in err


def test_what_could_not_be_judged_exits_3_and_is_told(monkeypatch, capsys, tmp_path):
    file = tmp_path / "vae.py"
    file.write_text("class VAE:\n    def __init__(self, size): ...\n    def kl(self, mean, raw): ...\n")
    code, out, _ = run(monkeypatch, capsys, f"{file}:VAE")
    assert code == 3
    assert "Not enough to judge: no sampler was found" in " ".join(out.split())
    assert "kl returned a NoneType" in " ".join(out.split())


def test_a_check_is_explained_without_a_file(monkeypatch, capsys):
    code, out, _ = run(monkeypatch, capsys, "--explain", "kl_matches_sampler")
    assert (code, out.splitlines()[0].partition(":")[0]) == (0, "kl-matches-sampler")


@pytest.mark.parametrize("options", [[], ["--declare", "SCALE"], ["--format", "xml"], ["--select", "nothing"]])
def test_options_that_cannot_be_are_told_in_one_line(monkeypatch, capsys, options):
    target = [] if not options else [f"{GALLERY}/correct_numpy.py:OwnNoise"]
    code, out, err = run(monkeypatch, capsys, *target, *options)
    assert (code, out, len(err.splitlines())) == (2, "", 1)


def test_flags_choose_checks_formats_and_declarations(monkeypatch, capsys):
    target = f"{GALLERY}/correct_numpy.py:OwnNoise"
    code, out, _ = run(monkeypatch, capsys, target, "--select", "scale-range", "--json")
    assert (code, [finding["check"] for finding in json.loads(out)]) == (0, ["scale-range"])
    code, out, _ = run(monkeypatch, capsys, target, "--declare", "SCALE=log_std", "--format", "github")
    assert code == 1
    assert out.startswith("::error file=")
    code, out, _ = run(monkeypatch, capsys, target, "--format", "sarif")
    assert (code, json.loads(out)["runs"][0]["results"]) == (0, [])


def test_help_says_that_the_file_is_run(monkeypatch, capsys):
    code, out, _ = run(monkeypatch, capsys, "--help")
    assert code == 0
    assert "RUN" in out


def test_declarations_of_the_module_hold_for_a_class_in_it(monkeypatch, capsys, tmp_path):
    file = tmp_path / "vae.py"
    file.write_text(
        "import numpy as np\nSCALE = 'log_std'\nclass VAE:\n    @staticmethod\n"
        "    def sample(mean, raw, eps): return mean + np.exp(0.5 * raw) * eps\n"
    )
    code, out, _ = run(monkeypatch, capsys, f"{file}:VAE", "--json")
    assert code == 1
    assert "SCALE declares log_std" in out


def test_importing_the_audit_imports_no_framework():
    program = "import sys, reparam.verification; print(sorted({'jax', 'torch', 'tensorflow'} & {*sys.modules}))"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_the_file_leaves_no_bytecode_and_may_import_its_neighbours(monkeypatch, capsys, tmp_path):
    (tmp_path / "my_kl_of_a_neighbour.py").write_text("def term(mean, raw): return (mean**2).sum(1)\n")
    (tmp_path / "vae.py").write_text(
        "from my_kl_of_a_neighbour import term\ndef kl(mean, raw): return term(mean, raw)\n"
    )
    code, _, _ = run(monkeypatch, capsys, tmp_path / "vae.py", "--json")
    assert code == 1
    assert not list(tmp_path.glob("__pycache__/vae*"))
