"""Training from the command line: what is kept, what is said, what repeats."""

from __future__ import annotations

import inspect
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer
from command_line import SMALL, must, run_cli

import reparam
from reparam.cli import app, settings, training
from reparam.cli.sharing import SHARING
from reparam.cli.sources import READING
from reparam.cli.train import NOT_SETTINGS
from reparam.runs import Place

FILES = {"config.json", "data.json", "metrics.jsonl", "model.safetensors", "state.safetensors"}


def weights(run: Path) -> bytes:
    return (run / "model.safetensors").read_bytes()


def epochs_of(run: Path) -> int:
    return len((run / "metrics.jsonl").read_text().splitlines())


def test_a_run_folder_holds_its_five_files_and_says_where_its_data_are(trained, table):
    assert {path.name for path in trained.iterdir()} == FILES
    described = json.loads((trained / "data.json").read_text())
    assert described["data"] == str(table)
    assert described["rows"] == 80
    assert list(trained.parent.iterdir()) == [trained]


def test_training_tells_its_choices_and_each_epoch_in_plain_lines(table, tmp_path):
    result = must("train", table, "--out", tmp_path / "run", *SMALL)
    lines = result.err.splitlines()
    assert result.out == ""
    assert "72 to train on, 8 held out" in lines[0]
    assert lines[1].startswith("likelihood: gaussian:per_dimension (values from ")
    assert lines[2].startswith("start: factor analysis")
    assert [line.split()[1] for line in lines[3:5]] == ["1/2", "2/2"]
    for word in ("bound", "held out", "reconstruction", "KL", "active units", "examples/s", "left"):
        assert f"  {word} " in lines[4]
    assert re.search(r"  compiled and done in \d+\.\d s$", lines[3])
    assert "compiled" not in lines[4]
    assert lines[5].startswith("trained 2 epochs; kept the weights of epoch ")


def test_json_is_one_document_and_the_only_thing_on_standard_output(table, tmp_path):
    document = must("train", table, "--out", tmp_path / "run", *SMALL, "--json").document
    assert document["epochs"] == 2
    assert document["stopped"] == "epochs"
    assert document["likelihood"] == "gaussian:per_dimension"
    assert (document["training_rows"], document["validation_rows"]) == (72, 8)
    for means in (document["training"], document["validation"]):
        assert means["bound"] == pytest.approx(means["reconstruction"] - means["kl"], abs=1e-4)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(trained, table, tmp_path):
    must("train", table, "--out", tmp_path / "same", *SMALL, "--seed", 0)
    must("train", table, "--out", tmp_path / "other", *SMALL, "--seed", 1)
    assert weights(tmp_path / "same") == weights(trained)
    assert (tmp_path / "same" / "state.safetensors").read_bytes() == (trained / "state.safetensors").read_bytes()
    assert weights(tmp_path / "other") != weights(trained)


@pytest.mark.parametrize("fraction", ["0.1", "0"])
def test_three_epochs_and_three_more_are_six(table, tmp_path, fraction):
    options = (*SMALL[:4], "--validation-fraction", fraction)
    must("train", table, "--out", tmp_path / "six", *options, "--epochs", 6)
    must("train", table, "--out", tmp_path / "parts", *options, "--epochs", 3)
    resumed = must("train", table, "--out", tmp_path / "parts", "--resume", "--epochs", 6, "--json")
    assert resumed.document["epochs"] == epochs_of(tmp_path / "parts") == 6
    for name in ("model.safetensors", "state.safetensors", "metrics.jsonl", "config.json"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "six" / name).read_bytes()


def test_no_held_out_rows_means_every_row_is_trained_on(table, tmp_path):
    document = must("train", table, "--out", tmp_path / "run", *SMALL, "--validation-fraction", 0, "--json").document
    assert (document["training_rows"], document["validation_rows"]) == (80, 0)
    assert document["validation"] is None
    evaluated = must("evaluate", tmp_path / "run", "--samples", 2, "--json").document
    assert evaluated["rows"] == 80


def test_early_stopping_is_told_with_the_epoch_that_is_kept(table, tmp_path):
    options = (*SMALL[:4], "--epochs", 40, "--patience", 1, "--learning-rate", 0.5)
    result = must("train", table, "--out", tmp_path / "run", *options, "--json")
    document = result.document
    assert document["stopped"] == "early"
    assert document["best_epoch"] == document["epochs"] - 1
    assert f"stopped early after epoch {document['epochs']} of 40" in result.err
    history = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert document["validation"]["bound"] == max(line["validation"]["bound"] for line in history)


def test_every_parameter_of_the_estimator_is_an_option_with_its_default_told():
    defaults = {name: p.default for name, p in inspect.signature(reparam.VAE).parameters.items()}
    defaults["seed"] = defaults.pop("random_state")
    for name in ("early_stopping", "encoder", "decoder", "warm_start", "verbose", *SHARING):
        defaults.pop(name, None)  # validation_fraction says the first, --resume warm_start; networks are for Python
    defaults["beta"], defaults["condition"] = "1, of beta-tcvae 6", "none"
    options = {option.name: option for option in typer.main.get_command(app).commands["train"].params}
    settable = set(options) - {*NOT_SETTINGS, *READING, *SHARING, "help"}
    assert settable == set(defaults)
    for name, default in defaults.items():
        assert f"[default: {default}]" in options[name].help
        assert f"--{name.replace('_', '-')}" in options[name].opts


