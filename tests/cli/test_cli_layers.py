"""Several layers of latents on the command line."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from command_line import SMALL, must, run_cli


@pytest.fixture(scope="module")
def layered(table, tmp_path_factory):
    folder = tmp_path_factory.mktemp("layers") / "run"
    must("train", table, "--out", folder, "--latents", "3,2", "--posterior", "ladder", "--bound-samples", 8, *SMALL)
    return folder


def test_the_divergence_is_reported_by_layer(layered, table):
    document = must("evaluate", layered, table, "--json").document
    assert [layer["latents"] for layer in document["layers"]] == [3, 2]
    assert sum(layer["kl"] for layer in document["layers"]) == pytest.approx(document["kl"], rel=1e-5)
    assert len(document["kl_per_dimension"]) == 5


@pytest.mark.parametrize("ending", ["csv", "npz", "npy"])
def test_decode_reads_what_encode_writes(layered, table, tmp_path, ending):
    codes, decoded, means = tmp_path / f"z.{ending}", tmp_path / "x.npy", tmp_path / "means.npy"
    must("encode", layered, table, "-o", codes)
    must("decode", layered, codes, "-o", decoded)
    must("reconstruct", layered, table, "-o", means)
    np.testing.assert_allclose(np.load(decoded), np.load(means), rtol=1e-4, atol=1e-5)


def test_columns_are_named_by_layer(layered, table, tmp_path):
    must("encode", layered, table, "-o", tmp_path / "z.csv", "--draw")
    header = (tmp_path / "z.csv").read_text().splitlines()[0]
    assert header == "z1_0,z1_1,z1_2,z2_0,z2_1"


def test_a_latent_above_moves_what_lies_below(layered, table, tmp_path):
    must("traverse", layered, table, "-o", tmp_path / "t.csv", "--steps", 2)
    with (tmp_path / "t.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["latent"] for row in rows} == set("01234")
    beside = ("latent", "kl", "quantile", "z")
    moved = [[float(row[name]) for name in row if name not in beside] for row in rows if row["latent"] == "3"]
    above = np.array(moved)
    assert above.shape == (2, 6)
    assert np.abs(above[0] - above[1]).max() > 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--latents", "3,x"), "32,16"),
        (("--latents", "3,2", "--posterior", "full"), "'ladder'"),
        (("--latents", "3,2", "--start", "linear"), "no linear answer"),
    ],
)
def test_what_cannot_be_meant_is_one_line(table, tmp_path, options, said):
    result = run_cli("train", table, "--out", tmp_path / "run", *options)
    assert result.code == 2
    assert said in result.err
    assert len(result.err.strip().splitlines()) == 1
