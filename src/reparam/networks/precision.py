r"""Matrix products of networks in a narrower type than their weights have.

bfloat16 has the range of single precision and 8 bits of it. A device with units for it multiplies matrices several
times as fast; what is rounded are the factors, and sums are taken in single precision, forward and back.
"""

from __future__ import annotations

from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from reparam.networks.images import Pixels
from reparam.networks.layers import Linear

Tree = TypeVar("Tree")
PRECISIONS = {"float32": "single precision throughout", "bfloat16": "factors of the networks' matrix products rounded"}


class Narrow(eqx.Module):
    """A matrix that is rounded to bfloat16 where something is multiplied by it, and so is that.

    >>> x = jnp.full((1, 2), 1.0 + 2.0**-10)  # of which bfloat16 keeps 1
    >>> (x @ Narrow(jnp.eye(2)))[0].tolist()
    [1.0, 1.0]
    """

    matrix: Array

    @property
    def shape(self) -> tuple[int, ...]:
        """(in, out)."""
        return self.matrix.shape

    def __rmatmul__(self, x: Array) -> Array:
        """(..., in) → (..., out)."""
        rows = x.reshape(-1, x.shape[-1])
        return _product(rows, self.matrix).astype(x.dtype).reshape(*x.shape[:-1], -1)


def in_precision(tree: Tree, precision: str) -> Tree:
    """Networks of ours within a tree, such as a model, whose matrix products have that precision; a gradient passes.

    Layers of one's own, normalisations, activations and all that is behind the networks stay as they are.

    >>> layer = Linear(3, 2, jax.random.key(0))
    >>> in_precision(layer, "float32") is layer, in_precision(layer, "bfloat16")(jnp.ones((5, 3))).dtype
    (True, dtype('float32'))
    """
    if precision == "float32":
        return tree

    def narrow(part: object) -> object:
        if not isinstance(part, Linear | Pixels):
            return part
        return eqx.tree_at(lambda layer: layer.weight, part, replace_fn=Narrow)

    narrowed: Tree = jax.tree.map(narrow, tree, is_leaf=lambda part: isinstance(part, Linear | Pixels))
    return narrowed


@jax.custom_vjp
def _product(x: Array, matrix: Array) -> Array:
    """(N, in) · (in, out) of rounded factors, summed in single precision."""
    return jnp.matmul(x.astype(jnp.bfloat16), matrix.astype(jnp.bfloat16), preferred_element_type=jnp.float32)


def _forward(x: Array, matrix: Array) -> tuple[Array, tuple[Array, Array]]:
    return _product(x, matrix), (x, matrix)


def _backward(kept: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    """Products of rounded factors, too: JAX's own derivative would multiply by the gradient as it is."""
    x, matrix = kept
    return _product(gradient, matrix.T).astype(x.dtype), _product(x.T, gradient).astype(matrix.dtype)


_product.defvjp(_forward, _backward)
