"""Convolutions, group norm and whole networks against PyTorch's, in every form that they have."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from benchmarks.convolution import FORMS, TorchNetworks

from reparam.networks import ImageDecoder, ImageEncoder
from reparam.networks.convolution import FORMULATIONS, gathered, spread
from reparam.networks.images import Block, GroupNorm

torch = pytest.importorskip("torch")
F = torch.nn.functional

CHANNELS = 16
KEY = jax.random.key(0)


def drawn(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def nchw(x: np.ndarray) -> torch.Tensor:
    return torch.tensor(x).permute(0, 3, 1, 2)


def nhwc(x: torch.Tensor) -> np.ndarray:
    return x.detach().permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("form", FORMULATIONS)
def test_a_convolution_of_each_channel_and_both_its_gradients_are_pytorchs(form):
    x, kernel, cotangent = drawn(2, 6, 5, CHANNELS), drawn(3, 3, CHANNELS, seed=1), drawn(2, 6, 5, CHANNELS, seed=2)
    found, pull = jax.vjp(FORMULATIONS[form], jnp.asarray(x), jnp.asarray(kernel))
    gradients = pull(jnp.asarray(cotangent))
    image, weight = nchw(x).requires_grad_(), torch.tensor(kernel).requires_grad_()
    expected = F.conv2d(image, weight.permute(2, 0, 1)[:, None], padding=1, groups=CHANNELS)
    expected.backward(nchw(cotangent))
    np.testing.assert_allclose(found, nhwc(expected), atol=1e-5)
    np.testing.assert_allclose(gradients[0], nhwc(image.grad), atol=1e-5)
    np.testing.assert_allclose(gradients[1], weight.grad.numpy(), atol=1e-4)


@pytest.mark.parametrize("form", ["full, native", "full, patches", "full, grid"])
def test_the_other_forms_that_the_benchmark_measures_are_the_same_convolution(form):
    x, kernel = drawn(2, 6, 8, 4), drawn(3, 3, 4, 5, seed=1)
    expected = F.conv2d(nchw(x), torch.tensor(kernel).permute(3, 2, 0, 1), padding=1)
    np.testing.assert_allclose(FORMS[form][0](jnp.asarray(x), jnp.asarray(kernel)), nhwc(expected), atol=1e-4)


def test_a_step_of_two_pixels_is_a_convolution_there_and_a_transposed_one_back():
    x, there, back = drawn(2, 6, 4, 3), drawn(2, 2, 3, 5, seed=1), drawn(3, 2, 2, 5, seed=2)
    strided = F.conv2d(nchw(x), torch.tensor(there).permute(3, 2, 0, 1), stride=2)
    np.testing.assert_allclose(gathered(jnp.asarray(x)) @ there.reshape(12, 5), nhwc(strided), atol=1e-5)
    transposed = F.conv_transpose2d(nchw(x), torch.tensor(back).permute(0, 3, 1, 2), stride=2)
    np.testing.assert_allclose(spread(jnp.asarray(x) @ back.reshape(3, 20), 12, 8), nhwc(transposed), atol=1e-5)


def test_group_norm_is_pytorchs_however_far_from_zero_the_values_lie():
    x, scale, bias = drawn(3, 4, 5, CHANNELS) + 300.0, drawn(CHANNELS, seed=1), drawn(CHANNELS, seed=2)
    norm = eqx.tree_at(lambda n: (n.scale, n.bias), GroupNorm(CHANNELS), (jnp.asarray(scale), jnp.asarray(bias)))
    exact = (nchw(x).double(), torch.tensor(scale).double(), torch.tensor(bias).double())
    expected = F.group_norm(exact[0], CHANNELS // 8, *exact[1:])
    np.testing.assert_allclose(norm(jnp.asarray(x)), nhwc(expected), atol=3e-4)


@pytest.mark.parametrize(("shape", "parts"), [((18, 20, 3), 2), ((9, 11), 1)])
def test_whole_networks_are_pytorchs(shape, parts):
    """Two stages, odd grids, colour, several raw numbers for each pixel: by PyTorch's own operations."""
    size = int(np.prod(shape))
    form = {"channels": CHANNELS, "depth": 1, "activation": "gelu"}
    encoder = ImageEncoder(shape, size, 6, key=KEY, output_bias=jnp.arange(6.0), **form)
    bias = jnp.asarray(drawn(parts * size))
    decoder = ImageDecoder(shape, 3, parts * size, key=jax.random.key(1), output_bias=bias, **form)
    networks = TorchNetworks(encoder, decoder)
    x, z = drawn(2, size), drawn(2, 3)
    np.testing.assert_allclose(encoder(jnp.asarray(x)), networks.encode(torch.tensor(x)).detach(), atol=1e-4)
    np.testing.assert_allclose(decoder(jnp.asarray(z)), networks.decode(torch.tensor(z)).detach(), atol=1e-4)


def test_a_block_follows_an_image_that_moves():
    """Away from the edge a block is equivariant: the image one pixel further gives the values one pixel further."""
    image = np.zeros((1, 9, 9, CHANNELS), np.float32)
    image[:, 3:5, 3:5] = drawn(1, 2, 2, CHANNELS)
    block = eqx.filter_jit(Block(CHANNELS, "gelu", KEY))
    found, moved = block(jnp.asarray(image)), block(jnp.asarray(np.roll(image, (1, 2), (1, 2))))
    np.testing.assert_allclose(moved[:, 2:8, 3:8], found[:, 1:7, 1:6], atol=1e-5)
