"""`reparam gap` from a run on the shipped digits."""

from __future__ import annotations

import json

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
