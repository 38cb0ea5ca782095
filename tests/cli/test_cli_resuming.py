"""A training that was broken off and resumed ends with the bytes of one that never was.

Run as a program with a folder, a seed and ways, or none for all, it kills twenty trainings of each.
"""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from command_line import must, run_cli
from forked import Child, Forge, forge

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
SAME = ("model.safetensors", "state.safetensors", "metrics.jsonl", "config.json", "data.json")
STREAMED = ("--stream",)


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


@pytest.fixture(scope="module")
def begin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forge]:
    with forge(tmp_path_factory.mktemp("forked")) as found:
        yield found


@pytest.mark.parametrize("way", [(), STREAMED], ids=["in memory", "streamed"])
def test_killed_at_random_moments_it_ends_with_the_same_bytes(begin, rows, tmp_path, way):
    """A process whose saves take most of its time, killed and resumed; ``make fuzz`` kills twenty of each way."""
    kill_and_compare(begin, rows, tmp_path, way, kills=3, seed=0)


def test_killed_in_the_middle_of_a_chunk_it_ends_with_the_same_bytes(begin, rows, tmp_path):
    """By the thread that reads, with one chunk half trained on and the next one half filled."""
    options, often = (*SMALL, *STREAMED, "--validation-fraction", "0", "--epochs", 4), ("--checkpoint-every", 1)
    assert begin.start("train", rows, "--out", tmp_path / "whole", *options, *often).wait() == 0
    killed = begin.start("train", rows, "--out", tmp_path / "run", *options, *often, killed_at_read=15)
    assert killed.wait() == -signal.SIGKILL
    assert 0 < _epochs(tmp_path / "run") < _epochs(tmp_path / "whole")
    assert begin.start("train", "--out", tmp_path / "run", "--resume", *often).wait() == 0
    assert contents(tmp_path / "run") == contents(tmp_path / "whole")


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    return written(tmp_path / "x.csv")


def written(path: Path) -> Path:
    """80 rows of 6 columns as a table of text: four parts of a stream, where a part is small."""
    rng = np.random.default_rng(0)
    np.savetxt(path, rng.normal(size=(80, 2)) @ rng.normal(size=(2, 6)), delimiter=",")
    return path


def kill_and_compare(begin: Forge, data: Path, folder: Path, way: tuple[str, ...], *, kills: int, seed: int) -> None:
    """A kill comes within some epochs and a fiftieth of a second, every other one in the middle of a save."""
    draw, often = random.Random(seed), ("--checkpoint-every", "1", "--quiet")
    options = (*SMALL, *way, "--validation-fraction", "0", "--epochs", 10 * kills)
    assert begin.start("train", data, "--out", folder / "whole", *options, *often).wait() == 0
    run = folder / "run"
    for kill in range(kills):
        fresh = (data, *options) if kill == 0 else ("--resume",)
        process, before = begin.start("train", *fresh, "--out", run, *often), _epochs(run)
        wanted = before + draw.randint(1, 5)
        _wait_for(process, lambda wanted=wanted: _epochs(run) >= wanted)
        time.sleep(draw.uniform(0.0, 0.02))
        if kill % 2:
            _wait_for(process, lambda: any(run.glob(".saving.*")))
        process.signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "it ended before it was killed"
        assert reparam.load(run).n_iter_ >= before
    assert begin.start("train", "--out", run, "--resume", *often).wait() == 0
    assert contents(run) == contents(folder / "whole")
    assert {path.name for path in run.iterdir()} == {*SAME, "previous"}


def _wait_for(process: Child, holds: Callable[[], bool]) -> None:
    """Wait until something holds, or the process has ended."""
    while not process.ended() and not holds():
        time.sleep(0.001)


def _epochs(run: Path) -> int:
    try:
        return len((run / "metrics.jsonl").read_text().splitlines())
    except OSError:
        return 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_a_signal_keeps_what_is_trained(begin, table, tmp_path, number, code):
    options = (*SMALL, "--epochs", 10**6, "--validation-fraction", 0, "--log-every", 1, "--json")
    process = begin.start("train", table, "--out", tmp_path / "run", *options)
    _wait_for(process, lambda: "epoch" in process.err.read_text())
    process.signal(number)
    assert process.wait() == code, process.err.read_text()
    document = json.loads(process.out.read_text())
    assert document["stopped"] == "interrupted"
    assert reparam.load(tmp_path / "run").n_iter_ == document["epochs"] >= 1


def test_a_disk_that_fills_keeps_the_last_state_and_is_told_in_one_line(begin, table, tmp_path):
    """The first checkpoint fits; then no file of more than a kilobyte does."""
    resource = pytest.importorskip("resource", reason="this system knows no limit of a file's size")
    if not hasattr(resource, "prlimit"):
        pytest.skip("this system sets no limits of other processes")
    options = (*SMALL, "--epochs", 10**6, "--validation-fraction", 0, "--checkpoint-every", 1, "--quiet")
    process = begin.start("train", table, "--out", tmp_path / "run", *options)
    _wait_for(process, lambda: _epochs(tmp_path / "run") > 0)
    resource.prlimit(process.number, resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
    _wait_for(process, lambda: "\n" in process.err.read_text())
    assert "Training goes on; the run there stands after epoch" in process.err.read_text().splitlines()[0]
    process.signal(signal.SIGTERM)
    assert process.wait() == 2
    _, signalled, last = process.err.read_text().splitlines()
    assert signalled == "stopping: what is trained is kept"
    assert "cannot write here" in last
    assert "What was kept there is kept" in last
    assert {path.name for path in (tmp_path / "run").iterdir()} <= {*SAME, "previous"}
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
    folder, seed, *ways = Path(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:]
    with forge(folder) as forked:
        for way in ways or (*WAYS, "streamed"):
            (folder / way).mkdir()
            options = STREAMED if way == "streamed" else WAYS[way]
            kill_and_compare(forked, written(folder / way / "x.csv"), folder / way, options, kills=20, seed=seed)
            print(f"{way}: twenty kills, the same bytes", flush=True)
