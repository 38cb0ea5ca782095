"""How long the page's server and a browser take with a million rows: ``python -m benchmarks.explorer``.

A hover must be answered within 100 ms. Times are of this machine, the best, the median and the worst of many requests;
and of frames in headless Chromium, which draws by a processor here, while the map is zoomed and moved (60 a second are
16.7 ms each).
"""

from __future__ import annotations

import os
import platform
import shutil
import time
from collections.abc import Callable
from http.client import HTTPConnection
from urllib.parse import quote

import numpy as np

from reparam import VAE
from reparam.data import Dataset, from_array
from reparam.explorer import Explorer, explore
from reparam.insight import Session

ROWS, COLUMNS, REQUESTS, FRAMES = 1_000_000, 10, 200, 120


def main() -> None:
    """Train briefly, open the page on a million rows, and ask."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 8, ROWS)
    x = rng.normal(size=(8, COLUMNS))[labels] + 0.4 * rng.normal(size=(ROWS, COLUMNS))
    data = from_array(x.astype(np.float32), name="million")
    vae = VAE(2, hidden=(64,), epochs=4).fit(x[:20_000].astype(np.float32))
    session = Session(vae, Dataset(data.rows, vae.schema_, labels), "million", f"{ROWS:,} rows")
    print(f"{platform.machine()}, {os.cpu_count()} cores; best, median, worst")
    _timed("codes of all rows, once", lambda: session.codes, 1)
    page = explore([session])
    try:
        place = session.codes.mean[rng.integers(0, ROWS, REQUESTS)]
        _timed("first page with its search tree, once", lambda: _ask(page, "/map?place=0+0"), 1)
        answers = iter(place)
        _timed("hover", lambda: _ask(page, f"/map/hover?place={_pair(next(answers))}"), REQUESTS)
        _timed("the map, all rows as density", lambda: _ask(page, "/map/marks"), 10)
        near = quote("-0.3 0.3 -0.3 0.3")
        _timed("the map, a window", lambda: _ask(page, f"/map/marks?box={near}"), 10)
        _timed("click, decoded", lambda: _ask(page, "/map?place=0.5+0.5"), 10)
        _timed("lasso, statistics of all columns", lambda: _ask(page, "/map?lasso=0+0+1+0+1+1+0+1"), 5)
        _frames(page.url)
    finally:
        page.close()


MOVING = """const [how, count] = arguments, done = arguments[2], map = document.getElementById("map");
  const box = map.getBoundingClientRect(), stamps = [], middle = [box.left + box.width / 2, box.top + box.height / 2];
  map.setPointerCapture = () => {};
  const fire = (kind, clientX, clientY) =>
    map.dispatchEvent(new PointerEvent(kind, {bubbles: true, pointerId: 1, clientX, clientY}));
  if (how === "move") fire("pointerdown", ...middle);
  const step = () => {
    const i = stamps.push(performance.now());
    if (how === "zoom") map.dispatchEvent(new WheelEvent("wheel", {bubbles: true, cancelable: true,
      deltaY: i < count / 2 ? -100 : 100, clientX: middle[0], clientY: middle[1]}));
    else fire("pointermove", middle[0] + 150 * Math.sin(i / 8), middle[1] + 100 * Math.cos(i / 8));
    if (i < count) { requestAnimationFrame(step); return; }
    if (how === "move") fire("pointerup", ...middle);
    done(stamps.slice(1).map((stamp, k) => stamp - stamps[k]));
  };
  requestAnimationFrame(step);"""


def _frames(url: str) -> None:
    """Milliseconds between two frames, in a browser where there is one."""
    program, companion = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or companion is None:
        print("no chromium with its chromedriver: frames were not measured")
        return
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--enable-unsafe-swiftshader"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(companion))
    try:
        driver.set_script_timeout(120)
        started = time.perf_counter()
        driver.get(f"{url}map")
        while not driver.execute_script("return document.getElementById('map')?.dataset.drawn"):
            time.sleep(0.02)
        print(f"{'the map, opened and drawn by the browser':42} {1e3 * (time.perf_counter() - started):9.1f} ms")
        for how, told in (("hover", "a frame while hovering"), ("zoom", "zooming"), ("move", "moving the window")):
            driver.execute_script(
                "document.getElementById(arguments[0]).click()", f"mode-{how}".replace("hover", "place")
            )
            low, middle, high = np.quantile(driver.execute_async_script(MOVING, how, FRAMES), [0, 0.5, 1])
            print(f"{told:42} {low:9.1f} {middle:9.1f} {high:9.1f} ms")
            time.sleep(2)  # what it asked for comes
    finally:
        driver.quit()


def _pair(place: np.ndarray) -> str:
    return quote(f"{place[0]:.5g} {place[1]:.5g}")


def _ask(page: Explorer, path: str) -> int:
    connection = HTTPConnection("127.0.0.1", page.port, timeout=120)
    connection.request("GET", path, headers={"X-Fragment": "1"})
    answer = connection.getresponse()
    size = len(answer.read())
    connection.close()
    if answer.status != 200:
        raise SystemExit(f"{path} was answered with {answer.status}")
    return size


def _timed(name: str, work: Callable[[], object], times: int) -> None:
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        taken.append(1e3 * (time.perf_counter() - started))
    low, middle, high = min(taken), float(np.median(taken)), max(taken)
    print(f"{name:42} {low:9.1f} {middle:9.1f} {high:9.1f} ms")


if __name__ == "__main__":
    main()
