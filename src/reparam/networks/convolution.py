r"""Convolutions of images (N, H, W, C), each in the form that is quick where it runs.

Steps of two pixels take patches that do not overlap: reshaped, they are one matrix product everywhere. What overlaps is
a convolution of each channel by itself with a kernel of 3 × 3: the native operation on an accelerator, and on a
processor, where XLA's is slow, a sum of nine shifted images. The weights are the same, and so are the values up to
rounding; ``python -m benchmarks.convolution`` measures the forms.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array

SIDE = 3


def depthwise(x: Array, kernel: Array) -> Array:
    r"""Each channel by a kernel of its own: :math:`y_{hwc} = \sum_{ij} k_{ijc}\, x_{h+i-1,\,w+j-1,\,c}`.

    Beyond the edge are zeros.

    Args:
        x: images, (N, H, W, C).
        kernel: (3, 3, C).

    >>> image, kernel = jnp.zeros((1, 3, 3, 1)).at[0, 0, 0].set(1.0), jnp.arange(9.0).reshape(3, 3, 1)
    >>> depthwise(image, kernel)[0, :, :, 0].tolist()
    [[4.0, 3.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    """
    return FORMULATIONS[formulation(jax.default_backend())](x, kernel)


def formulation(platform: str) -> str:
    """The form of :func:`depthwise` that is quick on a platform, a name in ``FORMULATIONS``.

    >>> formulation("cpu"), formulation("gpu")
    ('shifted', 'native')
    """
    return "shifted" if platform == "cpu" else "native"


def native(x: Array, kernel: Array) -> Array:
    """The convolution that XLA has."""
    channels = x.shape[-1]
    layout = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(
        x, kernel[:, :, None], (1, 1), "SAME", dimension_numbers=layout, feature_group_count=channels
    )


@jax.custom_vjp
def shifted(x: Array, kernel: Array) -> Array:
    """Nine shifted images, each times its weight, in one pass over memory."""
    views = _shifts(x)
    return sum((views[i][j] * kernel[i, j] for i in range(SIDE) for j in range(SIDE)), jnp.zeros((), x.dtype))


def _forward(x: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    return shifted(x, kernel), (x, kernel)


def _backward(kept: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    """Of the image the same sum with the kernel turned about; of the kernel, sums over all pixels as matrix products.

    XLA's own derivative adds nine padded images one after the other, and its sums over pixels are no vector code.
    """
    x, kernel = kept
    ones = jnp.ones((1, gradient.size // gradient.shape[-1]), gradient.dtype)
    sums = [[(ones @ (view * gradient).reshape(ones.size, -1))[0] for view in row] for row in _shifts(x)]
    return shifted(gradient, kernel[::-1, ::-1]), jnp.stack([jnp.stack(row) for row in sums])


shifted.defvjp(_forward, _backward)


def _shifts(x: Array) -> list[list[Array]]:
    """The image seen from each of its 3 × 3 neighbours, zeros beyond its edge."""
    _, height, width, _ = x.shape
    edged = jax.lax.optimization_barrier(jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))))  # or each view asks for the edge
    return [[edged[:, i : i + height, j : j + width] for j in range(SIDE)] for i in range(SIDE)]


FORMULATIONS: dict[str, Callable[[Array, Array], Array]] = {"native": native, "shifted": shifted}


def gathered(x: Array) -> Array:
    """Two by two pixels as one of four times the channels, (N, ⌈H/2⌉, ⌈W/2⌉, 4C); odd sides get a line of zeros.

    With a matrix product behind it, a convolution of kernel 2 and step 2.

    >>> gathered(jnp.arange(4.0).reshape(1, 2, 2, 1)).tolist()
    [[[[0.0, 1.0, 2.0, 3.0]]]]
    """
    count, height, width, channels = x.shape
    x = jnp.pad(x, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)))
    blocks = x.reshape(count, halved(height), 2, halved(width), 2, channels)
    return blocks.transpose(0, 1, 3, 2, 4, 5).reshape(count, halved(height), halved(width), 4 * channels)


def spread(x: Array, height: int, width: int) -> Array:
    """The inverse, (N, ⌈H/2⌉, ⌈W/2⌉, 4C) → (N, H, W, C).

    With a matrix product before it, a transposed convolution of kernel 2 and step 2 (Shi et al. 2016).

    >>> spread(gathered(jnp.arange(15.0).reshape(1, 5, 3, 1)), 5, 3).ravel().tolist() == list(range(15))
    True
    """
    count, half_height, half_width, channels = x.shape
    blocks = x.reshape(count, half_height, half_width, 2, 2, channels // 4).transpose(0, 1, 3, 2, 4, 5)
    return blocks.reshape(count, 2 * half_height, 2 * half_width, channels // 4)[:, :height, :width]


def halved(side: int) -> int:
    """How many steps of two pixels cover a side."""
    return -(-side // 2)
