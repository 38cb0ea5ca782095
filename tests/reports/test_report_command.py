"""``reparam report`` and ``reparam compare``: what they write and say."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import threading
from html import unescape

import numpy as np
import pytest

import reparam
from reparam.cli import main
from reparam.insight.provenance import command
from reparam.insight.session import Session
from reparam.markup import number


def run_cli(*arguments, capsys):
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return int(end.value.code or 0), captured.out, captured.err


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs of one table of counts, which another program wrote, at two learning rates: both are one program."""
    folder = tmp_path_factory.mktemp("runs")
    rng = np.random.default_rng(0)
    np.savez(folder / "x.npz", x=rng.poisson(rng.gamma(2.0, 2.0, size=(90, 1)) * np.ones(5)), y=np.arange(90) % 2)
    for name, rate in (("a", 0.003), ("b", 0.01)):
        words = f"train {folder}/x.npz:x --out {folder}/{name} --learning-rate {rate} --hidden 8 --epochs 2"
        with pytest.raises(SystemExit) as end:
            main(words.split())
        assert not end.value.code
    return folder


@pytest.fixture(scope="module")
def text(runs):
    """The report of the run with two latents."""
    with pytest.raises(SystemExit) as end:
        main(["report", str(runs / "a")])
    assert not end.value.code
    return (runs / "a" / "report.html").read_text()


def test_a_report_is_one_small_file_that_asks_for_nothing(text):
    assert len(text.encode()) < 5_000_000
    assert not re.findall(r'(?:src|href)="(?!data:|#)[^"]*"', text)
    assert not re.search(r"url\(|@import|fetch\(|https?://(?!www\.w3\.org)", text)
    for title in (
        "Model card",
        "How training went",
        "What it is worth",
        "What places decode to",
        "The worst rows",
        "To make it again",
    ):
        assert f"<h2>{title}</h2>" in text


def test_a_report_tells_what_evaluate_finds(runs, text, capsys):
    _, out, _ = run_cli("evaluate", runs / "a", "-o", runs / "bound.png", "--json", capsys=capsys)
    found = json.loads(out)
    assert number(found["reconstruction"]) in text
    assert number(found["kl"]) in text
    assert f"{found['active_units']} of 2" in text


def test_the_grid_of_a_report_holds_what_the_model_decodes(runs, text):
    walk = json.loads(unescape(re.search(r'data-walk="([^"]*)"', text)[1]))
    vae = reparam.load(runs / "a")
    first, second = walk["axes"]
    decoded = vae.inverse_transform(np.array([[first[3], second[7]]]))[0]
    shown = np.array([float(text.replace("−", "-")) for text in walk["values"][7 * len(first) + 3]])
    np.testing.assert_allclose(np.sort(shown), np.sort(decoded), rtol=2e-3)


def test_the_command_of_a_report_makes_the_same_run(runs, tmp_path, monkeypatch, capsys):
    vae = reparam.load(runs / "b")
    session = Session(vae, None, "again")
    words = command(session).split()
    assert words[:2] == ["reparam", "train"]
    monkeypatch.chdir(tmp_path)
    assert run_cli(*words[1:], capsys=capsys)[0] == 0
    assert (tmp_path / "again" / "model.safetensors").read_bytes() == (runs / "b" / "model.safetensors").read_bytes()


def test_a_command_says_how_pictures_were_read_and_what_is_given():
    own = {"data": "pictures", "resize": [32, 48], "crop": True, "gray": True, "streamed": True, "header": False}
    vae = reparam.VAE(3, condition=("a b", "c"), early_stopping=True)
    vae.source_ = own
    words = shlex.split(command(Session(vae, None, "run")))
    assert words == [
        *("reparam", "train", "pictures", "--out", "run", "--condition", "a b", "--condition", "c"),
        *("--latent-dim", "3", "--resize", "32,48", "--crop", "--gray", "--stream", "--no-header"),
    ]


