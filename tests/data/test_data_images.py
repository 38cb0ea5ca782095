"""Pictures in files: pixel for pixel what pillow reads, whatever else they are is said, and what cannot be is named."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pyarrow import feather, parquet

from reparam.data import Reading, Schema, conform, from_array, images, load
from reparam.data.images.decoding import box_of
from reparam.errors import DataError, ParameterError, ReparamWarning, RunError

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, size=(12, 9, 7)).astype(np.uint8)
COLOUR = RNG.integers(0, 256, size=(4, 9, 7, 3)).astype(np.uint8)


def save(path: Path, pixels: Any, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    picture.save(path, **options)
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Twelve grey pictures in two folders, in an order that is not that of their names as text."""
    for number, pixels in enumerate(GREY):
        save(tmp_path / "photos" / ("cat" if number % 2 else "dog") / f"{number}.png", pixels)
    return tmp_path / "photos"


def images_of(data: Any) -> np.ndarray:
    return data.rows.reshape(len(data.rows), *data.schema.event_shape)


def test_a_folder_is_its_pictures_in_order_with_their_folders_as_labels(photos: Path) -> None:
    data = load(photos)
    cats, dogs = [1, 3, 5, 7, 9, 11], [0, 2, 4, 6, 8, 10]  # 9 before 11 and 2 before 10, as people count
    np.testing.assert_array_equal(images_of(data), GREY[cats + dogs])
    assert data.labels.tolist() == ["cat"] * 6 + ["dog"] * 6
    assert data.index.tolist() == [f"cat/{n}.png" for n in cats] + [f"dog/{n}.png" for n in dogs]
    assert data.schema == Schema("photos", (9, 7), "uint8", None, 0.0, 255.0, "x/255", 255.0)
    assert data.rows.flags.c_contiguous
    assert data.remarks == ()


@pytest.mark.parametrize(
    ("pattern", "numbers", "labels"),
    [
        ("photos/cat/*.png", [1, 3, 5, 7, 9, 11], None),
        ("photos/*/1*.png", [1, 11, 10], ["cat", "cat", "dog"]),
        ("photos/**/*.png", [1, 3, 5, 7, 9, 11, 0, 2, 4, 6, 8, 10], ["cat"] * 6 + ["dog"] * 6),
        ("photos/dog/[24].png", [2, 4], None),
        ("photos/dog/4.png", [4], None),
    ],
)
def test_a_pattern_is_what_it_fits(photos: Path, pattern: str, numbers: list[int], labels: list[str] | None) -> None:
    data = load(photos.parent / pattern)
    np.testing.assert_array_equal(images_of(data), GREY[numbers])
    assert (None if data.labels is None else data.labels.tolist()) == labels


def test_a_name_with_brackets_that_exists_is_no_pattern(tmp_path: Path) -> None:
    save(tmp_path / "a[1]" / "x.png", GREY[0])
    np.testing.assert_array_equal(images_of(load(tmp_path / "a[1]")), GREY[:1])
    np.testing.assert_array_equal(images_of(load(tmp_path / "a[1]" / "x.png")), GREY[:1])


@pytest.mark.parametrize(("ending", "options"), [("png", {}), ("bmp", {}), ("tiff", {}), ("webp", {"lossless": True})])
def test_colours_are_those_that_were_saved(tmp_path: Path, ending: str, options: dict[str, Any]) -> None:
    for number, pixels in enumerate(COLOUR):
        save(tmp_path / f"{number}.{ending}", pixels, **options)
    data = load(tmp_path)
    assert data.schema.event_shape == (9, 7, 3)
    np.testing.assert_array_equal(images_of(data), COLOUR)


def test_a_jpeg_is_what_pillow_decodes(tmp_path: Path) -> None:
    path = save(tmp_path / "x.JPG", COLOUR[0], quality=80)
    np.testing.assert_array_equal(images_of(load(tmp_path))[0], np.asarray(Image.open(path)))


