"""The page as a program asks for it."""

from __future__ import annotations

import csv
import io
import json
import re
import struct
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from urllib.parse import quote, urlencode

import jax.numpy as jnp
import numpy as np
import pytest
from page import ask, code_blocks, fact
from printed import agrees
from scipy import stats
from scipy.special import logsumexp

from reparam.errors import DataError
from reparam.explorer import Explorer, explore_fitted
from reparam.explorer.views import VIEWS


def test_every_number_of_the_trick_is_what_its_code_computes(page, session):
    """Each snippet is run as it stands; ``rows`` is the reader's data, as the page says."""
    status, html, _ = ask(page, "/trick?row=5&seed=3&temperature=0.5&draws=40")
    assert status == 200
    names = ("coordinates", "likelihood", "prior", "posterior", "kl", "elbo", "bound")
    code = dict(zip(names, code_blocks(html), strict=False))
    setting = next(block for block in code_blocks(html) if block.startswith("import"))
    opened = {"rows": session.data.rows}
    exec(setting, opened)  # ours, from our own page
    for name, lines in code.items():
        scope = dict(opened)
        exec(lines, scope)
        if name == "coordinates":
            cells = re.search(r"<tr><th scope=\"row\">0</th>(.*?)</tr>", html)[1]
            shown = re.findall(r"<output>([^<]*)</output>", cells)
            raw = scope["coordinates"]
            found = [
                scope["mu"],
                scope["sigma"],
                raw["log_variance"],
                raw["log_std"],
                raw["softplus"],
                raw["log_precision"],
            ]
            assert all(agrees(text, float(value[0])) for text, value in zip(shown, found, strict=False))
            assert agrees(shown[-1], float(scope["kl"][0]))
            continue
        assert agrees(fact(html, name), float(scope["value"])), name


def test_the_numbers_of_the_trick_are_those_of_scipy(page, session):
    """SciPy's normal laws, from the μ and σ that the library's own transform gives."""
    eps = np.array([0.3, -1.2, 0.7])
    _, html, _ = ask(page, "/trick?row=7&draws=25&eps=" + quote("0.3 -1.2 0.7"))
    mean, std = (np.asarray(v[0], np.float64) for v in session.vae.posterior_moments(session.take([7])))
    z = mean + std * eps
    expected = {
        "prior": stats.norm.logpdf(z).sum(),
        "posterior": stats.norm.logpdf(z, mean, std).sum(),
        "kl": np.sum(0.5 * (std**2 + mean**2 - 1.0) - np.log(std)),
    }
    for name, number in expected.items():
        assert agrees(fact(html, name), number, slack=2e-5), name


def test_the_growing_bound_is_the_logarithm_of_the_mean_weight(session):
    from reparam.insight.trick import noise, trick

    told = trick(session, 2, noise(session, 0), draws=30, seed=4)
    weights = np.asarray(told.passage.log_weights, np.float64)[:30]
    np.testing.assert_allclose(told.bound_by_draws[[0, 9, 29]], [logsumexp(weights[:k], b=1 / k) for k in (1, 10, 30)])


def test_both_gradients_agree_with_finite_differences(session):
    """Pathwise: of f(μ + σε); score function: f(z) ∂ln N(z; μ, σ). Single precision, so one part in a hundred."""
    from reparam.insight.trick import gradients

    eps = np.array([0.4, -0.8, 1.1])
    found = gradients(session, 3, eps, latent=1, seed=0)
    mean, std = (np.asarray(v[0], np.float64) for v in session.vae.posterior_moments(session.take([3])))
    datum = session.datum(3)

    def f(mean, std):
        return float(session.model.log_likelihood(jnp.asarray(mean + std * eps, jnp.float32), datum))

    def slope(function, h=2e-2):
        steps = [(sign * h * np.eye(3)[1]) for sign in (1, -1)]
        return (function(steps[0]) - function(steps[1])) / (2 * h)

    pathwise = [slope(lambda d: f(mean + d, std)), slope(lambda d: f(mean, std + d))]
    np.testing.assert_allclose(found.pathwise, pathwise, rtol=0.02, atol=0.05)
    score = f(mean, std) * np.array([eps[1] / std[1], (eps[1] ** 2 - 1.0) / std[1]])
    np.testing.assert_allclose(found.score_function, score, rtol=1e-3)


def test_the_estimators_have_one_mean(session):
    """Their means over 200 draws differ by less than 5 standard errors: a false alarm in 10⁶."""
    from reparam.insight.trick import gradients

    found = gradients(session, 3, np.zeros(3), latent=0, seed=5)
    both = found.pathwise_spread, found.score_function_spread
    error = np.sqrt(sum(part.var(axis=0, ddof=1) / len(part) for part in both))
    assert (abs(both[0].mean(axis=0) - both[1].mean(axis=0)) < 5 * error).all()
    assert (both[0].var(axis=0) < both[1].var(axis=0)).all()


@pytest.mark.parametrize("tab", list(VIEWS))
@pytest.mark.parametrize("place", [0, 1])
def test_every_tab_answers_for_every_run(page, tab, place):
    for fragment in ("1", "0"):
        status, html, headers = ask(page, f"/{tab}?run={place}", headers={"X-Fragment": fragment})
        assert status == 200
        assert ("<html" in html) == (fragment == "0")
        assert "default-src 'none'" in headers["Content-Security-Policy"]


def test_without_a_script_a_form_is_answered_whole(page):
    status, html, _ = ask(page, "/training?show=1", headers={"X-Fragment": "0"})
    assert status == 200
    assert 'id="curves"' in html


