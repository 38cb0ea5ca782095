"""Numbers beyond reason, places that cannot be written, streams of every kind: one line, or quiet and right."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from command_line import SMALL, must, run_cli, train_settings
from matplotlib.figure import Figure

from reparam import plots, storage
from reparam.cli import as_options, streams
from reparam.cli.parts import registries
from reparam.cli.settings import read_config, write_config
from reparam.cli.sharing import is_shared, sharing
from reparam.cli.sources import Source
from reparam.errors import ParameterError, RunError
from reparam.estimator.memory import check_room

HUGE = "100000000000000000000"


def refused(*arguments: object) -> str:
    result = run_cli(*arguments)
    assert result.code == 2, result.err + result.out
    assert len(result.err.splitlines()) == 1, result.err
    assert "a fault of reparam itself" not in result.err
    assert "Error" not in result.err
    return result.err


NUMBERS = [
    *[(option, HUGE, "at most|less than or equal") for option in ("--latent-dim", "--epochs", "--batch-size", "--patience", "--seed")],
    *[(option, HUGE, "at most 1e") for option in ("--beta", "--learning-rate", "--clip-norm")],
    ("--bound-samples", HUGE, "at most"), ("--hidden", HUGE, "at most"), ("--hidden", ",".join(["8"] * 5000), "at most 64"),
    ("--latent-dim", "1000000000", "at most"), ("--latent-dim", "60000", "GiB are free", "--posterior", "full"),
    ("--hidden", "1000000,1000000", "GiB are free"), ("--prior", "vamp:2000000000", "GiB are free"),
    ("--prior", "gaussian-mixture:" + HUGE, "at most"), ("--objective", "iwae:" + HUGE, "at most"),
    ("--objective", "elbo:2000000000", "GiB are free"), ("--posterior", "flow:100000", "at most 64"),
    ("--posterior", "low_rank:99", r"an int in \[1, 2\]"), ("--warmup", "linear", "'linear' takes length"),
    ("--objective", "renyi:x", "renyi"), ("--objective", "miwae:0,8", "groups"), ("--optimizer", "adam:" + HUGE, "eps"),
    ("--average", "last:" + HUGE, "at most"), ("--schedule", "linear:" + HUGE, "at most"),
    ("--inference", "mean-field:" + HUGE, "at most"), ("--checkpoint-every", HUGE, "checkpoint-every"),
    ("--checkpoint-every", "often", "30s or 5m"), ("--log-every", "0", "log-every"), ("--beta", "nan", "--beta"),
]  # fmt: skip


@pytest.mark.parametrize("case", NUMBERS, ids=lambda case: f"{case[0]} {case[1][:30]}")
def test_a_number_has_a_domain_that_is_told_before_anything_is_allocated(table, tmp_path, case):
    import re

    option, value, told, *more = case
    line = refused("train", table, "--out", tmp_path / "run", option, value, *more)
    assert re.search(told, line), line
    assert len(line) < 700
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("sample", "-n", HUGE), ("sample", "-n", "0"), ("sample", "--temperature", HUGE), ("sample", "--seed", HUGE),
        ("sample", "-n", "99999999999"), ("sample", "--temperature", "nan"),
    ],
    ids=str,
)  # fmt: skip
def test_a_use_has_domains_too(trained, tmp_path, arguments):
    name, *options = arguments
    refused(name, trained, "-o", tmp_path / "x.npy", *options)
    assert list(tmp_path.iterdir()) == []


def test_tables_without_number_are_not_even_named(trained, table, tmp_path):
    line = refused("impute", trained, table, "-o", tmp_path / "x.npy", "--draws", HUGE)
    assert "less than or equal to 10000" in line
    with pytest.raises(ParameterError, match=r"samples \(1,000,000,000 × 1,000 numbers\) need about 7,450.6 GiB"):
        check_room("samples", 10**9, 10**3)


def test_codes_that_decode_to_no_numbers_are_refused(trained, tmp_path):
    np.save(tmp_path / "codes.npy", np.array([[0.0, 0.0], [3e38, -3e38]], np.float32))
    line = refused("decode", trained, tmp_path / "codes.npy", "-o", tmp_path / "x.npy")
    assert "code 1 decodes to values beyond the numbers there are" in line
    assert not (tmp_path / "x.npy").exists()


def test_a_code_with_a_gap_is_named(trained, tmp_path):
    (tmp_path / "codes.csv").write_text("a,b\n1,2\n3,\n5,6\n")
    line = refused("decode", trained, tmp_path / "codes.csv", "-o", tmp_path / "x.npy")
    assert "row 1, column 1 is missing" in line


@pytest.mark.parametrize(
    "likelihood", ["bernoulli", "poisson", "negative_binomial", "log_normal", "beta", "categorical:3"]
)
def test_rows_outside_a_support_are_told_before_a_start_is_sought_in_them(table, tmp_path, likelihood):
    line = refused("train", table, "--out", tmp_path / "run", "--likelihood", likelihood, "--hidden", 4, "--epochs", 1)
    assert "is outside the support" in line


@pytest.mark.parametrize(
    "judged", [[1], "x", {}, {"plain": 1, "remarks": []}, {"plain": "", "remarks": [], "columns": [3]}]
)
def test_what_a_run_says_of_its_table_is_not_trusted(judged):
    with pytest.raises(RunError, match="judgement of data.json|a column"):
        Source.from_json({"data": "x.csv", "judgement": judged})


@pytest.mark.parametrize("document", [{}, {"data": None}], ids=["none", "null"])
def test_a_run_without_a_source_says_so(document):
    with pytest.raises(RunError, match="does not say where its data came from"):
        Source.from_json(document)


def test_a_place_for_pictures_and_pages_is_tried_before_any_work(trained, table, tmp_path):
    (tmp_path / "file").write_text("mine")
    for arguments, told in (
        (("plot", trained, "-o", tmp_path / "file"), "is a file; a folder is required"),
        (("plot", trained, "-o", tmp_path / "file" / "in"), "is a file; a folder is required"),
        (("report", trained, "-o", tmp_path / "x.txt"), "must end in .html"),
        (("report", trained, "-o", tmp_path / "none" / "x.html"), "there is no folder"),
        (("inspect", table, "-o", tmp_path / "none" / "x.html"), "there is no folder"),
    ):
        assert told in refused(*arguments)
    assert (tmp_path / "file").read_text() == "mine"


def test_row_counts_beyond_the_data_are_clipped(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    for arguments in (("gap", "--rows", 10**9, "--samples", 2), ("gradients", "--rows", 10**9, "--repeats", 4)):
        must(
            arguments[0], tmp_path / "run", *arguments[1:], *(("--samples", "2") if arguments[0] == "gradients" else ())
        )


def test_an_output_is_not_written_onto_the_input(trained, table, tmp_path):
    shutil.copy(table, tmp_path / "x.npy")
    (tmp_path / "link.npy").symlink_to(tmp_path / "x.npy")
    before = (tmp_path / "x.npy").read_bytes()
    for out in ("x.npy", "link.npy"):
        assert "is the file that is read" in refused("encode", trained, tmp_path / "x.npy", "-o", tmp_path / out)
    assert (tmp_path / "x.npy").read_bytes() == before


def test_numbers_are_told_where_their_picture_cannot_be_written(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "plots", ignore_errors=True)
    (tmp_path / "run" / "plots").write_text("in the way")
    result = must("evaluate", tmp_path / "run", "--samples", 2, "--json")
    assert result.document["plot"] is None
    assert result.document["bound"] < 0
    assert "no picture" in result.err


def test_a_file_that_fails_half_way_leaves_what_was_there(tmp_path):
    (tmp_path / "x").write_text("before")
    with suppress(ZeroDivisionError), storage.whole_file(tmp_path / "x") as file:
        file.write(b"half")
        assert len(list(tmp_path.iterdir())) == 2
        raise ZeroDivisionError
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    assert (tmp_path / "x").read_text() == "before"


def test_what_a_dead_process_left_of_a_file_is_removed_and_a_living_one_keeps_its_own(tmp_path):
    (tmp_path / ".x.dead.tmp").write_text("half")
    with storage.whole_file(tmp_path / "x"):
        with storage.whole_file(tmp_path / "x") as second:
            second.write(b"second")
        assert (tmp_path / "x").read_bytes() == b"second"
        assert len(list(tmp_path.iterdir())) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_names_from_files_are_drawn_as_text(tmp_path):
    figure = plots.marginals(np.zeros((4, 1)) + np.arange(4)[:, None], np.ones((4, 1)), ["$_^{$"])
    assert isinstance(figure, Figure)
    plots.drawn_as_text(figure)
    figure.savefig(tmp_path / "x.png")


def test_errors_speak_the_words_of_the_command_line(table, tmp_path):
    assert "'--batch-size' option" in refused("train", table, "--out", tmp_path / "run", "--batch-size", "0")
    assert "--validation-fraction 0" in as_options("Hold out none (early_stopping=False).")


def test_parts_tell_every_name_that_a_setting_takes():
    from reparam.cli.parts import parts as command

    document = must("parts", "--json").document
    assert {kind: [entry["name"] for entry in entries] for kind, entries in document.items()} == {
        kind: list(names) for kind, names in registries().items()
    }
    assert not [entry for entries in document.values() for entry in entries if "\\" in entry["meaning"]]
    assert set(document) <= set(train_settings())
    told = must("parts", "posteriors").out
    assert told.startswith("--posterior\n")
    assert "low_rank:rank=1" in told
    assert "Did you mean 'posterior'?" in refused("parts", "posterio")
    assert command.__doc__


def test_a_configuration_is_written_back_and_read_again(table, tmp_path):
    options = (*SMALL, "--beta", 0.5, "--posterior", "low-rank:1", "--seed", 3)
    must("train", table, "--out", tmp_path / "one", *options, "--save-config", tmp_path / "c.toml")
    must("train", table, "--out", tmp_path / "two", "--config", tmp_path / "c.toml")
    assert (tmp_path / "one" / "config.json").read_bytes() == (tmp_path / "two" / "config.json").read_bytes()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("latent-dim = 2\nlatent_dim = 3", "'latent_dim' is said twice"),
        ("condition = [1]", "'condition' must be a list of str"),
        ("missing = [['a']]", "'missing' must be a list of str"),
    ],
)
def test_a_setting_in_a_file_is_said_once_and_of_its_type(table, tmp_path, text, told):
    (tmp_path / "c.toml").write_text(text)
    assert told in refused("train", table, "--out", tmp_path / "run", "--config", tmp_path / "c.toml")


def test_settings_without_an_end_are_not_read_to_it(table, tmp_path):
    line = refused("train", table, "--out", tmp_path / "run", "--config", "/dev/zero")
    assert "more than 1,000,000 characters" in line


def test_draws_and_repeats_of_gradients_have_domains(trained):
    for samples in ("0", "1,999999", HUGE, ""):
        assert "from 1 to 99,999" in refused("gradients", trained, "--samples", samples)
    assert "greater than or equal to 4" in refused("gradients", trained, "--repeats", "0")
    for options, told in (
        (("--repeats", "5"), "'--repeats' option must be an even int"),
        (("--estimators", "pathwise,nope"), "unknown estimator 'nope'"),
        (("--estimators", "vimco", "--samples", "1"), "nothing is left to measure"),
    ):
        assert told in refused("gradients", trained, *options)  # in one line: no progress is told before


def test_gradients_of_an_encoder_that_is_not_there_are_refused_before_any_work(table, tmp_path):
    must("train", table, "--out", tmp_path / "run", *SMALL, "--inference", "mean-field:1")
    assert "this model has no encoder" in refused("gradients", tmp_path / "run", "--repeats", 4, "--samples", 2)


def test_a_family_that_is_none_is_told_before_any_work(trained):
    assert "unknown family 'nope'" in refused("gap", trained, "--family", "nope")
    assert "an int in [1, 2]" in refused("gap", trained, "--family", "low-rank:99")


def test_a_name_that_cannot_be_kept_is_told_before_training(table, tmp_path):
    """It was told after the last epoch, when nothing could be kept."""
    data = tmp_path / "x\udcff.npy"
    shutil.copy(table, data)
    line = refused("train", data, "--out", tmp_path / "run", *SMALL, "--start", "random")
    assert "not UTF-8 cannot be kept in a run" in line
    assert list(tmp_path.iterdir()) == [data]


def test_labels_of_data_that_are_not_named_are_refused(trained):
    """They were passed over, and pictures had no colours."""
    for command in (("plot", trained), ("report", trained), ("explore", trained, "--no-browser")):
        assert "name DATA too" in refused(*command, "--labels", "kind")


def test_a_name_of_data_that_are_shipped_is_no_folder(tmp_path, monkeypatch):
    """A run that is called like its data hid them."""
    monkeypatch.chdir(tmp_path)
    Path("digits").mkdir()
    assert must("inspect", "digits", "--json").document["rows"] == 1797
    assert "'./digits' is what lies here" in refused("train", "digits", "--out", "run", "--stream")
    assert "is a folder without pictures" in refused("inspect", "./digits")


def test_settings_are_written_beside_nothing_but_toml_and_once_training_can_begin(table, tmp_path):
    data, config = tmp_path / "x.npy", tmp_path / "c.toml"
    shutil.copy(table, data)
    before = data.read_bytes()
    for place, told in (
        (data, "must end in .toml"),
        (Path("/"), "must end in .toml"),
        (tmp_path / "no/c.toml", "no folder"),
    ):
        assert told in refused("train", data, "--out", tmp_path / "run", "--save-config", place)
    assert data.read_bytes() == before
    assert "unknown posterior" in refused(
        "train", data, "--out", tmp_path / "run", "--posterior", "x", "--save-config", config
    )
    assert not config.exists()
    with pytest.raises(ParameterError, match="UTF-8"):
        write_config(config, {"drop": ["\udcff"]})
    write_config(config, {"drop": ['\x7f"\\\n🂡']})
    assert read_config(config, {"drop": list[str] | None}) == {"drop": ['\x7f"\\\n🂡']}


def test_a_device_a_pipe_or_a_root_is_never_replaced_by_a_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for place, told in ((tmp_path / "pipe", "a device or a pipe"), (Path("/"), "[Dd]irectory")):
        for written in (storage.whole_file, storage.whole_folder):
            with pytest.raises(OSError, match=told), written(place):
                pytest.fail("something was written")
    assert (tmp_path / "pipe").is_fifo()


@pytest.mark.parametrize("place", ["s3://b/x", "file:///x", "memory://x"])
def test_what_is_written_does_not_lie_behind_a_uri(trained, table, tmp_path, monkeypatch, place):
    """A path that is made of a URI would be a folder that is named like its scheme."""
    monkeypatch.chdir(tmp_path)
    for arguments in (
        ("train", table, "--out", place), ("plot", trained, "-o", place), ("report", trained, "-o", f"{place}.html"),
        ("encode", trained, table, "-o", f"{place}.npy"), ("evaluate", trained, "-o", f"{place}.png"),
    ):  # fmt: skip
        assert "is a URI, but what is written lies on this machine" in refused(*arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("uri", ["https://[/x", "file://x.npy", "file://", "dir://x", "s3://b/\ud800"])
def test_a_uri_that_is_none_is_told(trained, tmp_path, uri):
    """Of these ``file://x.npy`` has no path, and would be the folder where the program is."""
    line = refused("encode", trained, uri, "-o", tmp_path / "z.npy")
    assert "no URI that can be opened" in line or "names no file" in line or "does not say what its store needs" in line


