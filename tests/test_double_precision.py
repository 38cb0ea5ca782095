"""The whole way in double precision, and the memory of a fit: each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

import reparam

DOUBLE = """
import json, sys
import jax, numpy as np, reparam

X = np.random.default_rng(0).normal(size=(60, 5))
grey = 1 / (1 + np.exp(-X))
ways = (
    (grey, {"binarize": "dynamic", "objective": "iwae:3", "estimator": "dreg", "prior": "vamp:3"}),
    (X, {"likelihood": "gaussian:optimal", "early_stopping": True, "average": "ema:0.9"}),
)
found = []
for rows, settings in ways:
    vae = reparam.VAE(hidden=(8,), epochs=2, bound_samples=5, **settings).fit(rows)
    place = vae.save(sys.argv[1], overwrite=True)
    loaded = reparam.load(place)
    leaves = [leaf for leaf in jax.tree.leaves(vae.state_) if jax.numpy.issubdtype(leaf.dtype, jax.numpy.inexact)]
    found.append({
        "types": sorted({str(leaf.dtype) for leaf in leaves}),
        "results": [str(vae.transform(rows).dtype), str(vae.score_samples(rows).dtype)],
        "same": bool(np.array_equal(loaded.transform(rows), vae.transform(rows))),
        "finite": bool(np.isfinite(vae.score_samples(rows)).all()),
    })
print(json.dumps(found))
"""

PEAK = """
import json, resource
import numpy as np
import reparam, reparam.data
from reparam.estimator import Configuration, fitting

rows = np.random.default_rng(0).integers(0, 256, (60_000, 400), dtype=np.uint8)
data = reparam.data.from_array(rows)
small = reparam.data.from_array(rows[:200])
configuration = Configuration(hidden=(8,), likelihood="gaussian")
fitting.begin(configuration, small)  # what is compiled and loaded has its memory before the measurement
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
fitting.begin(configuration, data)
print(json.dumps((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024))
"""


def run(program: str, *arguments: str, **environment: str) -> object:
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_everything_is_double_where_jax_is_and_opens_where_it_is_not(tmp_path: Path) -> None:
    for found in run(DOUBLE, str(tmp_path / "run"), JAX_ENABLE_X64="1"):  # type: ignore[attr-defined]
        assert found["types"] == ["float64"]
        assert found["results"] == ["float64", "float64"]
        assert found["same"]
        assert found["finite"]
    assert np.isfinite(reparam.load(tmp_path / "run").sample(3)).all()


def test_a_fit_of_bytes_is_not_begun_by_a_copy_in_floats() -> None:
    """24 MB of uint8 are 92 MB in single precision: beginning a fit holds the training rows and blocks of the rest."""
    assert float(run(PEAK)) < 70  # MiB  # type: ignore[arg-type]
