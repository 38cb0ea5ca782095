from __future__ import annotations

import gzip
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from reparam.data import load
from reparam.errors import DataError, ParameterError

NUMBERS = np.arange(12.0).reshape(4, 3)
IDX_TYPES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}
IN_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)


def idx(array: np.ndarray) -> bytes:
    """The bytes of an IDX file, written from the format's definition."""
    code = IDX_TYPES[array.dtype.str[1:]]
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


@IN_FOLDER
@given(
    array=hnp.arrays(
        hnp.floating_dtypes(sizes=(32,)), st.tuples(*[st.integers(1, 4)] * 3), elements=st.floats(-1e9, 1e9, width=32)
    )
)
def test_a_saved_array_is_loaded_as_it_was(tmp_path: Path, array: np.ndarray) -> None:
    np.save(tmp_path / "x.npy", array)
    data = load(tmp_path / "x.npy")
    np.testing.assert_array_equal(data.rows.reshape(array.shape), array)
    assert data.schema.name == "x.npy"
    assert data.schema.event_shape == array.shape[1:]


def test_rows_do_not_hang_on_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, NUMBERS.astype(np.float32))
    rows = load(path).rows
    path.write_bytes(b"\0" * path.stat().st_size)
    np.testing.assert_array_equal(rows, NUMBERS)


def test_the_only_array_of_an_archive_needs_no_name(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "x.npz", anything=NUMBERS)
    np.testing.assert_array_equal(load(tmp_path / "x.npz").rows, NUMBERS)
    np.testing.assert_array_equal(load(f"{tmp_path}/x.npz:anything").rows, NUMBERS)


def test_several_arrays_need_a_name(tmp_path: Path) -> None:
    for other in ({"test_x": NUMBERS}, {"train_y": NUMBERS}, {"train_y": np.arange(4), "test_x": NUMBERS}):
        np.savez(tmp_path / "x.npz", train_x=NUMBERS, **other)
        with pytest.raises(DataError, match=r"arrays: train_x, .*x\.npz:train_x"):
            load(tmp_path / "x.npz")


@pytest.mark.parametrize("labels", [np.arange(4), np.eye(4)[[2, 0, 1, 1]]])
def test_an_array_and_its_labels_need_no_name(tmp_path: Path, labels: np.ndarray) -> None:
    np.savez(tmp_path / "x.npz", train_y=labels, train_x=NUMBERS)
    found = load(tmp_path / "x.npz")
    np.testing.assert_array_equal(found.rows, NUMBERS)
    assert found.labels is not None
    assert found.labels.tolist() == (labels if labels.ndim == 1 else labels.argmax(axis=1)).tolist()