def test_flags_go_before_the_file_and_names_may_have_hyphens(table, tmp_path):
    config = tmp_path / "settings.toml"
    config.write_text('latent-dim = 3\nhidden = [8]\nbatch_size = 32\nepochs = 7\nscale = "log-std"\nseed = 5\n')
    must("train", table, "--out", tmp_path / "run", "--config", config, "--epochs", 1, "--latent-dim", 2)
    parameters = json.loads((tmp_path / "run" / "config.json").read_text())["parameters"]
    chosen = {name: parameters[name] for name in ("latent_dim", "hidden", "epochs", "scale", "random_state")}
    assert chosen == {"latent_dim": 2, "hidden": [8], "epochs": 1, "scale": "log_std", "random_state": 5}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("latent_dm = 3", "unknown setting 'latent_dm'. Did you mean 'latent_dim'?"),
        ("latent_dim = 2.5", "'latent_dim' must be int or 'auto'. Got 2.5 instead."),
        ("latent_dim = true", "'latent_dim' must be int or 'auto'. Got True instead."),
        ("posterior = 3", "'posterior' must be str. Got 3 instead."),
        ('hidden = ["a"]', "'--hidden' option must be an int in [1, inf)"),
        ("[model]\nlatent_dim = 3", "unknown setting 'model'"),
        ("latent_dim = ", "is not TOML"),
    ],
)
def test_a_file_of_settings_that_cannot_be_used_is_refused(table, tmp_path, text, told):
    (tmp_path / "settings.toml").write_text(text)
    result = run_cli("train", table, "--out", tmp_path / "run", "--config", tmp_path / "settings.toml")
    assert result.code == 2
    assert told in result.err
    assert len(result.err.splitlines()) == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("text", "expected"), [("400", (400,)), ("200, 50", (200, 50)), ("", ()), ("none", ())])
def test_widths_of_hidden_layers(text, expected):
    assert settings.widths(text) == expected


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *(("--latent-dim", "3"), ("--seed", "1"), ("--validation-fraction", "0.2"), ("--validation-fraction", "0")),
        *(("--likelihood", "laplace"), ("--no-header", None)),
    ],
)
def test_resuming_refuses_to_change_the_model(trained, table, tmp_path, option, value):
    shutil.copytree(trained, tmp_path / "run")
    result = run_cli("train", table, "--out", tmp_path / "run", "--resume", option, *([] if value is None else [value]))
    assert result.code == 2
    assert "cannot change" in result.err or "cannot become 0" in result.err
    assert option in result.err  # as it was typed
    assert len(result.err.splitlines()) == 1
    assert weights(tmp_path / "run") == weights(trained)


def test_resuming_refuses_other_data(trained, table, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    np.save(tmp_path / "x.npy", np.load(table) + 1)
    result = run_cli("train", tmp_path / "x.npy", "--out", tmp_path / "run", "--resume", "--epochs", 4)
    assert result.code == 2
    assert "its values differ" in result.err


def test_a_long_run_is_saved_now_and_then(table, tmp_path, monkeypatch):
    saved = []
    write = Place.write

    def write_and_die_in_the_third_epoch(place, run):
        write(place, run)
        saved.append(epochs_of(place.path))
        if len(saved) == 3:
            raise ZeroDivisionError  # whatever ends it

    monkeypatch.setattr(Place, "write", write_and_die_in_the_third_epoch)
    result = run_cli("train", table, "--out", tmp_path / "run", *SMALL[:4], "--epochs", 6, "--checkpoint-every", 1)
    assert result.code == 2
    assert saved == [1, 2, 3]
    assert reparam.load(tmp_path / "run").n_iter_ == 3
    monkeypatch.undo()
    must("train", table, "--out", tmp_path / "run", "--resume", "--epochs", 6)
    must("train", table, "--out", tmp_path / "whole", *SMALL[:4], "--epochs", 6)
    assert weights(tmp_path / "run") == weights(tmp_path / "whole")


def test_an_interrupt_keeps_what_is_trained_and_says_so(table, tmp_path):
    command = [sys.executable, "-c", "import reparam.cli; reparam.cli.main()", "train", str(table)]
    options = [
        "--out",
        str(tmp_path / "run"),
        *SMALL[:4],
        "--epochs",
        "1000000",
        "--validation-fraction",
        "0",
        "--log-every",
        "1",
        "--json",
    ]
    process = subprocess.Popen(
        [*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ}
    )
    assert process.stderr is not None
    told = []
    for line in process.stderr:
        told.append(line)
        if line.startswith("epoch") and line.split()[1].startswith("3/"):
            process.send_signal(signal.SIGINT)
            break
    out, rest = process.communicate(timeout=120)
    assert process.returncode == 130, "".join(told) + rest
    document = json.loads(out)
    assert document["stopped"] == "interrupted"
    assert "stopping after this epoch" in rest
    assert "what is trained is kept" in rest
    assert reparam.load(tmp_path / "run").n_iter_ == document["epochs"] >= 3
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_an_interrupt_before_the_first_epoch_writes_nothing(table, tmp_path, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "begin", interrupt)
    result = run_cli("train", table, "--out", tmp_path / "run", *SMALL)
    assert result.code == 130
    assert result.err == "reparam: interrupted; nothing was written.\n"
    assert not (tmp_path / "run").exists()


def test_constant_columns_are_trained_on_and_told(tmp_path):
    rows = np.random.default_rng(0).normal(size=(80, 6))
    rows[:, 2] = 3.0
    np.save(tmp_path / "x.npy", rows)
    result = must("train", tmp_path / "x.npy", "--out", tmp_path / "run", *SMALL)
    assert result.err.splitlines()[0] == "reparam: warning: x.npy: 1 of 6 columns are constant (column_2)."
    assert "UserWarning" not in result.err
    assert reparam.load(tmp_path / "run").n_iter_ == 2
