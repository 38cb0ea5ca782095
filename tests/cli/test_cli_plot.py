"""Pictures of a run of images, and what the other commands write of images."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from command_line import SMALL, must, run_cli
from PIL import Image

import reparam
from reparam.cli.pictures import prior_quantiles, thinned
from reparam.data import from_array, is_image


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """60 grey images of 4 × 3 pixels, and three classes."""
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("images") / "faces.npz"
    kinds = np.arange(60) % 3
    pixels = 80 * kinds[:, None, None] + rng.integers(0, 90, size=(60, 4, 3))
    np.savez(path, train_x=pixels.astype(np.uint8), train_y=kinds)
    return path


@pytest.fixture(scope="module")
def run(images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("image-runs") / "run"
    must("train", f"{images}:train_x", "--out", folder, *SMALL)
    return folder


def levels(path) -> int:
    """How many levels of grey a picture has."""
    with Image.open(path) as picture:
        return len(np.unique(np.asarray(picture.convert("L"))))


def test_plot_writes_every_picture_and_lists_them(run):
    paths = must("plot", run).out.splitlines()
    assert {path.rsplit("/", 1)[1] for path in paths} == {
        "training.png", "samples.png", "decoded.png", "reconstructions.png", "latents.png"
    }  # fmt: skip
    assert all(path.startswith(f"{run}/plots/") for path in paths)
    assert all(levels(path) > 10 for path in paths)


def test_plot_takes_other_data_and_another_folder(run, images, tmp_path):
    document = must("plot", run, f"{images}:train_x", "-o", tmp_path / "p", "--json").document
    assert sorted(document["plots"]) == sorted(map(str, (tmp_path / "p").iterdir()))


def test_plot_without_its_data_draws_the_rest_and_says_so(run, tmp_path):
    shutil.copytree(run, tmp_path / "run", ignore=shutil.ignore_patterns("plots"))
    described = json.loads((run / "data.json").read_text())
    (tmp_path / "run" / "data.json").write_text(json.dumps({**described, "data": "/nowhere/faces.npz"}))
    result = must("plot", tmp_path / "run", "--json")
    names = {path.rsplit("/", 1)[1] for path in result.document["plots"]}
    assert names == {"training.png", "samples.png", "decoded.png"}
    assert result.err.startswith("reparam: warning: pictures that need data are left out: ")


def test_plot_refuses_a_folder_that_cannot_be_written(run, tmp_path):
    (tmp_path / "file").write_text("mine")
    result = run_cli("plot", run, "-o", tmp_path / "file")
    assert result.code == 2
    assert "is a file; a folder is required" in result.err
    assert len(result.err.splitlines()) == 1


def test_images_are_written_as_a_grid(run, images, tmp_path):
    must("sample", run, "-n", 9, "-o", tmp_path / "s.png")
    must("reconstruct", run, f"{images}:train_x", "-o", tmp_path / "r.npz")
    with Image.open(tmp_path / "s.png") as picture:
        assert picture.size == (3 * 3 * 50 + 2, 3 * 4 * 50 + 2)  # each pixel 50 wide, a line between pictures
    assert np.load(tmp_path / "r.npz")["x"].shape == (60, 4, 3)


def test_the_places_that_are_decoded_are_the_quantiles_of_the_prior(run):
    from scipy.stats import norm

    quantiles = prior_quantiles(reparam.load(run), 5)
    expected = norm.ppf([0.1, 0.3, 0.5, 0.7, 0.9])
    # 20,000 draws: the standard error of the outermost quantile is 0.012; 5 of them, a false alarm in 10⁶
    np.testing.assert_allclose(quantiles, [expected, expected], atol=0.06)


def test_rows_are_spread_over_the_dataset():
    data = from_array(np.arange(20.0).reshape(10, 2), labels=np.arange(10))
    chosen = thinned(data, 4)
    np.testing.assert_array_equal(chosen.labels, [0, 3, 6, 9])
    np.testing.assert_array_equal(chosen.rows[:, 0], [0, 6, 12, 18])
    assert len(thinned(data, 100).rows) == 10


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((8, 8), True), ((8, 8, 3), True), ((8, 8, 2), False), ((64,), False), ((2, 8, 8, 3), False)],
)
def test_what_can_be_shown(shape, expected):
    assert is_image(shape) == expected


def test_samples_of_few_pixels_are_pictures_that_can_be_looked_at(run, tmp_path):
    must("sample", run, "-n", 9, "-o", tmp_path / "s.png")
    with Image.open(tmp_path / "s.png") as picture:
        assert max(picture.size) >= 300
        pixels = np.asarray(picture.convert("L"))
    block = pixels[:40, :40]
    assert len(np.unique(block)) == 1  # one pixel of 4 × 3 is a square of 50
