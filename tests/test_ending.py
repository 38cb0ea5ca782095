"""Signals that arrive while compiled code runs and does not return."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

HANGING = """
import pathlib, signal, sys, time
import jax
from reparam import ending, storage
kept = pathlib.Path(sys.argv[1])
signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell in the background has its children ignore
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # and nohup
def keep():
    if sys.argv[2] == "keeps":
        kept.write_text("kept")
    time.sleep(0.0 if sys.argv[2] == "keeps" else 1000.0)
endless = jax.jit(lambda x: jax.lax.while_loop(lambda x: x < 2.0, lambda x: 0.9 * x + 0.1, x)).lower(1.0).compile()
ending.GRACE_SECONDS = 0.5
with ending.ending_in_order(keep):
    print("begun", flush=True)
    endless(1.0).block_until_ready()
"""


@pytest.mark.parametrize(("numbers", "code"), [((signal.SIGINT, signal.SIGINT), 130), ((signal.SIGHUP,), 129)])
@pytest.mark.parametrize("keeping", ["keeps", "hangs"])
def test_compiled_code_that_never_returns_is_ended(tmp_path: Path, numbers, code, keeping):
    """By Ctrl-C twice, or by one of the signals that have patience; even where keeping hangs as well."""
    process = subprocess.Popen(
        [sys.executable, "-c", HANGING, tmp_path / "kept", keeping],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "JAX_PLATFORMS": "cpu"},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        time.sleep(0.2)
        for number in numbers:
            process.send_signal(number)
            time.sleep(0.2)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == code, err
    assert (tmp_path / "kept").exists() is (keeping == "keeps")
    assert "Traceback" not in err
