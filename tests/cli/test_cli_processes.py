"""Several real processes on loopback: they train as one does, one is killed, and others go on where they were."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from command_line import must
from one_of_several import CHUNK_BYTES
from pyarrow import parquet
from safetensors.numpy import load_file

from reparam.data.streaming import passes

TOLERANCE = 1e-5
ENDS_WITHIN = 90.0
"""Seconds, of which an idle machine needs two: what is tested is that processes end, not how soon."""
SETTINGS = ("--stream", "--hidden", "8", "--batch-size", "60", "--epochs", "3", "--checkpoint-every", "1")
TRAIN = (*SETTINGS, "--latent-dim", "2", "--validation-fraction", "0.1")


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """Three files of 330 rows in parts of uneven sizes, with levels that the first parts do not have."""
    folder, rng = tmp_path_factory.mktemp("processes"), np.random.default_rng(0)
    (folder / "parts").mkdir()
    rows = rng.normal(size=(330, 3)) @ rng.normal(size=(3, 6)) + 0.1 * rng.normal(size=(330, 6))
    towns = np.where(rows[:, 0] > 0, "Rome", np.where(np.arange(330) > 250, "Bern", "Oslo"))
    for number, (start, end) in enumerate(((0, 77), (77, 200), (200, 330))):
        table = {f"c{column}": rows[start:end, column] for column in range(6)} | {"town": towns[start:end]}
        parquet.write_table(pa.table(table), folder / "parts" / f"{number}.parquet", row_group_size=40)
    return folder


@pytest.fixture(scope="module")
def alone(place) -> Path:
    """The run of one process."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(passes, "CHUNK_BYTES", CHUNK_BYTES)
        must("train", place / "parts", "--out", place / "alone", *TRAIN)
    return place / "alone"


def start(count: int, *arguments: object, **environment: str) -> list[subprocess.Popen]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    child = [sys.executable, str(Path(__file__).with_name("one_of_several.py")), *map(str, arguments)]
    together = ["--coordinator", f"127.0.0.1:{port}", "--processes", str(count), "--process-id"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    env = {**os.environ, **environment}
    return [subprocess.Popen([*child, *together, str(index)], env=env, **pipes) for index in range(count)]


def ended(processes: list[subprocess.Popen], within: float = 600.0) -> list[tuple[int, str, str]]:
    told = [process.communicate(timeout=within) for process in processes]
    return [(process.returncode, *texts) for process, texts in zip(processes, told, strict=True)]


def lines(run: Path) -> list[dict]:
    try:
        return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    except OSError:
        return []


def test_a_killed_process_ends_the_others_and_two_go_on_where_four_were(place, alone):
    run = place / "together"
    four = start(4, "train", place / "parts", "--out", run, *TRAIN, PAUSE="1.0")
    while len(lines(run)) < 2:
        assert all(process.poll() is None for process in four), ended(four)
        time.sleep(0.1)
    os.kill(four[2].pid, signal.SIGKILL)
    told = ended(four, ENDS_WITHIN)
    for index in (0, 1, 3):
        code, out, err = told[index]
        assert (code, out) == (2, ""), err
        assert f"process {index} of 4: another process was lost" in err.splitlines()[-1]
    assert [len(told[index][2].splitlines()) for index in (1, 3)] == [1, 1]
    done = len(lines(run))
    assert 2 <= done < len(lines(alone))
    two = ended(start(2, "train", "--resume", "--out", run, "--json"))
    assert [code for code, _, _ in two] == [0, 0], two
    assert json.loads(two[0][1])["epochs"] == len(lines(alone))
    assert two[1][1:] == ("", "")
    assert f"resuming {run} after epoch {done}" in two[0][2]
    one, several = load_file(alone / "state.safetensors"), load_file(run / "state.safetensors")
    assert one.keys() == several.keys()
    for name, tensor in one.items():
        np.testing.assert_allclose(several[name], tensor, rtol=TOLERANCE, atol=TOLERANCE, err_msg=name)
    bounds = [[line["bound"] for line in lines(folder)] for folder in (alone, run)]
    np.testing.assert_allclose(*bounds, rtol=TOLERANCE)
    assert (
        json.loads((run / "data.json").read_text())["sha256"] == json.loads((alone / "data.json").read_text())["sha256"]
    )


def test_codes_are_written_by_all_in_the_order_of_the_rows(place, alone):
    must("encode", alone, place / "parts", "--stream", "-o", place / "one.parquet")
    told = ended(start(2, "encode", alone, place / "parts", "--stream", "-o", place / "two.parquet", "--json"))
    assert [code for code, _, _ in told] == [0, 0], told
    assert json.loads(told[0][1])["rows"] == 330
    assert sorted(path.name for path in (place / "two.parquet").iterdir()) == [
        "part-00000.parquet",
        "part-00001.parquet",
    ]
    one, two = parquet.read_table(place / "one.parquet"), parquet.read_table(place / "two.parquet")
    for name in one.column_names:
        np.testing.assert_allclose(two[name].to_numpy(), one[name].to_numpy(), rtol=TOLERANCE, atol=TOLERANCE)


def test_rows_that_a_run_held_out_are_measured_by_all_as_by_one(place, alone):
    asked = ("evaluate", alone, "--samples", 4, "--json")
    one = must(*asked).document
    told = ended(start(2, *asked))
    assert [code for code, _, _ in told] == [0, 0], told
    assert told[1][1:] == ("", "")  # one speaks for all
    two = json.loads(told[0][1])
    for name in ("rows", "elbo", "kl", "bound", "standard_error", "effective_samples", "active_units"):
        assert two[name] == pytest.approx(one[name], rel=TOLERANCE), name