def marks(page, query=""):
    connection = HTTPConnection("127.0.0.1", page.port, timeout=60)
    connection.request("GET", f"/map/marks?{query}")
    body = connection.getresponse().read()
    length = struct.unpack("<I", body[:4])[0]
    return json.loads(body[4 : 4 + length]), np.frombuffer(body[4 + length :], "<f4").reshape(-1, 4)


def test_the_map_holds_the_codes_of_all_rows(page, session):
    head, found = marks(page, "x=0&y=2&box=" + quote("-100 100 -100 100"))
    assert (head["inside"], head["rows"], head["classes"]) == (120, 120, 3)
    np.testing.assert_array_equal(found[:, :2], session.vae.transform(session.data)[:, [0, 2]])
    np.testing.assert_array_equal(found[:, 2], session.labels)


def test_marks_reach_beyond_the_window(page):
    """By a quarter of it on every side, so that it can be moved; only rows of the window itself are counted."""
    head, found = marks(page, "x=0&y=1&box=" + quote("0 1 -1 1"))
    assert head["region"] == [-0.25, 1.25, -1.5, 1.5]
    x, y = found[:, 0], found[:, 1]
    assert ((x >= -0.25) & (x < 1.25) & (y >= -1.5) & (y < 1.5)).all()
    assert head["inside"] == np.sum((x >= 0) & (x < 1) & (y >= -1) & (y < 1)) < len(found)


def test_chosen_rows_are_saved_with_their_values(page, session):
    square = "-100 -100 100 -100 100 100 -100 100"
    status, text, headers = ask(page, "/map/rows.csv?lasso=" + quote(square))
    assert status == 200
    assert "attachment" in headers["Content-Disposition"]
    header, *rows = list(csv.reader(io.StringIO(text)))
    assert header[:3] == ["row", "label", "mean_0"]
    np.testing.assert_array_equal(np.array([row[6:] for row in rows], np.float64), session.data.rows)


HOSTILE = [
    "/trick?row=99999999999999999999", "/trick?row=-1", "/trick?row=1&row=2", "/trick?eps=1", "/trick?eps=nan+0+0", "/trick?draws=1e9",
    "/trick?run=7", "/trick?run=-1", "/trick?run=0&run=1", "/trick?%00=1", "/trick?row=%F0%28", "/trick?x=3", "/trick?data=/etc/passwd",
    "/map?lasso=" + "+".join(["1"] * 1000), "/map?box=0+0+0+0", "/map?colour=<script>alert(1)</script>", "/map?projection=pickle",
    "/latents?z0=1e9", "/latents?z9=0", "/rows?gap=2", "/training?first=0", "/map/marks?box=1", "/map/hover?place=a+b", "/map/rows.csv?lasso=1+2",
]  # fmt: skip


@pytest.mark.parametrize("target", HOSTILE)
def test_hostile_addresses_are_refused_and_their_text_escaped(page, target):
    status, html, _ = ask(page, target)
    assert status == 400
    assert 'id="refusal"' in html
    assert "<script>alert" not in html


@pytest.mark.parametrize(
    "path",
    [
        "/static/../serving.py",
        "/static/%2e%2e/serving.py",
        "//etc/passwd",
        "/etc/passwd",
        "/static/",
        "/map/marks/x",
        "/run",
    ],
)
def test_nothing_of_the_machine_can_be_asked_for(page, path):
    status, html, _ = ask(page, path)
    assert status == 404
    assert "root:" not in html


def test_only_reading_is_answered(page):
    for method in ("POST", "PUT", "DELETE"):
        assert ask(page, "/trick", method=method)[0] == 501


def test_a_page_of_another_site_cannot_ask(page):
    assert ask(page, "/trick", host="evil.example")[0] == 403
    assert ask(page, "/trick", host="127.0.0.1.evil.example")[0] == 403
    assert ask(page, "/static/theme.js", host=f"localhost:{page.port}")[0] == 200


def test_another_host_needs_the_token(session):
    page = Explorer([session], host="0.0.0.0").start()
    try:
        assert ask(page, "/training")[0] == 403
        assert ask(page, "/training?token=" + "x" * 32)[0] == 403
        status, _, headers = ask(page, "/training?" + urlencode({"token": page.token, "axis": "log"}))
        assert (status, headers["Location"]) == (303, "/training?axis=log")
        assert "HttpOnly" in headers["Set-Cookie"]
        assert ask(page, "/training?axis=log", headers={"Cookie": headers["Set-Cookie"].partition(";")[0]})[0] == 200
    finally:
        page.close()


def test_ten_clients_at_once_get_what_one_gets(page):
    targets = [f"/trick?row={row}&seed={row}" for row in range(6)] + ["/map", "/latents", "/rows", "/training"]
    alone = {target: ask(page, target)[:2] for target in targets}
    with ThreadPoolExecutor(10) as pool:
        together = list(pool.map(lambda target: ask(page, target)[:2], targets * 4))
    assert together == [alone[target] for target in targets * 4]


def test_a_taken_port_is_told(page, session):
    with pytest.raises(DataError, match="Choose another --port"):
        Explorer([session], port=page.port)


@pytest.mark.parametrize("host", ["", " ", "x" * 300, "\ud800", "\0", "999.1.1.1"])
def test_a_host_that_is_none_is_told(host):
    """An empty one is not every address of this machine, as sockets take it."""
    with pytest.raises(DataError, match="Choose another --"):
        Explorer([], host=host)


def test_a_fitted_estimator_is_shown_on_rows(session):
    rows = session.data.rows[:20]
    with pytest.raises(DataError, match="one label for each of the 20 rows"):
        explore_fitted(session.vae, rows, [1, 2])
    page = explore_fitted(session.vae, rows, session.labels[:20])
    try:
        status, html, _ = ask(page, "/trick?row=19")
        assert status == 200
        assert "label" in html
        assert "<iframe" in page._repr_html_()
    finally:
        page.close()
