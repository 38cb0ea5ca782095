"""A run folder takes a checkpoint in one step, keeps two, and belongs to one process."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from safetensors import SafetensorError
from saving import FINISHED, run_of, whole, write

from reparam import runs
from reparam.errors import RunError
from reparam.runs import folder as folder_module


@pytest.fixture
def quick() -> Iterator[Path]:
    """A folder in memory where there is one: thousands of syncs would wait for a disk."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as found:
        yield Path(found)


def test_a_save_killed_at_any_instant_loses_nothing(quick):
    """Every instant of the first save, the second, the third, and of one that replaces another run."""
    program = Path(__file__).with_name("saving.py")
    told = subprocess.run([sys.executable, program, quick], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    assert all(int(instants) > 100 for instants in told.stdout.split())


def test_a_folder_holds_its_files_and_the_checkpoint_before(tmp_path):
    write(tmp_path / "run", 1)
    assert {path.name for path in (tmp_path / "run").iterdir()} == {*FINISHED}
    write(tmp_path / "run", 2, resume=True)
    write(tmp_path / "run", 3, resume=True)
    assert {path.name for path in (tmp_path / "run").iterdir()} == {*FINISHED, "previous"}
    assert whole(tmp_path / "run") == [3, 2]


@pytest.mark.parametrize("name", FINISHED)
@pytest.mark.parametrize("damage", ["missing", "truncated", "a bit"])
def test_of_two_checkpoints_the_newest_that_is_whole_is_found(tmp_path, name, damage):
    write(tmp_path / "run", 1)
    write(tmp_path / "run", 2, resume=True)
    file = tmp_path / "run" / name
    content = bytearray(file.read_bytes())
    file.unlink()
    content[len(content) // 2] ^= 1
    if damage != "missing":
        file.write_bytes(content[: len(content) // 2] if damage == "truncated" else content)
    assert whole(tmp_path / "run") == [1]


def test_a_run_that_replaces_another_leaves_nothing_of_it_but_what_is_not_ours(tmp_path):
    write(tmp_path / "run", 1)
    write(tmp_path / "run", 2, resume=True)
    (tmp_path / "run" / "plots").mkdir()
    (tmp_path / "run" / "plots" / "bound.png").write_text("old")
    (tmp_path / "run" / "report.html").write_text("old")
    (tmp_path / "run" / "notes.txt").write_text("mine")
    write(tmp_path / "run", 5, overwrite=True)
    assert {path.name for path in (tmp_path / "run").iterdir()} == {*FINISHED, "notes.txt"}


def test_a_symbolic_link_is_followed(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "elsewhere")
    write(tmp_path / "run", 1)
    assert (tmp_path / "run").is_symlink()
    assert whole(tmp_path / "elsewhere") == [1]


DIES_WITH_THE_LOCK = """
import os, sys
from reparam.storage import lock
assert lock(os.open(sys.argv[1], os.O_RDONLY))
os._exit(0)
"""


def test_a_place_belongs_to_one_process_until_it_ends(tmp_path):
    with runs.reserve(tmp_path / "run"):
        with pytest.raises(RunError, match="another process is writing"), runs.reserve(tmp_path / "run"):
            pass
        assert (tmp_path / "run").is_dir()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "dead").mkdir()
    subprocess.run([sys.executable, "-c", DIES_WITH_THE_LOCK, tmp_path / "dead"], check=True)
    write(tmp_path / "dead", 1)


@pytest.mark.parametrize("meddling", ["put inside", "put in its place", "removed"])
def test_a_run_that_was_put_there_meanwhile_is_left_alone(tmp_path, meddling):
    write(tmp_path / "other", 9)
    with runs.reserve(tmp_path / "run") as place:
        if meddling == "put inside":
            shutil.copytree(tmp_path / "other", tmp_path / "run", dirs_exist_ok=True)
        else:
            (tmp_path / "run").rmdir()
        if meddling == "put in its place":
            shutil.copytree(tmp_path / "other", tmp_path / "run")
        with pytest.raises(runs.ForeignRunError, match="left alone"):
            place.write(run_of(1))
    assert meddling == "removed" or whole(tmp_path / "run") == [9]


@pytest.mark.parametrize(
    "error",
    [OSError(28, "No space left on device"), SafetensorError("I/O error: No space left on device (os error 28)")],
)
def test_a_full_disk_keeps_the_checkpoint_that_was_there(tmp_path, monkeypatch, error):
    def full(*_, **__):
        raise error

    write(tmp_path / "run", 1)
    with runs.reserve(tmp_path / "run", resume=True) as place:
        monkeypatch.setattr(folder_module, "save_file", full)
        with pytest.raises(RunError, match="No space left on device.*What was kept there is kept"):
            place.write(run_of(2))
        monkeypatch.undo()
        assert {path.name for path in (tmp_path / "run").iterdir()} == {*FINISHED}
        assert whole(tmp_path / "run") == [1]


def test_a_mount_point_takes_a_run_and_keeps_it_when_its_disk_fills(tmp_path):
    inside = [["unshare", "-rm"], [sys.executable, Path(__file__).with_name("filling.py"), tmp_path]]
    try:
        subprocess.run([*inside[0], "mount", "-t", "tmpfs", "none", tmp_path], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no disk can be mounted here: {error}")
    answered = subprocess.run([*inside[0], *inside[1]], capture_output=True, text=True, check=False)
    assert answered.returncode == 0, answered.stderr
    told = json.loads(answered.stdout)
    assert "cannot write here" in told["told"]
    assert "No space left on device" in told["told"]
    assert (told["kept"], told["after"]) == ([1], [3, 1])
    assert set(told["left"]) == {*FINISHED}


def test_a_disk_that_is_too_small_is_found_before_training(tmp_path):
    with runs.reserve(tmp_path / "run") as place, pytest.raises(RunError, match="the disk has .* MiB left"):
        runs.check_room(place, 2**70)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_found_before_training(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(RunError, match="cannot be|cannot write"), runs.reserve(tmp_path / "file" / "run"):
        pass
    with pytest.raises(RunError, match="cannot write here"), runs.reserve("/proc/run"):
        pass


def test_what_dead_processes_left_is_removed(tmp_path):
    write(tmp_path / "run", 1)
    (tmp_path / "run" / ".saving.abc").mkdir()
    (tmp_path / "run" / ".saving.abc" / "model.safetensors").write_bytes(b"half")
    write(tmp_path / "run", 2, resume=True)
    assert {path.name for path in (tmp_path / "run").iterdir()} == {*FINISHED, "previous"}
