"""A URI is read as a file is: whole and part by part, tables, arrays and folders of pictures; a fault is one line."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from object_store import served
from PIL import Image
from pyarrow import feather

from reparam.data import Dataset, Reading, conform, load, stream, survey
from reparam.data.places import REASONS, place_of, reason_of
from reparam.data.streaming import parts
from reparam.errors import DataError, ParameterError

fsspec = pytest.importorskip("fsspec")
ROWS = 90
FILES = ("t.csv", "t.csv.gz", "t.parquet", "t.feather", "x.npy", "x.npz:x", "photos", "one.idx")
IN_PARTS = ("t.csv", "t.parquet", "t.feather", "x.npy", "photos", "tables")


@pytest.fixture(scope="module", autouse=True)
def key() -> Iterator[None]:
    """A key of the stand-in, which takes any; without one every request would first ask the machine for it."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("AWS_ACCESS_KEY_ID", "any")
        patched.setenv("AWS_SECRET_ACCESS_KEY", "any")
        yield


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("store") / "bucket"
    (place / "tables").mkdir(parents=True)
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=ROWS), "town": rng.choice(["Rome", "Oslo"], ROWS)})
    frame.to_csv(place / "t.csv", index=False)
    (place / "t.csv.gz").write_bytes(gzip.compress((place / "t.csv").read_bytes()))
    frame.to_parquet(place / "t.parquet", index=False, row_group_size=20)
    feather.write_feather(pa.Table.from_pandas(frame), place / "t.feather", chunksize=20)
    for number in range(2):
        frame[number::2].to_parquet(place / "tables" / f"{number}.parquet", index=False)
    pixels = rng.integers(0, 256, (ROWS, 4, 3), dtype=np.uint8)
    np.save(place / "x.npy", pixels)
    np.savez(place / "x.npz", x=pixels, other=pixels[:1])
    head = b"\0\0\x08\x03" + b"".join(n.to_bytes(4, "big") for n in pixels.shape)
    (place / "one.idx").write_bytes(head + pixels.tobytes())
    for number, image in enumerate(pixels[:12]):
        file = place / "photos" / "ab"[number % 2] / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(file)
    return place


@pytest.fixture(scope="module", params=["s3", "memory", "file"])
def uri(request: pytest.FixtureRequest, bucket: Path) -> Iterator[str]:
    """Where the files lie, by the store; ``{}`` stands for their names."""
    if request.param == "file":
        yield bucket.as_uri() + "/{}"
    elif request.param == "memory":
        fsspec.filesystem("memory").put(str(bucket), "/reparam/", recursive=True)
        yield "memory://reparam/bucket/{}"
    else:
        with served(bucket.parent) as query:
            yield "s3://bucket/{}" + query


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART_BYTES", 128)


def named(uri: str, name: str) -> str:
    return uri.format(name)


@pytest.mark.parametrize("name", FILES)
def test_a_uri_is_read_as_a_path_is(bucket: Path, uri: str, name: str) -> None:
    assert_alike(load(named(uri, name)), load(str(bucket / name)))


def assert_alike(one: Dataset, other: Dataset) -> None:
    np.testing.assert_array_equal(one.rows, other.rows)
    assert one.schema == other.schema
    for mine, its in ((one.labels, other.labels), (one.index, other.index)):
        assert (mine is None) == (its is None)
        if mine is not None:
            np.testing.assert_array_equal(mine, its)


@pytest.mark.parametrize("name", IN_PARTS)
def test_a_uri_is_surveyed_as_a_path_is(bucket: Path, uri: str, name: str) -> None:
    found, expected = (survey(stream(place), 0) for place in (named(uri, name), bucket / name))
    assert found.rows == expected.rows
    assert found.stream.schema == expected.stream.schema
    assert found.stream.sha256 == expected.stream.sha256
    assert len(found.rows) > 1
    np.testing.assert_array_equal(found.read(1)[0], expected.read(1)[0])


@pytest.mark.parametrize("pattern", ["photos/*/1*.png", "photos/a/*", "**/*2.png"])
def test_a_pattern_behind_a_uri_fits_what_it_fits_here(bucket: Path, uri: str, pattern: str) -> None:
    assert_alike(load(named(uri, pattern)), load(bucket / pattern))


def test_a_pattern_behind_a_uri_that_fits_nothing_says_so(uri: str) -> None:
    with pytest.raises(DataError, match="is a pattern that fits no pictures"):
        load(named(uri, "photos/*.png"))


def test_new_rows_behind_a_uri_are_conformed(bucket: Path, uri: str) -> None:
    schema = load(bucket / "t.csv").schema
    assert_alike(conform(named(uri, "t.parquet"), schema), conform(bucket / "t.parquet", schema))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("none.csv", "there is no file"),
        ("x.npz", "holds 2 arrays"),
        ("x.npz:y", "y"),
        ("t.xyz", "there is no file"),
    ],
)
def test_what_is_not_there_is_told_in_a_line(uri: str, name: str, told: str) -> None:
    with pytest.raises(DataError, match=told) as caught:
        load(named(uri, name))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("read", [load, stream])
def test_stores_that_do_not_answer_are_told_in_a_line(bucket: Path, read: object) -> None:
    with served(bucket.parent, forbidden=("closed",)) as query:
        for name, told in (("closed/t.csv", "does not let you in"), ("gone/t.csv", "no file|no such bucket")):
            with pytest.raises(DataError, match=told) as caught:
                read(f"s3://{name}{query}")  # type: ignore[operator]
            assert "\n" not in str(caught.value)


def test_reasons_are_those_of_the_stores() -> None:
    """Texts that pyarrow 26 gives, of a machine without network, and of a bucket that is none."""
    texts = {
        "For key 'x' in bucket 'b': AWS Error NO_SUCH_BUCKET during HeadObject": "no such bucket",
        "AWS Error ACCESS_DENIED during GetObject operation": "does not let you in",
        "AWS Error NETWORK_CONNECTION during HeadBucket operation: curlCode: 6, Couldn't resolve host name": "network",
        "google::cloud::Status(UNAVAILABLE: Retry policy exhausted: PerformWork() - CURL error [6]": "network",
        "a\nb": "a",
    }
    assert [told in reason_of(OSError(text)) for text, told in texts.items()] == [True] * len(texts)
    assert len(REASONS) == 3


def test_a_password_in_a_uri_is_refused_and_not_shown() -> None:
    with pytest.raises(ParameterError, match="holds a password") as caught:
        place_of("s3://key:secret@bucket/x.csv")
    assert "secret" not in str(caught.value)
    assert "key" not in str(caught.value)


def test_settings_of_pictures_hold_behind_a_uri(bucket: Path, uri: str) -> None:
    reading = Reading(resize=(6, 6))
    assert load(named(uri, "photos"), reading=reading).schema.event_shape == (6, 6)
    found = survey(stream(named(uri, "photos"), reading=reading), 0)
    assert found.stream.schema.event_shape == (6, 6)


@pytest.mark.parametrize(
    ("text", "told"), [(b"a,b\n1,x\n2,y,3\n", "line 3 has 3 cells"), (b"a,b\n1,x\xff\n", "line 2 holds the byte 0xff")]
)
def test_what_is_wrong_behind_a_uri_is_told_by_its_line(text: bytes, told: str) -> None:
    with fsspec.filesystem("memory").open("/reparam/bad.csv", "wb") as file:
        file.write(text)
    with pytest.raises(DataError, match=told):
        load("memory://reparam/bad.csv")