def test_grey_among_colours_is_coloured_and_gray_makes_all_grey(tmp_path: Path) -> None:
    save(tmp_path / "a.png", GREY[0])
    save(tmp_path / "b.png", COLOUR[0])
    both = images_of(load(tmp_path))
    np.testing.assert_array_equal(both, [np.repeat(GREY[0][..., None], 3, axis=-1), COLOUR[0]])
    grey = images_of(load(tmp_path, reading=Reading(gray=True)))
    luma = COLOUR[0].astype(float) @ [0.299, 0.587, 0.114]  # ITU-R BT.601
    np.testing.assert_array_equal(grey[0], GREY[0])
    assert np.abs(grey[1] - luma).max() <= 0.51


@pytest.mark.parametrize("size", [(4, 4), (5, 3), (20, 30)])
@pytest.mark.parametrize("crop", [False, True])
@pytest.mark.parametrize("pixels", [GREY[0], COLOUR[0]], ids=["grey", "colour"])
def test_resizing_is_pillows_on_the_crop(tmp_path: Path, size: tuple[int, int], crop: bool, pixels: np.ndarray) -> None:
    save(tmp_path / "x.png", pixels)
    found = images_of(load(tmp_path, reading=Reading(resize=size, crop=crop)))[0]
    picture = Image.fromarray(pixels)
    cut = picture.crop(box_of(9, 7, size)) if crop else picture
    np.testing.assert_array_equal(found, np.asarray(cut.resize(size[::-1], Image.Resampling.LANCZOS)))


@settings(max_examples=60, deadline=None)
@given(*[st.integers(1, 500)] * 4)
def test_the_crop_is_the_middle_and_as_large_as_the_aspect_lets_it_be(
    height: int, width: int, high: int, wide: int
) -> None:
    left, upper, right, lower = box_of(height, width, (high, wide))
    kept_high, kept_wide = lower - upper, right - left
    assert 0 <= left < right <= width
    assert 0 <= upper < lower <= height
    assert kept_high == height or kept_wide == width
    assert (
        abs(kept_wide - kept_high * wide / high) <= 0.5
        or abs(kept_high - kept_wide * high / wide) <= 0.5
        or (1 in (kept_high, kept_wide))
    )
    assert left - (width - right) in (0, -1)
    assert upper - (height - lower) in (0, -1)


def test_sixteen_bits_of_grey_keep_their_values(tmp_path: Path) -> None:
    deep = RNG.integers(0, 65536, size=(2, 9, 7)).astype(np.uint16)
    save(tmp_path / "a.png", deep[0])
    save(tmp_path / "b.tif", deep[1])
    save(tmp_path / "c.png", GREY[0])
    data = load(tmp_path)
    assert (data.schema.units, data.schema.dtype) == ("x/65535", "uint16")
    np.testing.assert_array_equal(images_of(data)[:2], deep)
    np.testing.assert_allclose(data.schema.apply(data.rows)[2], GREY[0].ravel() / np.float32(255), rtol=1e-6)
    small = images_of(load(tmp_path / "a.png", reading=Reading(resize=(4, 3))))[0]
    exact = np.asarray(Image.fromarray(deep[0].astype(np.float32)).resize((3, 4), Image.Resampling.LANCZOS))
    assert np.abs(small - np.clip(exact, 0, 65535)).max() <= 1


def test_big_endian_sixteen_bits_are_the_same_numbers(tmp_path: Path) -> None:
    deep = RNG.integers(0, 65536, size=(9, 7)).astype(np.uint16)
    Image.frombytes("I;16B", (7, 9), deep.astype(">u2").tobytes()).save(tmp_path / "x.tif")
    np.testing.assert_array_equal(images_of(load(tmp_path))[0], deep)


