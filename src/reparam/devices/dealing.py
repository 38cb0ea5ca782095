r"""Rows where they were read → rows where they are worked on: each goes to the one device that has it in its share.

Every process knows which row is visited when, and who read it. So it knows what it sends, what comes, and in which
order; one ``all_to_all`` carries all rows of an epoch at once. What is sent is no more than all rows once: a process
sends and receives about :math:`N/P` of N rows, and not N.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array
from numpy.typing import NDArray

from reparam.devices.mesh import ROWS, Devices


class Held(NamedTuple):
    """Rows of which each process holds some: their number, in all, is what they are asked for by.

    Args:
        own: those of this process, in their order, (n, P).
        readers: the process that holds each run of rows, (runs,).
        sizes: how many rows are in each.
    """

    own: NDArray[Any]
    readers: NDArray[np.int64]
    sizes: NDArray[np.int64]

    def dealt(self, numbers: NDArray[np.integer[Any]], devices: Devices) -> Array:
        """Rows by their numbers (S, B), a row as often as it is asked for, on the devices of a mesh.

        Returns:
            Shape (S, C, P), C the least multiple of the devices that is at least B. A device has an equal share of the
            C columns; those behind the first B have no meaning.
        """
        laid_out: Array = exchanged(*self.packed(numbers, devices), devices=devices, steps=len(numbers))
        return laid_out

    def packed(self, numbers: NDArray[np.integer[Any]], devices: Devices) -> tuple[Array, Array]:
        """The same before anything is sent: what goes to whom, (devices, devices, M, P), and where each comes to lie.

        M is the most that one device has for another. Both are shared along their first axis.
        """
        steps, width = numbers.shape
        count, columns = devices.count, devices.multiple(width)
        each = columns // count
        filled = np.pad(numbers, ((0, 0), (0, columns - width)), mode="edge")
        source, place = self._sources(devices)
        by_device = filled.reshape(steps, count, each).swapaxes(0, 1).reshape(count, -1)  # (devices, S · each)
        pairs = source[by_device] * count + np.arange(count)[:, None]
        most = _rounded(int(np.bincount(pairs.ravel(), minlength=count**2).max()))
        mine = [number for number, device in enumerate(devices.mesh.devices.flat) if _is_here(device)]
        sent = np.zeros((len(mine), count, most, *self.own.shape[1:]), self.own.dtype)
        where = np.empty((len(mine), by_device.shape[1]), np.int32)
        for this, device in enumerate(mine):
            for target in range(count):
                rows = place[by_device[target][source[by_device[target]] == device]]
                sent[this, target, : len(rows)] = self.own[rows]
            where[this] = _arrivals(source[by_device[device]], most)
        laid = NamedSharding(devices.mesh, PartitionSpec(ROWS))
        sending, places = (jax.make_array_from_process_local_data(laid, part) for part in (sent, where))
        return sending, places

    def _sources(self, devices: Devices) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Of each row the device that it is sent from, and its place among those that its process holds.

        Where a process has several devices each sends a run of its rows.
        """
        readers = np.repeat(self.readers, self.sizes)
        source, place = np.empty_like(readers), np.empty_like(readers)
        of_devices = np.asarray([device.process_index for device in devices.mesh.devices.flat])
        for reader in np.unique(self.readers):
            [rows], [sending] = np.nonzero(readers == reader), np.nonzero(of_devices == reader)
            place[rows] = np.arange(len(rows))
            source[rows] = sending[np.arange(len(rows)) * len(sending) // len(rows)]
        return source, place


def _is_here(device: Any) -> bool:
    return bool(device.process_index == jax.process_index())


def _arrivals(sources: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Where each row of a device comes to lie: behind those of its source before it, of which there are ``most``.

    >>> _arrivals(np.array([1, 0, 1, 1]), 3).tolist()
    [3, 0, 4, 5]
    """
    order = np.argsort(sources, kind="stable")
    ordered = sources[order]
    places = np.empty_like(order)
    places[order] = np.arange(len(order)) - np.searchsorted(ordered, ordered)
    return sources * most + places


def _rounded(count: int) -> int:
    """At least so many, of three leading bits: few shapes are compiled, and at most a quarter is sent in vain.

    >>> [_rounded(count) for count in (1, 7, 9, 100, 1000)]
    [1, 7, 10, 112, 1024]
    """
    step = 1 << max(count.bit_length() - 3, 0)
    return -(-count // step) * step


@partial(jax.jit, static_argnames=("devices", "steps"))
def exchanged(sent: Array, where: Array, *, devices: Devices, steps: int) -> Array:
    """What every device sends each other, as :meth:`Held.packed` has it, in the order of visits, (S, C, P)."""

    def received(sent: Array, where: Array) -> Array:
        got = jax.lax.all_to_all(sent[0], ROWS, 0, 0)
        rows = got.reshape(-1, *sent.shape[3:])[where[0]]
        by_step: Array = rows.reshape(steps, -1, *rows.shape[1:])
        return by_step

    of_all, by_column = PartitionSpec(ROWS), PartitionSpec(None, ROWS)
    whole: Array = jax.shard_map(received, mesh=devices.mesh, in_specs=(of_all, of_all), out_specs=by_column)(
        sent, where
    )
    return whole
