"""The command line on pictures in files: train, use, look; every refusal a line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from command_line import SMALL, must, run_cli
from PIL import Image
from pyarrow import parquet
from scipy import stats

import reparam
from reparam.data import Reading, load
from reparam.data.streaming import parts
from reparam.insight import paths

RNG = np.random.default_rng(0)
KINDS = ("fox", "owl", "yak")


def refused(*arguments: object) -> str:
    result = run_cli(*arguments)
    assert result.code == 2, result.err + result.out
    lines = [line for line in result.err.splitlines() if not line.startswith("reparam: warning: 1 of 60 pictures")]
    assert len(lines) == 1, result.err
    assert "a fault of reparam itself" not in lines[0]
    return lines[0]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 colour pictures of 12 × 8 pixels in three folders, and one that is broken."""
    folder = tmp_path_factory.mktemp("images") / "photos"
    for number in range(60):
        kind = number % 3
        pixels = 80 * kind + RNG.integers(0, 90, size=(12, 8, 3))
        place = folder / KINDS[kind] / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(place)
    (folder / "owl" / "7.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "owl" / "notes.txt").write_text("x")
    return folder


SEED = 1  # of which latent 0 is not the most used
READING = Reading(resize=(4, 3), crop=True, gray=True, skip_broken=True)
OPTIONS = ("--resize", "4,3", "--crop", "--gray", "--skip-broken")


@pytest.fixture(scope="module")
def run(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("image-runs") / "run"
    result = must("train", photos, "--out", folder, *OPTIONS, *SMALL, "--latent-dim", 3, "--seed", SEED)
    assert "note: left out: 1 file (.txt)" in result.err
    assert "note: resized to 4 × 3 (height × width) from 12 × 8" in result.err
    assert "warning: 1 of 60 pictures cannot be read and are left out: " in result.err
    assert "owl/7.png" in result.err
    return folder


def test_how_pictures_were_read_is_kept_with_the_run(run: Path, photos: Path) -> None:
    document = json.loads((run / "data.json").read_text())
    assert {name: document[name] for name in ("resize", "crop", "gray", "skip_broken")} == {
        "resize": [4, 3], "crop": True, "gray": True, "skip_broken": True
    }  # fmt: skip
    assert document["data"] == str(photos)
    assert document["schema"]["event_shape"] == [4, 3]


def test_other_pictures_are_read_as_the_runs_own_were(run: Path, tmp_path: Path) -> None:
    pixels = RNG.integers(0, 256, size=(30, 40)).astype(np.uint8)
    (tmp_path / "others").mkdir()
    for name in ("10.png", "9.png"):
        Image.fromarray(pixels).save(tmp_path / "others" / name)
    must("encode", run, tmp_path / "others", "-o", tmp_path / "z.csv")
    table = pd.read_csv(tmp_path / "z.csv")
    assert table["index"].tolist() == ["9.png", "10.png"]
    cut = Image.fromarray(pixels).crop((9, 0, 31, 30))  # of 30 × 40 the middle with the aspect of 4 × 3
    small = np.asarray(cut.resize((3, 4), Image.Resampling.LANCZOS))
    codes = reparam.load(run).transform(small.reshape(1, -1))
    np.testing.assert_allclose(table.filter(like="mean"), np.repeat(codes, 2, axis=0), rtol=1e-5, atol=1e-6)
    assert must("score", run, tmp_path / "others", "-o", tmp_path / "s.csv").code == 0


def test_a_run_reads_its_own_pictures_again_and_goes_on(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    document = must("evaluate", tmp_path / "run", "--samples", 2, "--json").document
    assert document["rows"] == 6
    must("train", "--resume", "--out", tmp_path / "run", "--epochs", 3)
    assert "cannot change" in refused("train", "--resume", "--out", tmp_path / "run", "--resize", "5,3", "--crop")


def test_options_of_pictures_stand_in_a_configuration(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text('resize = "4,3"\ngray = true\nskip_broken = true\n')
    must("train", photos, "--out", tmp_path / "run", "--config", tmp_path / "c.toml", *SMALL, "--latent-dim", 3)
    assert json.loads((tmp_path / "run" / "data.json").read_text())["resize"] == [4, 3]


def test_inspect_tells_of_pictures_and_shows_them(photos: Path, tmp_path: Path) -> None:
    result = must("inspect", photos, *OPTIONS, "-o", tmp_path / "page.html")
    assert "labels      3 classes: fox, owl, yak" in result.out
    assert "one datum   4 × 3 (image)" in result.out
    assert "note: left out: 1 file (.txt), which are no pictures by their names" in result.out
    page = (tmp_path / "page.html").read_text()
    assert page.count("<img") == 3
    assert "owl: 19" in page
    document = must("inspect", photos, *OPTIONS, "--json").document
    assert (document["labels"], len(document["remarks"])) == (3, 2)
    assert "(colour image)" in must("inspect", photos / "fox").out


def test_flat_rows_become_pictures(tmp_path: Path) -> None:
    np.save(tmp_path / "flat.npy", RNG.integers(0, 256, size=(20, 12)).astype(np.uint8))
    assert "4 × 3 (image)" in must("inspect", tmp_path / "flat.npy", "--shape", "4,3").out
    must("train", tmp_path / "flat.npy", "--shape", "4,3", "--out", tmp_path / "run", *SMALL, "--latent-dim", 3)
    must("sample", tmp_path / "run", "-n", 4, "-o", tmp_path / "s.png")
    assert "holds 12" in refused("inspect", tmp_path / "flat.npy", "--shape", "5,3")


def test_large_flat_rows_are_pictures_too(tmp_path: Path) -> None:
    np.save(tmp_path / "flat.npy", RNG.integers(0, 256, size=(40, 12)).astype(np.uint8))
    flat = (tmp_path / "flat.npy", "--stream", "--shape", "4,3")
    must("train", *flat, "--out", tmp_path / "run", "--hidden", 8, "--epochs", 1)
    assert reparam.load(tmp_path / "run").schema_.event_shape == (4, 3)
    told = refused("train", tmp_path / "flat.npy", "--stream", "--resize", 4, "--out", tmp_path / "other")
    assert "flat.npy is read part by part, and not as pictures are (--in-memory reads it whole)" in told
    assert "leave out the '--resize' option." in told


def test_pictures_are_streamed_with_the_same_settings(
    run: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In parts of seven pictures, one of them broken: what is written is what the run writes of them in memory."""
    monkeypatch.setattr(parts, "PART_BYTES", 7 * 12)
    result = must("train", photos, "--stream", "--out", tmp_path / "run", *OPTIONS, *SMALL)
    assert "48 to train on, 11 held out" in result.err
    assert result.err.count("1 of 60 pictures cannot be read and are left out") == 1
    assert "note: resized to 4 × 3 (height × width) from 12 × 8" in result.err
    must("train", "--resume", "--out", tmp_path / "run", "--epochs", 3)
    for how in ("stream", "in-memory"):
        told = must("encode", run, photos, f"--{how}", "-o", tmp_path / f"{how}.csv")
        assert told.err.count("1 of 60 pictures cannot be read") == 1
    codes = [pd.read_csv(tmp_path / f"{how}.csv") for how in ("stream", "in-memory")]
    pd.testing.assert_frame_equal(*codes, rtol=1e-4)
    assert codes[0]["index"][:3].tolist() == ["fox/0.png", "fox/3.png", "fox/6.png"]
    cells = [{"bytes": path.read_bytes(), "path": None} for path in sorted((photos / "fox").iterdir())]
    parquet.write_table(pa.table({"image": cells}), tmp_path / "x.parquet", row_group_size=7)
    must("score", run, tmp_path / "x.parquet", "--stream", "--samples", 2, "-o", tmp_path / "s.csv")
    assert len(pd.read_csv(tmp_path / "s.csv")) == 20
    assert "12 × 8 × 3 (colour image)" in must("inspect", tmp_path / "x.parquet").out


# ---- pictures out


def test_a_grid_of_some_says_that_it_shows_some(run: Path, tmp_path: Path) -> None:
    assert must("sample", run, "-n", 401, "-o", tmp_path / "x.png").out.startswith(
        "401 samples, of which the picture shows 400: "
    )


def test_samples_are_a_folder_of_pictures(run: Path, tmp_path: Path) -> None:
    must("sample", run, "-n", 3, "-o", f"{tmp_path}/out/")
    must("sample", run, "-n", 3, "-o", tmp_path / "x.npy")
    values = np.load(tmp_path / "x.npy")
    names = [path.name for path in sorted((tmp_path / "out").iterdir())]
    assert names == ["0000.png", "0001.png", "0002.png"]
    for name, value in zip(names, values, strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out" / name)), np.rint(value.clip(0, 255)))


def test_reconstructions_stand_below_what_they_are_of(run: Path, photos: Path, tmp_path: Path) -> None:
    must("reconstruct", run, photos / "fox", "-o", tmp_path / "x.png")
    picture = np.asarray(Image.open(tmp_path / "x.png"))
    given = load(photos / "fox", reading=READING).rows.reshape(20, 4, 3)
    across, larger = 7, 600 // (7 * 4) + 1
    np.testing.assert_array_equal(picture[: 4 * larger : larger, : 3 * larger : larger], given[0])
    must("reconstruct", run, photos / "fox", "-o", tmp_path / "x.npy")
    below = np.rint(np.load(tmp_path / "x.npy")[0].clip(0, 255))
    start = 4 * larger + 1
    np.testing.assert_array_equal(picture[start : start + 4 * larger : larger, : 3 * larger : larger], below)
    assert picture.shape[1] == across * (3 * larger + 9) - 9


def test_the_way_between_two_rows_is_decoded(run: Path, photos: Path, tmp_path: Path) -> None:
    vae = reparam.load(run)
    must("encode", run, photos / "yak", "-o", tmp_path / "z.csv")
    own = pd.read_csv(tmp_path / "z.csv").filter(like="mean").to_numpy()
    a, b = own[3], own[17]
    t = np.linspace(0, 1, 5)[:, None]
    for options, codes in (((), (1 - t) * a + t * b), (("--spherical",), great_circle(a, b, t))):
        must("interpolate", run, photos / "yak", "--rows", "3,17", "--steps", 5, *options, "-o", tmp_path / "x.csv")
        found = pd.read_csv(tmp_path / "x.csv")
        assert found["t"].tolist() == [0, 0.25, 0.5, 0.75, 1]
        expected = vae.inverse_transform(codes)
        np.testing.assert_allclose(found.filter(like="column_"), expected, rtol=1e-3, atol=0.05)


def great_circle(a: np.ndarray, b: np.ndarray, t: np.ndarray) -> np.ndarray:
    """The same way without sines of parts of the angle: by powers of the turn that takes one direction to the other.

    In the plane of both the turn is e^{iΩ}, and the weights are Im(e^{i(1−t)Ω}) and Im(e^{itΩ}) over Im(e^{iΩ}).
    """
    across = a / np.linalg.norm(a)
    side = b - (b @ across) * across
    side = side / np.linalg.norm(side)
    turn = (b @ across + 1j * (b @ side)) / np.linalg.norm(b)
    to_b = np.power(turn, t).imag / turn.imag
    to_a = np.power(turn, 1 - t).imag / turn.imag
    return to_a * a + to_b * b


def test_the_ends_of_a_way_are_files_or_rows_of_the_run(run: Path, photos: Path, tmp_path: Path) -> None:
    ends = photos / "fox" / "0.png", photos / "yak" / "2.png"
    assert must("interpolate", run, *ends, "-o", tmp_path / "a.png", "--steps", 4).out.startswith("4 steps: ")
    must("interpolate", run, "0", "39", "-o", tmp_path / "b.png", "--steps", 4)  # fox, owl without the broken one, yak
    must("interpolate", run, "--rows", "0,39", "-o", tmp_path / "c.png", "--steps", 4)
    strips = [np.asarray(Image.open(tmp_path / f"{name}.png")) for name in "abc"]
    np.testing.assert_array_equal(strips[0], strips[1])
    np.testing.assert_array_equal(strips[1], strips[2])
    larger = 25
    given = load(ends[0], reading=READING).rows.reshape(4, 3)
    np.testing.assert_array_equal(strips[0][::larger, : 3 * larger : larger], given)
    assert strips[0].shape == (4 * larger, 6 * 3 * larger + 3 + 2 * 12)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "two ends are required"),
        (("0",), "two ends are required"),
        (("0", "1", "2"), "two ends are required"),
        (("0", "1", "--rows", "0,1"), "two ends are required"),
        (("0", "400"), "there is no row 400"),
        (("0", "99999999999999999999999"), "there is no file"),
        (("0", "-1"), "No such option|there is no file"),
        (("--rows", "3"), "--rows must be two numbers"),
        (("--rows", "3,x"), "--rows must be two numbers"),
        (("--rows", "3,-4"), "--rows must be two numbers"),
        (("--rows", "3,4", "--steps", "1"), "steps"),
        (("--rows", "3,4", "--steps", "100000000000000000000"), "steps"),
        (("--rows", "3,3", "--given", "x"), "--given must be COLUMN=VALUE"),
        (("nowhere.png", "0"), "there is no file"),
    ],
    ids=str,
)
def test_ends_that_are_none_are_refused(run: Path, tmp_path: Path, arguments: tuple[str, ...], told: str) -> None:
    import re

    line = refused("interpolate", run, *arguments, "-o", tmp_path / "x.png")
    assert re.search(told, line), line
    assert list(tmp_path.iterdir()) == []


def test_an_end_is_one_row(run: Path, photos: Path, tmp_path: Path) -> None:
    line = refused("interpolate", run, photos / "fox", photos / "yak", "-o", tmp_path / "x.png")
    assert "photos/fox holds 20 rows: an end is one" in line


def test_a_spherical_way_needs_a_plane_and_directions() -> None:
    t = np.array([0.5])
    for a, b in (([1.0], [-1.0]), ([1.0, 0.0], [-2.0, 0.0]), ([0.0, 0.0], [1.0, 0.0])):
        with pytest.raises(reparam.errors.ParameterError):
            paths.spherical(np.array(a), np.array(b), t)
    np.testing.assert_allclose(paths.spherical(np.array([1.0, 0.0]), np.array([2.0, 0.0]), t), [[1.5, 0.0]])
    a, b = RNG.normal(size=(2, 6))
    b *= np.linalg.norm(a) / np.linalg.norm(b)
    lengths = np.linalg.norm(paths.spherical(a, b, np.linspace(0, 1, 7)), axis=1)
    np.testing.assert_allclose(lengths, np.linalg.norm(a))  # on the sphere, all the way


def test_a_traversal_moves_one_latent_at_a_time_in_the_order_of_their_kl(run: Path, tmp_path: Path) -> None:
    document = must("traverse", run, "-o", tmp_path / "x.csv", "--steps", 5, "--json").document
    found = pd.read_csv(tmp_path / "x.csv")
    assert len(found) == 15
    assert found["kl"].is_monotonic_decreasing
    assert document["latents"] == found["latent"].iloc[::5].tolist() != [0, 1, 2]  # or the order would show nothing
    kl = must("evaluate", run, "--samples", 2, "--json").document["kl_per_dimension"]
    np.testing.assert_allclose(found["kl"].iloc[::5], sorted(kl, reverse=True), rtol=1e-4)
    levels = (np.arange(5) + 0.5) / 5
    np.testing.assert_allclose(found["quantile"].iloc[:5], levels)
    # 20,000 draws: at the 10 % quantile the standard error is 0.012, and six of them are allowed
    np.testing.assert_allclose(found["z"].iloc[:5], stats.norm.ppf(levels), atol=0.075)
    codes = np.zeros((5, 3))
    codes[:, document["latents"][0]] = found["z"].iloc[:5]
    expected = reparam.load(run).inverse_transform(codes)
    np.testing.assert_allclose(found.filter(like="column_").iloc[:5], expected, rtol=1e-3, atol=0.05)


def test_a_traversal_is_drawn_with_a_row_for_each_latent(run: Path, photos: Path, tmp_path: Path) -> None:
    must("traverse", run, photos, "-o", tmp_path / "x.png", "--latents", 2, "--steps", 4)
    with Image.open(tmp_path / "x.png") as picture:
        assert min(picture.size) > 250
        assert len(np.unique(np.asarray(picture.convert("L")))) > 20
    must("traverse", run, "-o", tmp_path / "out", "--latents", 2, "--steps", 4)
    assert len(list((tmp_path / "out").iterdir())) == 8


def test_tables_have_ways_and_traversals_too(trained: Path, table: Path, tmp_path: Path) -> None:
    must("interpolate", trained, table, "--rows", "0,1", "-o", tmp_path / "w.npy")
    assert np.load(tmp_path / "w.npy").shape == (9, 6)
    must("traverse", trained, "-o", tmp_path / "t.csv")
    assert list(pd.read_csv(tmp_path / "t.csv"))[:4] == ["latent", "kl", "quantile", "z"]
    for command in (("interpolate", trained, "0", "1"), ("traverse", trained), ("sample", trained, "-n", "2")):
        for out in ("x.png", "folder"):
            assert "needs images" in refused(*command, "-o", tmp_path / out)
    assert "two latents at least" not in must("interpolate", trained, "0", "1", "-o", tmp_path / "y.csv").err


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--resize", "x"), "--resize must be whole numbers"),
        (("--resize", ""), "--resize must be whole numbers"),
        (("--resize", "-3"), "--resize must be whole numbers"),
        (("--resize", "1,2,3"), "The '--resize' option must be height and width"),
        (("--resize", "999999999"), "from 1 to 16,384"),
        (("--crop",), "say both"),
        (("--shape", "12,8,3"), "pictures, which have a shape"),
        (("--channels-first",), "pictures, which have a shape"),
        (("--shape", "3,32,32"), "--channels-first says that they come first"),
        (("--labels", "fox"), "has neither"),
        (("--drop", "fox"), "no table of named columns"),
        ((), "--skip-broken leaves such out"),
    ],
    ids=str,
)
def test_options_that_cannot_be_meant_are_refused_in_a_line(
    photos: Path, tmp_path: Path, options: tuple[str, ...], told: str
) -> None:
    assert told in refused("train", photos, "--out", tmp_path / "run", *options)
    assert told in refused("inspect", photos, *options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["sample", "reconstruct", "decode", "interpolate", "traverse"])
def test_a_folder_that_holds_something_else_is_left_alone(
    run: Path, photos: Path, tmp_path: Path, command: str
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    words = {"reconstruct": [photos], "decode": [photos / "x.npy"], "interpolate": ["0", "1"]}.get(command, [])
    result = run_cli(command, run, *words, "-o", tmp_path / "mine")
    assert len(result.err.splitlines()) == 1, result.err  # and no picture was read before
    line = result.err
    assert "holds something else, such as 'thesis.tex', and is left alone" in line
    assert "or a name without an ending for a folder" in refused(command, run, *words, "-o", tmp_path / "x.gif")


def test_pictures_that_are_read_are_not_replaced(run: Path, tmp_path: Path) -> None:
    must("sample", run, "-n", 2, "-o", tmp_path / "new")
    before = {path.name: path.read_bytes() for path in (tmp_path / "new").iterdir()}
    for source in (
        tmp_path / "new",
        f"{tmp_path}/new/*.png",
        f"{tmp_path}/*/*.png",
        tmp_path / "new" / "0000.png",
        tmp_path,
    ):
        line = refused("reconstruct", run, source, "-o", f"{tmp_path}/new/")
        assert "it would be replaced" in line
    assert {path.name: path.read_bytes() for path in (tmp_path / "new").iterdir()} == before


def test_the_commands_stand_in_the_order_of_their_use() -> None:
    told = must("--help").out
    places = [told.index(f"  {name} ") for name in ("reconstruct", "interpolate", "traverse", "score")]
    assert places == sorted(places)
