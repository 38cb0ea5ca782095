"""``reparam gradients``, as a user calls it."""

from __future__ import annotations

import json

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

import reparam
from reparam.cli.gradients import gradients
from reparam.errors import ParameterError

app = typer.Typer()
app.command()(gradients)
QUICK = ("--samples", "1,2", "--repeats", "4", "--rows", "5", "--estimators", "pathwise,vimco")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gradients")
    rows = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
    np.save(folder / "rows.npy", rows)
    reparam.VAE(2, hidden=(), epochs=2).fit(rows).save(folder / "run")
    return folder


def call(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None:
        raise result.exception
    return result.stdout


def test_the_answer_is_one_json_document_and_a_picture(run):
    document = json.loads(call(run / "run", run / "rows.npy", "--json", *QUICK))
    assert [(found["estimator"], found["samples"]) for found in document["gradients"]] == [
        ("pathwise", 1),
        ("pathwise", 2),
        ("vimco", 2),
    ]
    assert all(found["rows"] == 5 and found["repeats"] == 4 for found in document["gradients"])
    assert document["gradients"][0]["encoder"]["variance"] > 0.0
    assert (run / "run" / "plots" / "gradients.png").read_bytes().startswith(b"\x89PNG")


def test_the_table_names_every_estimator_and_fresh_weights_are_others(run):
    trained = call(run / "run", run / "rows.npy", *QUICK, "-o", run / "a.png").splitlines()
    fresh = call(run / "run", run / "rows.npy", *QUICK, "--fresh", "-o", run / "b.png").splitlines()
    assert [line.split()[0] for line in trained[2:5]] == ["pathwise", "pathwise", "vimco"]
    assert "trained weights" in trained[0]
    assert "fresh weights" in fresh[0]
    assert trained[2] != fresh[2]
    assert (run / "b.png").exists()


def test_numbers_of_draws_that_are_none_are_refused(run):
    with pytest.raises(ParameterError, match="--samples must be whole numbers"):
        call(run / "run", run / "rows.npy", "--samples", "1,many")
