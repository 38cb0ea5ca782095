"""Few weights as one vector: a step then has a few operations on it, where it has some for every array of the model.

The numbers are the same but for their last digits. An epoch is traced, compiled and read in two thirds of the time; of
many weights a step would take longer, for they are copied into the vector and out of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.flatten_util import ravel_pytree

from reparam.networks import paced
from reparam.training.pace import Optimizer

FEW_WEIGHTS = 2**16


class Packing(NamedTuple):
    """How the weights of one model are held while they move.

    ``pack`` takes a tree like the weights, or one that holds such trees, as an optimiser's moments do; ``unpack`` gives
    the weights back, ``unpack_like`` a tree of the second kind. ``paced`` slows updates where networks ask for it.
    """

    pack: Callable[[Any], Any]
    unpack: Callable[[Any], Any]
    unpack_like: Callable[[Any, Any], Any]
    paced: Callable[[Any], Any]


AS_THEY_ARE = Packing(
    pack=lambda tree: tree, unpack=lambda tree: tree, unpack_like=lambda tree, like: tree, paced=paced
)


def packing(weights: Any, optimizer: Optimizer) -> Packing:
    """As a vector where weights are few and of one kind, and an optimiser moves each by itself; else as they are.

    Args:
        weights: of one model, or their shapes.
        optimizer: what moves them.

    >>> held = packing({"a": np.ones((2, 2)), "b": np.zeros(3)}, Optimizer())
    >>> held.pack({"a": np.ones((2, 2)), "b": np.zeros(3)}).tolist()
    [1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0]
    """
    structure: Any
    leaves, structure = jax.tree.flatten(weights)
    alike = len({leaf.dtype for leaf in leaves}) == 1
    if not (optimizer.is_known and alike and sum(leaf.size for leaf in leaves) < FEW_WEIGHTS):
        return AS_THEY_ARE
    ones = jax.tree.map(lambda leaf: np.ones(leaf.shape, leaf.dtype), weights)
    unpack = ravel_pytree(ones)[1]
    pace = np.concatenate([leaf.ravel() for leaf in jax.tree.leaves(paced(ones))])

    def is_whole(part: Any) -> bool:
        return bool(structure == jax.tree.structure(part))

    def pack(tree: Any) -> Any:
        return jax.tree.map(lambda part: ravel_pytree(part)[0] if is_whole(part) else part, tree, is_leaf=is_whole)

    def unpack_like(tree: Any, like: Any) -> Any:
        return jax.tree.map(lambda old, part: unpack(part) if is_whole(old) else part, like, tree, is_leaf=is_whole)

    return Packing(pack, unpack, unpack_like, paced=lambda updates: updates if (pace == 1.0).all() else pace * updates)
