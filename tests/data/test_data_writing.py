from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from reparam import storage
from reparam.data import WRITERS, Schema, load, pictures, write, write_rows
from reparam.errors import DataError, ParameterError

CODES = {"mean": np.float32([[1, 2], [3, 4], [5, 6]]), "std": np.float32([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]])}
DIGITS = Schema("digits", (2, 2), "uint8", None, 0.0, 16.0, "x/16")
COLUMNS = ["column_0", "column_1", "column_2", "column_3"]  # as they are called wherever columns without names are
IN_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)


@IN_FOLDER
@given(
    rows=hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 5), st.integers(1, 4)),
        elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
    ),
    ending=st.sampled_from([".npy", ".npz", ".csv", ".parquet"]),
)
def test_floats_come_back_bit_for_bit(tmp_path: Path, rows: np.ndarray, ending: str) -> None:
    columns = tuple(f"c{index}" for index in range(rows.shape[1]))
    data = load(write(tmp_path / f"x{ending}", rows, columns=columns))
    np.testing.assert_array_equal(data.rows.astype(np.float32), rows)
    assert data.schema.columns == (columns if ending in (".csv", ".parquet") else None)


@IN_FOLDER
@given(
    name=st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), min_size=1).filter(
        lambda name: name.strip() == name and not name.replace("_", "").isnumeric()
    )
)
def test_any_column_name_survives_a_table_of_text(tmp_path: Path, name: str) -> None:
    data = load(write(tmp_path / "x.csv", np.ones((2, 2)), columns=[name, "other column"]))
    assert data.schema.columns == (name, "other column")


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_several_arrays_are_one_table_of_numbered_columns(tmp_path: Path, ending: str) -> None:
    path = write(tmp_path / f"codes{ending}", CODES, index=["p", "q", "r"])
    frame = pd.read_csv(path) if ending == ".csv" else pd.read_parquet(path)
    assert list(frame.columns) == ["index", "mean_0", "mean_1", "std_0", "std_1"]
    assert list(frame["index"]) == ["p", "q", "r"]
    np.testing.assert_array_equal(frame[["mean_0", "mean_1"]].to_numpy(np.float32), CODES["mean"])
    np.testing.assert_array_equal(frame[["std_0", "std_1"]].to_numpy(np.float32), CODES["std"])


def test_several_arrays_keep_their_names_in_an_archive(tmp_path: Path) -> None:
    with np.load(write(tmp_path / "codes.npz", CODES, index=["p", "q", "r"]), allow_pickle=False) as archive:
        assert archive.files == ["mean", "std", "index"]
        np.testing.assert_array_equal(archive["mean"], CODES["mean"])
        np.testing.assert_array_equal(archive["std"], CODES["std"])
        assert archive["index"].tolist() == ["p", "q", "r"]


def test_several_arrays_stand_side_by_side_in_one(tmp_path: Path) -> None:
    array = np.load(write(tmp_path / "codes.npy", CODES))
    np.testing.assert_array_equal(array, np.hstack([CODES["mean"], CODES["std"]]))


@pytest.mark.parametrize("ending", [".npy", ".npz", ".csv", ".parquet"])
def test_one_number_a_row(tmp_path: Path, ending: str) -> None:
    score = jnp.asarray([1.5, -2.0, float("nan")])
    path = write(tmp_path / f"s{ending}", {"score": score})
    read: dict[str, Callable[[Path], Any]] = {
        ".npy": np.load,
        ".npz": np.load,
        ".csv": pd.read_csv,
        ".parquet": pd.read_parquet,
    }
    found = read[ending](path)
    found = found if ending == ".npy" else np.asarray(found["score"])
    np.testing.assert_array_equal(found, score)


def test_rows_take_the_shape_and_the_names_of_the_schema(tmp_path: Path) -> None:
    rows = np.arange(12.0, dtype=np.float32).reshape(3, 4)
    assert np.load(write_rows(tmp_path / "x.npy", rows, DIGITS)).shape == (3, 2, 2)
    assert np.load(write_rows(tmp_path / "x.npz", rows, DIGITS))["x"].shape == (3, 2, 2)
    assert list(pd.read_csv(write_rows(tmp_path / "x.csv", rows, DIGITS))) == COLUMNS
    table = Schema("t", (4,), "float32", ("a", "b", "c", "d"))
    assert list(pd.read_csv(write_rows(tmp_path / "x.csv", rows, table))) == ["a", "b", "c", "d"]