@pytest.mark.parametrize("many", ["x", "2.5", "", "9" * 5000])
def test_what_a_launcher_says_that_is_no_number_is_no_launch(monkeypatch, many):
    monkeypatch.setenv("OMPI_COMM_WORLD_RANK", "0")
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", many)
    with sharing():
        assert not is_shared()


@pytest.mark.parametrize(
    ("coordinator", "processes", "told"),
    [
        *[(place, "2", "must be HOST:PORT") for place in ("x:0", "x:99999", "\n:1", "a/b:1", ":1", "x")],
        ("x:1", HUGE, "number of processes"), ("x:1", "9" * 5000, "number of processes"), ("x:1", "70000", "at most 65536"),
    ],
)  # fmt: skip
def test_a_place_to_meet_has_a_domain(coordinator, processes, told):
    with pytest.raises(ParameterError, match=told), sharing(None, coordinator, processes, 0):
        pytest.fail("nobody is there")


def test_quiet_says_nothing_and_lines_are_a_tenth(table, tmp_path):
    assert must("train", table, "--out", tmp_path / "a", *SMALL, "--quiet").err == ""
    options = (*SMALL[:4], "--validation-fraction", 0, "--epochs", 30)
    told = must("train", table, "--out", tmp_path / "b", *options).err
    assert [line.split()[1] for line in told.splitlines() if line.startswith("epoch")] == [
        "1/30", *(f"{epoch}/30" for epoch in range(3, 31, 3))
    ]  # fmt: skip


