"""`reparam gap` from a run on the shipped digits."""

from __future__ import annotations

import json

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

import reparam
from reparam.cli.gap import gap
from reparam.cli.sources import Source
from reparam.data import load


@pytest.fixture(scope="module")
def app():
    app = typer.Typer()
    app.command()(gap)
    return app


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    data = load("digits")
    place = tmp_path_factory.mktemp("gap") / "run"
    vae = reparam.VAE(4, hidden=(16,), likelihood="gaussian", epochs=3, early_stopping=True)
    with pytest.warns(reparam.errors.ReparamWarning, match="constant"):
        vae.fit_dataset(data)
    vae.save(place, data=Source("digits").to_json(data))
    return place


def test_json_tells_both_sets_and_draws_them(app, run):
    result = CliRunner().invoke(app, [str(run), "--rows", "20", "--samples", "50", "--json"])
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    for name in ("training", "held_out"):
        found = document[name]
        assert found["rows"] == 20
        assert found["amortization_gap"]["value"] > 0
        assert found["inference_gap"]["value"] == pytest.approx(
            found["amortization_gap"]["value"] + found["approximation_gap"]["value"], abs=1e-3
        )
    assert (run / "plots" / "gap.png").stat().st_size > 1000


def test_text_tells_the_decomposition(app, run, tmp_path):
    result = CliRunner().invoke(
        app, [str(run), "digits", "--rows", "20", "--samples", "50", "--annealing", "10", "-o", str(tmp_path / "g.png")]
    )
    assert result.exit_code == 0, result.stderr
    assert "amortisation gap" in result.stdout
    assert "time for a new row" in result.stdout
    assert (tmp_path / "g.png").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("-o", "gap.pdf"), "must end in .png"),
        (("-o", "nowhere/gap.png"), "there is no folder 'nowhere'"),
        (("--family", "fulll"), "Did you mean 'full'"),
    ],
)
def test_what_cannot_be_done_is_said_before_the_search(app, run, options, message):
    result = CliRunner().invoke(app, [str(run), "--rows", "20", *options])
    assert result.exit_code != 0
    assert message in str(result.exception)
    assert "rows" not in result.stdout


def test_the_text_has_every_gap_and_one_row_has_no_error(app, run, tmp_path):
    data = load("digits")
    np.save(tmp_path / "one.npy", data.rows[:1].reshape(1, 8, 8))
    options = ["--samples", "20", "--family", "full", "-o", str(tmp_path / "g.png")]
    result = CliRunner().invoke(app, [str(run), str(tmp_path / "one.npy"), *options])
    assert result.exit_code == 0, result.stderr
    for label in ("inference gap", "approximation gap", "amortisation gap", "gap of full"):
        assert label in result.stdout
    assert "±" not in result.stdout.partition("\n")[2]
