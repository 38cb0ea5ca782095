"""Pictures read part by part are those read whole: the same pixels by the same settings, in little memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import feather, parquet

from reparam.data import Passes, Reading, Schema, conform, load, stream, survey
from reparam.data.images import pictured_bytes
from reparam.data.streaming import parts
from reparam.errors import DataError, ParameterError, ReparamWarning

COUNT = 40
RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, size=(COUNT, 6, 5)).astype(np.uint8)
COLOUR = RNG.integers(0, 256, size=(6, 5, 3)).astype(np.uint8)
SETTINGS = [Reading(), Reading(resize=(4, 3), crop=True), Reading(gray=True)]


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART_BYTES", 7 * 30)  # seven grey pictures


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Grey pictures in two folders, and the last of them in colour."""
    for number, pixels in enumerate(GREY):
        place = tmp_path / "photos" / ("cat" if number % 2 else "dog") / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(COLOUR if number == COUNT - 1 else pixels).save(place)
    return tmp_path / "photos"


@pytest.fixture
def tables(photos: Path, tmp_path: Path) -> Path:
    """The same as a folder of two tables with a column of pictures."""
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    files = sorted(photos.glob("*/*.png"), key=lambda file: int(file.stem))
    cells = pa.array([{"bytes": file.read_bytes(), "path": file.name} for file in files], kind)
    table = pa.table({"image": cells, "label": [n % 2 for n in range(COUNT)], "note": ["x"] * COUNT})
    (tmp_path / "tables").mkdir()
    for number, half in enumerate((table.slice(0, 25), table.slice(25))):
        parquet.write_table(half, tmp_path / "tables" / f"{number}.parquet", row_group_size=6)
    feather.write_feather(table, tmp_path / "t.feather", chunksize=6)
    return tmp_path / "tables"


def in_order(rows: np.ndarray) -> np.ndarray:
    """Rows in an order of their own, so that the same ones compare as equal."""
    return rows[np.lexsort(rows.T[::-1])]


