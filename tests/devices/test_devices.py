"""One program on one device and on eight: the same bounds, weights and scores but for the order of sums."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reparam import VAE
from reparam.cli.engines import check_engine
from reparam.devices import losing, processes
from reparam.devices.mesh import Devices, devices
from reparam.devices.shares import LAUNCHERS, Share, launched
from reparam.errors import ParameterError
from reparam.training import Recipe
from reparam.training.order import _order, calibrating, numbers_calibrating, numbers_visited, visits

TOLERANCE = 1e-5
"""Of what eight devices make of a few dozen steps: single precision has 6e-8, and each step sums in another order."""


def test_eight_devices_train_and_score_as_one_does(tmp_path):
    place = tmp_path / "told.json"
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=8"
    child = [sys.executable, str(Path(__file__).with_name("one_and_eight.py")), str(place)]
    done = subprocess.run(child, env={**os.environ, "XLA_FLAGS": flags}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(place.read_text())
    assert told["devices"] == 8
    assert told["dealt"]
    assert set(told["differences"]) == {"held_out", "folds", "draws", "layers", "own_q", "wide", "streamed"}
    assert max(told["differences"].values()) < TOLERANCE, told
    assert told["differences"]["held_out"] > 0.0  # the sums were of eight


def test_one_device_is_a_mesh_of_one_on_which_nothing_moves():
    rows = jnp.arange(6.0)
    one = Devices()
    assert one.rows(rows) is one.weights(rows) is one.spread(rows) is one.gathered(rows, rows) is rows
    assert one.mesh.shape == {"data": 1, "model": 1}


def test_noise_is_made_of_the_key_and_the_place_in_the_whole_batch():
    assert jax.config.jax_threefry_partitionable  # what a device draws of a batch needs nothing of the others


@pytest.mark.parametrize("asked", [0, 10_000, "many", True, 1.5])
def test_devices_that_are_not_there_are_refused(asked):
    with pytest.raises(ParameterError, match=r"'devices' parameter of VAE must be 'all' or an int in \[1, "):
        VAE(devices=asked).fit([[0.0], [1.0]])


def test_a_wide_layer_is_shared_by_devices_that_divide_them():
    with pytest.raises(
        ParameterError, match="'shard_model' parameter of VAE must be an int that divides the 1 devices"
    ):
        devices(1, model=3)


@pytest.mark.parametrize("count", [1, 7, 50])
def test_rows_that_are_dealt_out_are_those_that_one_device_looks_up(count):
    """The order is found on the host by another sort, which ties do not part."""
    key, recipe = jax.random.key(3), Recipe(batch_size=5, passes=2 if count == 7 else 1)
    looked_up, _, _ = visits(key, jnp.zeros(count), recipe)
    np.testing.assert_array_equal(numbers_visited(key, count, recipe), looked_up)
    of_noise, _, _ = calibrating(key, jnp.zeros(count), jnp.arange(count))
    np.testing.assert_array_equal(numbers_calibrating(key, count)[0], of_noise)
    assert _order(np.asarray([5, 3, 5, 3], np.uint32)).tolist() == [1, 3, 0, 2]


def test_shares_cover_everything_once():
    shares = [Share(index, 3) for index in range(3)]
    assert sorted(n for share in shares for n in range(8) if share.has(n)) == list(range(8))
    assert [n for share in shares for n in range(*share.range(8))] == list(range(8))


def test_slurm_and_open_mpi_say_which_process_this_is(monkeypatch):
    for name in (*LAUNCHERS, *LAUNCHERS.values()):
        monkeypatch.delenv(name, raising=False)
    assert launched() is None
    for which, many in LAUNCHERS.items():
        monkeypatch.setenv(which, "2")
        assert launched() is None  # a script of Slurm that is no step
        monkeypatch.setenv(many, "4")
        assert launched() == Share(2, 4)
        monkeypatch.setenv(many, "1")
        assert launched() is None
        monkeypatch.delenv(which)


def test_with_a_coordinator_alone_a_launcher_that_jax_does_not_know_says_the_rest(monkeypatch):
    """Open MPI 5 no longer says where its first process runs."""
    monkeypatch.setenv("OMPI_COMM_WORLD_RANK", "1")
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "2")
    told: list[dict] = []
    monkeypatch.setattr(jax.distributed, "initialize", lambda **known: told.append(known))
    monkeypatch.setattr(processes, "_meet", lambda: None)
    assert processes.join("node-0:4321") == Share()  # nobody was met
    assert {"coordinator_address": "node-0:4321", "num_processes": 2, "process_id": 1}.items() <= told[0].items()
    with pytest.raises(ParameterError, match="several processes need --coordinator HOST:PORT"):
        processes.join("node-0:4321", 2)


def test_an_engine_that_is_none_or_has_no_part_for_an_option_is_refused():
    assert not check_engine(None)
    with pytest.raises(ParameterError, match="--engine must be one of ray, spark; "):
        check_engine("spork")
    with pytest.raises(ParameterError, match="--draws cannot be had with --engine ray"):
        check_engine("ray", draws=3)


def test_what_jax_says_of_a_lost_process_ends_this_one_and_the_rest_is_passed_on(monkeypatch):
    hears, speaks = os.pipe()
    out, told = os.pipe()
    ends: list[str] = []
    monkeypatch.setattr(losing, "_out", told)
    monkeypatch.setattr(losing, "end", lambda: ends.append("ended"))
    os.write(speaks, b"a word of somebody else\nI1130 12:00:00.1 7 x.cc:1] coordination service: all is well\n")
    os.write(speaks, b"F1130 12:00:01.1 7 client.h:80] the JAX distributed service detected fatal errors\n")
    os.close(speaks)
    losing._pass_on(hears)
    os.close(told)
    with os.fdopen(out, "rb") as passed:
        assert passed.read() == b"a word of somebody else\n"
    assert ends == ["ended"]
