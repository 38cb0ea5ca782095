"""Several real processes on loopback: they train as one does, one is killed, and others go on where they were."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from command_line import must
from one_of_several import CHUNK_BYTES, DRAWN_ROWS
from pyarrow import parquet
from safetensors.numpy import load_file

from reparam.data.streaming import passes
from reparam.estimator import use

TOLERANCE = 1e-5
FIRST_PORT = 2**16 - 2**12
Launcher = Callable[[int, int, int], dict[str, str]]
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


def start(count: int, *arguments: object, launcher: Launcher | None = None, **more: str) -> list[subprocess.Popen]:
    """The same command as each of so many processes: by options, or by what a launcher puts into the environment."""
    port = free_port()
    child = [sys.executable, str(Path(__file__).with_name("one_of_several.py")), *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    started = []
    for index in range(count):
        told = ["--coordinator", f"127.0.0.1:{port}", "--processes", str(count), "--process-id", str(index)]
        options, environment = (told, {}) if launcher is None else ([], launcher(index, count, port))
        env = {**os.environ, **environment, **more}
        started.append(subprocess.Popen([*child, *options], env=env, **pipes))
    return started


def free_port() -> int:
    """One of those among which JAX chooses by the number of a job."""
    while True:
        port = random.randrange(FIRST_PORT, 2**16)
        with socket.socket() as free, suppress(OSError):
            free.bind(("127.0.0.1", port))
            return port


def slurm(index: int, count: int, port: int) -> dict[str, str]:
    """What srun says to one of the tasks of a step on one host."""
    tasks = {"SLURM_NTASKS": count, "SLURM_STEP_NUM_TASKS": count, "SLURM_PROCID": index, "SLURM_LOCALID": index}
    job = {"SLURM_JOB_ID": 2**12 + port - FIRST_PORT, "SLURM_STEP_NODELIST": "localhost"}
    return {name: str(value) for name, value in {**tasks, **job}.items()}


def open_mpi(index: int, count: int, port: int) -> dict[str, str]:
    """What mpirun of Open MPI 4 says to one of its processes on one host."""
    ranks = {"OMPI_COMM_WORLD_SIZE": count, "OMPI_COMM_WORLD_RANK": index, "OMPI_COMM_WORLD_LOCAL_RANK": index}
    job = {"OMPI_MCA_orte_hnp_uri": f"{(port - FIRST_PORT) * 2**12}.0;tcp://127.0.0.1:34911"}
    return {name: str(value) for name, value in {**ranks, **job}.items()}


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


def test_codes_are_written_by_all_tasks_of_slurm_in_the_order_of_the_rows(place, alone):
    must("encode", alone, place / "parts", "--stream", "-o", place / "one.parquet")
    encode = ("encode", alone, place / "parts", "--stream", "-o", place / "two.parquet", "--json")
    told = ended(start(2, *encode, launcher=slurm))
    assert [code for code, _, _ in told] == [0, 0], told
    assert json.loads(told[0][1])["rows"] == 330
    assert told[1][1:] == ("", "")  # one speaks for all
    assert sorted(path.name for path in (place / "two.parquet").iterdir()) == [
        "part-00000.parquet",
        "part-00001.parquet",
    ]
    one, two = parquet.read_table(place / "one.parquet"), parquet.read_table(place / "two.parquet")
    for name in one.column_names:
        np.testing.assert_allclose(two[name].to_numpy(), one[name].to_numpy(), rtol=TOLERANCE, atol=TOLERANCE)


def check_measured(two: dict, one: dict) -> None:
    for name in ("rows", "elbo", "kl", "bound", "standard_error", "effective_samples", "active_units"):
        assert two[name] == pytest.approx(one[name], rel=TOLERANCE), name


def test_rows_are_measured_and_filled_in_by_all_of_open_mpi_as_by_one(place, alone):
    """Commands of the same processes: of the rows that the run held out, and of a stream, from which 100 are drawn."""
    (place / "gaps").mkdir()
    for path in sorted((place / "parts").iterdir()):
        table = parquet.read_table(path).to_pandas()
        table.loc[::3, "c1"], table.loc[::5, "town"] = np.nan, None
        table.to_parquet(place / "gaps" / path.name, row_group_size=40)
    picture, gaps = place / "p.png", place / "gaps"
    commands = [
        ["evaluate", alone, "--samples", 4, "--json", "-o", picture],
        ["evaluate", alone, gaps, "--stream", "--samples", 4, "--json", "-o", picture],
        ["impute", alone, gaps, "--stream", "--samples", 4, "--std", "--json", "-o", place / "filled.parquet"],
        ["gap", alone, gaps, "--stream", "--rows", 9, "--samples", 4, "--json", "-o", picture],
    ]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(use, "DRAWN_ROWS", DRAWN_ROWS)
        one = [must(*command).document for command in commands]
    (place / "filled.parquet").rename(place / "filled-by-one.parquet")
    told = ended(start(2, json.dumps([[*map(str, command)] for command in commands]), launcher=open_mpi))
    assert [code for code, _, _ in told] == [0, 0], told
    held_out, streamed, imputed, gap = documents(told[0][1])
    check_measured(held_out, one[0])
    check_measured(streamed, one[1])
    assert f"{DRAWN_ROWS} rows, drawn from the 330" in streamed["warnings"][-1]
    assert (imputed["missing"], imputed["rows"]) == (one[2]["missing"], one[2]["rows"])
    here, there = (parquet.read_table(place / name) for name in ("filled-by-one.parquet", "filled.parquet"))
    for name in here.column_names:
        if name == "town":
            assert there[name].to_pylist() == here[name].to_pylist()
        else:
            np.testing.assert_allclose(there[name].to_numpy(), here[name].to_numpy(), rtol=1e-4, atol=TOLERANCE)
    for name in ("amortized_elbo", "local_elbo", "bound", "log_prob"):
        assert gap["data"][name]["value"] == pytest.approx(one[3]["data"][name]["value"], rel=1e-4), name


def documents(text: str) -> Iterator[dict]:
    """One JSON document behind the other."""
    while text := text.strip():
        found, end = json.JSONDecoder().raw_decode(text)
        yield found
        text = text[end:]
