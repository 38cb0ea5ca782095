"""Every option of every command with any text, and every command on runs that were tampered with."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import Result, run_cli, train_settings
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzzing import CASES, json_values, limits, texts
from reparam.cli import parser, pictures, training
from reparam.cli.parts import registries
from reparam.explorer.serving import Explorer
from tampering import put_weight, resummed, rewrite

USES = (
    *("evaluate", "encode", "decode", "sample", "reconstruct", "interpolate", "traverse", "score", "impute", "gap"),
    *("gradients", "plot", "report", "compare", "explore"),
)
WITH_DATA = ("evaluate", "encode", "reconstruct", "score", "impute", "gap", "gradients")
WRITING = ("encode", "decode", "sample", "reconstruct", "interpolate", "traverse", "score", "impute")
CHEAP = {
    "train": ("--start", "random", "--epochs", 1, "--hidden", 4),
    **dict.fromkeys(("evaluate", "score", "impute", "compare"), ("--samples", 2)),
    "gap": ("--rows", 2, "--samples", 2),
    "gradients": ("--repeats", 4, "--rows", 2, "--samples", 2, "--estimators", "pathwise"),
    "explore": ("--no-browser", "--port", 0),
}
"""Few rows and few draws, unless the case says otherwise."""
NOT_DRAWN = ("help", "out", "context", "save_config", "browser", "host")
"""What would write a file of any name, open a window, or ask a network for any name."""


def arguments_of(
    command: str, run: object, table: Path, codes: Path, place: Path, *, rows_are_named: bool = False
) -> list[object]:
    """What a command needs, and what makes it cheap."""
    needed: dict[str, list[object]] = {
        "train": [table, "--out", place.with_suffix("")],
        "inspect": [table],
        "decode": [run, codes],
        "compare": [run, run],
        "interpolate": [run] if rows_are_named else [run, 0, 1],
    }
    own = needed.get(command, [run, *([table] if command in WITH_DATA else [])])
    return [*own, *CHEAP.get(command, ()), *(["--out", place] if command in WRITING else [])]


@pytest.fixture(scope="session")
def codes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("codes") / "codes.npy"
    np.save(path, np.zeros((2, 2), np.float32))
    return path


@settings(max_examples=CASES, deadline=None)
@given(st.data())
def test_no_value_of_any_option_is_a_fault(table, trained, codes, tmp_path_factory, data):
    """Any two options of any command with any text: refused in one line, or done.

    Where cases are few there is no run, for the first use of each command compiles; of train the model is built.
    """
    command = data.draw(st.sampled_from(["train", "inspect", *USES]))
    options = {
        option.name: option
        for option in parser().commands[command].params
        if option.param_type_name == "option" and option.name not in NOT_DRAWN
    }
    names = data.draw(st.lists(st.sampled_from(list(options)), min_size=1, max_size=2, unique=True))
    drawn = []
    for name in names:
        drawn += [options[name].opts[0], *([] if options[name].is_flag else [data.draw(_values(name))])]
    place = tmp_path_factory.mktemp("fuzz") / "out.npy"
    run = trained if CASES >= 1000 else "no-such-run"
    arguments = arguments_of(command, run, table, codes, place, rows_are_named="rows" in names)
    with limits(), pytest.MonkeyPatch.context() as patched:
        patched.setattr(training, "run", lambda *_, **__: 0)  # all but the epochs
        patched.setattr(pictures, "save", lambda *_: [])
        patched.setattr(Explorer, "serve", lambda page: page._server.server_close())
        result = run_cli(command, *arguments, *drawn)
    _refused_in_a_line_or_done(result)
    assert result.code == 0 or not any(place.parent.iterdir())


@settings(max_examples=CASES, deadline=None)
@given(st.data())
def test_no_value_of_any_setting_in_a_file_is_a_fault(table, tmp_path_factory, data):
    """Any value of any setting in a file of them, which need not be TOML."""
    name = data.draw(st.sampled_from(train_settings()) | texts())
    value = data.draw(json_values().map(json.dumps) | _values(name))
    folder: Path = tmp_path_factory.mktemp("fuzz")
    (folder / "c.toml").write_bytes(f"{name} = {value}\n".encode(errors="surrogatepass"))
    with limits(), pytest.MonkeyPatch.context() as patched:
        patched.setattr(training, "run", lambda *_, **__: 0)
        result = run_cli("train", table, "--out", folder / "run", "--config", folder / "c.toml")
    _refused_in_a_line_or_done(result)
    assert not (folder / "run").exists()


def _refused_in_a_line_or_done(result: Result) -> None:
    assert result.code in (0, 2)
    assert "a fault of reparam itself" not in result.err
    told = [line for line in result.err.splitlines() if not line.startswith("reparam: warning")]
    assert len(told) == 1 or not result.code, result.err


def _line(run: Path, text: str) -> None:
    (run / "metrics.jsonl").write_text(f"{(run / 'metrics.jsonl').read_text().splitlines()[0]}\n{text}\n")
    resummed(run)


def _parameter(run: Path, name: str, value: Any) -> None:
    parameters = json.loads((run / "config.json").read_text())["parameters"]
    rewrite(run, "config.json", parameters={**parameters, name: value})


TAMPERED: dict[str, Callable[[Path], object]] = {
    "a wrong type": lambda run: _parameter(run, "latent_dim", "2"),
    "an edited width": lambda run: _parameter(run, "hidden", [10**6, 10**6]),
    "a network of images": lambda run: _parameter(run, "network", "conv"),
    "a line that is a number": lambda run: _line(run, "3"),
    "5,000 digits": lambda run: _line(run, '{"epoch": ' + "9" * 5000 + "}"),
    "deep nesting": lambda run: (run / "data.json").write_text("[" * 100_000 + "]" * 100_000),
    "a lone surrogate": lambda run: rewrite(run, "data.json", schema={"name": "\ud800"}),
    "a missing field": lambda run: rewrite(run, "data.json", schema={"name": "x"}),
    "weights that are no numbers": lambda run: put_weight(run, "model.safetensors", np.nan),
}


@pytest.mark.parametrize("how", TAMPERED)
def test_a_run_that_was_tampered_with_is_refused_by_every_command(table, trained, codes, tmp_path, how):
    """In one line, before anything is computed or written."""
    run: Path = shutil.copytree(trained, tmp_path / "run", ignore=shutil.ignore_patterns("previous", "plots"))
    TAMPERED[how](run)
    before = {path: path.read_bytes() for path in run.iterdir()}
    commands = {name: arguments_of(name, run, table, codes, tmp_path / "out.npy") for name in USES}
    commands |= {"train": ["--resume", "--out", run]}
    for command, arguments in commands.items():
        with limits():
            result = run_cli(command, *arguments)
        assert result.code == 2, (command, result.err)
        _refused_in_a_line_or_done(result)
    assert {path: path.read_bytes() for path in run.iterdir()} == before
    assert list(tmp_path.iterdir()) == [run]


def _values(name: str) -> st.SearchStrategy[str]:
    known = list(registries().get(name, ["8", "0.5", "1e-3"]))
    numbers = st.sampled_from(
        ["0", "-1", "1", "100000000000000000000", "1e400", "nan", "inf", "0.5", "2", "64", "x", ""]
    )
    behind = st.lists(numbers, max_size=3).map(",".join)
    parts = st.builds(lambda first, rest: f"{first}:{rest}" if rest else str(first), st.sampled_from(known), behind)
    return (parts | numbers | texts()).map(lambda text: text.replace("\0", ""))
