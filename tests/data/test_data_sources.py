from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from reparam.data import Dataset, Reading, Schema, conform, from_array, load, write_rows
from reparam.errors import DataError, ParameterError, ReparamWarning

NUMBERS = np.arange(12.0).reshape(4, 3)


def test_digits_are_those_of_scikit_learn() -> None:
    data, bunch = load("digits"), load_digits()
    np.testing.assert_array_equal(data.rows, bunch.data)
    np.testing.assert_array_equal(data.labels, bunch.target)
    assert data.schema == Schema("digits", (8, 8), "uint8", None, 0.0, 16.0, "x/16", 16.0)
    values = data.schema.apply(data.rows)
    assert (values.min(), values.max()) == (0, 1)
    with pytest.raises(ParameterError, match="its own labels"):
        load("digits", labels="target")


def test_a_path_with_a_colon_that_exists_is_a_path(tmp_path: Path) -> None:
    np.savez(tmp_path / "odd.npz:x.npz", a=NUMBERS)
    np.savez(tmp_path / "odd.npz", **{"x.npz": NUMBERS + 1})
    np.testing.assert_array_equal(load(f"{tmp_path}/odd.npz:x.npz").rows, NUMBERS)
    os.remove(tmp_path / "odd.npz:x.npz")
    np.testing.assert_array_equal(load(f"{tmp_path}/odd.npz:x.npz").rows, NUMBERS + 1)


def test_a_home_folder_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    np.savez(tmp_path / "x.npz", a=NUMBERS)
    assert load("~/x.npz").rows.shape == load("~/x.npz:a").rows.shape == (4, 3)


def test_endings_are_known_in_any_case(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", NUMBERS)
    (tmp_path / "x.npy").rename(tmp_path / "X.NPY")
    assert load(tmp_path / "X.NPY").rows.shape == (4, 3)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{0}/trian.npy", r"there is no file .*Did you mean '{0}/train\.npy'\?"),
        ("{0}/trian.npz:x", r"there is no file .*trian\.npz"),
        ("digit", "there is no file 'digit'. Did you mean 'digits'"),
        ("mnist", "there is no file 'mnist'. .*names: digits"),
        ("{0}/nowhere/x.npy", "There is no folder '{0}/nowhere' either"),
        ("{0}", "is a folder without pictures"),
        ("{0}/folder.npy", "is a folder"),
        ("", "folder|no file"),
        (r"C:\data\x.npz", "there is no file"),
        (r"C:\data\x.npz:train_x", "there is no file"),
        ("nowhere://x.csv", "is no URI that can be opened|opened by fsspec"),
        ("{0}/train.npy:x", "only .npz and .h5ad files hold named ones"),
        ("{0}/empty.csv", "is empty"),
        ("{0}/empty.npz:x", "is empty"),
        ("{0}/notes.txt", r"unknown ending\. Known: \.npy, \.npz"),
        ("{0}/model.pkl", "opening a pickle runs code"),
        ("{0}/noending", "unknown ending"),
    ],
)
def test_sources_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save(tmp_path / "train.npy", NUMBERS)
    (tmp_path / "folder.npy").mkdir()
    for name in ("empty.csv", "empty.npz"):
        (tmp_path / name).touch()
    for name in ("notes.txt", "model.pkl", "noending"):
        (tmp_path / name).write_text("1")
    with pytest.raises(DataError, match=message.format(tmp_path)) as caught:
        load(source.format(tmp_path))
    assert "\n" not in str(caught.value)