def test_an_unknown_array_suggests_the_nearest(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", train_x=NUMBERS, rest=NUMBERS)
    with pytest.raises(DataError, match=r"unknown array 'trian_x'\. Did you mean 'train_x'\?"):
        load(f"{tmp_path}/x.npz:trian_x")


ONE_HOT = np.eye(3)[[2, 0, 1, 1]]
LABELS = [
    ({"train_x": NUMBERS, "train_y": np.arange(4)}, "train_x", None, [0, 1, 2, 3]),
    ({"X": NUMBERS, "Y": np.arange(4)}, "X", None, [0, 1, 2, 3]),
    ({"X": NUMBERS, "y": np.arange(4)}, "X", None, [0, 1, 2, 3]),
    ({"DataTrn": NUMBERS, "DataTrnLbls": ONE_HOT}, "DataTrn", None, [2, 0, 1, 1]),
    ({"x": NUMBERS, "y": ONE_HOT}, "x", None, [2, 0, 1, 1]),
    ({"x": NUMBERS, "y": np.arange(7)}, "x", None, None),
    ({"x": NUMBERS, "z": np.arange(4)}, "x", None, None),
    ({"x": NUMBERS, "z": np.arange(4)}, "x", "z", [0, 1, 2, 3]),
    ({"x": NUMBERS, "z": np.array(list("abca"))}, "x", "z", list("abca")),
]


@pytest.mark.parametrize(("arrays", "name", "asked", "expected"), LABELS)
def test_labels_stand_beside_the_data(
    tmp_path: Path, arrays: dict[str, Any], name: str, asked: str | None, expected: list[Any] | None
) -> None:
    np.savez(tmp_path / "x.npz", **arrays)
    labels = load(f"{tmp_path}/x.npz:{name}", labels=asked).labels
    assert (labels if labels is None else labels.tolist()) == expected


def test_labels_that_are_asked_for_must_fit(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=NUMBERS, z=np.arange(7))
    with pytest.raises(DataError, match=r"labels of x.npz:x have shape"):
        load(f"{tmp_path}/x.npz:x", labels="z")
    with pytest.raises(DataError, match="unknown array 'w'"):
        load(f"{tmp_path}/x.npz:x", labels="w")


@pytest.mark.parametrize("name", ["x.npy", "t-idx2-ubyte"])
def test_files_of_one_array_hold_no_labels(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"anything")
    with pytest.raises(ParameterError, match="'labels' parameter of Reading .* Got 'y'"):
        load(tmp_path / name, labels="y")


@pytest.mark.parametrize("dtype", list(IDX_TYPES))
@pytest.mark.parametrize("name", ["t-images-idx3-ubyte", "t.idx", "t.idx3-ubyte"])
@pytest.mark.parametrize("zipped", [False, True])
def test_idx_files_of_every_type(tmp_path: Path, dtype: str, name: str, zipped: bool) -> None:
    array = np.arange(24).reshape(4, 3, 2).astype(dtype)
    path = tmp_path / (name + ".gz" * zipped)
    path.write_bytes(gzip.compress(idx(array)) if zipped else idx(array))
    data = load(path)
    assert data.schema.event_shape == (3, 2)
    assert data.schema.scale == (255.0 if dtype == "u1" else 1.0)
    np.testing.assert_array_equal(data.rows, array.reshape(4, 6))


@pytest.mark.parametrize(
    ("images", "labels"),
    [("train-images-idx3-ubyte", "train-labels-idx1-ubyte"), ("t10k-images.idx3-ubyte", "t10k-labels.idx1-ubyte")],
)
def test_idx_labels_stand_beside_the_images(tmp_path: Path, images: str, labels: str) -> None:
    (tmp_path / images).write_bytes(idx(np.arange(8, dtype="u1").reshape(2, 2, 2)))
    assert load(tmp_path / images).labels is None
    (tmp_path / labels).write_bytes(idx(np.uint8([7, 3])))
    found = load(tmp_path / images).labels
    assert found is not None
    assert found.tolist() == [7, 3]


def damaged_idx() -> list[tuple[str, bytes, str]]:
    whole = idx(np.arange(24, dtype="u1").reshape(4, 3, 2))
    return [
        ("a-ubyte", whole[:-1], "truncated or damaged.*24|truncated"),
        ("b-ubyte", whole + b"\0", "truncated or damaged"),
        ("c-ubyte", whole[:9], "truncated"),
        ("d-ubyte", b"\x1f\x8b" + whole, "no IDX file"),
        ("e-ubyte", b"\0\0\x07\x01", "no IDX file"),
        ("f-ubyte", b"\0\0", "no IDX file"),
        ("g-ubyte.gz", gzip.compress(whole)[:-6], "truncated"),
        ("h-ubyte.gz", whole, "truncated, damaged or no IDX file"),
        ("i-ubyte", b"\0\0\x08\x02" + b"\xff" * 8, "truncated or damaged"),
        ("j-idx1-ubyte", idx(np.uint8([1, 2])), r"shape \(2,\)"),
    ]


@pytest.mark.parametrize(("name", "content", "message"), damaged_idx(), ids=lambda part: str(part)[:12])
def test_damaged_idx_files_are_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        load(tmp_path / name)


class Bomb:
    """A pickle that says so when it is opened."""

    opened = False

    def __reduce__(self) -> tuple[Any, ...]:
        return setattr, (Bomb, "opened", True)


def bombs(folder: Path) -> list[str]:
    array = np.empty((2, 2), object)
    array[:] = Bomb()
    np.save(folder / "object.npy", array)
    np.savez(folder / "object.npz", x=array)
    for name in ("raw.npy", "raw.npz", "raw.pkl", "raw.pt"):
        (folder / name).write_bytes(pickle.dumps(Bomb()))
    (folder / "protocol0.npy").write_bytes(pickle.dumps(Bomb(), protocol=0))
    return ["object.npy", "object.npz", "raw.npy", "raw.npz", "raw.pkl", "raw.pt", "protocol0.npy"]


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    for name in bombs(tmp_path):
        with pytest.raises(DataError) as caught:
            load(tmp_path / name)
        assert "opening a pickle runs code" in str(caught.value) or name == "protocol0.npy"
    assert not Bomb.opened


def whole_files(folder: Path) -> dict[str, bytes]:
    np.save(folder / "x.npy", NUMBERS)
    np.savez(folder / "x.npz", x=NUMBERS)
    np.savez_compressed(folder / "y.npz", x=NUMBERS)
    (folder / "z-ubyte.gz").write_bytes(gzip.compress(idx(np.arange(24, dtype="u1").reshape(4, 6))))
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize("name", ["x.npy", "x.npz", "y.npz", "z-ubyte.gz"])
def test_a_file_cut_anywhere_is_refused(tmp_path: Path, name: str) -> None:
    whole = whole_files(tmp_path)[name]
    for length in range(0, len(whole), 7):
        (tmp_path / name).write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"truncated|empty|no IDX"):
            load(tmp_path / name)


@IN_FOLDER
@given(name=st.sampled_from(["x.npy", "x.npz", "y.npz", "z-ubyte.gz"]), data=st.data())
def test_a_damaged_byte_is_a_data_error_or_other_numbers(tmp_path: Path, name: str, data: Any) -> None:
    whole = bytearray(whole_files(tmp_path)[name])
    whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    (tmp_path / name).write_bytes(whole)
    try:
        result = load(tmp_path / name).rows.shape
    except DataError as error:
        result = str(error)
    assert len(result) == 2 or (name in result and "\n" not in result)


def test_an_archive_without_arrays_and_a_file_of_another_kind_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "none.npz")
    with pytest.raises(DataError, match="holds no arrays"):
        load(tmp_path / "none.npz")
    (tmp_path / "text.npy").write_text("1,2,3\n")
    with pytest.raises(DataError, match="NUMPY"):
        load(tmp_path / "text.npy")
    (tmp_path / "text.npz").write_text("1,2,3\n")
    with pytest.raises(DataError, match="PK"):
        load(tmp_path / "text.npz")
    np.save(tmp_path / "x.npy", NUMBERS)
    (tmp_path / "x.npy").rename(tmp_path / "renamed.npz")
    with pytest.raises(DataError, match="PK"):
        load(tmp_path / "renamed.npz")


@pytest.mark.parametrize("array", [np.zeros((0, 3)), np.zeros((3, 0)), np.float64(1), np.zeros(3), np.array(["a"])])
def test_arrays_without_rows_or_columns_are_refused_from_files_too(tmp_path: Path, array: np.ndarray) -> None:
    np.save(tmp_path / "x.npy", array)
    np.savez(tmp_path / "x.npz", x=array)
    for name in ("x.npy", "x.npz"):
        with pytest.raises(DataError, match=name):
            load(tmp_path / name)
