"""One of several processes that run the same program, by ``jax.distributed``, and what they tell each other.

Values that are told travel as bytes, so that double precision stays what it is.
"""

from __future__ import annotations

import json
import math
import os
import re
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reparam.devices.shares import ALONE, Share, launched
from reparam.errors import ParameterError, ProcessError

HEARTBEAT_SECONDS = 100
"""A process that is silent for so long is lost, and so are all others; 30 are too few on a busy host."""
ARRIVAL_SECONDS = 300
"""How long the first process waits for the last to start."""
MOST_PROCESSES = 65_536
MESSENGERS = ("Gloo", "NCCL", "coordination service", "UNAVAILABLE")


def share() -> Share:
    """Which process this is."""
    if not _met():
        return ALONE
    import jax

    return Share(jax.process_index(), jax.process_count())


def join(coordinator: str | None = None, processes: int | str | None = None, process: int | None = None) -> Share:
    """Meet the other processes; all say the same, but for which they are.

    Args:
        coordinator: HOST:PORT of the first process; None leaves it to the launcher.
        processes: how many there are; ``auto`` asks whatever launcher JAX knows.
        process: which this is, from 0; with a coordinator alone both are what Slurm or Open MPI say.

    Raises:
        ParameterError: what was said is not enough, or wrong.
        ProcessError: not all came.
    """
    given = {"--coordinator": coordinator, "--processes": processes, "--process-id": process}
    said = [name for name, value in given.items() if value is not None]
    known: dict[str, Any] = {}
    launcher = launched()
    if coordinator is None and (processes == "auto" or (not said and launcher is not None)):
        pass
    elif coordinator is not None and len(said) == 1 and launcher is not None:
        known = _checked(coordinator, launcher.count, launcher.index)
    elif not said or (processes == 1 and coordinator is None):
        return ALONE
    elif len(said) < len(given) or isinstance(processes, str):
        raise ParameterError(
            "several processes need --coordinator HOST:PORT, --processes N and --process-id I, each of them; under a "
            f"launcher that JAX knows say --processes auto. Got {', '.join(said)} alone."
        )
    else:
        known = _checked(coordinator or "", processes or 0, process or 0)
    import jax

    try:
        jax.distributed.initialize(
            **known,
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
            initialization_timeout=ARRIVAL_SECONDS,
            shutdown_timeout_seconds=HEARTBEAT_SECONDS,
        )
    except ValueError as error:
        raise ParameterError(
            f"the launcher does not say which process this is ({str(error).rstrip('.')}). Say --coordinator."
        ) from error
    except RuntimeError as error:
        raise ProcessError(f"the processes did not meet: {str(error).splitlines()[0]}") from error
    _meet()
    return share()


def _met() -> bool:
    """Whether there are several processes; where JAX was not imported, which takes a while, there are none."""
    if "jax" not in sys.modules:
        return False
    import jax

    return bool(jax.distributed.is_initialized())


def _meet() -> None:
    """Let the processes connect; what the library below says of that on standard output is no answer of a command."""
    sys.stdout.flush()
    before, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        told(b"")
    finally:
        os.dup2(before, 1)
        os.close(before)
        os.close(nowhere)


def told(payload: bytes) -> list[bytes]:
    """What every process says, in their order."""
    if not _met():
        return [payload]
    from jax.experimental.multihost_utils import process_allgather

    lengths = [int(length) for length in np.asarray(process_allgather(np.int32(len(payload)))).ravel()]
    filled = np.zeros(max(*lengths, 1), np.uint8)
    filled[: len(payload)] = np.frombuffer(payload, np.uint8)
    every = np.asarray(process_allgather(filled))
    return [bytes(line[:length]) for line, length in zip(every, lengths, strict=True)]


def first(value: Any) -> Any:
    """What the first process says, of plain values.

    >>> first({"large": True})
    {'large': True}
    """
    return json.loads(told(json.dumps(value).encode())[0])


def any_of(value: bool) -> bool:
    """Whether one process says so."""
    return any(told(b"1" if value else b""))


def joined(array: NDArray[Any]) -> NDArray[Any]:
    """The rows of all processes behind each other, in their order; of arrays of one type and size of row."""
    flat = np.ascontiguousarray(array)
    parts = [np.frombuffer(part, flat.dtype).reshape(-1, *flat.shape[1:]) for part in told(flat.tobytes())]
    return np.concatenate(parts)


def every(arrays: Mapping[str, NDArray[Any]], document: Any) -> list[tuple[dict[str, Any], Any]]:
    """Named arrays and plain values of each process, in their order."""
    heads = {name: (array.dtype.str, array.shape) for name, array in arrays.items()}
    bodies = [np.ascontiguousarray(array).tobytes() for array in arrays.values()]
    head = json.dumps([heads, document]).encode()
    texts = told(len(head).to_bytes(8, "little") + head + b"".join(bodies))
    return [_parsed(text) for text in texts]


def _parsed(text: bytes) -> tuple[dict[str, Any], Any]:
    place = 8 + int.from_bytes(text[:8], "little")
    heads, document = json.loads(text[8:place])
    arrays = {}
    for name, (dtype, shape) in heads.items():
        size = np.dtype(dtype).itemsize * math.prod(shape)
        arrays[name] = np.frombuffer(text[place : place + size], dtype).reshape(shape)
        place += size
    return arrays, document


def is_of_messages(error: Exception) -> bool:
    """Whether JAX says that a message to or from another process failed; it has no type of its own for that."""
    return any(word in str(error) for word in MESSENGERS)


def _checked(coordinator: str, processes: int, process: int) -> dict[str, Any]:
    host, _, port = coordinator.rpartition(":")
    if not (re.fullmatch(r"[^\s/]+", host) and re.fullmatch(r"[0-9]{1,5}", port) and 0 < int(port) < 2**16):
        raise ParameterError(f"--coordinator must be HOST:PORT, such as node-0:4321. Got {coordinator[:200]!r}.")
    if processes > MOST_PROCESSES:
        raise ParameterError(f"--processes must be at most {MOST_PROCESSES}. Got {processes:.3g}.")
    if not 0 <= process < processes:
        raise ParameterError(f"--process-id must be in [0, {processes}), of {processes} processes. Got {process}.")
    return {
        "coordinator_address": coordinator,
        "num_processes": processes,
        "process_id": process,
        "cluster_detection_method": "deactivate",
    }
