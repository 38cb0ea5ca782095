"""Arrays → small PNG pictures inside the page itself."""

from __future__ import annotations

import base64
import io
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from reparam.markup.html import Html, tag

Limits = tuple[float, float]

DIVERGING = np.array([[33, 102, 172], [247, 247, 247], [178, 24, 43]], np.float64)


def image(
    values: NDArray[Any], description: str, *, limits: Limits, class_: str = "datum", diverging: bool = False
) -> Html:
    """An image of values (H, W[, C]) from black to white, or from blue over white to red; it scales without blur.

    What is missing (NaN) is as the middle.

    Args:
        values: shape (H, W), (H, W, 1) or (H, W, 3).
        description: what stands in its place for who cannot see it.
        limits: the values that are black and white.
        class_: how the page lays it out.
        diverging: colours for values on both sides of zero; ``limits`` are then −m and m.
    """
    picture = np.squeeze(values, axis=-1) if values.ndim == 3 and values.shape[-1] == 1 else values
    low, high = limits
    level = np.clip((np.asarray(picture, np.float64) - low) / (high - low if high > low else 1.0), 0.0, 1.0)
    level = np.where(np.isnan(level), 0.5, level)
    pixels = _coloured(level) if diverging else np.round(255 * level).astype(np.uint8)
    height, width = pixels.shape[:2]
    return tag("img", src=data_uri(pixels), alt=description, width=width, height=height, class_=class_)


def shrunk(images: NDArray[Any], most: int) -> NDArray[Any]:
    """Images (…, H, W, C) of at most some pixels a side: means over squares; what is left over at the edges goes.

    >>> shrunk(np.arange(16.0).reshape(4, 4, 1), 2)[..., 0].tolist()
    [[2.5, 4.5], [10.5, 12.5]]
    """
    *lead, height, width, channels = images.shape
    times = math.ceil(max(height, width) / most)
    if times <= 1:
        return images
    high, wide = height // times, width // times
    whole = images[..., : high * times, : wide * times, :]
    return np.asarray(whole.reshape(*lead, high, times, wide, times, channels).mean(axis=(-4, -2)))


def data_uri(pixels: NDArray[np.uint8]) -> str:
    """A PNG of pixels (H, W) or (H, W, 3) as a URI."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"


def _coloured(level: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Levels in [0, 1] along the diverging colours, (H, W) → (H, W, 3)."""
    channels = [np.interp(level, [0.0, 0.5, 1.0], DIVERGING[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)
