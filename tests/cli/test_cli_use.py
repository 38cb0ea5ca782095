"""What a run is used for: evaluate, encode, decode, sample, reconstruct, score, inspect."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from command_line import SMALL, must, run_cli

import reparam
from reparam.data import split


@pytest.fixture(scope="module")
def vae(trained):
    return reparam.load(trained)


@pytest.fixture(scope="module")
def rows(table):
    return np.load(table)


def test_evaluate_takes_the_rows_that_the_run_held_out(trained, vae, rows):
    document = must("evaluate", trained, "--samples", 5, "--json").document
    expected = vae.evaluate(rows[split(80, 0.1, 0)[1]], samples=5)
    assert document["data"] == "the 8 rows of x.npy that the run held out"
    for name in ("rows", "elbo", "kl", "reconstruction", "bound", "active_units", "standard_error", "samples"):
        assert document[name] == pytest.approx(getattr(expected, name)), name
    assert document["bound"] > document["elbo"]


def test_evaluate_for_people_says_which_rows_and_which_units(trained, table):
    result = must("evaluate", trained, table, "--samples", 5)
    assert result.out.splitlines()[0] == f"80 rows of {table}; nats per datum, densities of x"
    for word in ("elbo", "reconstruction", "KL", "mutual information", "bound", "effective draws", "active units"):
        assert f"  {word} " in result.out
    assert "rests on fewer than 10 effective draws" in result.err  # five draws never are ten
    assert (trained / "plots" / "bound.png").read_bytes().startswith(b"\x89PNG")


def test_evaluate_anneals_the_first_rows(trained, tmp_path):
    options = ("--samples", 5, "--annealing", 5, "--annealed-rows", 4, "-o", tmp_path / "b.png")
    document = must("evaluate", trained, *options, "--json").document
    assert document["annealed"]["rows"] == 4
    assert document["annealed"]["annealing"]["temperatures"] == 5
    told = must("evaluate", trained, *options).out
    assert f"{document['annealed']['bound']['value']:.3f}  ± " in told
    assert "of 4 rows; by 5 draws theirs is" in told
    assert document["plot"] == str(tmp_path / "b.png")


def test_evaluate_repeats_and_the_seed_changes_it(trained):
    first, again, other = (
        must("evaluate", trained, "--samples", 5, "--json", *seed).document["bound"] for seed in ((), (), ("--seed", 9))
    )
    assert first == again != other


def test_evaluate_says_that_the_source_is_gone_or_changed(trained, table, tmp_path):
    np.save(tmp_path / "x.npy", np.load(table))
    shutil.copytree(trained, tmp_path / "run")
    described = json.loads((trained / "data.json").read_text())
    (tmp_path / "run" / "data.json").write_text(json.dumps({**described, "data": str(tmp_path / "x.npy")}))
    must("evaluate", tmp_path / "run", "--samples", 1)
    np.save(tmp_path / "x.npy", np.load(table) + 1)
    changed = run_cli("evaluate", tmp_path / "run", "--samples", 1)
    (tmp_path / "x.npy").unlink()
    gone = run_cli("evaluate", tmp_path / "run", "--samples", 1)
    assert (changed.code, gone.code) == (2, 2)
    assert "is no longer what the run was trained on" in changed.err
    assert "the run's own data cannot be read: there is no file" in gone.err
    assert gone.err.endswith("Give DATA.\n")


def test_evaluate_asks_for_data_of_a_run_that_python_saved(vae, tmp_path):
    vae.save(tmp_path / "run", data={})
    result = run_cli("evaluate", tmp_path / "run")
    assert result.code == 2
    assert "it was saved from Python" in result.err


@pytest.mark.parametrize("ending", ["npy", "npz", "csv", "parquet"])
def test_decode_reads_what_encode_writes(trained, table, vae, tmp_path, ending):
    codes, decoded = tmp_path / f"codes.{ending}", tmp_path / "decoded.npy"
    must("encode", trained, table, "-o", codes)
    must("decode", trained, codes, "-o", decoded)
    np.testing.assert_allclose(np.load(decoded), vae.reconstruct(np.load(table)), rtol=1e-4, atol=1e-5)


def test_encode_names_its_columns(trained, table, vae, rows, tmp_path):
    must("encode", trained, table, "-o", tmp_path / "codes.csv")
    with (tmp_path / "codes.csv").open() as file:
        header, *lines = csv.reader(file)
    mean, std = vae.posterior_moments(rows)
    assert header == ["mean_0", "mean_1", "std_0", "std_1"]
    np.testing.assert_allclose(np.array(lines, float), np.hstack([mean, std]), rtol=1e-5)


def test_encode_draw_writes_one_draw_by_the_seed(trained, table, vae, rows, tmp_path):
    for name, seed in (("a", ()), ("b", ()), ("c", ("--seed", 9))):
        must("encode", trained, table, "-o", tmp_path / f"{name}.npz", "--draw", *seed)
    a, b, c = (np.load(tmp_path / f"{name}.npz")["z"] for name in "abc")
    np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(a, vae.transform(rows, draw=True))
    assert np.abs(a - c).max() > 0.01
    assert np.abs(a - vae.transform(rows)).max() > 0.01


def test_sample_repeats_by_seed_and_temperature_zero_is_one_point(trained, vae, tmp_path):
    must("sample", trained, "-n", 7, "-o", tmp_path / "a.npy", "--seed", 3)
    must("sample", trained, "-n", 7, "-o", tmp_path / "cold.npy", "--temperature", 0)
    must("sample", trained, "-n", 7, "-o", tmp_path / "noisy.npy", "--seed", 3, "--draw")
    drawn, cold, noisy = (np.load(tmp_path / f"{name}.npy") for name in ("a", "cold", "noisy"))
    np.testing.assert_array_equal(drawn, vae.sample(7, random_state=3))
    np.testing.assert_allclose(cold, np.repeat(cold[:1], 7, axis=0), rtol=1e-6)
    assert np.abs(noisy - drawn).max() > 0.01


def test_reconstruct_writes_rows_in_the_units_of_the_data(trained, table, vae, rows, tmp_path):
    must("reconstruct", trained, table, "-o", tmp_path / "mean.npy")
    must("reconstruct", trained, table, "-o", tmp_path / "draw.npy", "--draw", "--seed", 4)
    np.testing.assert_array_equal(np.load(tmp_path / "mean.npy"), vae.reconstruct(rows))
    np.testing.assert_array_equal(np.load(tmp_path / "draw.npy"), vae.reconstruct(rows, draw=True, random_state=4))


def test_score_writes_a_bound_for_every_row(trained, table, vae, rows, tmp_path):
    document = must("score", trained, table, "-o", tmp_path / "s.csv", "--samples", 5, "--json").document
    scores = np.loadtxt(tmp_path / "s.csv", skiprows=1)
    np.testing.assert_allclose(scores, vae.score_samples(rows, samples=5), rtol=1e-5)
    assert document["bound"] == pytest.approx(scores.mean(), rel=1e-5)
    assert document["samples"] == 5


def test_a_table_keeps_its_column_names_and_labels_are_not_trained_on(tmp_path):
    rng = np.random.default_rng(0)
    lines = [f"{a:.4f},{b:.4f},{'odd' if a > b else 'even'}" for a, b in rng.normal(size=(40, 2))]
    (tmp_path / "t.csv").write_text("left,right,kind\n" + "\n".join(lines) + "\n")
    must("train", tmp_path / "t.csv", "--out", tmp_path / "run", *SMALL, "--labels", "kind")
    must("reconstruct", tmp_path / "run", tmp_path / "t.csv", "-o", tmp_path / "r.csv")
    described = json.loads((tmp_path / "run" / "data.json").read_text())
    assert (tmp_path / "r.csv").read_text().splitlines()[0] == "left,right"
    assert described["labels"] == "kind"
    assert must("evaluate", tmp_path / "run", "--samples", 2, "--json").document["units"] == "x"
    pictures = must("plot", tmp_path / "run", "--json").document["plots"]
    assert {path.rsplit("/", 1)[1] for path in pictures} == {
        "training.png", "marginals.png", "reconstructions.png", "latents.png"
    }  # fmt: skip


def test_inspect_tells_what_would_be_chosen_and_why(table):
    document = must("inspect", table, "--json").document
    assert (document["rows"], document["event_shape"]) == (80, [6])
    assert document["likelihood"] == "gaussian:per_dimension"
    assert document["likelihood_reason"].startswith("values from ")
    assert len(document["columns"]) == 6
    told = must("inspect", "digits").out
    assert "8 × 8 (image)" in told
    assert "gaussian (values from 0 to 1" in told
    assert "column_0, column_32, column_39" in told


def test_inspect_counts_what_it_does_not_list(tmp_path):
    np.save(tmp_path / "flat.npy", np.concatenate([np.arange(60.0).reshape(20, 3), np.ones((20, 2000))], axis=1))
    told = must("inspect", tmp_path / "flat.npy").out
    assert "2,000 of 2,003 columns: column_3, column_4" in told
    assert "and 1,992 more" in told
    assert len(told) < 4000


def test_inspect_counts_missing_values(tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n1.5,\n2,3\n,4\n")
    result = must("inspect", tmp_path / "t.csv", "--json")
    assert result.document["missing"] == 2
    assert [column["missing"] for column in result.document["columns"]] == [1, 1]


def test_help_imports_nothing_heavy():
    heavy = {"jax", "numpy", "sklearn", "matplotlib", "pyarrow", "equinox", "numpyro", "scipy", "pandas"}
    code = f"""
import sys
from reparam.cli import main
for arguments in (["--help"], ["train", "--help"], []):
    try: main(arguments)
    except SystemExit as end: assert not end.code
print(sorted({heavy!r} & set(sys.modules)))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[]"
    for name in (
        "train",
        "evaluate",
        "encode",
        "decode",
        "sample",
        "reconstruct",
        "score",
        "plot",
        "inspect",
        "verify",
    ):
        assert f"  {name}" in result.stdout
