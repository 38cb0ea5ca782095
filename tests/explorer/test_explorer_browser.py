"""The page as a person uses it, in a real browser: every control, and the numbers that it shows."""

from __future__ import annotations

import numpy as np
import pytest
from printed import agrees

from reparam.insight.outliers import ranked
from reparam.markup import number


def facts(session, row, eps, temperature=1.0):
    """Ln p(x|z) as the library gives it, in the page's digits."""
    mean, std = (np.asarray(v, np.float64) for v in session.vae.posterior_moments(session.take([row])))
    z = (mean + std * np.asarray(eps) * temperature).astype(np.float32)
    return float(session.model.log_likelihood(z[0], session.datum(row)))


def test_the_trick_follows_its_controls(reader, session):
    reader.open("trick?row=4")
    first = reader.text("#fact-likelihood")
    reader.press("draw")
    assert reader.value("seed") == "1"
    assert reader.text("#fact-likelihood") != first
    reader.press("hold")
    held = [float(word) for word in reader.value("eps").split()]
    assert agrees(reader.text("#fact-likelihood"), facts(session, 4, held))
    reader.set("row", 9)
    assert [float(word) for word in reader.value("eps").split()] == held
    assert agrees(reader.text("#fact-likelihood"), facts(session, 9, held))
    reader.set("temperature", 0.5)
    assert agrees(reader.text("#fact-likelihood"), facts(session, 9, held, 0.5))
    reader.set("eps", "0 0 0")
    assert agrees(reader.text("#fact-likelihood"), facts(session, 9, [0, 0, 0]))
    reader.set("draws", 7)
    assert "K = 7" in reader.text("#numbers")
    reader.set("x", 2)
    reader.set("y", 1)
    reader.set("frame", "prior")
    assert "latent 2 and latent 1" in reader.text("#pictures")
    assert "latent 2" in reader.text("#gradients h2")


def test_draws_come_one_after_the_other(reader):
    reader.open("trick?draws=5")
    reader.driver.execute_script("document.getElementById('play').click()")
    reader.wait(lambda: "K = 5" in reader.text("#numbers") and reader.value("draws") == "5")


def test_a_link_restores_the_state(reader):
    reader.open("trick")
    reader.set("row", 11)
    reader.set("temperature", 0.25)
    shown, address = reader.text("#results"), reader.driver.current_url
    reader.driver.get("about:blank")
    reader.driver.get(address)
    reader.wait()
    assert reader.text("#results") == shown
    assert (reader.value("row"), reader.value("temperature")) == ("11", "0.25")


def test_wrong_input_is_told_and_the_page_lives_on(reader):
    reader.open("trick")
    reader.set("eps", "1 2")
    assert "3 numbers are required" in reader.text("#refusal")
    reader.set("eps", "")
    assert reader.text("#fact-kl")


def drag(reader, *places):
    """A press, a way and a release on the map, in shares of its width and height from the upper left."""
    script = """const [map, way] = [document.getElementById('map'), arguments[0]];
        const box = map.getBoundingClientRect();
        const fire = (kind, [x, y]) => map.dispatchEvent(new PointerEvent(kind, {bubbles: true, pointerId: 1,
          clientX: box.left + x * box.width, clientY: box.top + y * box.height}));
        map.setPointerCapture = () => {};
        fire('pointerdown', way[0]); way.slice(1).forEach((p) => fire('pointermove', p)); fire('pointerup', way.at(-1));"""
    reader.driver.execute_script(script, places)
    reader.wait()


def drawn(reader):
    return reader.driver.execute_script("return document.getElementById('map')?.dataset.drawn")


def test_the_map_is_drawn_and_answers_the_pointer(reader, session):
    reader.open("map")
    reader.wait(lambda: drawn(reader) in ("webgl", "canvas"))
    assert reader.text("#inside").startswith("120 of 120 rows")
    drag(reader, [0.5, 0.5])
    place = np.array([float(word) for word in reader.value("place").split()])
    x, y = int(reader.value("x")), int(reader.value("y"))
    code = session.codes.mean.mean(axis=0, dtype=np.float64)
    code[[x, y]] = place
    assert reader.text("#place-code") == f"z = ({', '.join(number(float(v), 3) for v in code)})"
    reader.press("mode-line")
    drag(reader, [0.2, 0.2], [0.5, 0.5], [0.8, 0.8])
    assert "Decoded along the line" in reader.text("#line")
    reader.press("mode-lasso")
    drag(reader, [0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0])
    inside = int(reader.text("#lasso h2").split()[0])
    assert 100 < inside <= 120
    reader.driver.execute_script(
        "document.getElementById('csv').addEventListener('click', (e) => e.preventDefault()); document.getElementById('csv').click()"
    )
    assert "lasso=" in reader.driver.execute_script("return document.getElementById('csv').href")
    reader.press("mode-zoom")
    drag(reader, [0.25, 0.25], [0.75, 0.75])
    reader.wait(lambda: not reader.text("#inside").startswith("120 of"))
    reader.press("whole")
    reader.wait(lambda: reader.text("#inside").startswith("120 of"))
    reader.press("clear")
    assert (reader.value("place"), reader.value("line"), reader.value("lasso")) == ("", "", "")


