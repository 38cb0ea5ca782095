"""What a model will need, from the shapes of its arrays alone, held against the memory that is there."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import jax

from reparam.data import Schema
from reparam.errors import ParameterError
from reparam.estimator.beginning import state_like
from reparam.estimator.configuration import Configuration
from reparam.networks import NamedNetwork, Perceptron

KEPT_PER_ACTIVATION = 3  # a layer's values, their activations, and their gradient
MOST_RAW = 256  # numbers of a decoder per feature, of an encoder per latent
LARGE = 2**62
GIB = 2**30


def check_memory(configuration: Configuration, schema: Schema, likelihood: Any, rows: int) -> None:
    """Refuse a model whose training cannot fit, before anything of it is allocated.

    Raises:
        ParameterError: the estimate exceeds the memory that is free.
    """
    there, folds = free_memory(), configuration.folds(rows)
    copies = 1 if folds is None else folds.copies
    objective = configuration.objective_part()
    draws = getattr(objective, "draws", getattr(objective, "samples", 1))
    if there is None or _at_most(configuration, schema.size, draws, copies) < there:
        return  # which spares a small model the shapes of a large one
    owned = {"local.raw": (rows,)} if folds is None else {"judged.first": folds.held_out.shape}
    state = state_like(configuration, schema, likelihood, owned, copies=copies, linear=configuration.start == "linear")
    weights = _bytes(state) + _bytes(state.model)  # and a gradient
    model = state.best_model
    raw = model.posterior.raw_size + draws * (model.posterior.latent_dim + model.likelihood.raw_size)
    drawn = draws * _held((model.posterior, model.prior, model.decoder))
    widths = schema.size + _held(model.encoder) + drawn + raw
    batch = min(configuration.batch_size, max(rows, 1))
    values = KEPT_PER_ACTIVATION * jax.dtypes.canonicalize_dtype(float).itemsize * batch * widths * copies
    if weights + values > there:
        needed, wanted, free = (f"{number / GIB:,.1f} GiB" for number in (weights, values, there))
        raise ParameterError(
            f"the model needs about {needed} for weights and their optimiser, and {wanted} for a batch of {batch:,}; "
            f"{free} are free. Choose a smaller latent_dim, network, batch_size or number of draws."
        )


def check_room(what: str, *shape: int) -> None:
    """Refuse an answer that cannot be held, before any of it is computed.

    Args:
        what: it is called in the error.
        shape: of it, in double precision.

    Raises:
        ParameterError: it exceeds the memory that is free.
    """
    needed, there = 8 * math.prod(shape), free_memory()
    if there is not None and needed > there:
        sizes = " × ".join(f"{length:,}" for length in shape)
        raise ParameterError(
            f"{what} ({sizes} numbers) need about {needed / GIB:,.1f} GiB; {there / GIB:,.1f} GiB are free. Ask for "
            "fewer at a time."
        )


def _at_most(configuration: Configuration, size: int, draws: int, copies: int) -> int:
    """More bytes than any model of these widths needs for weights, two moments and a gradient, and for a batch."""
    parts = (configuration.posterior, configuration.prior, configuration.likelihood)
    plain = all(isinstance(part, str) and ":" not in part for part in parts)  # arguments may be of any size
    named = configuration.encoder is None and configuration.decoder is None
    simple = plain and named and len(configuration.layers) == 1
    if not (simple and isinstance(configuration.architecture(), Perceptron)):
        return LARGE
    latents = configuration.latents
    widths = MOST_RAW * size + 2 * sum(map(int, configuration.widths)) + (latents + 1) ** 2 + MOST_RAW * latents
    return (
        4
        * jax.dtypes.canonicalize_dtype(float).itemsize
        * copies
        * widths
        * (widths + configuration.batch_size * (1 + draws))
    )


def _held(network: Any) -> int:
    """Values that networks of ours make of a row on the way; one's own are not known."""
    parts = jax.tree.leaves(network, is_leaf=lambda part: isinstance(part, NamedNetwork))
    return sum(part.held for part in parts if isinstance(part, NamedNetwork))


def free_memory() -> int | None:
    """Bytes that a program may still take, or None where nobody says; of an accelerator its own."""
    found = [limit for limit in (_of_device(), _of_system(), _of_container()) if limit is not None]
    return min(found, default=None)


def _bytes(tree: Any) -> int:
    arrays = [leaf for leaf in jax.tree.leaves(tree) if isinstance(leaf, jax.ShapeDtypeStruct)]
    return sum(math.prod(array.shape) * getattr(array.dtype, "itemsize", 4) for array in arrays)


def _of_device() -> int | None:
    statistics = jax.local_devices()[0].memory_stats() or {}
    limit = statistics.get("bytes_limit")
    return None if limit is None else int(limit) - int(statistics.get("bytes_in_use", 0))


def _of_system() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError):
        return None


def _of_container() -> int | None:
    try:
        limit, used = (Path(f"/sys/fs/cgroup/memory.{name}").read_text() for name in ("max", "current"))
        return int(limit) - int(used)
    except (OSError, ValueError):  # no limit is the word "max"
        return None
