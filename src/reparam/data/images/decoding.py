"""One file of a picture → its pixels, in the form that all take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from reparam.data.images.finding import Picture
from reparam.data.places import first_line
from reparam.errors import DataError

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP")
GREY = ("1", "L", "LA", "I;16", "I;16B", "I;16L", "I;16N")
COLOUR = ("P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")
WIDEN = 257  # 255 · 257 = 65535: eight bits as sixteen, exactly
FILTER = Image.Resampling.LANCZOS


@dataclass(frozen=True)
class Header:
    """What the head of a file says of its picture.

    Args:
        grey: whether it has one channel.
        deep: whether that has 16 bits.
        size: height and width, as they lie in the file.
        notes: what is to be said of it: ``animated``, ``transparent``, ``CMYK``, ``shortened``.
    """

    grey: bool
    deep: bool
    size: tuple[int, int]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Form:
    """What every picture becomes.

    Args:
        channels: 1, or 3.
        deep: whether values are those of 16 bits, of 0 to 65535, else of 8.
        size: height and width that it is resized to, or ``None``.
        crop: whether it is cut to the aspect of ``size`` before, from its middle.
        gray: whether colours may be turned into grey; otherwise they must be grey already.
    """

    channels: int
    deep: bool = False
    size: tuple[int, int] | None = None
    crop: bool = False
    gray: bool = False


def header(picture: Picture) -> Header:
    """What the head of a picture's file says; its pixels are not decoded.

    Raises:
        DataError: it cannot be read, is of a mode that has no pixels of 8 or 16 bits, or is larger than pillow's limit.
    """
    with _Reading(picture) as image:
        deep = image.mode.startswith("I;16")
        notes = {
            "animated": getattr(image, "is_animated", False),
            "transparent": image.has_transparency_data,
            "CMYK": image.mode == "CMYK",
            "shortened": image.mode in COLOUR and ";16" in _raw_mode(image),
        }
        if deep and notes["transparent"]:
            raise DataError(f"{picture.name} has 16 bits and a transparent level. Save it without transparency.")
        grey = image.mode in GREY or (image.mode == "P" and _grey_palette(image))
        return Header(grey, deep, (image.height, image.width), tuple(name for name, holds in notes.items() if holds))


def decode(picture: Picture, form: Form) -> NDArray[Any]:
    """The pixels of a picture, shape (H, W) or (H, W, 3), uint8 or uint16.

    Turned as its EXIF orientation says; what is transparent lies on white; cut and resized (Lanczos) as ``form`` says.

    Raises:
        DataError: its file is damaged, or the picture does not take this form.
    """
    with _Reading(picture) as image:
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        if image.mode.startswith("I;16"):
            if not form.deep:
                raise DataError(
                    f"{picture.name} has 16 bits, but the run's pictures have 8. Save it with 8 bits a channel."
                )
            pixels = np.asarray(_resized(Image.fromarray(np.asarray(image).astype(np.uint16)), form))
            return pixels if form.channels == 1 else np.repeat(pixels[..., None], 3, axis=-1)
        plain = _channels(_on_white(image), form, picture.name)
        eight: NDArray[Any] = np.asarray(_resized(plain, form))
        return eight.astype(np.uint16) * WIDEN if form.deep else eight


class _Reading:
    """A file that pillow reads; whatever it raises on damaged bytes is a DataError that names the picture."""

    def __init__(self, picture: Picture):
        self.picture = picture

    def __enter__(self) -> Image.Image:
        try:
            self.stream = self.picture.opened()
        except OSError as error:
            raise DataError(f"{self.picture.name} cannot be read: {error.strerror or error}.") from error
        try:
            return self._image()
        except BaseException as error:
            self.stream.close()
            self._refuse(error)
            raise

    def _image(self) -> Image.Image:
        image = Image.open(self.stream, formats=FORMATS)
        limit = Image.MAX_IMAGE_PIXELS
        if limit is not None and image.width * image.height > limit:
            raise _too_large(self.picture)
        if image.mode not in (*GREY, *COLOUR):
            raise DataError(
                f"{self.picture.name} has pixels of mode {image.mode!r}; grey or colour of 8 bits, or grey of 16, is "
                "required. Convert it, or save its numbers as .npy."
            )
        return image

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        self.stream.close()
        if error is not None:
            self._refuse(error)

    def _refuse(self, error: BaseException) -> None:
        """Raise the DataError that stands for what a parser raised; parsers of foreign bytes raise anything."""
        if isinstance(error, DataError | MemoryError) or not isinstance(error, Exception):
            return
        if isinstance(error, Image.DecompressionBombError):
            raise _too_large(self.picture) from error
        reason = "its bytes are those of none" if isinstance(error, UnidentifiedImageError) else first_line(error)
        raise DataError(
            f"{self.picture.name} is truncated, damaged or no picture: {reason}. Fetch it again."
        ) from error


def _too_large(picture: Picture) -> DataError:
    return DataError(
        f"{picture.name} says that it has more than the {Image.MAX_IMAGE_PIXELS:,} pixels that are opened: a small "
        "file may pretend to be a large picture. Make it smaller, or raise PIL.Image.MAX_IMAGE_PIXELS in Python."
    )


def _raw_mode(image: Image.Image) -> str:
    """How pillow is to unpack the pixels of a file that it has opened."""
    return " ".join(str(tile.args) for tile in getattr(image, "tile", []))


def _grey_palette(image: Image.Image) -> bool:
    """Whether all colours of a palette are grey."""
    palette = getattr(image, "palette", None)
    if palette is None or palette.mode != "RGB" or palette.rawmode not in (None, "RGB"):
        return False
    colours = np.frombuffer(bytes(palette.palette), np.uint8)
    triples = colours[: len(colours) // 3 * 3].reshape(-1, 3)
    return bool((triples == triples[:, :1]).all())


def _on_white(image: Image.Image) -> Image.Image:
    """A picture without transparency: what is transparent shows white behind it."""
    if not image.has_transparency_data:
        return image
    layer = image.convert("RGBA")
    white = Image.new("RGBA", layer.size, "white")
    return Image.alpha_composite(white, layer).convert("RGB")


def _channels(image: Image.Image, form: Form, name: str) -> Image.Image:
    """A picture of 8 bits with as many channels as all have.

    Raises:
        DataError: it has colours, and grey is required.
    """
    if form.channels == 3:
        return image.convert("RGB")
    if image.mode in ("1", "L") or form.gray:
        return image.convert("L")
    colours = np.asarray(image.convert("RGB"))
    if (colours != colours[..., :1]).any():
        raise DataError(f"{name} is in colour, but the run's pictures are grey. Convert it to grey.")
    return Image.fromarray(np.ascontiguousarray(colours[..., 0]))


def _resized(image: Image.Image, form: Form) -> Image.Image:
    if form.size is None:
        return image
    height, width = form.size
    cut = image.crop(box_of(image.height, image.width, form.size)) if form.crop else image
    return cut if cut.size == (width, height) else cut.resize((width, height), FILTER)


def box_of(height: int, width: int, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """What is cut from the middle of a picture to have the aspect of ``size``: left, upper, right, lower.

    The longer side loses; with target h × w it becomes round(H·w/h), or round(W·h/w), at least 1, and its first pixel
    is half of what it loses, rounded down.

    >>> box_of(100, 200, (64, 64)), box_of(90, 60, (10, 10))
    ((50, 0, 150, 100), (0, 15, 60, 75))
    """
    high, wide = size
    if width * high > height * wide:
        kept = max(1, round(height * wide / high))
        left = (width - kept) // 2
        return left, 0, left + kept, height
    kept = max(1, round(width * high / wide))
    upper = (height - kept) // 2
    return 0, upper, width, upper + kept
