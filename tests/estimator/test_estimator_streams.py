"""A model is trained on a stream as on rows in memory: exact to resume, in little memory, by chunks of any size."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import reparam
from reparam.data import stream
from reparam.data.streaming import passes
from reparam.errors import DataError, ParameterError
from reparam.estimator import fitting, keeping
from reparam.estimator.configuration import Configuration
from reparam.estimator.seeing import survey

ROWS = 700
SETTINGS = {"latent_dim": 1, "hidden": (), "batch_size": 32, "start": "random", "random_state": 5}


def rows_of(count: int = ROWS, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, 1)) @ [[1.0, 2.0, -1.0]] * 3 + 50.0 + 0.2 * rng.normal(size=(count, 3))


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(passes, "CHUNK_BYTES", 32 * 12 * 5)  # five batches of three float32


@pytest.fixture
def place(tmp_path) -> Path:
    np.save(tmp_path / "x.npy", rows_of())
    return tmp_path / "x.npy"


def states(fitted: fitting.Fitted, place: Path) -> list[bytes]:
    """The fitted model after every chunk, as the bytes of a run."""
    found = survey(stream(place), fitted.configuration)
    tensors = []
    for reached, _ in fitting.train(fitted, fitting.task(fitted, found)):
        run = keeping.as_run(reached, {})
        tensors.append(b"".join(array.tobytes() for _, array in sorted(run.state.items())) + repr(run.metrics).encode())
    return tensors


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"epochs": 3, "average": "ema:0.9"},
        {"epochs": 2, "early_stopping": True, "posterior": "flow:1", "latent_dim": 2},
    ],
    ids=["judged", "averaged", "held out"],
)
def test_stopped_after_any_chunk_it_ends_with_the_same_bytes(place, tmp_path, settings):
    """Through a run folder: a chunk is where training can be stopped, and its number is all that it needs to go on."""
    configuration = Configuration(**{**SETTINGS, "patience": 4, **settings})
    begun = fitting.begin(configuration, survey(stream(place), configuration))
    whole = states(begun, place)
    assert len(whole) >= 8
    for stopped in (1, 6):
        found = survey(stream(place), configuration)
        steps = fitting.train(begun, fitting.task(begun, found))
        reached = [fitted for _, (fitted, _) in zip(range(stopped), steps, strict=False)][-1]
        keeping.save(reached, tmp_path / "run", overwrite=True, source={})
        assert states(reparam.load(tmp_path / "run").fitted_, place) == whole[stopped:]


def test_a_stream_and_the_same_rows_in_memory_are_learned_alike(place):
    linear = {**SETTINGS, "start": "linear"}
    one, other = reparam.VAE(**linear).fit_stream(place), reparam.VAE(**linear).fit(rows_of())
    new = rows_of(500, 1)
    assert one.schema_.shift == pytest.approx(rows_of().mean(axis=0), rel=1e-12)
    assert one.score(new) == pytest.approx(other.score(new), abs=0.05)
    assert one.score(new) > reparam.VAE(**SETTINGS).partial_fit(rows_of()).score(new)


def test_rows_in_single_precision_stay_as_they_are_read(tmp_path):
    """A batch is shifted and scaled on the device: what it sees is what double precision gives, to the last digits."""
    rows = rows_of().astype(np.float32)
    np.save(tmp_path / "x.npy", rows)
    configuration = Configuration(**SETTINGS)
    found = survey(stream(tmp_path / "x.npy"), configuration)
    fitted = fitting.begin(configuration, found)
    task = fitting.task(fitted, found)
    chunk = next(task.rows.passes.chunks(0, 0)).own
    assert set(map(bytes, chunk)) <= set(map(bytes, rows))
    digits = 2.0**-23 * np.abs(chunk).max() / min(fitted.schema.scale)
    np.testing.assert_allclose(task.rows.schema.apply(chunk), fitted.stored(chunk)[0], rtol=1e-6, atol=digits)


def test_what_a_stream_cannot_have_is_refused(place):
    with pytest.raises(ParameterError, match="mean_field"):
        reparam.VAE(inference="mean_field").fit_stream(place)


def test_a_file_that_changes_while_it_is_trained_on_is_named(place):
    configuration = Configuration(**SETTINGS)
    found = survey(stream(place), configuration)
    steps = fitting.train(begun := fitting.begin(configuration, found), fitting.task(begun, found))
    next(steps)
    np.save(place, rows_of(seed=1))
    with pytest.raises(DataError, match=r"x\.npy was written since it was opened"):
        list(steps)


def test_a_stream_that_was_changed_is_not_gone_on_with(place):
    configuration = Configuration(**SETTINGS)
    begun = fitting.begin(configuration, survey(stream(place), configuration))
    np.save(place, rows_of(seed=1))
    with pytest.raises(DataError, match="is not what the model was trained on"):
        fitting.resume(begun, configuration, survey(stream(place, schema=begun.schema), configuration, known=True))


def test_partial_fit_goes_on_with_every_lot_of_rows():
    vae = reparam.VAE(**{**SETTINGS, "learning_rate": 0.03, "schedule": "constant", "batch_size": 4})
    new, bounds = rows_of(300, 9), []
    for seed in range(6):
        bounds.append(vae.partial_fit(rows_of(96, seed)).score(new))
    assert bounds[-1] > bounds[0] + 0.5
    assert [line["epoch"] for line in vae.history_] == [1, 2, 3, 4, 5, 6]
    assert vae.schema_.shift == pytest.approx(rows_of(96, 0).mean(axis=0))
    with pytest.raises(ParameterError, match="partial_fit goes on only after partial_fit"):
        reparam.VAE(**SETTINGS).fit(new).partial_fit(new)


def test_partial_fit_takes_frames_of_the_levels_of_the_first():
    frame = pd.DataFrame({"x": rows_of(60)[:, 0], "kind": ["a", "b", "c"] * 20})
    vae = reparam.VAE(**SETTINGS).partial_fit(frame).partial_fit(frame[::-1])
    assert list(vae.sample(3).columns) == ["x", "kind"]
    with pytest.raises(DataError, match="none of the 3 levels"):
        vae.partial_fit(frame.assign(kind="d"))


PEAK = """
import resource, sys
import reparam
from reparam.data.streaming import passes
passes.CHUNK_BYTES = 1 << 22
settings = dict(latent_dim=1, hidden=(), epochs=1, batch_size=2048, start="random", bound_samples=1)
reparam.VAE(**settings).fit_stream(sys.argv[1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
reparam.VAE(**settings).fit_stream(sys.argv[2])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_memory_does_not_grow_with_the_rows(tmp_path):
    """A file of 256 MiB adds less than 100 to the peak of a process that has trained on one of 16: one part of it."""
    rng = np.random.default_rng(0)
    for name, parts in (("small", 1), ("large", 16)):
        with (tmp_path / f"{name}.npy").open("wb") as file:
            head = {"descr": "<f4", "fortran_order": False, "shape": (parts * (1 << 18), 16)}
            np.lib.format.write_array_header_1_0(file, head)
            block = rng.normal(size=(1 << 18, 16)).astype("<f4").tobytes()
            for _ in range(parts):
                file.write(block)
    files = [str(tmp_path / f"{name}.npy") for name in ("small", "large")]
    done = subprocess.run([sys.executable, "-c", PEAK, *files], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 100 * 1024  # KiB
