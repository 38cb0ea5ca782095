"""Apply a compiled function to rows in chunks of few shapes, each row with a key of its own.

Of several devices each takes a share of every chunk, of several processes each a range of the rows.

A row's key is made of the caller's key, the row's values, and how many equal rows went before: what is said of a row
does not depend on its neighbours, its place, or how many rows there are, and equal rows have independent noise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from hashlib import blake2b
from itertools import chain, pairwise
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr
from jaxtyping import Array, PRNGKeyArray
from numpy.typing import NDArray

from reparam.data.sparse import SparseRows
from reparam.devices.mesh import Devices
from reparam.devices.processes import joined
from reparam.devices.use import in_use
from reparam.errors import DataError
from reparam.model import Model

HASHED_VALUES = 2**18
MOST_ROWS = 256
MARK = 8191  # a prime: an array whose size it divides grows with the rows

Progress = Callable[[int, int], None]


def map_rows(
    function: Callable[..., Any],
    *rows: NDArray[Any] | Array,
    chunk: int | None = None,
    one_shape: bool = False,
    report: Progress | None = None,
) -> Any:
    """Apply ``function`` to chunks of rows and join what it gives; the next chunk runs while one is fetched.

    Args:
        function: chunks (n, ...), one of each array → a PyTree of arrays (n, ...); traceable by JAX.
        rows: arrays of N rows each, (N, ...).
        chunk: rows in a chunk; by default what :func:`rows_at_once` finds good for throughput.
        one_shape: fill every chunk up to ``chunk`` rows, by repeating the last; otherwise to a power of four.
        report: called after each chunk with the rows done and N.

    Returns:
        A PyTree of NumPy arrays (N, ...).

    Raises:
        DataError: there are no rows.
    """
    arrays: list[Any] = [array if isinstance(array, SparseRows) else np.asarray(array) for array in rows]
    work = in_use()
    if len(arrays[0]) == 0:
        raise DataError("there are no rows: at least 1 is required.")
    first, last = work.share.range(len(arrays[0]))
    total, devices = max(last - first, 1), work.devices.own  # whose range is empty does one row, and drops it
    most = devices.multiple(rows_at_once(values_per_row(function, *arrays)) if chunk is None else chunk)
    results = _results(function, arrays, range(first, first + total, most), first + total, devices, one_shape=one_shape)
    whole: list[NDArray[Any]] = []
    for (start, part), _ in pairwise(chain(results, (None,))):  # type: ignore[misc]  # only the last is None
        leaves, structure = jax.tree.flatten(part)
        whole = whole or [np.empty((total, *leaf.shape[1:]), leaf.dtype) for leaf in leaves]
        end = min(start + most, total)
        for array, leaf in zip(whole, leaves, strict=True):
            array[start:end] = np.asarray(leaf)[: end - start]
        if report is not None:
            report(end, total)
    if work.share.count > 1:
        whole = [joined(array[: last - first]) for array in whole]
    return jax.tree.unflatten(structure, whole)


def _results(
    function: Callable[..., Any],
    arrays: list[Any],
    starts: range,
    stop: int,
    devices: Devices,
    *,
    one_shape: bool,
) -> Iterator[tuple[int, Any]]:
    """How far behind the first each chunk starts, and what the function makes of it, which may still be under way."""
    most = starts.step
    for start in starts:
        parts = [array[start : min(start + most, stop)] for array in arrays]
        size = devices.multiple(most if one_shape else filled_size(len(parts[0]), most))
        yield start - starts.start, function(*devices.spread_rows([_filled(part, size) for part in parts]))


def filled_size(count: int, most: int) -> int:
    """The smallest power of four that holds ``count`` rows, at most ``most``: few shapes are compiled.

    >>> [filled_size(count, 300) for count in (1, 5, 200, 300)]
    [1, 16, 256, 300]
    """
    return min(most, 1 << 2 * math.ceil(math.log(count, 4) - 1e-9))


def _filled(part: NDArray[Any], size: int) -> Array:
    padding = ((0, size - len(part)), *((0, 0) for _ in part.shape[1:]))
    filled: Array = jax.device_put(np.pad(part, padding, mode="edge") if len(part) < size else part)
    return filled


def rows_at_once(widest: int) -> int:
    """How many rows to give to a function that makes ``widest`` values of each at a time: a power of four.

    On a CPU what 64 MiB of single precision hold, at most 16,384 rows: weights are read once for many rows.
    """
    on_cpu = jax.default_backend() == "cpu"
    most_values, most_rows = (2**24, 4**7) if on_cpu else (2**28, 4**8)
    fitting = max(1, min(most_rows, most_values // widest))
    return 1 << 2 * int(math.log(fitting, 4) + 1e-9)


def values_per_row(function: Callable[..., Any], *rows: NDArray[Any]) -> int:
    """The size of the widest array that a function makes on its way, per row; found by tracing it, whatever it is.

    >>> values_per_row(lambda x: (x[:, None] * np.ones((9, 1))).sum(axis=(1, 2)), np.zeros((2, 5)))
    45
    """
    shapes = [jax.ShapeDtypeStruct((MARK, *a.shape[1:]), jax.dtypes.canonicalize_dtype(a.dtype)) for a in rows]
    sizes = _sizes(jax.make_jaxpr(function)(*shapes).jaxpr)
    return max(1, *(size // MARK for size in sizes if size % MARK == 0))


def _sizes(program: Jaxpr) -> Iterator[int]:
    """The size of every array in a program and the programs within it."""
    variables: list[Any] = [*program.invars, *(variable for line in program.eqns for variable in line.outvars)]
    yield from (math.prod(variable.aval.shape) for variable in variables)
    for equation in program.eqns:
        for value in jax.tree.leaves(equation.params):
            if isinstance(value, ClosedJaxpr | Jaxpr):
                yield from _sizes(value.jaxpr if isinstance(value, ClosedJaxpr) else value)


def draws_at_once(model: Model) -> int:
    """How many draws of z to decode at a time: what a CPU's cache takes, or an accelerator.

    On a CPU about a million values were measured fastest: larger activations leave the cache between layers.
    """
    widest = values_per_row(model.decoder, np.empty((1, model.decoder_size)))
    return max(1, 2 ** (20 if jax.default_backend() == "cpu" else 26) // widest)


def rows_of_draws(model: Model, draws: int) -> int:
    """How many rows to do at a time where each takes so many draws of z, at least one."""
    return max(1, min(MOST_ROWS, draws_at_once(model) // draws))


def row_numbers(rows: NDArray[Any], *, occurrences: bool = True) -> NDArray[np.uint32]:
    """What sets each row's noise apart, shape (N, 3): 64 bits of its values' hash, and its number among its equals.

    A function of a row, such as its q, is asked for without ``occurrences``: equal rows then have equal noise.

    >>> row_numbers(np.array([[1.0, 2.0], [3.0, 4.0], [1.0, 2.0]]))[:, 2]
    array([0, 0, 1], dtype=uint32)
    """
    hashes = _hashes(rows)
    count = _occurrences(hashes) if occurrences else np.zeros(len(rows), np.uint32)
    return np.concatenate([hashes.view(np.uint32).reshape(-1, 2), count[:, None]], axis=1)


def no_numbers(rows: NDArray[Any]) -> NDArray[np.uint32]:
    """What stands for them where nothing is drawn, for they take time: shape (N, 3)."""
    return np.broadcast_to(np.uint32(0), (len(rows), 3))


def _hashes(rows: NDArray[Any]) -> NDArray[np.uint64]:
    """64 bits for each row, of its values in double precision, so that they depend on no way of storing them."""
    step = max(1, HASHED_VALUES // rows[0].size)
    digests = []
    for start in range(0, len(rows), step):
        doubles = np.asarray(rows[start : start + step], np.float64) + 0.0  # + 0.0 makes −0 and 0 one
        digests += [blake2b(row, digest_size=8).digest() for row in np.ascontiguousarray(doubles)]
    return np.frombuffer(b"".join(digests), "<u8").astype(np.uint64)


def _occurrences(hashes: NDArray[np.uint64]) -> NDArray[np.uint32]:
    """How many equal ones went before each."""
    order = np.argsort(hashes, kind="stable")
    _, first, which = np.unique(hashes[order], return_index=True, return_inverse=True)
    count = np.empty(len(hashes), np.uint32)
    count[order] = np.arange(len(hashes)) - first[which]
    return count


@jax.jit
def row_keys(key: PRNGKeyArray, numbers: Array) -> PRNGKeyArray:
    """A key for each row, of its numbers (N, 3)."""

    def of_row(numbers: Array) -> PRNGKeyArray:
        low, high, occurrence = numbers
        return jax.random.fold_in(jax.random.fold_in(jax.random.fold_in(key, low), high), occurrence)

    return jax.vmap(of_row)(numbers)
