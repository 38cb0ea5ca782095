"""``--engine ray`` on a real Ray of this machine: what its workers write is what is written without them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from command_line import SMALL, must, run_cli
from pyarrow import parquet

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'reparam[ray]'")


@pytest.fixture(scope="module", autouse=True)
def cluster():
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


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


@pytest.mark.parametrize(
    ("command", "how"), [("encode", ()), ("score", ("--samples", 4)), ("impute", ("--samples", 4))]
)
def test_workers_write_what_is_written_without_them(place, command, how):
    here = place / f"{command}-here.parquet"
    there = place / f"{command}-there.parquet"
    must(command, place / "run", place / "parts", "-o", here, "--stream", *how)
    told = must(command, place / "run", place / "parts", "-o", there, "--engine", "ray", "--json", *how)
    assert told.document["rows"] == 200
    one, other = parquet.read_table(here).to_pandas(), parquet.read_table(there).to_pandas()
    assert list(one) == list(other)
    for name in one:
        if one[name].dtype.kind == "f":
            np.testing.assert_allclose(other[name], one[name], rtol=1e-5, atol=1e-5)
        else:
            assert list(one[name]) == list(other[name])


def test_what_a_worker_refuses_is_told_in_one_line(place):
    (place / "odd").mkdir()
    pd.DataFrame({"a": [1.0], "b": [1.0], "c": [1.0], "town": ["Atlantis"]}).to_parquet(place / "odd" / "0.parquet")
    told = run_cli("encode", place / "run", place / "odd", "-o", place / "odd.parquet", "--engine", "ray")
    assert told.code == 2
    assert len(told.err.splitlines()) == 1
    assert "Atlantis" in told.err
