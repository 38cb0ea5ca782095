"""Chance, held still: the audit's seed, its false-alarm rate, and the user's own random generators.

Few comparisons are random at all: noise handed over as ``eps`` is chosen so that its mean is 0 and its variance 1
exactly, and then every measurement is exact. What remains are samplers that draw their own noise. Their comparisons
share ``FALSE_ALARM_RATE`` by Bonferroni's inequality: P(any of n alarms) ≤ n · (rate / n).
"""

from __future__ import annotations

import itertools
import random
import sys
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import numpy as np
from scipy import special

SEED = 20140501
FALSE_ALARM_RATE = 1e-4
MAXIMUM_COMPARISONS = 100
LEVEL = FALSE_ALARM_RATE / MAXIMUM_COMPARISONS
"""The two-sided level of one random comparison."""

CRITICAL = float(-special.ndtri(LEVEL / 2))
"""How many standard errors a normal estimate may be off at that level: 4.89."""


@contextmanager
def fixed_noise(namespaces: Iterable[dict[str, Any]], seed: int = SEED) -> Iterator[None]:
    """Seed every generator that the user's code may draw from, and put each back as it was."""
    with ExitStack() as stack:
        stack.enter_context(_numpy_and_python(seed))
        stack.enter_context(_fresh_generators(seed))
        stack.enter_context(_torch(seed))
        stack.enter_context(_tensorflow(seed))
        for generator in _generators(namespaces):
            stack.enter_context(_generator(generator, seed))
        for held in _held(namespaces, seed):
            stack.enter_context(held)
        yield


@contextmanager
def _numpy_and_python(seed: int) -> Iterator[None]:
    numpy_state, python_state = np.random.get_state(), random.getstate()
    np.random.seed(seed)
    random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(numpy_state)
        random.setstate(python_state)


@contextmanager
def _fresh_generators(seed: int) -> Iterator[None]:
    """``np.random.default_rng()`` without a seed gets one."""
    original, count = np.random.default_rng, itertools.count(seed)

    def seeded(given: Any = None) -> np.random.Generator:
        return original(next(count) if given is None else given)

    setattr(np.random, "default_rng", seeded)  # noqa: B010 - the original has overloads
    try:
        yield
    finally:
        np.random.default_rng = original


@contextmanager
def _torch(seed: int) -> Iterator[None]:
    torch: Any = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "manual_seed"):
        yield
        return
    state = torch.get_rng_state()
    torch.manual_seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(state)


@contextmanager
def _tensorflow(seed: int) -> Iterator[None]:
    tensorflow: Any = sys.modules.get("tensorflow")
    eager: Any = sys.modules.get("tensorflow.python.eager.context")
    if eager is None or not hasattr(tensorflow, "random"):
        yield
        return
    state = eager.context()
    before, draws = state._seed, vars(state).get("_rng")  # TensorFlow has no public way to ask
    tensorflow.random.set_seed(seed)
    try:
        yield
    finally:
        state._set_global_seed(before)
        if draws is not None:
            state._rng = draws


def _generators(namespaces: Iterable[dict[str, Any]]) -> list[np.random.Generator]:
    found = [value for names in namespaces for value in names.values() if isinstance(value, np.random.Generator)]
    return list({id(generator): generator for generator in found}.values())


def _held(namespaces: Iterable[dict[str, Any]], seed: int) -> Iterator[AbstractContextManager[None]]:
    """Random states of Flax's and Keras's own that objects hold: set anew, they draw the same again."""
    for value in [value for names in namespaces for value in list(names.values())]:
        kind = type(value).__name__
        if kind == "Rngs":
            streams = [one for one in list(vars(value).values()) if type(one).__name__ == "RngStream"]
            yield from (_counter(stream.count) for stream in streams)
        elif kind == "SeedGenerator" and hasattr(value, "state"):
            yield _state(value.state, seed)
    keras: Any = sys.modules.get("keras.src.random.seed_generator")
    if keras is not None:
        yield _state(keras.global_seed_generator().state, seed)


@contextmanager
def _state(variable: Any, seed: int) -> Iterator[None]:
    before = np.array(variable.numpy())
    variable.assign(np.array([0, seed], dtype="uint32"))
    try:
        yield
    finally:
        variable.assign(before)


@contextmanager
def _counter(count: Any) -> Iterator[None]:
    """A stream has a key of its own, and counts what was drawn."""
    before = count.value
    count.value = before * 0
    try:
        yield
    finally:
        count.value = before


@contextmanager
def _generator(generator: np.random.Generator, seed: int) -> Iterator[None]:
    bits = generator.bit_generator
    state = bits.state
    bits.state = type(bits)(seed).state
    try:
        yield
    finally:
        bits.state = state
