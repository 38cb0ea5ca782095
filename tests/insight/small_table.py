"""A small table with labels, and models of it."""

from __future__ import annotations

import numpy as np

from reparam import VAE
from reparam.data import Dataset, from_array
from reparam.insight import Session


def table_data() -> Dataset:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 200)
    rows = rng.normal(size=(200, 4)) + 2.0 * np.eye(4)[labels]
    data = from_array(rows, name="table", columns=("a", "b", "c", "d"))
    return Dataset(data.rows, data.schema, labels)


def table_session(seed: int = 0, **more: object) -> Session:
    data = table_data()
    settings = {"hidden": (8,), "epochs": 3, "batch_size": 50, "bound_samples": 10, "random_state": seed, **more}
    return Session(VAE(2, **settings).fit_dataset(data), data, f"run{seed}", "table")
