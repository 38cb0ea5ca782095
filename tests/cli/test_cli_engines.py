"""``--engine``: what workers make is what is made without them, on a real Ray and a real Spark of this machine."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest
from command_line import SMALL, must, run_cli
from pyarrow import parquet

from reparam.cli.engines import PACKAGES, Order, Worker, by_engine, new_folder
from reparam.errors import ParameterError

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
def ray():
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'reparam[ray]'")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield ray
    ray.shutdown()


@pytest.fixture(scope="module")
def spark():
    sql = pytest.importorskip("pyspark.sql", reason="Spark is not installed: pip install 'reparam[spark]'")
    if shutil.which("java") is None:
        pytest.skip("Spark needs Java, and there is none")
    builder = sql.SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    session = builder.config("spark.driver.bindAddress", "127.0.0.1").getOrCreate()
    yield session
    session.stop()


@pytest.fixture(params=["ray", "spark"])
def engine(request):
    request.getfixturevalue(request.param)
    return request.param


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


def test_workers_write_all_rows_in_their_order_and_tell_of_them(place, engine):
    here, there = place / "scores-here.parquet", place / f"scores-{engine}.parquet"
    asked = ("score", place / "run", place / "parts", "--samples", 4, "--json", "-o")
    one = must(*asked, here, "--stream").document
    other = must(*asked, there, "--engine", engine).document
    assert other["rows"] == one["rows"] == 200
    assert other["bound"] == pytest.approx(one["bound"], rel=1e-5)
    check_alike(parquet.read_table(here), parquet.read_table(there))


def test_what_a_worker_refuses_is_told_in_one_line(place, engine):
    (place / "odd").mkdir(exist_ok=True)
    pd.DataFrame({"a": [1.0], "b": [1.0], "c": [1.0], "town": ["Atlantis"]}).to_parquet(place / "odd" / "0.parquet")
    told = run_cli("encode", place / "run", place / "odd", "-o", place / "odd.parquet", "--engine", engine)
    [line] = [line for line in told.err.splitlines() if line.startswith("reparam:")]
    assert told.code == 2
    assert "Atlantis" in line


def test_an_engine_that_is_not_installed_says_how_it_is(monkeypatch, tmp_path):
    monkeypatch.setitem(PACKAGES, "spark", "no_such_package")
    order = Order(str(tmp_path), "encode", {"draw": False})
    with pytest.raises(ParameterError, match=r"--engine spark needs Spark: pip install 'reparam\[spark\]'"):
        by_engine("spark", order, "x.parquet", tmp_path / "y.parquet")
    with pytest.raises(ParameterError, match=r"-o must end in \.parquet"):
        by_engine("spark", order, "x.parquet", tmp_path / "y.csv")
    assert not list(tmp_path.iterdir())


def test_what_stands_in_the_place_of_the_parts_is_left_alone(tmp_path):
    (tmp_path / "x.parquet").write_text("mine")
    with pytest.raises(ParameterError, match="is there, and a folder of parts is to be written"):
        new_folder(tmp_path / "x.parquet")
    assert (tmp_path / "x.parquet").read_text() == "mine"
