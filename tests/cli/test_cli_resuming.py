"""A training that was broken off and resumed ends with the bytes of one that never was."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from command_line import must, run_cli

import reparam
from reparam.errors import ReparamWarning
from reparam.runs import Place

WAYS = {
    "amortised": (),
    "mean-field": ("--inference", "mean-field:2"),
    "flow": ("--posterior", "flow:1,8,4"),
    "averaged": ("--average", "last:2"),
}
SMALL = ("--hidden", "8", "--batch-size", "32", "--latent-dim", "2")
SAME = ("model.safetensors", "state.safetensors", "metrics.jsonl", "config.json")
ENVIRONMENT = {"JAX_COMPILATION_CACHE_DIR": "", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}


def contents(run: Path) -> dict[str, bytes]:
    return {name: (run / name).read_bytes() for name in SAME}


@pytest.mark.parametrize("way", WAYS)
def test_resumed_at_any_checkpoint_it_ends_with_the_same_bytes(table, tmp_path, monkeypatch, way):
    options = (*SMALL, *WAYS[way], "--epochs", 4, "--checkpoint-every", 1)
    write = Place.write

    def write_and_copy(place: Place, run: object) -> None:
        write(place, run)
        shutil.copytree(place.path, tmp_path / f"killed-{len(run.metrics)}", dirs_exist_ok=True)

    monkeypatch.setattr(Place, "write", write_and_copy)
    must("train", table, "--out", tmp_path / "whole", *options)
    monkeypatch.undo()
    for epoch in (1, 3):
        killed = tmp_path / f"killed-{epoch}"
        assert len((killed / "metrics.jsonl").read_text().splitlines()) == epoch
        must("train", "--out", killed, "--resume", "--checkpoint-every", 1)
        assert contents(killed) == contents(tmp_path / "whole")


BEGIN = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell in the background has its children ignore
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # and nohup
from reparam.__main__ import end_at_once, main
end_at_once()
print("begun", flush=True)
main()
"""


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-c", BEGIN, *map(str, arguments)]


def test_killed_at_random_moments_it_ends_with_the_same_bytes(table, tmp_path):
    """A real process, whose saves take most of its time, killed and resumed; ``make fuzz`` kills twenty times more."""
    kill_and_compare(table, tmp_path, kills=3, seed=0)


def kill_and_compare(table: Path, folder: Path, kills: int, seed: int) -> None:
    draw = random.Random(seed)
    options = (*SMALL, "--checkpoint-every", "1", "--validation-fraction", "0", "--quiet", "--epochs", 150)
    must("train", table, "--out", folder / "whole", *options)
    run = folder / "run"
    for _ in range(kills):
        resumed = ("--out", run, "--resume", *options[6:8])
        begun = resumed if (run / "config.json").exists() else (table, "--out", run, *options)
        process = subprocess.Popen(command("train", *begun), stdout=subprocess.DEVNULL)
        before = _epochs(run)
        while process.poll() is None and _epochs(run) <= before:
            time.sleep(0.01)
        time.sleep(draw.uniform(0.0, 0.3))
        process.kill()
        process.wait()
        assert reparam.load(run).n_iter_ >= before
    must("train", "--out", run, "--resume")
    assert contents(run) == contents(folder / "whole")
    assert {path.name for path in run.iterdir()} == {*SAME, "data.json", "previous"}


