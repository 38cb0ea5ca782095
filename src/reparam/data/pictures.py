"""Rows → pictures that a person can look at: a file each in a folder, a grid of them, or a mosaic of named rows."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from reparam.data.schema import Schema
from reparam.errors import DataError
from reparam.storage import whole_folder

MAX_IMAGES = 400  # in a grid: 20 × 20, as many as a person can look at
LEAST_PIXELS = 600  # of the longer side of a grid: a pixel of small images is a square of several
LEAST_HEIGHT, GAP = 100, 12  # of a strip, and between its bands
NUMBERED = re.compile(r"\d{4,}\.png")
PAPER = 255

Limits = tuple[float, float]


def is_image(event_shape: tuple[int, ...]) -> bool:
    """Whether a datum can be shown: height and width, grey or RGB.

    >>> is_image((8, 8)), is_image((64,))
    (True, False)
    """
    return len(event_shape) == 2 or (len(event_shape) == 3 and event_shape[2] in (1, 3))


def is_folder(path: Path) -> bool:
    """Whether pictures are to be written as files in a folder: one that is there, or a name without an ending."""
    return path.is_dir() or not (path.suffix or path.name.startswith("."))


def check_pictures(path: Path, schema: Schema) -> None:
    """Refuse to write as pictures, by its name, what is none, or into a folder that holds something else.

    Raises:
        DataError: so it is.
    """
    if path.suffix.lower() != ".png" and not is_folder(path):
        return
    if not is_image(schema.event_shape):
        raise DataError(
            f"{path} needs images, of shape (height, width) or (height, width, 3). Got a datum of shape "
            f"{schema.event_shape} instead. Write .npy, .npz, .csv or .parquet."
        )
    if is_folder(path):
        _check_free(path)


def cut_note(path: Path, count: int, parts: int = 1) -> str:
    """What is to be said of a grid that shows fewer than so many rows, of ``parts`` images each.

    >>> cut_note(Path("x.png"), 500), cut_note(Path("x.npy"), 500)
    (', of which the picture shows 400', '')
    """
    shown = MAX_IMAGES // parts
    grid_of_some = path.suffix.lower() == ".png" and not is_folder(path) and count > shown
    return f", of which the picture shows {shown}" if grid_of_some else ""


def grey_limits(schema: Schema) -> Limits | None:
    """The stored values that are black and white: 0 and 1 to the model of pixels, else unknown."""
    pixels = schema.dtype == "uint8" or (schema.dtype == "uint16" and schema.units == "x/65535")
    if not pixels or isinstance(schema.shift, tuple) or isinstance(schema.scale, tuple):
        return None
    return schema.shift, schema.shift + schema.scale


def write_folder(folder: Path, rows: NDArray[Any], schema: Schema) -> Path:
    """Write every row as a picture: ``0000.png``, ``0001.png``, …; the folder appears whole or not at all.

    Pictures of 16 bits keep them. A folder that holds nothing but such pictures is replaced.

    Raises:
        DataError: the folder holds something else, or cannot be written; or a datum is no image.
    """
    check_pictures(folder, schema)
    images = np.asarray(rows).reshape(len(rows), *schema.event_shape)
    limits = grey_limits(schema) or _extremes(images)
    deep = schema.dtype == "uint16" and len(schema.event_shape) == 2
    digits = max(4, len(str(len(images) - 1)))
    try:
        with whole_folder(folder) as staged:
            for number, image in enumerate(images):
                picture = Image.fromarray(_plain(levels(image, limits, deep=deep)))
                picture.save(staged / f"{number:0{digits}d}.png")
    except OSError as error:
        raise DataError(f"{folder} cannot be written: {error.strerror or error}.") from error
    return folder


def write_visibly(
    file: BinaryIO, rows: NDArray[Any], schema: Schema, path: Path, above: NDArray[Any] | None = None
) -> None:
    """Write rows as a grid of images, at most 400, each pixel a square of as many as make it large enough.

    Args:
        file: where to.
        rows: shape (N, P).
        schema: of the rows.
        path: what errors call the file.
        above: as many rows, of which each stands above its own.

    Raises:
        DataError: a datum is no image, or there is none.
    """
    check_pictures(path, schema)
    parts = [np.asarray(part) for part in (above, rows) if part is not None]
    images = [part.reshape(len(part), *schema.event_shape)[: MAX_IMAGES // len(parts)] for part in parts]
    limits = grey_limits(schema) or _extremes(np.concatenate(images))
    across = min(len(images[0]), math.ceil(math.sqrt(len(images[0]) * len(parts))))
    down = len(parts) * math.ceil(len(images[0]) / across)
    larger = magnification(max(across, down) * max(schema.event_shape[:2]))
    shown = [enlarged(levels(part, limits), larger) for part in images]
    pairs = shown[0] if above is None else _stacked(shown)
    _save(file, grid(pairs, across, line=1 if above is None else 1 + 2 * min(larger, 4)))


def write_grid(file: BinaryIO, images: NDArray[Any], limits: Limits | None, path: Path) -> None:
    """Write images (N, H, W[, C]), at most 400, as a grid that is nearly square, pixel for pixel.

    Raises:
        DataError: they are none, or there is none.
    """
    channels = images.shape[3:] or (1,)
    if images.ndim not in (3, 4) or channels not in ((1,), (3,)):
        raise DataError(
            f"{path} needs images, of shape (height, width) or (height, width, 3). Got a datum of shape "
            f"{images.shape[1:]} instead. Write .npy, .npz, .csv or .parquet."
        )
    if images.size == 0:
        raise DataError(f"{path} needs at least one image. Got shape {images.shape} instead.")
    shown = images[:MAX_IMAGES]
    _save(file, grid(levels(shown, limits or _extremes(shown)), math.ceil(math.sqrt(len(shown)))))


def write_mosaic(file: BinaryIO, bands: Sequence[NDArray[Any]], schema: Schema) -> None:
    """Write bands of images side by side, each (N, P) in stored units, with a wide line between bands.

    Raises:
        DataError: a datum is no image.
    """
    shape = schema.event_shape
    limits = grey_limits(schema) or _extremes(np.concatenate(bands))
    larger = math.ceil(LEAST_HEIGHT / shape[0])
    shown = [enlarged(levels(band.reshape(len(band), *shape), limits), larger) for band in bands]
    strips = [grid(band, len(band)) for band in shown]
    gap = np.full((strips[0].shape[0], GAP, *strips[0].shape[2:]), PAPER, np.uint8)
    parts = [part for strip in strips for part in (gap, strip)][1:]
    _save(file, np.concatenate(parts, axis=1))


def levels(images: NDArray[Any], limits: Limits, *, deep: bool = False) -> NDArray[Any]:
    """Values as 0 (black) to 255 (white), or to 65535, clipped; NaN is black."""
    low, high = limits
    white, dtype = (65535, np.uint16) if deep else (255, np.uint8)
    shares = (images.astype(np.float64) - low) / (high - low if high > low else 1.0)
    return np.rint(white * np.clip(np.nan_to_num(shares), 0, 1)).astype(dtype)


def magnification(pixels: int) -> int:
    """How many pixels a side each becomes, for so many of them to be :data:`LEAST_PIXELS` at least.

    >>> magnification(280), magnification(5000)
    (3, 1)
    """
    return math.ceil(LEAST_PIXELS / max(1, pixels))


def enlarged(images: NDArray[Any], larger: int) -> NDArray[Any]:
    """Images (N, H, W[, C]) with each pixel a square."""
    return images.repeat(larger, axis=1).repeat(larger, axis=2)


def grid(images: NDArray[np.uint8], across: int, line: int = 1) -> NDArray[np.uint8]:
    """(N, H, W[, C]) → one picture, row by row, white lines between images."""
    count, height, width, *channels = images.shape
    down = math.ceil(count / across)
    picture = np.full((down * (height + line) - line, across * (width + line) - line, *channels), PAPER, np.uint8)
    for number, image in enumerate(images):
        top, left = (number // across) * (height + line), (number % across) * (width + line)
        picture[top : top + height, left : left + width] = image
    return picture


def _stacked(parts: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Images one above the other, with a thin line between."""
    line = np.full((len(parts[0]), 1, *parts[0].shape[2:]), PAPER, np.uint8)
    return np.concatenate([parts[0], *(piece for part in parts[1:] for piece in (line, part))], axis=1)


def _save(file: BinaryIO, picture: NDArray[np.uint8]) -> None:
    Image.fromarray(_plain(picture)).save(file, format="PNG")


def _plain(picture: NDArray[Any]) -> NDArray[Any]:
    return picture[..., 0] if picture.shape[2:] == (1,) else picture


def _extremes(images: NDArray[Any]) -> Limits:
    return float(np.fmin.reduce(images, axis=None)), float(np.fmax.reduce(images, axis=None))


def _check_free(folder: Path) -> None:
    """Refuse a folder that holds something else than pictures as they are written here."""
    try:
        others = [entry.name for entry in os.scandir(folder) if not NUMBERED.fullmatch(entry.name)]
    except FileNotFoundError:
        return
    except OSError as error:
        raise DataError(f"{folder} cannot be looked into: {error.strerror}. Choose another folder.") from error
    if others:
        raise DataError(
            f"{folder} holds something else, such as {others[0]!r}, and is left alone. Choose another folder."
        )
