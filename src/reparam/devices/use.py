"""Which devices and processes share what is computed now."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

from reparam.devices.mesh import ONE_DEVICE, Devices, devices
from reparam.devices.processes import share
from reparam.devices.shares import ALONE, Share


class Work(NamedTuple):
    """The devices of a mesh, and which process this is of those that share rows."""

    devices: Devices
    share: Share


_IN_USE: ContextVar[Work | None] = ContextVar("in_use", default=None)


def in_use() -> Work:
    """One device, and all of them where several processes met; or what :func:`using` says.

    >>> in_use()
    Work(devices=Devices(count=1, model=1, here=False), share=Share(index=0, count=1))
    """
    work = _IN_USE.get()
    if work is not None:
        return work
    this = share()
    return Work(ONE_DEVICE if this == ALONE else devices(), this)


@contextmanager
def using(chosen: Devices) -> Iterator[None]:
    """Share what is computed in the block among these devices, and among all processes."""
    with _set(Work(chosen, share())):
        yield


@contextmanager
def apart() -> Iterator[Share]:
    """Let each process work for itself in the block, on its own devices; which of the processes it is."""
    work = in_use()
    with _set(Work(work.devices.own, ALONE)):
        yield work.share


@contextmanager
def _set(work: Work) -> Iterator[None]:
    token = _IN_USE.set(work)
    try:
        yield
    finally:
        _IN_USE.reset(token)
