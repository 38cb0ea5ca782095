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
        width, count = numbers.shape[1], devices.count
        filled = np.pad(numbers, ((0, 0), (0, devices.multiple(width) - width)), mode="edge")
        asked = filled.reshape(len(numbers), count, -1).swapaxes(0, 1).reshape(count, -1)  # by device, in its order
        source, place = self._sources(devices)
        comes_from = source[asked]
        pairs = np.bincount((comes_from + count * np.arange(count)[:, None]).ravel(), minlength=count**2)
        most = _rounded(int(pairs.max()))
        mine = [number for number, device in enumerate(devices.mesh.devices.flat) if _is_here(device)]
        sent = np.zeros((len(mine), count, most, *self.own.shape[1:]), self.own.dtype)
        for this, device in enumerate(mine):
            targets, visit = np.nonzero(comes_from == device)
            sent[this, targets, _behind(targets)] = self.own[place[asked[targets, visit]]]
        where = np.stack([_arrivals(comes_from[device], most) for device in mine]).astype(np.int32)
        laid = NamedSharding(devices.mesh, PartitionSpec(ROWS))
        sending, places = (jax.make_array_from_process_local_data(laid, part) for part in (sent, where))
        return sending, places

    def _sources(self, devices: Devices) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Of each row the device that it is sent from, and its place among those that its process holds.

        Where a process has several devices each sends a run of its rows.
        """
        of_devices = np.asarray([device.process_index for device in devices.mesh.devices.flat])
        source, place = (np.empty(int(self.sizes.sum()), np.int32) for _ in range(2))
        ends, held = np.cumsum(self.sizes), np.zeros(len(of_devices), np.int64)
        totals = np.bincount(self.readers, self.sizes)
        for end, size, reader in zip(ends.tolist(), self.sizes.tolist(), self.readers.tolist(), strict=True):
            places, [sending] = held[reader] + np.arange(size), np.nonzero(of_devices == reader)
            place[end - size : end] = places
            source[end - size : end] = sending[(places * len(sending) // max(int(totals[reader]), 1))]
            held[reader] += size
        return source, place


def _is_here(device: Any) -> bool:
    return bool(device.process_index == jax.process_index())


def _behind(groups: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """How many of its group stand before each, of groups that stand together in ascending order.

    >>> _behind(np.array([0, 0, 2, 2, 2])).tolist()
    [0, 1, 0, 1, 2]
    """
    return np.arange(len(groups)) - np.searchsorted(groups, groups)


def _arrivals(sources: NDArray[np.integer[Any]], most: int) -> NDArray[np.int64]:
    """Where each row of a device comes to lie: behind those of its source before it, of which there are ``most``.

    >>> _arrivals(np.array([1, 0, 1, 1]), 3).tolist()
    [3, 0, 4, 5]
    """
    order = np.argsort(sources, kind="stable")
    places = np.empty(len(order), np.int64)
    places[order] = _behind(sources[order])
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
