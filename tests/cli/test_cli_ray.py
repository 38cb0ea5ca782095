"""``--engine ray``: what its workers make is what is made without them, on a real Ray of this machine."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from command_line import SMALL, must, run_cli
from pyarrow import parquet

from reparam.cli.ray import Order, Worker

SCORED = {"samples": 4, "random_state": None}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("ray"), np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(200, 3)), columns=["a", "b", "c"])
    frame["town"] = np.where(frame["a"] > 0, "Rome", "Oslo")
    frame.loc[rng.random(200) < 0.1, "b"] = np.nan
    (folder / "parts").mkdir()
    for number in range(2):
        frame[100 * number : 100 * number + 100].to_parquet(folder / "parts" / f"{number}.parquet", index=False)
    must("train", folder / "parts", "--out", folder / "run", *SMALL)
    return folder


@pytest.fixture(scope="module")
def cluster():
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'reparam[ray]'")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield ray
    ray.shutdown()


def check_alike(here, there) -> None:
    assert here.column_names == there.column_names
    for name in here.column_names:
        one, other = here[name].to_pylist(), there[name].to_pylist()
        if isinstance(one[0], float):
            np.testing.assert_allclose(other, one, rtol=1e-5, atol=1e-5)
        else:
            assert one == other


@pytest.mark.parametrize(
    ("command", "how", "options"),
    [("encode", {"draw": False}, ()), ("score", SCORED, ("--samples", 4)), ("impute", SCORED, ("--samples", 4))],
)
def test_a_worker_makes_of_a_table_what_the_command_makes(place, command, how, options):
    here, part = place / f"{command}.parquet", place / "parts" / "0.parquet"
    must(command, place / "run", part, "-o", here, "--stream", *options)
    made = Worker(Order(str(place / "run"), command, how))(parquet.read_table(part))
    check_alike(parquet.read_table(here), made)


def test_workers_write_all_rows_in_their_order_and_tell_of_them(place, cluster):
    here, there = place / "scores-here.parquet", place / "scores-there.parquet"
    one = must("score", place / "run", place / "parts", "-o", here, "--stream", "--samples", 4, "--json").document
    other = must(
        "score", place / "run", place / "parts", "-o", there, "--engine", "ray", "--samples", 4, "--json"
    ).document
    assert other["rows"] == one["rows"] == 200
    assert other["bound"] == pytest.approx(one["bound"], rel=1e-5)
    assert there.is_dir()
    check_alike(parquet.read_table(here), parquet.read_table(there))


def test_what_a_worker_refuses_is_told_in_one_line(place, cluster):
    (place / "odd").mkdir()
    pd.DataFrame({"a": [1.0], "b": [1.0], "c": [1.0], "town": ["Atlantis"]}).to_parquet(place / "odd" / "0.parquet")
    told = run_cli("encode", place / "run", place / "odd", "-o", place / "odd.parquet", "--engine", "ray")
    [line] = [line for line in told.err.splitlines() if line.startswith("reparam:")]
    assert told.code == 2
    assert "Atlantis" in line
