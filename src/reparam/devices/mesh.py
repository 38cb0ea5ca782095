"""The devices that share the work as a mesh of two axes, and where numbers lie on it.

A compiled program speaks of whole batches; what is said here is where their rows lie. Noise is made of a key and of
the place of each number in the whole batch (JAX's generator counts), so a row has the noise that it has on one device.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from reparam.errors import ParameterError
from reparam.specification import requirement

Tree = TypeVar("Tree")
DATA, MODEL = "data", "model"
ROWS = (DATA, MODEL)
WIDE_WEIGHTS = 2**16
"""A layer of fewer weights is not worth the messages that sharing it takes."""


@dataclass(frozen=True)
class Devices:
    """So many devices, of all processes: rows of a batch lie along both axes of a mesh, wide layers along ``model``.

    Args:
        count: how many share a batch.
        model: how many share each wide layer.
        here: whether they are those of this process alone.

    >>> Devices().rows(jnp.arange(3)).tolist()  # one device is a mesh of one
    [0, 1, 2]
    """

    count: int = 1
    model: int = 1
    here: bool = False

    @property
    def mesh(self) -> Mesh:
        """The first ``count`` devices, (count / model, model)."""
        return _mesh(self.count, self.model, self.here)

    @property
    def own(self) -> Devices:
        """Those of them that this process has, for work that needs no other process."""
        return Devices(self.count // jax.process_count(), here=True) if self.count > 1 else self

    def multiple(self, count: int) -> int:
        """The least number of rows, at least so many, that can be shared equally."""
        return -(-count // self.count) * self.count

    def rows(self, tree: Tree, axis: int = 0) -> Tree:
        """The same values in a compiled program, with what lies along an axis of every array shared among devices."""
        return self._laid(tree, lambda leaf: PartitionSpec(*(None,) * axis, ROWS))

    def whole(self, tree: Tree) -> Tree:
        """The same values, all of them on every device."""
        return self._laid(tree, lambda leaf: PartitionSpec())

    def weights(self, tree: Tree) -> Tree:
        """Weights, their gradients or moments: on every device, but for wide layers that ``model`` devices share."""
        return self._laid(tree, self._of_weight)

    def spread(self, tree: Tree) -> Tree:
        """Arrays of the host, or of one device, on every device; every process has the same ones."""
        return self._placed(tree, lambda leaf: PartitionSpec())

    def spread_weights(self, tree: Tree) -> Tree:
        """The same of weights, as :meth:`weights` lays them."""
        return self._placed(tree, self._of_weight)

    def spread_rows(self, tree: Tree) -> Tree:
        """Arrays of N rows, each device with a share, behind them rows of zeros until all shares are equal."""
        if self.count == 1:
            return tree

        def filled(leaf: Any) -> Any:
            more = -len(leaf) % self.count
            return np.pad(np.asarray(leaf), ((0, more), *((0, 0) for _ in leaf.shape[1:]))) if more else leaf

        whole: Tree = self._placed(jax.tree.map(filled, tree), lambda leaf: PartitionSpec(ROWS))
        return whole

    def gathered(self, tree: Tree, like: Any) -> Tree:
        """What lies on the mesh as arrays of this process alone, cut to the shapes of ``like``; the end of `spread`."""
        if self.count == 1:
            return tree

        def local(leaf: Any, shape: Any) -> Any:
            if not eqx.is_array(leaf):
                return leaf
            if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
                return jax.random.wrap_key_data(jnp.asarray(numbers_of(jax.random.key_data(leaf))))
            return jnp.asarray(numbers_of(leaf)[tuple(map(slice, shape.shape))])

        gathered: Tree = jax.tree.map(local, tree, like)
        return gathered

    def _laid(self, tree: Tree, spec: Any) -> Tree:
        if self.count == 1:
            return tree
        laid: Tree = jax.tree.map(
            lambda leaf: jax.lax.with_sharding_constraint(leaf, NamedSharding(self.mesh, spec(leaf))), tree
        )
        return laid

    def _placed(self, tree: Tree, spec: Any) -> Tree:
        if self.count == 1:
            return tree
        placed: Tree = jax.tree.map(
            lambda leaf: _put(leaf, NamedSharding(self.mesh, spec(leaf))) if eqx.is_array(leaf) else leaf, tree
        )
        return placed

    def _of_weight(self, leaf: Any) -> PartitionSpec:
        """The longest axis of a wide layer that can be shared equally."""
        shape = np.shape(leaf)
        sides = [(side, axis) for axis, side in enumerate(shape) if side % self.model == 0]
        if self.model == 1 or len(shape) < 2 or np.prod(shape) < WIDE_WEIGHTS or not sides:
            return PartitionSpec()
        return PartitionSpec(*(None,) * max(sides)[1], MODEL)


ONE_DEVICE = Devices()


def devices(asked: int | str | None = None, model: int = 1) -> Devices:
    """Devices as a user asks for them: ``all``, a number, or None: one, and of several processes all.

    Raises:
        ParameterError: there are not so many, or they cannot be shared so.
    """
    there = jax.device_count()
    if asked is None:
        asked = "all" if jax.process_count() > 1 else max(1, model)
    count = there if asked == "all" else asked
    if isinstance(count, str) and re.fullmatch(r"[0-9]{1,18}", count):
        count = int(count)
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= there:
        raise ParameterError(requirement("devices", "VAE", f"'all' or an int in [1, {there}], which JAX finds", asked))
    if jax.process_count() > 1 and count != there:
        raise ParameterError(
            f"several processes use all of their devices together, which are {there}: leave --devices out."
        )
    if isinstance(model, bool) or not isinstance(model, int) or model < 1 or count % model:
        raise ParameterError(requirement("shard_model", "VAE", f"an int that divides the {count} devices", model))
    return Devices(count, model)


@cache
def _mesh(count: int, model: int, here: bool) -> Mesh:
    there = jax.local_devices() if here else jax.devices()
    return Mesh(np.asarray(there[:count]).reshape(count // model, model), ROWS)


def _put(leaf: Any, sharding: NamedSharding) -> Any:
    """An array, of which every process has all, on the mesh."""
    if isinstance(leaf, jax.Array) and leaf.sharding.is_equivalent_to(sharding, leaf.ndim):
        return leaf
    if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(_put(jax.random.key_data(leaf), sharding))
    whole = np.asarray(leaf)
    return jax.make_array_from_callback(whole.shape, sharding, lambda place: whole[place])


def numbers_of(leaf: Any) -> Any:
    """All numbers of an array, wherever they lie, for this process."""
    if leaf.is_fully_addressable or leaf.is_fully_replicated:
        return np.asarray(leaf)
    from jax.experimental import multihost_utils

    return multihost_utils.process_allgather(leaf, tiled=True)
