"""Which network data are given, which sizes it takes, and what is refused."""

from __future__ import annotations

from itertools import pairwise

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

from reparam.errors import ParameterError, ReparamError
from reparam.networks import NETWORKS, Convolutional, Ends, choose_network
from reparam.networks.images import grids
from reparam.specification import build


@pytest.mark.parametrize(
    ("shape", "settings", "name", "reason"),
    [
        ((28, 28), {}, "conv", "a datum is an image of 28 × 28"),
        ((64, 64, 3), {}, "conv", "a datum is an image of 64 × 64 × 3"),
        ((8, 256), {}, "conv", "a datum is an image of 8 × 256"),
        ((30,), {}, "mlp", "a datum has no height and width"),
        ((4, 4, 4, 4), {}, "mlp", "a datum has no height and width"),
        ((6, 28), {}, "mlp", "images of 6 × 28 have a side that is not from 8 to 256"),
        ((28, 258), {}, "mlp", "images of 28 × 258 have a side that is not from 8 to 256"),
        ((28, 28), {"hidden": (400,)}, "mlp", "hidden names the widths of an MLP"),
        ((28, 28), {"plain": False}, "mlp", "what a network takes is not the image alone"),
    ],
)
def test_the_data_choose(shape, settings, name, reason):
    assert choose_network("auto", shape, **settings) == (name, reason)


def test_a_name_is_kept_where_it_fits_and_refused_where_it_does_not():
    assert choose_network("mlp", (28, 28)) == ("mlp", "chosen by the user")
    assert choose_network("resnet:32", (28, 28)) == ("resnet:32", "chosen by the user")
    with pytest.raises(ParameterError, match=r"'conv' cannot be used: a datum has no height and width. Use network="):
        choose_network("conv", (30,))
    with pytest.raises(ParameterError, match="'conv:32' cannot be used: hidden names the widths of an MLP"):
        choose_network("conv:32", (28, 28), hidden=(400,))


@pytest.mark.parametrize(
    ("specification", "words"),
    [
        ("convnet", "conv"),
        ("conv:20", "a multiple of 8 and at least 16. Got 20 instead"),
        ("conv:8", "a multiple of 8 and at least 16. Got 8 instead"),
        ("conv:64,0", "'depth' parameter of the network must be an int in"),
        ("conv:64,1,1", "does not take these arguments"),
        ("mlp:64", "does not take these arguments"),
    ],
)
def test_what_names_no_network_is_refused(specification, words):
    with pytest.raises(ReparamError, match=words):
        build("network", NETWORKS, specification)


def test_a_resnet_is_a_deeper_conv():
    assert build("network", NETWORKS, "resnet") == Convolutional(64, 3)
    assert build("network", NETWORKS, "resnet:32,5") == Convolutional(32, 5)


@pytest.mark.parametrize("side", range(8, 257))
def test_every_side_from_8_to_256_is_halved_down_to_8_or_fewer(side):
    sides = [side, *(grid.height for grid in grids((side, 8), 64))]
    assert all(after == (before + 1) // 2 for before, after in pairwise(sides))
    assert sides[-1] <= 8 < 2 * sides[-2] - 1 or len(sides) == 2


@pytest.mark.parametrize("sides", [range(8, 34, 2), (9, 33, 48, 63, 64), (100, 127, 128), (255, 256)])
def test_networks_keep_the_shape_of_every_image(sides):
    """Shapes alone, nothing compiled: encoder to 6 numbers, decoder back to two numbers for each value."""
    for shape in ((side, 8, 3) for side in sides):
        size = shape[0] * shape[1] * shape[2]

        def outputs(key, x, z, shape=shape, size=size):
            ends = Ends(shape, size, 6, jnp.zeros(6), jnp.ones(6)), Ends(shape, 3, 2 * size, jnp.zeros(2 * size))
            encoder = Convolutional(16).encoder(ends[0], "gelu", (), key)
            return encoder(x), Convolutional(16).decoder(ends[1], "gelu", (), key)(z)

        like = [jax.ShapeDtypeStruct((2, count), float) for count in (size, 3)]
        raw, back = eqx.filter_eval_shape(outputs, jax.random.key(0), *like)
        assert (raw.shape, back.shape) == ((2, 6), (2, 2 * size)), shape
