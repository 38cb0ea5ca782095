"""Two runs of other kinds on every tab: one latent without an encoder under a mixture, and images in two layers."""

from __future__ import annotations

import csv
import io
from urllib.parse import quote

import numpy as np
import pytest
from page import ask, code_blocks, fact
from printed import agrees

from reparam import VAE
from reparam.explorer import explore_fitted
from reparam.reports.report import report

RNG = np.random.default_rng(0)
ROWS = 40
PLACES = {name: quote(text) for name, text in {"place": "0.3 -0.2", "line": "-1 0 1 0.5"}.items()}
EVERYWHERE = quote("-100 -100 100 -100 100 100 -100 100")
KINDS = {
    "searched": {"latent_dim": 1, "inference": "mean_field", "prior": "gaussian_mixture:2"},
    "layers": {"latent_dim": (2, 1), "posterior": "bottom_up"},
}


def data(kind: str) -> np.ndarray:
    """Images N × H × W, or a table."""
    shape = (ROWS, 3, 3) if kind == "layers" else (ROWS, 3)
    return RNG.normal(size=shape).astype(np.float32)


@pytest.fixture(scope="module", params=KINDS)
def opened(request):
    X = data(request.param)
    vae = VAE(hidden=(4,), epochs=1, batch_size=ROWS, bound_samples=5, start="random", **KINDS[request.param]).fit(X)
    page = explore_fitted(vae, X, np.arange(ROWS) % 2)
    yield request.param, page
    page.close()


TARGETS = (
    "/trick?row=3&frame=prior",
    "/map?projection=linear&colour=score",
    f"/map?place={PLACES['place']}&line={PLACES['line']}&lasso={EVERYWHERE}",
    f"/map/hover?place={PLACES['place']}",
    "/map/marks",
    "/latents",
    "/rows",
    "/training",
)


def test_every_tab_answers(opened):
    _, page = opened
    for target in TARGETS:
        status, html, _ = ask(page, target)
        assert status == 200, (target, html[-300:])
        assert ">nan<" not in html, target


def test_the_code_of_the_trick_computes_its_numbers(opened):
    """Of several layers z = μ + σ ⊙ ε as well, with μ and σ given what was drawn before."""
    kind, page = opened
    (session,) = page.sessions
    _, html, _ = ask(page, "/trick?row=5&seed=3&draws=40")
    blocks = code_blocks(html)
    setting = next(block for block in blocks if block.startswith("import"))
    scope = {"rows": session.data.rows, "known": session.vae}
    exec(setting.replace(f"reparam.load({session.name!r})", "known"), scope)  # ours, from our own page
    exec(blocks[0], scope)
    np.testing.assert_allclose(scope["mu"] + scope["sigma"] * scope["eps"], scope["z"], rtol=1e-4, atol=1e-5)
    assert agrees(fact(html, "posterior"), float(scope["q"].log_prob(scope["z"])))
    if kind == "searched":
        for own in ("x_hat", "estimate_gradient"):
            exec(next(block for block in blocks if own in block), scope)
        assert np.isfinite(scope["value"]).all()
        assert agrees(fact(html, "posterior"), float(scope["q"].log_prob(scope["z"])))


def test_latents_are_called_as_encode_calls_them(opened):
    kind, page = opened
    marks = ["z1_0", "z1_1", "z2_0"] if kind == "layers" else ["0"]
    _, text, _ = ask(page, f"/map/rows.csv?lasso={EVERYWHERE}")
    header = next(csv.reader(io.StringIO(text)))
    assert [name for name in header if name.startswith("mean_")] == [f"mean_{mark}" for mark in marks]
    for target in ("/latents", "/map", "/trick"):
        assert ("latent 0" in ask(page, target)[1]) == (kind != "layers"), target


def test_a_prior_that_is_not_normal_is_shown_by_its_draws(opened):
    _, html, _ = ask(opened[1], "/trick")
    assert "<title>the prior, " in html
    assert "1σ and 2σ</title>" not in html.replace("q(z|x), 1σ and 2σ", "")


@pytest.mark.parametrize("opened", ["layers"], indirect=True)
def test_a_report_tells_layers(opened):
    _, page = opened
    text = report(page.sessions[0])
    assert "2 + 1 latents in 2 layers" in text
    assert "quantiles of z1_0 and z1_1" in text
    assert "latent 0" not in text


@pytest.mark.parametrize("opened", ["layers"], indirect=True)
def test_what_lies_below_an_upper_latent_follows_it(opened):
    _, page = opened
    (session,) = page.sessions
    pictures = [ask(page, f"/latents?latent={latent}&z2=3")[1] for latent in (0, 2)]
    assert "follow it" in pictures[1]
    first = [text.split('id="traversals"')[0].split("data:image")[1][:400] for text in pictures]
    assert first[0] != first[1]
    from reparam.insight.places import plane

    upper = plane(session, "latents", 2, 2).codes(np.array([[-3.0, -3.0], [3.0, 3.0]]), session)
    assert np.abs(upper[0, :2] - upper[1, :2]).max() > 1e-4