def test_a_notebook_shows_settings_bound_and_curve(runs):
    vae = reparam.load(runs / "b")
    shown = vae._repr_html_()
    assert vae._repr_mimebundle_(include=None) == {"text/plain": repr(vae), "text/html": shown}
    assert "Bound on ln p(x)" in shown
    assert number(vae.history_[-1]["bound"]) in shown
    assert number(vae.history_[-1]["validation"]["bound"]) in shown
    assert "<b>early stopping</b>" in shown
    assert "<script" not in shown
    assert "not fitted" in reparam.VAE()._repr_html_()
    found = vae.evaluate(np.load(runs / "x.npz")["x"][:9])
    assert number(found.bound) in found._repr_html_()
    assert number(found.elbo) in found._repr_html_()


def test_a_page_must_end_in_html_and_have_a_folder(runs, capsys):
    assert run_cli("report", runs / "a", "-o", runs / "x.pdf", capsys=capsys)[::2] == (
        2,
        f"reparam: -o must end in .html, for it is a page. Got '{runs / 'x.pdf'}'.\n",
    )
    code, _, err = run_cli("report", runs / "a", "-o", runs / "none" / "x.html", capsys=capsys)
    assert code == 2
    assert "there is no folder" in err


def test_compare_pairs_the_rows(runs, capsys):
    source = f"{runs}/x.npz:x"
    code, out, err = run_cli(
        "compare", runs / "a", runs / "b", source, "--json", "--samples", "20", "-o", runs / "c.png", capsys=capsys
    )
    assert code == 0, err
    document = json.loads(out)
    assert document["differing"] == ["learning_rate"]
    assert document["rows"] == 90
    first, second = document["runs"]
    assert first["differences"] is None
    gain = second["differences"]["bound"]
    assert gain["value"] == pytest.approx(second["bound"]["value"] - first["bound"]["value"], abs=1e-6)
    separate = np.hypot(first["bound"]["standard_error"], second["bound"]["standard_error"])
    assert 0 < gain["standard_error"] < separate  # the rows' own spread falls out of the difference
    assert (runs / "c.png").stat().st_size > 1000


def test_compare_prints_settings_that_differ_first(runs, capsys):
    code, out, _ = run_cli("compare", runs / "a", runs / "b", capsys=capsys)
    assert code == 0
    lines = [line.split() for line in out.splitlines()]
    assert lines[2] == ["learning_rate", "0.003", "0.01"]
    assert lines[3][0] == "bound"


@pytest.mark.parametrize(
    "words",
    [
        ("compare", "{a}"),
        ("compare", "{a}", "nothing", "{b}"),
        ("explore", "nowhere", "--no-browser"),
        ("report", "nowhere"),
    ],
)
def test_what_is_no_run_is_told_in_one_line(runs, words, capsys):
    code, _, err = run_cli(*(word.format(a=runs / "a", b=runs / "b") for word in words), capsys=capsys)
    assert code == 2
    assert err.count("\n") == 1


def test_explore_serves_until_it_is_interrupted(runs):
    import signal
    from urllib.request import urlopen

    # a shell lets what it starts in the background ignore the signal, and what that starts too
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    code = f"import sys; {heard}; from reparam.cli import main; main(sys.argv[1:])"
    words = ["explore", str(runs / "a"), "--no-browser", "--port", "0", "--json"]
    with subprocess.Popen(
        [sys.executable, "-c", code, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        watchdog = threading.Timer(120, child.kill)  # a page that does not end must not hold the tests
        watchdog.start()
        lines = [child.stdout.readline() for _ in range(6)]
        url = json.loads("".join(lines))["url"]
        with urlopen(url + "training") as answer:
            assert answer.status == 200
        child.send_signal(signal.SIGINT)
        assert child.wait(20) == 0
        assert "ended" in child.stderr.read()
        watchdog.cancel()