@pytest.mark.parametrize("reading", SETTINGS, ids=["as they are", "resized", "grey"])
@pytest.mark.parametrize("source", ["photos", "tables", "t.feather"])
def test_the_parts_are_the_whole(tables: Path, source: str, reading: Reading) -> None:
    place = tables.parent / source
    whole = load(tables.parent / "photos", reading=reading)
    found = survey(stream(place, reading=reading), 0)
    assert len(found.rows) > 3
    assert found.stream.schema.event_shape == whole.schema.event_shape
    assert (found.stream.schema.units, found.stream.schema.dtype) == (whole.schema.units, "uint8")
    together = np.concatenate([found.stream.read(number).rows for number in range(len(found.rows))])
    np.testing.assert_array_equal(in_order(together), in_order(whole.rows))
    assert sorted(found.stream.remarks) == sorted(whole.remarks) or source != "photos"
    passes = Passes(found, 9, lambda rows: rows)
    chunks = [chunk.own for _, chunk in zip(range(-(-found.training_rows // 9)), passes.chunks(0, 5), strict=False)]
    visited = np.concatenate([*chunks, found.held_out])
    np.testing.assert_array_equal(in_order(visited), in_order(whole.rows))


def test_a_chunk_has_pictures_of_many_folders_and_a_use_has_them_in_order(photos: Path) -> None:
    whole = load(photos)
    mixed = stream(photos, schema=whole.schema)
    labels = mixed.read(0, whole=True).labels
    assert len(set(labels.tolist())) == 2
    straight = stream(photos, schema=whole.schema, in_order=True)
    read = [straight.read(number, whole=True) for number in range(len(straight.parts))]
    np.testing.assert_array_equal(np.concatenate([part.rows for part in read]), whole.rows)
    np.testing.assert_array_equal(np.concatenate([part.index for part in read]), whole.index)


def test_pictures_become_what_a_models_own_were(photos: Path, tmp_path: Path) -> None:
    """Of the model's schema alone, no head is looked at: grey ones become coloured, and another size is refused."""
    schema = load(photos).schema
    assert schema.event_shape == (6, 5, 3)
    cats = stream(photos / "dog", schema=schema, in_order=True)
    expected = conform(str(photos / "dog"), schema).rows
    np.testing.assert_array_equal(np.concatenate([cats.read(n).rows for n in range(len(cats.parts))]), expected)
    other = Schema("m", (7, 5), "uint8", None, 0.0, 255.0, "x/255", 255.0)
    with pytest.raises(DataError, match="6 × 5, but the model was made for 7 × 5"):
        stream(photos / "dog", schema=other).read(0)
    flat = Schema("m", (30,), "uint8", None, 0.0, 255.0, "x/255", 255.0)
    assert stream(photos / "dog", schema=flat).read(0).rows.shape == (7, 30)


def test_what_is_broken_is_left_out_counted_and_told_once(photos: Path) -> None:
    whole = (photos / "cat" / "3.png").read_bytes()
    (photos / "cat" / "3.png").write_bytes(whole[: len(whole) - 30])  # its head is sound
    (photos / "dog" / "4.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match="4.png is truncated, damaged or no picture.*--skip-broken"):
        stream(photos)
    reading = Reading(skip_broken=True)
    with pytest.warns(ReparamWarning, match="2 of 40 pictures cannot be read and are left out: ") as told:
        found = survey(stream(photos, reading=reading), 0)
    assert len(told) == 1
    assert sum(found.rows) == COUNT - 2
    rows = np.concatenate([rows[trained] for rows, trained in map(found.read, range(len(found.rows)))])
    with pytest.warns(ReparamWarning, match="2 of 40"):
        expected = load(photos, reading=reading).rows
    np.testing.assert_array_equal(in_order(np.concatenate([rows, found.held_out])), in_order(expected))


def test_a_part_may_be_empty(tmp_path: Path) -> None:
    """One of broken pictures, and a row group of no rows; no chunk is."""
    for number in range(12):
        (tmp_path / f"{number:02}.png").write_bytes(b"") if number < 7 else None
        if number >= 7:
            Image.fromarray(GREY[number]).save(tmp_path / f"{number:02}.png")
    schema = Schema("m", (6, 5), "uint8", None, 0.0, 255.0, "x/255", 255.0)
    opened = stream(tmp_path, reading=Reading(skip_broken=True), schema=schema, in_order=True)
    assert [len(opened.read(number).rows) for number in range(len(opened.parts))] == [0, 5]
    table = pa.table({"a": np.arange(20.0), "b": np.arange(20.0) ** 2})
    with parquet.ParquetWriter(tmp_path / "t.parquet", table.schema) as file:
        for piece in (table.slice(0, 8), table.slice(0, 0), table.slice(8)):
            file.write_table(piece)
    found = survey(stream(tmp_path / "t.parquet"), 0)
    assert found.rows in ((8, 0, 12), (8, 12))  # some versions of pyarrow write no row group of none
    passes = Passes(found, 5, lambda rows: rows)
    assert [len(chunk.own) for _, chunk in zip(range(4), passes.chunks(0, 5), strict=False)] == [5, 5, 5, 1]


def test_a_picture_that_changes_or_goes_is_named(photos: Path) -> None:
    found = survey(stream(photos), 0)
    Image.fromarray(GREY[0]).save(photos / "cat" / "5.png", comment="later")
    os.utime(photos / "cat" / "5.png", (1, 1))
    with pytest.raises(DataError, match=r"cat/5\.png was written since it was opened"):
        read_all(found)
    (photos / "cat" / "5.png").unlink()
    with pytest.raises(DataError, match=r"cat/5\.png is gone"):
        read_all(found)


def read_all(found: Any) -> None:
    for number in range(len(found.rows)):
        found.read(number)


@pytest.mark.parametrize(
    ("reading", "name", "told"),
    [
        (Reading(shape=(6, 5)), "photos", "which have a shape"),
        (Reading(channels_first=True), "photos", "'channels_first' is for arrays"),
        (Reading(resize=(6, 5)), "x.npy", "read part by part, and not as pictures are"),
        (Reading(drop=("note",)), "tables", "only labels and index are read"),
    ],
)
def test_what_cannot_be_said_is_refused(tables: Path, reading: Reading, name: str, told: str) -> None:
    np.save(tables.parent / "x.npy", GREY)
    with pytest.raises(ParameterError, match=told):
        stream(tables.parent / name, reading=reading)


def test_how_much_pictures_take_is_known_by_one_of_them(photos: Path) -> None:
    assert pictured_bytes(str(photos), Reading()) == COUNT * 30
    assert pictured_bytes(str(photos), Reading(resize=(10, 10))) == COUNT * 100
    assert pictured_bytes("digits", Reading()) == 0


PEAK = """
import resource, sys
from reparam.data import Passes, stream, survey
from reparam.data.streaming import parts
parts.PART_BYTES = 1 << 22

def visit(place):
    found = survey(stream(place), 0, held_out=0)
    passes = Passes(found, 64, lambda rows: rows)
    chunks = passes.chunks(0, 0)
    for _ in range(-(-found.training_rows // 64)):
        next(chunks)

visit(sys.argv[1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
visit(sys.argv[2])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_memory_does_not_grow_with_the_pictures(tmp_path: Path) -> None:
    """1,800 pictures of 200 × 200 in colour are 216 MB whole; they add less than 110 to what 40 of them took."""
    for name, count in (("small", 40), ("large", 1800)):
        (tmp_path / name).mkdir()
        for number in range(count):
            target = tmp_path / name / f"{number}.png"
            if name == "small" and number == 0:
                Image.new("RGB", (200, 200), (9, 8, 7)).save(target)
            else:
                os.link(tmp_path / "small" / "0.png", target)
    command = [sys.executable, "-c", PEAK, str(tmp_path / "small"), str(tmp_path / "large")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 110 * 1024  # KiB