def test_sixteen_bits_of_colour_are_said_to_be_shortened(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(png_of(2, 16, [bytes([255, 1, 128, 2, 0, 3])]))
    data = load(tmp_path)
    assert images_of(data).tolist() == [[[[255, 128, 0]]]]
    assert data.remarks == ("1 of 1 pictures has colours of 16 bits a channel, of which 8 are kept",)


def png_of(colour_type: int, depth: int, lines: list[bytes]) -> bytes:
    """A PNG written by hand: one pixel a line."""
    import struct
    import zlib

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">IIBBBBB", 1, len(lines), depth, colour_type, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + line for line in lines))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def test_bits_and_palettes_are_their_colours(tmp_path: Path) -> None:
    bits = RNG.integers(0, 2, size=(9, 7)).astype(bool)
    save(tmp_path / "bits" / "x.png", bits)
    data = load(tmp_path / "bits")
    np.testing.assert_array_equal(data.schema.apply(data.rows)[0], bits.ravel())
    assert data.schema.units == "x/255"
    indexed = Image.fromarray(COLOUR[0]).quantize(5)
    save(tmp_path / "palette" / "x.png", indexed)
    np.testing.assert_array_equal(images_of(load(tmp_path / "palette"))[0], np.asarray(indexed.convert("RGB")))
    grey = Image.fromarray(GREY[0], "P")
    grey.putpalette([level for level in range(256) for _ in range(3)])
    save(tmp_path / "grey" / "x.png", grey)
    np.testing.assert_array_equal(images_of(load(tmp_path / "grey"))[0], GREY[0])


def test_what_is_transparent_lies_on_white(tmp_path: Path) -> None:
    alpha = np.full((9, 7, 1), 255, np.uint8)
    alpha[:4], alpha[4] = 0, 51
    save(tmp_path / "x.png", np.concatenate([COLOUR[0], alpha], axis=-1))
    data = load(tmp_path)
    share = alpha / 255
    assert np.abs(images_of(data)[0] - (share * COLOUR[0] + (1 - share) * 255)).max() <= 1
    assert (images_of(data)[0, :4] == 255).all()
    assert data.remarks == ("1 of 1 pictures has transparent places, which are laid on white",)


def test_grey_with_transparency_stays_grey(tmp_path: Path) -> None:
    layers = np.stack([GREY[0], np.full((9, 7), 255, np.uint8)], axis=-1)
    save(tmp_path / "x.png", Image.fromarray(layers, "LA"))
    np.testing.assert_array_equal(images_of(load(tmp_path)), GREY[:1])


