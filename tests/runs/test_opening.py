"""Opening a run trusts nothing in it, and opens every format ever written."""

from __future__ import annotations

import json
import os
import shutil
import struct
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits

import reparam
from fuzzing import CASES, json_values, limits
from reparam import runs
from reparam.errors import ParameterError, ReparamWarning, RunError
from reparam.estimator import keeping
from tampering import put_weight, resummed, rewrite

FORMATS = Path(__file__).with_name("formats")
CODES = {
    "1": [[-0.3101219, -0.4117388], [0.0595413, -0.2170957], [-0.1479263, 0.0953916]],
    "2": [[-0.1395076, -1.6460127], [0.6216754, 1.5157199], [0.5213936, 0.6993600]],
    "3": [[-0.1395076, -1.6460127], [0.6216754, 1.5157199], [0.5213936, 0.6993600]],
}
"""Of the first three digits, as the version that wrote the run told them."""


@pytest.mark.parametrize("written", sorted(FORMATS.iterdir()), ids=lambda path: f"format {path.name}")
def test_a_run_of_every_format_opens_for_ever(written):
    vae = reparam.load(written)
    np.testing.assert_allclose(vae.transform(load_digits().data.astype(np.uint8)[:3]), CODES[written.name], atol=1e-4)
    assert vae.n_iter_ == len(vae.history_) == 2
    assert vae.schema_.units == "x/16"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return shutil.copytree(FORMATS / "3", tmp_path / "run")


def refused(run: Path, *words: str) -> None:
    """The run is refused with one short line that holds the words."""
    with pytest.raises(RunError) as refusal:
        reparam.load(run)
    text = str(refusal.value)
    assert all(word in text for word in words), text
    assert len(text) < 1000
    text.encode()


@pytest.mark.parametrize(
    "name", ["config.json", "data.json", "metrics.jsonl", "model.safetensors", "state.safetensors"]
)
@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_what_is_no_file_is_never_read(run, name, kind):
    """A pipe that nobody writes into, and a device without an end, would be waited for."""
    make = {"pipe": os.mkfifo, "folder": Path.mkdir, "device": lambda place: place.symlink_to("/dev/zero")}[kind]
    (run / name).unlink()
    make(run / name)
    with limits():
        refused(run, f"{name}: is no file")
        with pytest.raises(RunError), runs.reserve(run, resume=True) as place:
            keeping.opened(place.path)


@pytest.mark.parametrize("name", ["\ud800", "\0", "x" * 5000])
def test_a_name_that_no_file_can_have_is_no_run(name):
    with pytest.raises(RunError, match="is no run folder|cannot be read"):
        reparam.load(name)


TEXTS = {
    "deep": ("[" * 100_000 + "]" * 100_000, "nested too deeply"),
    "digits": ('{"format": ' + "9" * 5000 + "}", "is not JSON"),
    "many digits": ('{"format": ' + "9" * 4000 + "}", "unknown"),
    "NaN": ('{"format": NaN}', "NaN is no number of JSON"),
    "twice": ('{"format": 1, "format": 2}', "stands twice"),
    "list": ("[1]", "a JSON object is required"),
    "null": ("null", "a JSON object is required"),
    "empty": ("", "is not JSON"),
    "bytes": ("\udcff", "cannot be read"),
    "surrogate": ('{"format": 2, "version": "\\ud800"}', "no Unicode"),
}


@pytest.mark.parametrize("case", TEXTS)
def test_a_document_that_is_no_document_is_refused(run, case):
    text, told = TEXTS[case]
    (run / "config.json").write_bytes(text.encode(errors="surrogateescape"))
    refused(run, "config.json", told)


LINES = ["3", "[]", "null", '"text"', "{}", '{"epoch": "1"}', "[" * 5000, '{"epoch": 1e400}']


@pytest.mark.parametrize(
    ("word", "other"), [('"bound"', '"bpund"'), ('"kl_per_dimension": [', '"kl_per_dimension": ["x", ')]
)
def test_what_pictures_and_summaries_read_of_a_line_is_there_and_a_number(run, word, other):
    lines = (run / "metrics.jsonl").read_text()
    before, _, held_out = lines.partition('"validation": ')
    (run / "metrics.jsonl").write_text(f'{before}"validation": {held_out.replace(word, other, 1)}')
    resummed(run)
    refused(run, "metrics.jsonl", "validation")


@pytest.mark.parametrize("line", LINES)
def test_a_line_of_metrics_that_is_none_is_refused(run, line):
    lines = (run / "metrics.jsonl").read_text().splitlines()
    (run / "metrics.jsonl").write_text(f"{lines[0]}\n{line}\n")
    resummed(run)
    refused(run, "metrics.jsonl")


PARAMETERS = [
    ("latent_dim", "2"), ("latent_dim", 2.5), ("latent_dim", True), ("latent_dim", 10**20), ("latent_dim", -1),
    ("hidden", 8), ("hidden", ["8"]), ("hidden", [10**9]), ("hidden", [8] * 5000), ("hidden", None),
    ("posterior", 3), ("posterior", ["diagonal"]), ("posterior", "\ud800"), ("posterior", "low_rank:99"),
    ("activation", []), ("activation", {}), ("learning_rate", "0.1"), ("epochs", 10**30), ("random_state", "x"),
    ("random_state", -1), ("random_state", None), ("early_stopping", 1), ("optimizer", 5), ("beta", "1"),
    ("likelihood", "nowhere"), ("prior", "vamp:1000000000"), ("average", 1), ("unknown", 1),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), PARAMETERS, ids=lambda value: ascii(value)[:30])
