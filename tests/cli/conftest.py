"""One small run, trained once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from command_line import SMALL, must


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """80 rows of 6 correlated columns."""
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("data") / "x.npy"
    np.save(path, rng.normal(size=(80, 2)) @ rng.normal(size=(2, 6)) + 0.1 * rng.normal(size=(80, 6)))
    return path


@pytest.fixture(scope="session")
def trained(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two epochs on the table; tests read it, and write elsewhere."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    must("train", table, "--out", folder, *SMALL)
    return folder