def _epochs(run: Path) -> int:
    try:
        return len((run / "metrics.jsonl").read_text().splitlines())
    except OSError:
        return 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_a_signal_keeps_what_is_trained(table, tmp_path, number, code):
    options = (*SMALL, "--epochs", 10**6, "--validation-fraction", 0, "--log-every", 1, "--json")
    process = subprocess.Popen(
        command("train", table, "--out", tmp_path / "run", *options),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    next(line for line in process.stderr if line.startswith("epoch"))
    process.send_signal(number)
    out, err = process.communicate(timeout=120)
    assert process.returncode == code, err
    document = json.loads(out.removeprefix("begun\n"))
    assert document["stopped"] == "interrupted"
    assert reparam.load(tmp_path / "run").n_iter_ == document["epochs"] >= 1


def test_a_disk_that_fills_keeps_the_last_state_and_is_told_in_one_line(table, tmp_path):
    """The first checkpoint fits; then no file of more than a kilobyte does."""
    resource = pytest.importorskip("resource", reason="this system knows no limit of a file's size")
    if not hasattr(resource, "prlimit"):
        pytest.skip("this system sets no limits of other processes")
    options = (*SMALL, "--epochs", 10**6, "--validation-fraction", 0, "--checkpoint-every", 1, "--quiet")
    process = subprocess.Popen(
        command("train", table, "--out", tmp_path / "run", *options),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    while process.poll() is None and not _epochs(tmp_path / "run"):
        time.sleep(0.01)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
    first = next(process.stderr)
    assert "Training goes on; the run there stands after epoch" in first
    process.send_signal(signal.SIGTERM)
    _, rest = process.communicate(timeout=120)
    assert process.returncode == 2
    signalled, last = rest.splitlines()
    assert signalled == "stopping: what is trained is kept"
    assert "cannot write here" in last
    assert "What was kept there is kept" in last
    assert {path.name for path in (tmp_path / "run").iterdir()} <= {*SAME, "data.json", "previous"}
    assert reparam.load(tmp_path / "run").n_iter_ >= 1


@pytest.mark.parametrize("delay", [0.0, 0.3, 1.0])
def test_a_signal_in_the_first_seconds_ends_it_and_leaves_nothing(table, tmp_path, delay):
    process = subprocess.Popen(
        command("train", table, "--out", tmp_path / "run", *SMALL, "--epochs", 10**6),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    time.sleep(delay)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.splitlines()[-1] == "reparam: interrupted; nothing was written."
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_a_torn_checkpoint_is_told_and_the_one_before_it_used(table, tmp_path):
    must("train", table, "--out", tmp_path / "run", *SMALL, "--epochs", 3, "--checkpoint-every", 1)
    torn = tmp_path / "run" / "state.safetensors"
    torn.write_bytes(torn.read_bytes()[:-8])
    with pytest.warns(ReparamWarning, match=r"state.safetensors.*The checkpoint of epoch 2 is used instead"):
        assert reparam.load(tmp_path / "run").n_iter_ == 2


def test_two_trainings_into_one_place_are_not_both_done(table, tmp_path, monkeypatch):
    write, seconds = Place.write, []

    def write_while_another_tries(place: Place, run: object) -> None:
        seconds.append(run_cli("train", table, "--out", tmp_path / "run", *SMALL, "--epochs", 1))
        write(place, run)

    monkeypatch.setattr(Place, "write", write_while_another_tries)
    must("train", table, "--out", tmp_path / "run", *SMALL, "--epochs", 1)
    assert [second.code for second in seconds] == [2]
    assert "another process is writing a run there" in seconds[0].err


def test_what_cannot_be_saved_on_the_way_is_told_once_and_training_goes_on(table, tmp_path, monkeypatch):
    from reparam.runs import folder

    save, calls = folder.save_file, []

    def full_in_between(*arguments: object) -> None:
        calls.append(1)
        if 2 < len(calls) < 7:
            raise OSError(28, "No space left on device")
        save(*arguments)

    monkeypatch.setattr(folder, "save_file", full_in_between)
    told = must("train", table, "--out", tmp_path / "run", *SMALL, "--epochs", 6, "--checkpoint-every", 1).err
    assert told.count("No space left on device") == 1
    assert "Training goes on; the run there stands after epoch 1." in told
    assert reparam.load(tmp_path / "run").n_iter_ == 6


def test_a_run_that_another_takes_the_place_of_is_kept_beside_it(table, trained, tmp_path, monkeypatch):
    write = Place.write

    def write_after_another(place: Place, run: object) -> None:
        if place.path.name == "run":
            shutil.copytree(trained, place.path, dirs_exist_ok=True)
        write(place, run)

    monkeypatch.setattr(Place, "write", write_after_another)
    result = run_cli("train", table, "--out", tmp_path / "run", *SMALL, "--epochs", 1)
    assert result.code == 2
    assert f"What is trained is kept in {tmp_path / 'run-2'}" in result.err
    assert reparam.load(tmp_path / "run").n_iter_ == 2
    assert reparam.load(tmp_path / "run-2").n_iter_ == 1


if __name__ == "__main__":
    place = Path(sys.argv[1])
    rng = np.random.default_rng(0)
    os.makedirs(place, exist_ok=True)
    np.save(place / "x.npy", rng.normal(size=(80, 2)) @ rng.normal(size=(2, 6)))
    kill_and_compare(place / "x.npy", place, kills=20, seed=int(sys.argv[2]) if len(sys.argv) > 2 else 0)