def test_a_setting_of_a_wrong_kind_or_size_is_refused_before_anything_is_built(run, name, value):
    parameters = json.loads((run / "config.json").read_text())["parameters"]
    rewrite(run, "config.json", parameters={**parameters, name: value})
    with pytest.raises((RunError, ParameterError)):
        reparam.load(run)


@pytest.mark.parametrize("name", ["model.safetensors", "state.safetensors"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_refused(run, name, value):
    refused(run, "NaN or infinity", put_weight(run, name, value))


def test_a_file_of_a_wide_tensor_is_refused_by_its_head(run):
    """64 GB that are not there: the head alone says what the file would hold."""
    head = json.dumps({"weight": {"dtype": "F32", "shape": [2**17, 2**17], "data_offsets": [0, 2**36]}}).encode()
    with (run / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(head)) + head)
        file.truncate(8 + len(head) + 2**36)
    refused(run, "model.safetensors")


def test_a_checksum_that_differs_is_told(run):
    content = bytearray((run / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (run / "model.safetensors").write_bytes(content)
    refused(run, "model.safetensors", "not those that were written")


@pytest.mark.parametrize("name", ["config.json", "data.json"])
def test_a_document_that_was_changed_and_is_still_one_is_told(tmp_path, name):
    """Every figure of it, one after the other: the run says so, whatever the figure means."""
    run = shutil.copytree(FORMATS / "3", tmp_path / "run")
    whole = (run / name).read_text()
    figures = [at for at, letter in enumerate(whole) if letter.isdigit()]
    assert len(figures) > 10
    for at in figures:
        (run / name).write_text(f"{whole[:at]}{(int(whole[at]) + 1) % 10}{whole[at + 1 :]}")
        with pytest.raises(RunError, match=r"(config|data)\.json"):
            _documents(run)
    (run / name).write_text(whole.replace("\n", " "))
    _documents(run)  # how it is laid out says nothing


def test_where_the_data_lie_may_be_mended_by_hand(tmp_path):
    run = shutil.copytree(FORMATS / "3", tmp_path / "run")
    document = json.loads((run / "data.json").read_text())
    (run / "data.json").write_text(json.dumps({**document, "data": "/moved/digits.npy"}))
    assert reparam.load(run).source_["data"] == "/moved/digits.npy"


def test_a_run_of_before_the_seals_is_kept_in_the_newest_format(tmp_path):
    for written in ("1", "2"):
        reparam.load(FORMATS / written).save(tmp_path / written)
        assert json.loads((tmp_path / written / "config.json").read_text())["format"] == runs.FORMAT
        assert reparam.load(tmp_path / written).n_iter_ == 2


def _documents(run: Path) -> None:
    newest = next(runs.checkpoints(run))
    newest.data(newest.config())


def test_a_newer_format_is_refused(run):
    rewrite(run, "config.json", format=99)
    refused(run, "format 99 is unknown")


def test_a_name_that_is_no_unicode_cannot_be_kept_and_is_told():
    vae = reparam.load(FORMATS / "2")
    with pytest.raises(RunError, match="not UTF-8"):
        keeping.as_run(vae.fitted_, {"data": "x\udcff.npy"})


@settings(max_examples=CASES, deadline=None)
@given(st.data())
def test_no_document_whatever_it_says_does_more_than_be_refused(tmp_path_factory, data):
    """One value somewhere in a document is replaced by any other, or the bytes of a file are cut and flipped."""
    run = shutil.copytree(FORMATS / data.draw(st.sampled_from("23")), tmp_path_factory.mktemp("fuzz") / "run")
    name = data.draw(st.sampled_from(["config.json", "data.json", "metrics.jsonl", "state.safetensors"]))
    if name.endswith(".json"):
        document = json.loads((run / name).read_text())
        place: Any = document
        path = data.draw(st.sampled_from(_paths(document)))
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = data.draw(json_values())
        (run / name).write_text(json.dumps(document))
    else:
        content = bytearray((run / name).read_bytes())
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] ^= data.draw(st.integers(1, 255))
        (run / name).write_bytes(content[: data.draw(st.sampled_from([len(content), at]))])
    if data.draw(st.booleans()):
        with suppress(KeyError, TypeError, AttributeError, ValueError, OSError):
            resummed(run)
    with limits(), warnings.catch_warnings():
        warnings.simplefilter("ignore", ReparamWarning)
        told = ""
        try:
            reparam.load(run)
        except (RunError, ParameterError) as error:
            told = str(error)
    told.encode()
    assert len(told) < 3000
    shutil.rmtree(run)


def _paths(document: Any, before: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value of a document."""
    steps = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    return [path for step, value in steps for path in ((*before, step), *_paths(value, (*before, step)))]