def test_equal_arrays_are_equal_bytes(tmp_path: Path) -> None:
    for ending in WRITERS:
        if ending != ".png":
            first, second = (write(tmp_path / f"{name}{ending}", CODES).read_bytes() for name in "ab")
            assert first == second, ending
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_a_grid_of_grey_images(tmp_path: Path) -> None:
    rows = np.float32([[0, 16, 8, 4], [16, 16, 16, 16], [-3, 99, 0, 0]])
    picture = np.asarray(Image.open(write(tmp_path / "x.png", rows, event_shape=(2, 2), limits=(0, 16))))
    expected = [
        [0, 255, 255, 255, 255],
        [128, 64, 255, 255, 255],
        [255, 255, 255, 255, 255],
        [0, 255, 255, 255, 255],
        [0, 0, 255, 255, 255],
    ]
    np.testing.assert_array_equal(picture, expected)


def test_a_grid_of_rows_is_large_enough_to_be_seen(tmp_path: Path) -> None:
    rows = np.float32([[0, 16, 8, 4], [16, 16, 16, 16], [-3, 99, 0, 0]])
    small = np.asarray(Image.open(write(tmp_path / "x.png", rows, event_shape=(2, 2), limits=(0, 16))))
    picture = np.asarray(Image.open(write_rows(tmp_path / "y.png", rows, DIGITS)))
    assert picture.shape == (601, 601)  # 2 × 2 images, each pixel a square of 150, and a line
    np.testing.assert_array_equal(picture[75:601:150, 75:601:150][:2, :2], small[:2, :2])
    assert (picture[300] == 255).all()


def test_rows_stand_above_others_in_pairs(tmp_path: Path) -> None:
    shown, above = np.full((3, 4), 16.0), np.zeros((3, 4))
    picture = np.asarray(Image.open(write_rows(tmp_path / "x.png", shown, DIGITS, above=above)))
    larger = 600 // (3 * 2)
    pair = np.concatenate([np.zeros(2 * larger), [255], np.full(2 * larger, 255)])
    np.testing.assert_array_equal(picture[:, 0], pair)
    np.testing.assert_array_equal(picture[0, : 2 * larger + 9], [0] * 2 * larger + [255] * 9)


def test_one_pair_leaves_no_room_beside_it(tmp_path: Path) -> None:
    shown, above = np.full((1, 4), 8.0), np.zeros((1, 4))
    picture = np.asarray(Image.open(write_rows(tmp_path / "x.png", shown, DIGITS, above=above)))
    assert picture.shape == (601, 300)  # one above the other, each pixel a square of 150
    assert np.unique(picture[:, -1]).tolist() == [0, 128, 255]


def test_a_folder_of_pictures_is_whole_and_takes_the_place_of_another(tmp_path: Path) -> None:
    rows = np.float32([[0, 16, 8, 4], [16, 16, 16, 16]])
    for count in (2, 1):
        folder = write_rows(tmp_path / "out", rows[:count], DIGITS)
        assert [path.name for path in sorted(folder.iterdir())] == ["0000.png", "0001.png"][:count]
        np.testing.assert_array_equal(np.asarray(Image.open(folder / "0000.png")), [[0, 255], [128, 64]])
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    (folder / "mine.txt").touch()
    with pytest.raises(DataError, match=r"holds something else, such as 'mine\.txt', and is left alone"):
        write_rows(folder, rows, DIGITS)
    assert {path.name for path in folder.iterdir()} == {"0000.png", "mine.txt"}


def test_a_folder_that_fails_half_way_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.float32([[0, 16, 8, 4]])
    folder = write_rows(tmp_path / "out", rows, DIGITS)
    before = (folder / "0000.png").read_bytes()
    rename, calls = os.rename, []

    def full(source: Any, target: Any) -> None:
        calls.append(target)
        if len(calls) == 2:  # the old folder has gone aside, and the new one cannot take its place
            raise OSError(28, "No space left on device")
        rename(source, target)

    monkeypatch.setattr(os, "rename", full)
    with pytest.raises(DataError, match="No space left on device"):
        write_rows(folder, 1 - rows, DIGITS)
    assert (folder / "0000.png").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_a_dead_process_left_of_a_folder_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".out.dead.tmp").mkdir()
    (tmp_path / ".out.dead.tmp" / "0000.png").touch()
    write_rows(tmp_path / "out", np.zeros((1, 4)), DIGITS)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_process_that_ends_suddenly_removes_the_folder_that_it_has_begun(tmp_path: Path) -> None:
    with suppress(FileNotFoundError), storage.whole_folder(tmp_path / "out") as staged:
        (staged / "0000.png").touch()
        storage.remove_unfinished()
        assert list(tmp_path.iterdir()) == []
    assert list(tmp_path.iterdir()) == []


def test_sixteen_bits_are_written_as_they_were(tmp_path: Path) -> None:
    rows = np.array([[0, 1, 40_000, 65_535]], np.uint16)
    schema = Schema("deep", (2, 2), "uint16", None, 0.0, 65535.0, "x/65535", 65535.0)
    folder = write_rows(tmp_path / "out", rows, schema)
    np.testing.assert_array_equal(load(folder).rows, rows)