def test_options_reach_the_dataset(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", NUMBERS)
    data = load(tmp_path / "x.npy", event_shape=(3, 1))
    assert data.schema.event_shape == (3, 1)


def csv(folder: Path, text: str, name: str = "new.csv") -> Path:
    (folder / name).write_text(text)
    return folder / name


TABLE = Schema("old.csv", (2,), "float64", ("a", "b"), (10.0, 20.0), (2.0, 4.0), "(x − mean)/std")


@pytest.mark.parametrize("text", ["a,b\n1,2\n", "b,a\n2,1\n", "kind,b,other,a\ncat,2,,1\n", "1,2\n"], ids=repr)
def test_columns_are_matched_by_name_and_otherwise_by_position(tmp_path: Path, text: str) -> None:
    data = conform(csv(tmp_path, text), TABLE)
    np.testing.assert_array_equal(data.rows, [[1, 2]])
    np.testing.assert_array_equal(data.schema.apply(data.rows), [[-4.5, -4.5]])
    assert data.schema == TABLE.of(data.rows)


def test_a_conformed_table_may_bring_labels(tmp_path: Path) -> None:
    data = conform(csv(tmp_path, "kind,b,a\ncat,2,1\n"), TABLE, labels="kind")
    assert data.labels is not None
    assert data.labels.tolist() == ["cat"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,c\n1,2\n", "lacks 1 of the 2 columns that are required: 'b'. It has 'a', 'c'"),
        ("1,2,3\n", r"new.csv has shape \(3,\), but the model was made for shape \(2,\)"),
        ("1\n", r"shape \(1,\), but the model was made for shape \(2,\)"),
    ],
)
def test_tables_that_do_not_conform(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        conform(csv(tmp_path, text), TABLE)


def test_missing_cells_are_kept_for_a_model_that_knows_what_to_do_with_them(tmp_path: Path) -> None:
    np.testing.assert_array_equal(conform(csv(tmp_path, "a,b\n1,?\n"), TABLE).rows, [[1, np.nan]])


def test_labels_left_out_of_a_table_without_a_header_stay_out(tmp_path: Path) -> None:
    path = csv(tmp_path, "1,7,2\n3,8,4\n")
    trained = load(path, labels="column_1")
    again = conform(path, trained.schema)
    np.testing.assert_array_equal(again.rows, trained.rows)


def test_a_dataset_conforms_as_a_file_does() -> None:
    data = from_array(np.array([[7.0, 2.0, 1.0]]), columns=["z", "b", "a"])
    np.testing.assert_array_equal(conform(data, TABLE).rows, [[1, 2]])
    assert conform(data, TABLE).rows.flags.c_contiguous
    with pytest.raises(DataError, match="lacks"):
        conform(from_array(np.ones((1, 2)), columns=["a", "z"]), TABLE)


IMAGES = Schema("train.npy", (2, 3), "uint8", None, 0.0, 255.0, "x/255", 255.0)


@pytest.mark.parametrize("shape", [(4, 2, 3), (4, 6)])
def test_images_conform_in_their_shape_or_flat(shape: tuple[int, ...]) -> None:
    array = np.arange(24, dtype=np.uint8).reshape(shape)
    data = conform(from_array(array), IMAGES)
    assert data.schema == IMAGES
    assert data.rows.shape == (4, 6)


@pytest.mark.parametrize("shape", [(4, 3, 2), (4, 2, 2), (4, 5), (4, 2, 3, 1)])
def test_images_of_another_shape_are_refused_with_both_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"\(2, 3\)") as caught:
        conform(from_array(np.ones(shape, np.uint8), name="new.npy"), IMAGES)
    assert str(shape[1:]) in str(caught.value)


def test_the_scale_of_the_model_is_used_and_not_that_of_the_new_data() -> None:
    dark = from_array(np.ones((1, 6), np.uint8))  # nothing exceeds 1: a mask, were it alone
    assert dark.schema.scale == 1
    assert conform(dark, IMAGES).schema.scale == 255
    digits = load("digits")
    again = conform(from_array(digits.rows), digits.schema)
    np.testing.assert_array_equal(again.schema.apply(again.rows), digits.schema.apply(digits.rows))


def test_pixels_as_floats_keep_their_type_and_warn_when_divided_already() -> None:
    assert conform(from_array(np.full((1, 6), 200.0)), IMAGES).schema.dtype == "float64"
    with pytest.warns(ReparamWarning, match="Multiply by 255"):
        conform(from_array(np.full((1, 6), 0.5)), IMAGES)


def test_whole_numbers_conform_to_floats() -> None:
    data = conform(from_array(np.array([[1, 2]])), TABLE)
    np.testing.assert_array_equal(data.schema.stored(data.rows), [[-4.5, -4.5]])


@pytest.mark.parametrize("ending", [".npy", ".npz", ".csv", ".parquet"])
def test_what_is_written_in_the_schema_conforms_to_it(tmp_path: Path, ending: str) -> None:
    rows = np.float32([[1, 2], [3, 4.1]])
    path = write_rows(tmp_path / f"out{ending}", rows, TABLE)
    data = conform(path, TABLE)
    assert isinstance(data, Dataset)
    np.testing.assert_array_equal(data.rows.astype(np.float32), rows)


@pytest.mark.parametrize("reading", [{"index": "a"}, {"drop": ("column_0",)}, {"columns": (("a", "count"),)}])
def test_what_is_said_of_columns_is_refused_of_arrays(tmp_path: Path, reading: dict) -> None:
    np.save(tmp_path / "x.npy", np.zeros((3, 2)))
    for source in ("digits", tmp_path / "x.npy"):
        with pytest.raises(ParameterError, match="no table of named columns"):
            load(source, reading=Reading(**reading))