def test_a_picture_is_turned_as_its_orientation_says(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees clockwise when shown
    save(tmp_path / "x.png", GREY[0], exif=exif)
    np.testing.assert_array_equal(images_of(load(tmp_path))[0], np.rot90(GREY[0], -1))


def test_colours_of_print_and_further_frames_are_told(tmp_path: Path) -> None:
    save(tmp_path / "a.jpg", Image.fromarray(COLOUR[0]).convert("CMYK"))
    frames = [Image.fromarray(pixels) for pixels in COLOUR[:3]]
    save(tmp_path / "b.png", frames[0], save_all=True, append_images=frames[1:])
    save(tmp_path / "c.webp", frames[0], save_all=True, append_images=frames[1:], lossless=True)
    save(tmp_path / "d.tif", frames[0], save_all=True, append_images=frames[1:])
    data = load(tmp_path)
    for found in images_of(data)[1:]:
        np.testing.assert_array_equal(found, COLOUR[0])
    assert [remark[:30] for remark in data.remarks] == [
        "3 of 4 pictures have more than", "1 of 4 pictures has the colour"
    ]  # fmt: skip


def test_what_is_no_picture_is_left_out_and_counted_and_hidden_files_are_not_seen(photos: Path) -> None:
    for name in ("notes.txt", "cat/list.csv", "cat/more.csv"):
        (photos / name).write_text("x")
    (photos / ".DS_Store").write_text("x")
    (photos / "cat" / "._1.png").write_text("x")
    save(photos / ".thumbnails" / "1.png", GREY[0])
    data = load(photos)
    assert len(data.rows) == 12
    assert data.remarks == ("left out: 3 files (.csv, .txt), which are no pictures by their names",)


def test_links_in_a_circle_end_and_a_linked_folder_has_the_name_of_the_link(photos: Path, tmp_path: Path) -> None:
    (photos / "cat" / "around").symlink_to(photos, target_is_directory=True)
    (photos / "self").symlink_to(photos / "self")
    save(tmp_path / "elsewhere" / "0.png", GREY[0])
    (photos / "fox").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    for source in (photos, photos / "**" / "*.png"):
        data = load(source)
        assert sorted({*data.labels.tolist()}) == ["cat", "dog", "fox"]
        assert len(data.rows) == 13


def test_names_of_any_bytes_become_text(tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff\xfe.png")
    try:
        save(tmp_path / name, GREY[0], format="PNG")
    except OSError:
        pytest.skip("this file system holds no such name")
    assert load(tmp_path).index.tolist() == ["\\xff\\xfe.png"]


def damaged(folder: Path) -> dict[str, str]:
    """Files of pictures that cannot be read, and what is to be said of each."""
    whole = io.BytesIO()
    Image.fromarray(RNG.integers(0, 256, size=(64, 64)).astype(np.uint8)).save(whole, "PNG")
    (folder / "a-short.png").write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
    (folder / "b-empty.jpg").touch()
    (folder / "c-text.png").write_text("no picture")
    (folder / "d-link.png").symlink_to(folder / "nowhere.png")
    os.mkfifo(folder / "e-pipe.png")
    Image.fromarray(np.zeros((3, 3), np.float32)).save(folder / "f-floats.tif")
    Image.new("LAB", (3, 3)).save(folder / "g-lab.tif")
    (folder / "h-bomb.png").write_bytes(png_head(60_000, 60_000))
    (folder / "i-large.png").write_bytes(png_head(10_000, 10_000))  # pillow only warns of such
    return {
        "a-short.png": "truncated, damaged or no picture: image file is truncated",
        "b-empty.jpg": r"is empty \(0 bytes\)",
        "c-text.png": "its bytes are those of none",
        "d-link.png": "cannot be read: No such file",
        "e-pipe.png": "is no file that holds a picture",
        "f-floats.tif": "pixels of mode 'F'; grey or colour of 8 bits, or grey of 16, is required",
        "g-lab.tif": "pixels of mode 'LAB'",
        "h-bomb.png": "more than the 89,478,485 pixels that are opened",
        "i-large.png": "more than the 89,478,485 pixels that are opened",
    }


def png_head(height: int, width: int) -> bytes:
    content = bytearray(png_of(0, 8, [b"\0"]))
    content[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    import zlib

    content[29:33] = zlib.crc32(bytes(content[12:29])).to_bytes(4, "big")
    return bytes(content)


def test_every_file_that_cannot_be_read_is_named_with_its_reason(tmp_path: Path) -> None:
    for name, told in damaged(tmp_path).items():
        with pytest.raises(DataError, match=told) as caught:
            load(tmp_path / f"{name[0]}*")
        assert name in str(caught.value)


def test_broken_pictures_are_left_out_and_counted_when_that_is_asked_for(photos: Path) -> None:
    damaged(photos / "cat")
    with pytest.raises(DataError, match=r"b-empty\.jpg is empty .* --skip-broken leaves such out"):
        load(photos)
    with pytest.warns(ReparamWarning, match="9 of 21 pictures cannot be read and are left out: .*a-short.* and 6 more"):
        data = load(photos, reading=Reading(skip_broken=True))
    np.testing.assert_array_equal(images_of(data), GREY[[1, 3, 5, 7, 9, 11, 0, 2, 4, 6, 8, 10]])
    assert data.labels.tolist() == ["cat"] * 6 + ["dog"] * 6
    assert data.index[0] == "cat/1.png"


def test_nothing_but_broken_pictures_is_refused(tmp_path: Path) -> None:
    damaged(tmp_path)
    with pytest.raises(DataError, match="not one of 9 pictures can be read"):
        load(tmp_path, reading=Reading(skip_broken=True))


def test_sizes_that_differ_are_named_and_how_to_mend_them(photos: Path) -> None:
    save(photos / "dog" / "3.png", GREY[0, :8])
    told = r"cat/1\.png is 9 × 7, but .*dog/3\.png is 8 × 7 \(height × width\)\. --resize 9,7"
    for reading in (Reading(), Reading(skip_broken=True)):
        with pytest.raises(DataError, match=told):
            load(photos, reading=reading)
    data = load(photos, reading=Reading(resize=(9, 7)))
    assert data.remarks == ("resized to 9 × 7 (height × width) from 2 sizes, from 8 × 7 to 9 × 7",)


@pytest.mark.parametrize(
    ("reading", "told"),
    [
        ({"crop": True}, "say both"),
        ({"resize": (0, 3)}, "from 1 to 16,384"),
        ({"resize": (3,)}, "height and width"),
        ({"resize": (3, 3, 3)}, "height and width"),
        ({"resize": (10**6, 3)}, "from 1 to"),
        ({"resize": (3.0, 3)}, "from 1 to"),
        ({"shape": (28,)}, "and channels"),
        ({"shape": (28, 28, 4)}, "has 4 channels"),
        ({"shape": (3, 32, 32)}, "32 channels.*--channels-first says that they come first"),
        ({"shape": (32, 32, 3), "channels_first": True}, "32 channels"),
        ({"gray": 1}, "True or False"),
    ],
    ids=str,
)
def test_what_cannot_be_meant_is_refused_before_anything_is_read(reading: dict[str, Any], told: str) -> None:
    with pytest.raises(ParameterError, match=told):
        Reading(**reading)
    with pytest.raises(RunError):
        Reading.from_json(reading)


def test_what_is_said_comes_back_from_plain_values() -> None:
    said = Reading(shape=(28, 28), resize=(64, 48), crop=True, gray=True, skip_broken=True, header=False)
    assert Reading.from_json(json.loads(json.dumps(said.to_json()))) == said
    assert Reading().to_json() == {}


def test_options_of_pictures_are_not_for_arrays_nor_those_of_arrays_for_pictures(photos: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", GREY)
    with pytest.raises(
        ParameterError, match="holds no files of pictures: leave out the 'resize' parameter of Reading, the 'gray'"
    ):
        load(tmp_path / "x.npy", reading=Reading(resize=(3, 3), gray=True))
    for reading in (Reading(shape=(9, 7)), Reading(channels_first=True)):
        with pytest.raises(ParameterError, match="holds pictures, which have a shape"):
            load(photos, reading=reading)
    with pytest.raises(ParameterError, match="no table of named columns: leave out the 'drop' parameter"):
        load(photos, reading=Reading(drop=("a",)))
    with pytest.raises(ParameterError, match="has neither"):
        load(photos, labels="cat")


def test_a_folder_without_pictures_says_what_it_holds(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"is a folder without pictures \(.png, .jpg"):
        load(tmp_path)
    (tmp_path / "x.npy").touch()
    with pytest.raises(DataError, match=r"only 1 file \(.npy\)"):
        load(tmp_path)
    with pytest.raises(DataError, match="is a pattern that fits no pictures"):
        load(tmp_path / "*.png")


def test_a_folder_that_may_not_be_read_is_named(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DataError, match="photos cannot be read: Permission denied"):
        load(photos)


# ---- flat rows


def test_flat_rows_take_the_shape_that_is_said(tmp_path: Path) -> None:
    np.save(tmp_path / "grey.npy", GREY.reshape(12, -1))
    data = load(tmp_path / "grey.npy", reading=Reading(shape=(9, 7)))
    assert (data.schema.event_shape, data.schema.units) == ((9, 7), "x/255")
    assert load(tmp_path / "grey.npy", reading=Reading(shape=(9, 7, 1))).schema.event_shape == (9, 7, 1)
    first = np.moveaxis(COLOUR, -1, 1)  # N × C × H × W, as in the files of CIFAR-10
    for array, shape in ((first, None), (first, (3, 9, 7)), (first.reshape(4, -1), (3, 9, 7))):
        np.save(tmp_path / "first.npy", array)
        found = load(tmp_path / "first.npy", reading=Reading(shape=shape, channels_first=True))
        np.testing.assert_array_equal(images_of(found), COLOUR)
    with pytest.raises(ParameterError, match="needs their shape"):
        load(tmp_path / "grey.npy", reading=Reading(channels_first=True))
    np.save(tmp_path / "last.npy", COLOUR.reshape(4, -1))
    np.testing.assert_array_equal(images_of(load(tmp_path / "last.npy", reading=Reading(shape=(9, 7, 3)))), COLOUR)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize("first", [False, True], ids=["channels last", "channels first"])
def test_a_table_of_pixels_is_pictures(tmp_path: Path, ending: str, first: bool) -> None:
    flat = (np.moveaxis(COLOUR, -1, 1) if first else COLOUR).reshape(4, -1)
    columns = {"class": pa.array(["a", "b", "a", "b"])} | {f"p{i}": pa.array(v) for i, v in enumerate(flat.T)}
    path = tmp_path / f"x.{ending}"
    if ending == "csv":
        from pyarrow import csv

        csv.write_csv(pa.table(columns), path)
    else:
        parquet.write_table(pa.table(columns), path)
    reading = Reading(shape=(3, 9, 7) if first else (9, 7, 3), channels_first=first, labels="class")
    data = load(path, reading=reading)
    np.testing.assert_array_equal(images_of(data), COLOUR)
    assert (data.schema.units, data.schema.dtype, data.labels.tolist()) == ("x/255", "uint8", ["a", "b", "a", "b"])
    again = conform(path, data.schema, reading=Reading(shape=reading.shape, channels_first=first))
    np.testing.assert_array_equal(images_of(again), COLOUR)
    with pytest.raises(DataError, match="has 190 columns, but a picture of shape .* has 189 pixels. Say --labels"):
        load(path, reading=Reading(shape=reading.shape, channels_first=first))


def test_new_flat_rows_with_channels_first_are_turned_as_the_models_own_were(tmp_path: Path) -> None:
    first = np.moveaxis(COLOUR, -1, 1)
    said = Reading(shape=(3, 9, 7), channels_first=True)
    np.save(tmp_path / "x.npy", first.reshape(4, -1))
    schema = load(tmp_path / "x.npy", reading=said).schema
    np.save(tmp_path / "y.npy", first)
    np.savetxt(tmp_path / "z.csv", first.reshape(4, -1), delimiter=",", fmt="%d")
    for name in ("x.npy", "y.npy", "z.csv"):
        np.testing.assert_array_equal(images_of(conform(tmp_path / name, schema, reading=said)), COLOUR)
    for number, pixels in enumerate(COLOUR):
        save(tmp_path / "files" / f"{number}.png", pixels)
    np.testing.assert_array_equal(images_of(conform(tmp_path / "files", schema, reading=said)), COLOUR)


# ---- for a model that is there


def test_pictures_become_what_the_models_own_were(tmp_path: Path) -> None:
    save(tmp_path / "grey" / "x.png", GREY[0])
    save(tmp_path / "same" / "x.png", np.repeat(GREY[0][..., None], 3, axis=-1))
    save(tmp_path / "colour" / "x.png", COLOUR[0])
    save(tmp_path / "deep" / "x.png", GREY[0].astype(np.uint16) * 257)
    grey, colour, deep = (load(tmp_path / name).schema for name in ("grey", "colour", "deep"))
    np.testing.assert_array_equal(images_of(conform(tmp_path / "same", grey)), GREY[:1])
    assert (conform(tmp_path / "grey", colour).rows.reshape(9, 7, 3) == GREY[0][..., None]).all()
    np.testing.assert_array_equal(conform(tmp_path / "grey", deep).rows[0], GREY[0].ravel().astype(np.uint16) * 257)
    with pytest.raises(DataError, match="is in colour, but the run's pictures are grey"):
        conform(tmp_path / "colour", grey)
    with pytest.raises(DataError, match="has 16 bits, but the run's pictures have 8"):
        conform(tmp_path / "deep", grey)
    floats = from_array(GREY / 255.0, name="floats").schema
    with pytest.raises(DataError, match="made for x of floats, which are no pixels"):
        conform(tmp_path / "grey", floats)
    with pytest.raises(DataError, match=r"shape \(9, 7\), but the model was made for shape \(8, 7\)"):
        conform(tmp_path / "grey", from_array(GREY[:, :8], name="other").schema)
    resized = Reading(resize=(8, 7))
    assert conform(tmp_path / "grey", from_array(GREY[:, :8]).schema, reading=resized).rows.shape == (1, 56)


# ---- tables with a column of pictures


def encoded(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def dataset_table(**columns: Any) -> pa.Table:
    """A table as Hugging Face's datasets write it."""
    cells = [{"bytes": encoded(pixels), "path": f"{number}.png"} for number, pixels in enumerate(GREY)]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    features = {"image": {"_type": "Image"}, "kind": {"names": ["dog", "cat"], "_type": "ClassLabel"}}
    table = pa.table({"image": pa.array(cells, kind), "kind": [n % 2 for n in range(12)], **columns})
    return table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})


@pytest.mark.parametrize("ending", ["parquet", "arrow"])
def test_a_column_of_pictures_is_read_with_the_names_of_its_classes(tmp_path: Path, ending: str) -> None:
    table = dataset_table(caption=[f"no. {n}" for n in range(12)])
    path = tmp_path / f"train.{ending}"
    (parquet.write_table if ending == "parquet" else feather.write_feather)(table, path)
    data = load(path, reading=Reading(index="caption"))
    np.testing.assert_array_equal(images_of(data), GREY)
    assert data.labels.tolist() == ["dog", "cat"] * 6
    assert data.index[3] == "no. 3"
    assert load(path).remarks == (
        "pictures are those of column 'image'; labels are those of column 'kind'; left out: 'caption'",
    )
    assert load(path, labels="caption").labels[2] == "no. 2"
    with pytest.raises(DataError, match="unknown column 'label'. Known: image"):
        load(path, labels="label")
    with pytest.raises(ParameterError, match="only labels and index are read"):
        load(path, reading=Reading(drop=("caption",)))


def test_cells_of_a_column_of_pictures_may_name_files_beside_it_and_nowhere_else(tmp_path: Path) -> None:
    save(tmp_path / "x.png", GREY[0])
    save(tmp_path / "data" / "x.png", GREY[1])
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    for name, fine in (("x.png", True), ("../x.png", False), (str(tmp_path / "x.png"), False), (None, False)):
        table = pa.table({"image": pa.array([{"bytes": None, "path": name}], kind), "label": [3]})
        parquet.write_table(table, tmp_path / "data" / "t.parquet")
        if fine:
            data = load(tmp_path / "data" / "t.parquet")
            np.testing.assert_array_equal(images_of(data), GREY[1:2])
            assert data.labels.tolist() == [3]
        else:
            with pytest.raises(DataError, match="row 0 holds no picture: its cell is empty"):
                load(tmp_path / "data" / "t.parquet")


def test_words_about_classes_that_are_damaged_change_nothing_else(tmp_path: Path) -> None:
    for words in (b"{", b"[]", b'{"info": 3}', b'{"info": {"features": {"kind": 3}}}', b"\xff"):
        table = dataset_table().replace_schema_metadata({b"huggingface": words})
        parquet.write_table(table, tmp_path / "t.parquet")
        data = load(tmp_path / "t.parquet")
        np.testing.assert_array_equal(images_of(data), GREY)
        assert data.labels is None


# ---- memory


def test_pictures_are_decoded_into_one_array(tmp_path: Path) -> None:
    """150 pictures of 400 × 400 are 24 MB as they are kept, and would be 96 MB as a list of float32."""
    flat = Image.new("L", (400, 400), 7)
    for number in range(150):
        save(tmp_path / "x" / f"{number}.png", flat)
    code = (
        "import resource, sys; from reparam.data import load; load(sys.argv[2]); "
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss; data = load(sys.argv[1]); "
        "assert data.rows.nbytes == 24_000_000 and (data.rows == 7).all(); "
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    save(tmp_path / "one" / "x.png", flat)
    command = [sys.executable, "-c", code, str(tmp_path / "x"), str(tmp_path / "one")]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert int(answer.stdout) < 60_000  # KiB: the array, a mask as large for this test, and little else


def test_the_room_says_what_it_offers() -> None:
    assert images.is_picture("a.TIFF")
    assert not images.is_picture("a.gif")
