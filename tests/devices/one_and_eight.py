"""The largest differences between one device and eight, as JSON: started by a test with eight virtual devices."""

from __future__ import annotations

import json
import sys
import warnings
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import jax
import numpy as np

import reparam
from reparam.data.streaming import parts, passes
from reparam.devices.dealing import Held
from reparam.devices.mesh import Devices
from reparam.errors import ReparamWarning
from reparam.training.tensors import to_tensors

ROWS = np.random.default_rng(0).normal(size=(90, 6)) @ np.random.default_rng(1).normal(size=(6, 6))
BINARY = (np.random.default_rng(2).random((66, 5)) < 0.4).astype(np.uint8)
PLAIN = {"hidden": (8,), "epochs": 2, "batch_size": 20, "latent_dim": 2}
CASES = {
    "held_out": (ROWS, {**PLAIN, "early_stopping": True, "validation_fraction": 0.3, "average": "ema:0.9"}),
    "folds": (ROWS, {**PLAIN, "epochs": "auto", "patience": 1, "learning_rate": 0.05}),
    "draws": (BINARY, {**PLAIN, "objective": "iwae:3", "posterior": "full", "estimator": "dreg", "latent_dim": 3}),
    "layers": (ROWS, {**PLAIN, "latent_dim": (3, 2), "posterior": "ladder"}),
    "own_q": (ROWS[:61], {**PLAIN, "inference": "mean_field:2", "early_stopping": True, "start": "random"}),
    "wide": (BINARY, {**PLAIN, "hidden": (512,), "objective": "beta_tcvae", "on_nonfinite": "skip"}),
}
"""Batches of 20 rows, which eight devices cannot share equally, and tables of rows that they cannot either."""


def trained(rows: np.ndarray, settings: dict, **where: object) -> dict[str, np.ndarray]:
    """The tensors of a state and what is said of rows, as an array each."""
    vae = reparam.VAE(**settings, **where).fit(rows)
    tensors = {name: np.asarray(array, np.float64) for name, array in to_tensors(vae.state_).items()}
    bounds = np.asarray([line["bound"] for line in vae.history_])
    scores = vae.score_samples(rows[:13], samples=4) if settings["latent_dim"] == 3 else np.zeros(0)
    return {**tensors, "history": bounds, "scores": np.asarray(scores, np.float64)}


def streamed(**where: object) -> dict[str, np.ndarray]:
    """The same of rows that are read part by part, cells missing, in chunks of which one process holds all."""
    gaps = np.where(np.random.default_rng(3).random(ROWS.shape) < 0.1, np.nan, ROWS)
    parts.PART_BYTES, passes.CHUNK_BYTES = 6 * 8 * 31, 6 * 4 * 100
    with TemporaryDirectory() as folder:
        place = Path(folder) / "rows.npy"
        np.save(place, np.concatenate([gaps, gaps + 1.0, gaps - 1.0]))
        vae = reparam.VAE(**{**PLAIN, "average": "ema:0.9", "early_stopping": True}, **where).fit_stream(place)
    tensors = {name: np.asarray(array, np.float64) for name, array in to_tensors(vae.state_).items()}
    return {**tensors, "history": np.asarray([line["bound"] for line in vae.history_])}


def compared(name: str) -> float:
    """The largest difference between one device and eight, relative to what is above 1."""
    where = {"devices": 8, "shard_model": 4} if name == "wide" else {"devices": "all"}
    of = streamed if name == "streamed" else partial(trained, *CASES[name])
    one, many = of(), of(**where)
    assert {key: value.shape for key, value in one.items()} == {key: value.shape for key, value in many.items()}
    return max(float(np.max(_apart(one[key], many[key]), initial=0.0)) for key in one)


def _apart(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Relative to what is above 1; infinities of one sign do not differ."""
    with np.errstate(invalid="ignore"):
        return np.where(one == other, 0.0, np.abs(one - other) / (1.0 + np.abs(one)))


def dealt() -> bool:
    """Whether each device is given the rows of its columns: 90 rows in batches of 20, of which a process read runs."""
    held, order = Held(ROWS, np.zeros(3, int), np.asarray([50, 0, 40])), np.random.default_rng(5).permutation(90)
    numbers = np.resize(order, (5, 20))
    laid = held.dealt(numbers, Devices(8))
    assert {shard.data.shape for shard in laid.addressable_shards} == {(5, 3, 6)}
    return bool((np.asarray(laid)[:, :20] == np.asarray(ROWS[numbers], laid.dtype)).all())


def main(place: str, *names: str) -> None:
    warnings.simplefilter("ignore", ReparamWarning)
    differences = {name: compared(name) for name in names or (*CASES, "streamed")}
    told = {"devices": jax.device_count(), "differences": differences, "dealt": dealt()}
    Path(place).write_text(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