def test_errors_are_json_where_json_is_asked_for():
    result = run_cli("evaluate", "no-such-run", "--json")
    assert result.code == 2
    assert "is no run folder" in result.document["error"]


PROGRAM = [sys.executable, "-m", "reparam"]


def shell(line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    changed = {key: value for key, value in {**os.environ, **environment}.items() if value != "absent"}
    quoted = line.replace("reparam ", f"{sys.executable} -m reparam ")
    return subprocess.run(["bash", "-c", quoted], capture_output=True, text=True, env=changed, check=False, timeout=120)


def test_the_program_answers_in_every_form():
    for arguments in ("-h", "--help", "--version", "train -h"):
        answered = shell(f"reparam {arguments}")
        assert (answered.returncode, answered.stderr) == (0, ""), arguments
        assert answered.stdout


@pytest.mark.parametrize(
    ("line", "code", "told"),
    [
        ("reparam --help | true; exit ${PIPESTATUS[0]}", (0, 141), ""),
        ("reparam --help > /dev/full", (2,), "standard output cannot be written"),
        ("reparam parts --json > /dev/full", (2,), "standard output cannot be written"),
        ("reparam --help >&-", (0,), ""),
        ("reparam nonsense 2>&-", (2,), ""),
        ("reparam nonsense 2> /dev/full", (2,), ""),
        ("PYTHONIOENCODING=cp1252 reparam evaluate -h", (0,), ""),
        ("LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0 reparam evaluate -h", (0,), ""),
        ("COLUMNS=20 reparam train -h", (0,), ""),
        ("env -u HOME reparam --version", (0,), ""),
        (r"reparam encode run $'\xff.npy' -o $'\xfe.npy'", (2,), "is no run folder"),
        ("JAX_PLATFORMS=cuda reparam train digits -o no-run --epochs 1", (2,), "JAX finds no device for JAX_PLATFORMS='cuda'"),
    ],
    ids=lambda value: str(value)[:60],
)  # fmt: skip
def test_streams_and_surroundings_of_every_kind(tmp_path, line, code, told):
    answered = shell(f"cd {tmp_path}; {line}")
    assert answered.returncode in code, answered
    assert told in answered.stderr
    assert len(answered.stderr.splitlines()) == (1 if told else 0), answered.stderr
    assert not (tmp_path / "no-run").exists()


def test_a_shell_completes_commands_and_options(tmp_path):
    for words, found in (("reparam trai", "train"), ("reparam train --latent-d", "--latent-dim")):
        place = str(len(words.split()) - 1)
        asked = {"_REPARAM_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": place}
        answered = shell("reparam ", **asked)
        assert (answered.returncode, answered.stdout.split(), answered.stderr) == (0, [found], "")
    answered = shell("reparam --install-completion bash", HOME=str(tmp_path))
    assert answered.returncode == 0, answered.stderr
    assert "reparam" in (tmp_path / ".bashrc").read_text()


def test_what_an_encoding_lacks_is_spelt():
    assert "ln σ − 1".encode("ascii", errors="strict" if streams.prepare() else "reparam") == b"ln sigma - 1"
