"""HTML, charts and displays."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from reparam.markup import number, tag
from reparam.markup.chart import BOTTOM, LEFT, RIGHT, TOP, Line, chart, ticks
from reparam.markup.picture import data_uri, shrunk


def test_text_is_escaped_wherever_it_enters():
    attack = "<img src=x onerror=alert(1)>\"'"
    shown = tag("p", attack, [attack, 3, None], title=attack)
    root = ElementTree.fromstring(shown)
    assert root.text == attack * 2 + "3"
    assert root.attrib == {"title": attack}


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0"),
        (1234.5678, "1235"),
        (123456.7, "123457"),
        (-0.5, "−0.5"),
        (1e-9, "1e−09"),
        (1.23456e9, "1.235e+09"),
        (None, "–"),
    ],
)
def test_numbers_are_printed_for_readers(value, shown):
    assert number(value) == shown


@pytest.mark.parametrize("limits", [(0.0, 1.0), (-3.7, 91.2), (1e-7, 3e-7), (-1e6, 1e6)])
def test_ticks_are_few_round_and_inside(limits):
    found = ticks(limits)
    assert 3 <= len(found) <= 11
    assert limits[0] - 1e-12 <= found[0]
    assert found[-1] <= limits[1] + 1e-12
    steps = np.diff(found)
    np.testing.assert_allclose(steps, steps[0])
    assert float(f"{steps[0]:.1g}") == pytest.approx(steps[0])


def test_a_chart_is_xml_and_its_line_goes_where_the_data_are():
    drawn = chart(
        [Line([0, 10], [0, 1], "a & b")], title="t", description="d", x_label="x", y_label="y", x=(0, 10), y=(0, 1)
    )
    svg = ElementTree.fromstring(re.search(r"<svg.*</svg>", drawn, re.DOTALL)[0])
    path = next(p for p in svg.iter() if p.tag.endswith("path") and p.get("class") == "line c0")
    width, height = 420, 300
    assert path.get("d") == f"M{LEFT:.1f} {height - BOTTOM:.1f}L{width - RIGHT:.1f} {TOP:.1f}"


def test_a_line_is_broken_where_a_value_is_missing():
    drawn = chart(
        [Line([0, 1, 2, 3], [0, 1, np.nan, 1], "a")],
        title="t",
        description="d",
        x_label="",
        y_label="",
        x=(0, 3),
        y=(0, 1),
    )
    assert re.search(r'd="(M[^"]*)" class="line c0"', drawn)[1].count("M") == 2


def test_a_picture_is_a_png_of_its_pixels():
    import base64
    import io

    from PIL import Image

    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    opened = Image.open(io.BytesIO(base64.b64decode(data_uri(pixels).partition(",")[2])))
    np.testing.assert_array_equal(np.asarray(opened), pixels)


def test_large_pictures_shrink_to_means_of_squares():
    pixels = np.random.default_rng(0).uniform(size=(2, 7, 6, 3))
    small = shrunk(pixels, 3)
    assert small.shape == (2, 2, 2, 3)
    np.testing.assert_allclose(small[1, 1, 0], pixels[1, 3:6, :3].mean(axis=(0, 1)))
    assert shrunk(pixels, 7) is pixels
