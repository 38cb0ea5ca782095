"""One small run, one page, one browser."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import reparam
from reparam.data import Dataset, from_array
from reparam.explorer import Explorer, explore
from reparam.insight import Session

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


def image_data() -> Dataset:
    """120 images of 6 × 6 with three labels: a bar at one of three places, and noise."""
    rng = np.random.default_rng(0)
    labels = np.arange(120) % 3
    images = rng.uniform(0, 60, size=(120, 6, 6))
    images[np.arange(120), :, 2 * labels] += 150 + 40 * rng.normal(size=(120, 1))
    data = from_array(np.clip(images, 0, 255).astype(np.uint8), name="bars")
    return Dataset(data.rows, data.schema, labels)


def fitted(latent_dim: int, seed: int, posterior: str = "diagonal") -> reparam.VAE:
    vae = reparam.VAE(
        latent_dim, posterior=posterior, hidden=(16,), epochs=3, batch_size=32, bound_samples=20, random_state=seed
    )
    return vae.fit_dataset(image_data())


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fitted(3, 0).save(tmp_path_factory.mktemp("runs") / "bars")


@pytest.fixture(scope="session")
def sessions(run: Path) -> list[Session]:
    data = image_data()
    return [Session(reparam.load(run), data, str(run), "bars"), Session(fitted(2, 1, "full"), data, "other", "bars")]


@pytest.fixture(scope="session")
def session(sessions: list[Session]) -> Session:
    return sessions[0]


@pytest.fixture(scope="session")
def page(sessions: list[Session]) -> Iterator[Explorer]:
    opened = explore(sessions)
    yield opened
    opened.close()


@dataclass
class Reader:
    """A person at the browser."""

    driver: Any
    base: str

    def open(self, target: str) -> None:
        self.driver.get(self.base + target)
        self.wait()

    def wait(self, until: Callable[[], Any] | None = None) -> None:
        """Until nothing is asked for any more, and a condition holds."""
        quiet = "const r = document.getElementById('results'); return r && r.getAttribute('aria-busy') === 'false'"
        end = time.monotonic() + 60
        time.sleep(0.08)  # the page waits 40 ms before it asks
        while time.monotonic() < end:
            if self.driver.execute_script(quiet) and (until is None or until()):
                return
            time.sleep(0.03)
        raise AssertionError(f"the page is still busy: {self.driver.current_url}\n{self.text('#results')[:500]}")

    def text(self, selector: str) -> str:
        return str(
            self.driver.execute_script("return document.querySelector(arguments[0])?.textContent ?? ''", selector)
        )

    def set(self, name: str, value: object) -> None:
        """Put a value into a control as a person does who types or drags."""
        script = """const field = document.getElementById('control-' + arguments[0]);
            if (field.type === 'checkbox') field.click();
            else { field.value = arguments[1];
              field.dispatchEvent(new Event('input', {bubbles: true})); field.dispatchEvent(new Event('change', {bubbles: true})); }"""
        self.driver.execute_script(script, name, str(value))
        self.wait()

    def press(self, id_: str) -> None:
        self.driver.execute_script("document.getElementById(arguments[0]).click()", id_)
        self.wait()

    def value(self, name: str) -> str:
        return str(self.driver.execute_script("return document.getElementById('control-' + arguments[0]).value", name))


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    selenium = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    from selenium.webdriver.chrome.service import Service

    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    driver = shutil.which("chromedriver")
    if found is None or driver is None:
        pytest.skip("no chromium with its chromedriver is installed (apt-get install chromium chromium-driver)")
    options = selenium.ChromeOptions()
    options.binary_location = found
    flags = ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--enable-unsafe-swiftshader")
    for flag in (*flags, "--window-size=1280,900"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    opened = selenium.Chrome(options=options, service=Service(driver))
    yield opened
    opened.quit()


@pytest.fixture
def reader(browser: Any, page: Explorer) -> Iterator[Reader]:
    yield Reader(browser, page.url)
    faults = [line["message"] for line in browser.get_log("browser") if line["level"] == "SEVERE"]
    assert not [fault for fault in faults if "Bad Request" not in fault]