def test_the_map_has_a_way_by_keys_and_fields(reader):
    reader.open("map")
    reader.wait(lambda: drawn(reader))
    for name, text in (
        ("place", "0.5 0.5"),
        ("line", "0 0 1 1"),
        ("lasso", "-9 -9 9 -9 9 9 -9 9"),
        ("box", "-9 9 -9 9"),
    ):
        reader.set(name, text)
    assert "120 of 120 rows in the lasso" in reader.text("#lasso h2")
    key = (
        "document.getElementById('map').dispatchEvent(new KeyboardEvent('keydown', {key: arguments[0], bubbles: true}))"
    )
    reader.driver.execute_script(key, "ArrowRight")
    reader.wait(lambda: reader.value("place") != "0.5 0.5")
    assert float(reader.value("place").split()[0]) > 0.5
    before = reader.value("box")
    reader.driver.execute_script(key, "+")
    reader.wait(lambda: reader.value("box") != before)
    for colour in ("score", "kl", "none", "pixel 0, 0", "label"):
        reader.set("colour", colour)
        assert not reader.text("#refusal")
    reader.set("projection", "linear")
    assert "main direction 1" in reader.text("#map-figure figcaption")


REQUESTS = """return performance.getEntriesByType('resource').map((e) => new URL(e.name).pathname).filter((p) => p.startsWith('/map'))"""


def test_the_window_is_moved_without_asking_for_the_page_again(reader):
    reader.open("map?box=-3+3+-3+3")
    reader.wait(lambda: drawn(reader))
    reader.press("mode-move")
    reader.driver.execute_script("performance.clearResourceTimings()")
    drag(reader, [0.5, 0.5], [0.6, 0.5], [0.75, 0.5])
    reader.wait(lambda: reader.value("box") == "-4.5 1.5 -3 3")
    reader.wait(lambda: reader.driver.execute_script(REQUESTS))
    assert set(reader.driver.execute_script(REQUESTS)) == {"/map/marks"}
    assert "box=-4.5+1.5+-3+3" in reader.driver.current_url  # the address is the state
    assert reader.value("place") == ""
    script = "document.getElementById('map').dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowUp', shiftKey: true, bubbles: true}))"
    reader.driver.execute_script(script)
    reader.wait(lambda: reader.value("box") == "-4.5 1.5 -2.1 3.9")


def test_places_of_one_plane_are_forgotten_on_another(reader):
    reader.open("map?box=-1+1+-1+1&place=0.5+0.5")
    reader.set("projection", "linear")
    assert (reader.value("box"), reader.value("place")) == ("", "")
    assert "box" not in reader.driver.current_url


def test_a_map_without_webgl_is_drawn_all_the_same(reader, monkeypatch):
    """Once single rows, once their density; pixels of both are not empty."""
    reader.driver.get("about:blank")
    refuse = "const get = HTMLCanvasElement.prototype.getContext; HTMLCanvasElement.prototype.getContext = function (kind, ...rest) { return kind === 'webgl' ? null : get.call(this, kind, ...rest); };"
    made = reader.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": refuse})
    inked = "const m = document.getElementById('map'); const d = m.getContext('2d').getImageData(0, 0, m.width, m.height).data; let n = 0; for (let i = 3; i < d.length; i += 4) n += d[i] > 0; return n"
    try:
        for most in (40_000, 50):
            monkeypatch.setattr("reparam.insight.places.POINTS_AT_MOST", most)
            reader.open("map")
            reader.wait(lambda: drawn(reader) == "canvas")
            assert reader.driver.execute_script(inked) > 120
            assert ("too many to show singly" in reader.text("#inside")) == (most == 50)
    finally:
        reader.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", made)


def test_hover_shows_the_nearest_row(reader, session):
    reader.open("map?box=-9+9+-9+9&x=0&y=1")
    reader.wait(lambda: drawn(reader))
    code = session.codes.mean[17]
    script = """const map = document.getElementById('map'); const box = map.getBoundingClientRect();
        map.dispatchEvent(new PointerEvent('pointermove', {bubbles: true, clientX: box.left + arguments[0] * box.width,
          clientY: box.top + arguments[1] * box.height}));"""
    reader.driver.execute_script(script, float((code[0] + 9) / 18), float(1 - (code[1] + 9) / 18))
    reader.wait(lambda: reader.text("#hover"))
    assert reader.text("#hover").startswith("row ")


def test_the_latents_follow_their_sliders(reader, session):
    reader.open("latents")
    first = reader.driver.execute_script("return document.querySelector('#decoded img').src")
    k = int(session.order[0])
    reader.set(f"z{k}", 2.5)
    assert reader.driver.execute_script("return document.querySelector('#decoded img').src") != first
    reader.set("latent", int(session.order[1]))
    assert f"What latent {session.order[1]} moves" in reader.text("#effects")
    reader.press("reset")
    assert float(reader.value(f"z{k}")) == 0.0
    assert number(float(session.use[k])) in reader.text("#latents")


