"""Data larger than memory at the command line: surveyed, trained on, resumed, and used part by part."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command_line import SMALL, must, run_cli

from reparam.data.streaming import parts, passes


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    rng = np.random.default_rng(0)
    z = rng.normal(size=(600, 1))
    frame = pd.DataFrame(z @ [[1.0, -2.0, 3.0]] + 0.1 * rng.normal(size=(600, 3)), columns=["a", "b", "c"])
    frame["town"] = np.where(z[:, 0] > 0, "Rome, I", "Oslo")
    frame.loc[rng.random(600) < 0.1, "b"] = np.nan
    frame.insert(0, "name", [f"row {number}" for number in range(600)])
    folder = tmp_path_factory.mktemp("streams")
    frame.to_csv(folder / "t.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def run(place) -> Path:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(parts, "PART_BYTES", 8192)
        patched.setattr(passes, "CHUNK_BYTES", 32 * 16 * 4)
        told = must("train", place / "t.csv", "--stream", "--drop", "name", "--out", place / "run", *SMALL)
    assert "540" not in told.err  # a tenth is not held out of a stream, but at most a fifth of its rows
    assert "480 to train on, 120 held out" in told.err
    assert "categories" not in told.err
    return place / "run"


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(parts, "PART_BYTES", 8192)


def test_the_run_says_that_its_data_are_read_part_by_part(place, run):
    assert json.loads((run / "data.json").read_text())["streamed"] is True
    assert len((run / "metrics.jsonl").read_text().splitlines()) == 8  # two epochs of four chunks
    told = must("evaluate", run, "--samples", 3)
    assert told.err.startswith("the 120 rows of t.csv that the run held out") or "120 rows" in told.out + told.err


@pytest.mark.parametrize(
    "command", [("encode",), ("encode", "--draw"), ("score",), ("reconstruct",), ("impute", "--std")]
)
@pytest.mark.parametrize("ending", ["csv", "npy"])
def test_part_by_part_is_what_is_written_at_once(place, run, tmp_path, command, ending):
    verb, *options = command
    options += [] if verb == "impute" else ["--index", "name"] if ending == "csv" else []
    options += ["--samples", "5"] if verb in ("score", "impute") else []
    for how in ("stream", "in-memory"):
        must(verb, run, place / "t.csv", f"--{how}", "-o", tmp_path / f"{how}.{ending}", *options)
    assert_alike(tmp_path / f"stream.{ending}", tmp_path / f"in-memory.{ending}")


def test_what_is_evaluated_part_by_part_is_what_is_evaluated_at_once(place, run, tmp_path, monkeypatch):
    told = [
        must("evaluate", run, place / "t.csv", how, "--samples", 3, "--json", "-o", tmp_path / "p.png").document
        for how in ("--stream", "--in-memory")
    ]
    for name in ("rows", "elbo", "kl", "bound", "standard_error", "mutual_information", "active_units"):
        assert told[0][name] == pytest.approx(told[1][name], rel=1e-5), name
    monkeypatch.setattr("reparam.estimator.use.DRAWN_ROWS", 100)
    result = must("evaluate", run, place / "t.csv", "--stream", "--samples", 3, "-o", tmp_path / "p.png")
    assert "600 rows of" in result.out
    assert "those of 100 rows, drawn from the 600" in result.err


def test_a_gap_is_measured_on_rows_drawn_from_a_stream(place, run, tmp_path):
    found = must(
        *("gap", run, place / "t.csv", "--stream", "--rows", 12, "--samples", 5, "--json", "-o", tmp_path / "g.png")
    ).document
    assert found["data"]["rows"] == 12


def assert_alike(one: Path, other: Path) -> None:
    """Text is equal, and numbers but for the order of sums, which the number of rows at a time may change."""
    if one.suffix == ".npy":
        np.testing.assert_allclose(np.load(one), np.load(other), rtol=1e-4, atol=1e-5)
    else:
        pd.testing.assert_frame_equal(pd.read_csv(one), pd.read_csv(other), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("encode", "RUN", "DATA", "-o", "x.npz"), "cannot be written part by part"),
        (("score", "RUN", "DATA", "-o", "x.csv", "--explain"), "--explain needs all rows at once"),
        (("impute", "RUN", "DATA", "-o", "x.csv", "--draws", "2"), "--draws needs all rows at once"),
        (("encode", "RUN", "gone.csv", "-o", "x.csv"), "there is no file 'gone.csv'"),
    ],
)
def test_what_needs_all_rows_is_refused_in_a_line(run, tmp_path, monkeypatch, arguments, told):
    monkeypatch.chdir(tmp_path)
    names = {"RUN": run, "DATA": run.parent / "t.csv"}
    result = run_cli(*(names.get(argument, argument) for argument in arguments), "--stream")
    assert result.code == 2
    assert told in result.err
    assert len(result.err.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_file_that_changes_during_training_keeps_the_last_chunk(place, tmp_path, monkeypatch):
    text = (place / "t.csv").read_text()
    data = tmp_path / "t.csv"
    data.write_text(text)
    monkeypatch.setattr(passes, "CHUNK_BYTES", 32 * 16 * 4)
    read, reads = parts.TextParts.read, []

    def read_and_change(self: parts.TextParts, *arguments: object) -> object:
        reads.append(1)
        if len(reads) == 40:
            data.write_text(text + text.splitlines()[1])
        return read(self, *arguments)

    monkeypatch.setattr(parts.TextParts, "read", read_and_change)
    result = run_cli("train", data, "--stream", "--drop", "name", "--out", tmp_path / "run", *SMALL[:4], "--epochs", 9)
    assert result.code == 2
    assert "t.csv was written since it was opened" in result.err
    kept = len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines())
    assert 0 < kept < 36
    data.write_text(text)
    assert must("train", "--resume", "--out", tmp_path / "run").code == 0


def test_a_folder_of_tables_is_one_stream(place, run, tmp_path):
    (tmp_path / "many").mkdir()
    frame = pd.read_csv(place / "t.csv")
    for number in range(3):
        frame[number::3].to_parquet(tmp_path / "many" / f"{number}.parquet", index=False)
    must("encode", run, tmp_path / "many", "-o", tmp_path / "codes.csv", "--index", "name")
    codes = pd.read_csv(tmp_path / "codes.csv")
    assert codes["name"].tolist() == [name for number in range(3) for name in frame["name"][number::3]]


@pytest.mark.parametrize("verb", ["encode", "score", "reconstruct", "impute"])
def test_a_stream_without_rows_is_refused_and_no_empty_file_is_written(run, tmp_path, verb):
    (tmp_path / "head.csv").write_text("name,a,b,c,town\n")
    result = run_cli(verb, run, tmp_path / "head.csv", "--stream", "-o", tmp_path / "out.npy")
    assert result.code == 2
    assert result.err == f"reparam: {tmp_path / 'head.csv'} holds no rows; at least one is required.\n"
    assert [path.name for path in tmp_path.iterdir()] == ["head.csv"]