def test_columns_stand_beside_rows(tmp_path: Path) -> None:
    beside = {"latent": np.array([3, 1])}
    rows = np.float32([[1, 2, 3, 4], [5, 6, 7, 8]])
    found = pd.read_csv(write_rows(tmp_path / "x.csv", rows, DIGITS, index=["a", "b"], beside=beside))
    assert list(found) == ["index", "latent", *COLUMNS]
    np.testing.assert_array_equal(found[["column_0", "column_3"]], rows[:, [0, 3]])
    with np.load(write_rows(tmp_path / "x.npz", rows, DIGITS, beside=beside)) as archive:
        assert archive["latent"].tolist() == [3, 1]
    assert np.load(write_rows(tmp_path / "x.npy", rows, DIGITS, beside=beside)).shape == (2, 2, 2)
    with pytest.raises(ParameterError, match="have a column 'column_0'"):
        write_rows(tmp_path / "y.csv", rows, DIGITS, beside={"column_0": np.ones(2)})


def test_colour_images_keep_their_channels(tmp_path: Path) -> None:
    images = np.zeros((1, 2, 1, 3), np.uint8)
    images[0, 0, 0] = [255, 128, 0]
    for event_shape, rows in ((None, images), ((2, 1, 3), images.reshape(1, 6))):
        path = write(tmp_path / "x.png", rows, event_shape=event_shape, limits=(0, 255))
        np.testing.assert_array_equal(np.asarray(Image.open(path)), images[0])


def test_one_channel_is_grey_and_limits_default_to_the_extremes(tmp_path: Path) -> None:
    images = np.array([-1.0, 0.0, 3.0, np.nan]).reshape(1, 2, 2, 1)
    picture = np.asarray(Image.open(write(tmp_path / "x.png", images)))
    np.testing.assert_array_equal(picture, [[0, 64], [255, 0]])


def test_a_constant_image_and_more_images_than_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "MAX_IMAGES", 4)
    picture = np.asarray(Image.open(write(tmp_path / "x.png", np.full((9, 2, 2), 7.0))))
    assert picture.shape == (5, 5)
    assert (picture[:2, :2] == 0).all()


@pytest.mark.parametrize("shape", [(3,), (3, 4), (3, 2, 2, 2), (3, 1, 2, 2, 3), (0, 2, 2)])
def test_a_picture_needs_images(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"x\.png needs"):
        write(tmp_path / "x.png", np.zeros(shape))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["x.txt", "x", "x.csv.gz", ".npy"])
def test_an_unknown_ending_lists_the_known(tmp_path: Path, name: str) -> None:
    with pytest.raises(ParameterError, match=r"Known: \.npy, \.npz, \.csv, \.parquet, \.png"):
        write(tmp_path / name, np.zeros((1, 1)))


@pytest.mark.parametrize(
    ("arrays", "options"),
    [
        ({}, {}),
        (np.float32(3), {}),
        ({"a": np.zeros(3), "b": np.zeros(4)}, {}),
        (np.zeros((2, 2)), {"columns": ["a"]}),
        (np.zeros((2, 2)), {"event_shape": (3,)}),
        (np.zeros((2, 2)), {"index": [1, 2, 3]}),
        (np.zeros((2, 2)), {"columns": ["a", "a"]}),
        ({"x_0": np.zeros(2), "x": np.zeros((2, 1))}, {}),
        (np.zeros((2, 1)), {"columns": ["index"], "index": [1, 2]}),
    ],
)
def test_arguments_that_disagree_are_refused(
    tmp_path: Path, arrays: np.ndarray | Mapping[str, np.ndarray], options: dict[str, Any]
) -> None:
    with pytest.raises(ParameterError):
        write(tmp_path / "x.csv", arrays, **options)
    assert not list(tmp_path.iterdir())


def test_a_missing_folder_and_a_folder_in_the_way_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no folder"):
        write(tmp_path / "none" / "x.npy", np.zeros(1))
    (tmp_path / "x.npy").mkdir()
    with pytest.raises(DataError, match="is a folder"):
        write(tmp_path / "x.npy", np.zeros(1))


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "x.npy", np.zeros(3))
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match="No space left on device"):
        write(path, np.ones(3))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_is_replaced_and_keeps_the_usual_permissions(tmp_path: Path) -> None:
    path = write(tmp_path / "x.npy", np.zeros(3))
    write(path, np.ones(3))
    np.testing.assert_array_equal(np.load(path), np.ones(3))
    (tmp_path / "plain").touch()
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_text_objects_as_index_become_text_and_never_pickles(tmp_path: Path) -> None:
    path = write(tmp_path / "x.npz", np.zeros((2, 1)), index=np.array(["a", "bc"], object))
    assert np.load(path, allow_pickle=False)["index"].tolist() == ["a", "bc"]