def test_the_rows_are_listed_and_chosen(reader, session):
    worst, best = ranked(session, 1)[0], ranked(session, 1, best=True)[0]
    reader.open("rows")
    assert reader.text("#fact-score") == number(float(session.vae.score_samples(session.take([worst.row]))[0]))
    reader.set("order", "best")
    reader.driver.execute_script("document.querySelector('#listed a').click()")
    reader.wait(lambda: reader.value("row") == str(best.row))
    reader.wait(lambda: reader.text("#fact-score") == number(best.score))
    reader.set("row", 5)
    assert "row 5" in reader.text("#row h2")
    reader.set("gap", 1)
    assert "lost by the encoder" in reader.text("#gap")


def test_the_training_of_two_runs(reader, sessions):
    reader.open("training")
    reader.set("axis", "log")
    reader.set("first", 2)
    reader.set("measure", 1)
    assert "gain over" in reader.text("#compared")
    shown = number(sessions[0].history[-1]["bound"])
    assert shown not in ("", "–")
    reader.driver.execute_script(
        "const f = document.getElementById('control-run'); f.value = '1'; f.dispatchEvent(new Event('change', {bubbles: true}))"
    )
    reader.wait(lambda: "run=1" in reader.driver.current_url)


def test_a_theme_is_chosen_and_kept(reader):
    reader.open("training")
    theme = "return document.documentElement.dataset.theme"
    first = reader.driver.execute_script(theme)
    reader.press("theme")
    chosen = reader.driver.execute_script(theme)
    assert chosen != first
    reader.open("rows")
    assert reader.driver.execute_script(theme) == chosen


SAVED = """const done = arguments[0]; const made = []; const kept = [];
  const create = URL.createObjectURL; URL.createObjectURL = (blob) => { const url = create(blob); made.push([url, blob]); return url; };
  HTMLAnchorElement.prototype.click = async function () {
    const text = await made.find(([url]) => url === this.href)[1].text();
    kept.push([this.download, text.length, text.slice(0, 60)]); if (kept.length === 2) done(kept); };
  for (const kind of ['SVG', 'PNG']) [...document.querySelectorAll('.save button')].find((b) => b.textContent === kind).click();"""


@pytest.mark.parametrize("tab", ["training", "map", "latents"])
def test_pictures_are_saved_as_svg_and_png(reader, tab):
    reader.open(tab)
    reader.wait(lambda: reader.text(".save"))
    reader.driver.set_script_timeout(30)
    (png, png_size, png_head), (svg, svg_size, svg_head) = sorted(reader.driver.execute_async_script(SAVED))
    assert png.endswith(".png")
    assert "PNG" in png_head
    assert svg.endswith(".svg")
    assert svg_head.startswith("<svg")
    assert min(png_size, svg_size) > 1000


@pytest.mark.parametrize("tab", ["trick", "map", "latents", "rows", "training"])
def test_controls_are_labelled_and_nothing_overflows(reader, tab):
    reader.open(tab)
    unnamed = """return [...document.querySelectorAll('input, select, button, canvas, img, svg.chart')].filter((e) => !(
        e.labels?.length || e.textContent.trim() || e.getAttribute('aria-label') || e.alt)).map((e) => e.outerHTML.slice(0, 90))"""
    assert reader.driver.execute_script(unnamed) == []
    for width in (1280, 390):
        reader.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 500},
        )
        assert reader.driver.execute_script("return document.documentElement.scrollWidth") <= width
    reader.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_the_marks_of_the_map_follow_its_width_before_it_is_drawn_anew(reader):
    unseen = {"source": "window.ResizeObserver = class { observe() {} };"}
    stub = reader.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", unseen)
    reader.open("map")
    narrow = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    reader.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", narrow)
    assert reader.driver.execute_script("return document.querySelectorAll('#axes span').length") > 4
    assert reader.driver.execute_script("return document.documentElement.scrollWidth") <= 390
    reader.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    reader.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", stub)


CONTRAST = """const light = (c) => { const [r, g, b] = c.match(/[\\d.]+/g).map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const behind = (e) => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor; if (!c.startsWith('rgba(0, 0, 0, 0')) return c; } return 'rgb(255,255,255)'; };
  return [...document.querySelectorAll('p, th, td, label, legend, small, summary, figcaption, a, output, h2, .under, li')].filter((e) => e.textContent.trim() && e.checkVisibility()).map((e) => {
    const [a, b] = [light(getComputedStyle(e).color), light(behind(e))].sort((p, q) => q - p); return [(a + 0.05) / (b + 0.05), e.tagName + '.' + e.className]; })
    .filter(([ratio]) => ratio < 4.5);"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_has_the_contrast_of_wcag(reader, theme):
    """4.5 to 1 at least (WCAG 2.2, success criterion 1.4.3), by its formula, on every tab."""
    for tab in ("trick", "map", "latents", "rows", "training"):
        reader.open(tab)
        reader.driver.execute_script("document.documentElement.dataset.theme = arguments[0]", theme)
        assert reader.driver.execute_script(CONTRAST) == []
