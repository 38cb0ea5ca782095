"""Unusable input: exit code 2, one line that says what, and nothing half-written."""

from __future__ import annotations

import gzip
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from command_line import SMALL, run_cli

from reparam import cli


def refused(*arguments: object) -> str:
    """The one line that tells why a command line was refused."""
    result = run_cli(*arguments)
    assert result.code == 2, result.err
    assert result.out == ""
    assert len(result.err.splitlines()) == 1, result.err
    assert result.err.startswith("reparam: ")
    assert "Traceback" not in result.err
    return result.err


def rows(**changes: float) -> np.ndarray:
    found = np.random.default_rng(0).normal(size=(20, 6))
    for place, value in changes.items():
        row, column = place.removeprefix("at_").split("_")
        found[int(row), int(column)] = value
    return found


def npy(array: np.ndarray) -> bytes:
    import io

    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


BAD_FILES = {
    "empty": ("x.npy", b"", "is empty (0 bytes)"),
    "truncated": ("x.npy", npy(rows())[:200], "truncated, damaged or no .npy array"),
    "not what it says": ("x.npy", b"hello, this is text", "truncated, damaged or no .npy array"),
    "objects": ("x.npy", npy(np.array([[1, "a"], [None, 2]], dtype=object)), "opening a pickle runs code"),
    "pickle": ("x.pkl", pickle.dumps([1, 2]), "opening a pickle runs code"),
    "pickle in disguise": ("x.npy", pickle.dumps([1, 2]), "opening a pickle runs code"),
    "text array": ("x.npy", npy(np.array([["a", "b"]])), "real numbers are required"),
    "NaN": ("x.npy", npy(rows(at_3_4=np.nan)), "the first, in row 3, column 4, is missing (NaN)"),
    "infinity": ("x.npy", npy(rows(at_0_1=np.inf)), "the first, in row 0, column 1, is infinite"),
    "no rows": ("x.npy", npy(np.zeros((0, 3))), "holds no rows"),
    "no columns": ("x.npy", npy(np.zeros((3, 0))), "holds no columns"),
    "one axis": ("x.npy", npy(np.zeros(5)), "rows are required"),
    "one row": ("x.npy", npy(np.zeros((1, 3))), "1 row"),
    "header only": ("t.csv", b"a,b\n", "holds no rows"),
    "text among numbers": ("t.csv", b"a,b\n1,2\n2,3\n2,x\n", "line 4, column 'b' holds 'x', but 2 other cells"),
    "ragged table": ("t.csv", b"a,b\n1,2\n3\n", "t.csv"),
    "bad gzip": ("images-idx3-ubyte.gz", gzip.compress(b"\0\0\x08\x03")[:-6], "images-idx3-ubyte.gz"),
    "unknown ending": ("x.foo", b"1", "has an unknown ending"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_file_that_cannot_be_trained_on_is_refused(tmp_path, name):
    filename, content, told = BAD_FILES[name]
    (tmp_path / filename).write_bytes(content)
    line = refused("train", tmp_path / filename, "--out", tmp_path / "run", *SMALL)
    assert told in line
    assert filename in line
    assert [path.name for path in tmp_path.iterdir()] == [filename]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--latent-dim", "0"), "'--latent-dim' option must be an int in [1, inf). Got 0"),
        (("--latent-dim", "two"), "'--latent-dim' option must be an int in [1, inf), or auto. Got 'two'"),
        (("--posterior", "digonal"), "unknown posterior 'digonal'. Did you mean 'diagonal'?"),
        (("--scale", "log-varianc"), "Did you mean 'log_variance'?"),
        (("--prior", "normal"), "Did you mean 'standard_normal'?"),
        (("--likelihood", "gausian"), "Did you mean 'gaussian'?"),
        (("--objective", "elb"), "Did you mean 'elbo'?"),
        (("--activation", "rely"), "Did you mean 'relu'?"),
        (("--hidden", "8,x"), "widths such as 400 or 200,200"),
        (("--hidden", "0"), "'--hidden' option must be an int in [1, inf). Got 0"),
        (("--epochs", "0"), "'--epochs' option"),
        (("--batch-size", "-1"), "'--batch-size' option"),
        (("--learning-rate", "nan"), "'--learning-rate' option"),
        (("--beta", "-1"), "'--beta' option"),
        (("--validation-fraction", "1.5"), "'--validation-fraction' option must be in (0, 1). Got 1.5"),
        (("--seed", "-1"), "Invalid value for '--seed'"),
        (("--latent-dm", "3"), "--latent-dim"),
        (("--config", "nowhere.toml"), "nowhere.toml cannot be read"),
        (("--resume", "--overwrite"), "choose one of them"),
        (("--resume",), "is no run folder"),
    ],
)
def test_a_setting_that_cannot_be_used_is_refused(table, tmp_path, options, told):
    assert told in refused("train", table, "--out", tmp_path / "run", *options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("trian", "digits"), "Did you mean 'train'"),
        (("train",), "Missing argument 'DATA'"),
        (("train", "digits"), "Missing option '--out'"),
        (("train", "digitz", "--out", "run"), "Did you mean 'digits'?"),
        (("inspect", "digits", "more"), "unexpected extra argument"),
        (("evaluate", "no-such-run"), "is no run folder"),
    ],
)
def test_a_command_line_that_cannot_be_parsed_is_refused(tmp_path, monkeypatch, arguments, told):
    monkeypatch.chdir(tmp_path)
    assert told in refused(*arguments)
    assert list(tmp_path.iterdir()) == []


def test_bernoulli_is_refused_data_outside_the_unit_interval(table, tmp_path):
    line = refused("train", table, "--out", tmp_path / "run", *SMALL, "--likelihood", "bernoulli")
    assert "bernoulli" in line.lower()
    assert list(tmp_path.iterdir()) == []


def test_an_occupied_place_is_left_alone(trained, table, tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine.txt").write_text("mine")
    shutil.copytree(trained, tmp_path / "run")
    assert "is a file" in refused("train", table, "--out", tmp_path / "file")
    assert "is not a run" in refused("train", table, "--out", tmp_path / "folder", "--overwrite")
    assert "--resume continues it, --overwrite replaces it" in refused("train", table, "--out", tmp_path / "run")
    assert (tmp_path / "file").read_text() == (tmp_path / "folder" / "mine.txt").read_text() == "mine"


def test_data_of_another_shape_are_refused(trained, tmp_path):
    np.save(tmp_path / "wide.npy", np.zeros((4, 7)))
    for command in ("encode", "reconstruct", "score"):
        line = refused(command, trained, tmp_path / "wide.npy", "-o", tmp_path / "out.npy")
        assert "has shape (7,), but the model was made for shape (6,)" in line
    assert "(6,)" in refused("evaluate", trained, tmp_path / "wide.npy")
    assert "codes must have 2 columns" in refused("decode", trained, tmp_path / "wide.npy", "-o", tmp_path / "out.npy")
    assert [path.name for path in tmp_path.iterdir()] == ["wide.npy"]


@pytest.mark.parametrize(
    "name", ["config.json", "data.json", "metrics.jsonl", "model.safetensors", "state.safetensors"]
)
@pytest.mark.parametrize("damage", ["missing", "truncated"])
def test_a_damaged_run_is_refused(trained, tmp_path, name, damage):
    shutil.copytree(trained, tmp_path / "run")
    file: Path = tmp_path / "run" / name
    content = file.read_bytes()
    file.unlink()
    if damage == "truncated":
        file.write_bytes(content[: len(content) // 2])
    assert name in refused("evaluate", tmp_path / "run")


@pytest.mark.parametrize("value", ["digonal", 3, None])
def test_a_run_whose_settings_are_damaged_is_refused(trained, tmp_path, value):
    import json

    shutil.copytree(trained, tmp_path / "run")
    config = json.loads((trained / "config.json").read_text())
    config["parameters"]["posterior"] = value
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    assert "config.json" in refused("evaluate", tmp_path / "run")


def test_an_output_that_cannot_be_written_is_refused_before_anything_is_read(tmp_path):
    empty = tmp_path / "run"
    empty.mkdir()
    line = refused("encode", empty, "digits", "-o", tmp_path / "out.foo")
    assert "Known: .npy, .npz, .csv, .parquet, .png" in line
    line = refused("sample", empty, "-o", tmp_path / "nowhere" / "out.npy")
    assert "there is no folder" in line


def test_a_picture_of_what_is_no_image_is_refused(trained, tmp_path):
    assert "needs images" in refused("sample", trained, "-o", tmp_path / "out.png")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("count", ["0", "-3"])
def test_a_count_below_one_is_refused(trained, tmp_path, count):
    assert "[1, inf)" in refused("sample", trained, "-n", count, "-o", tmp_path / "out.npy")
    assert "greater than or equal to 1" in refused("evaluate", trained, "--samples", count)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(28, "No space left on device"), "No space left on device"),
        (MemoryError(), "memory does not suffice"),
        (ZeroDivisionError("two\nlines"), "a fault of reparam itself: ZeroDivisionError: two lines"),
    ],
)
def test_what_nobody_expected_is_one_line_too(monkeypatch, error, told):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("reparam.data.load", fail)
    assert told in refused("inspect", "digits")


def test_commands_are_listed_once():
    assert len({command.__name__ for command in cli.COMMANDS}) == len(cli.COMMANDS)
