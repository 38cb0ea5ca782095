"""Maximise a noisy function of each row's own parameters: Adam, with an end that each row reaches by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, PRNGKeyArray

DIRECTION = optax.scale_by_adam(b2=0.99)

Value = Callable[[Any, Any, PRNGKeyArray, int], Array]
"""(parameters of one row, its datum, key, draws) → an unbiased estimate, shape ()."""


@dataclass(frozen=True)
class Search:
    """How far and how finely to search.

    Args:
        learning_rate: the first step size of Adam, in the units of the parameters.
        samples: draws per step.
        judge_samples: draws, the same throughout, by which the progress of a row is judged.
        window: steps between judgements; what is judged is the mean of the parameters over its latter half.
        halvings: windows without progress before a row has converged; each halves its step size.
        tolerance: gain per window that counts as progress, nats.
        max_steps: the end for rows that do not converge.
    """

    learning_rate: float = 0.03
    samples: int = 8
    judge_samples: int = 64
    window: int = 50
    halvings: int = 5
    tolerance: float = 0.005
    max_steps: int = 4000


class Maximum(NamedTuple):
    """Where the search ended for each of B rows."""

    parameters: Any  # the best that were judged, the start among them, a PyTree of arrays (B, ...)
    value: Array  # (B,) their judged values
    converged: Array  # (B,)


class Climber(NamedTuple):
    """The parameters of a row, Adam's moments, and the mean of the parameters over the latter half of a window."""

    parameters: Any
    moments: Any
    mean: Any


class Visit(NamedTuple):
    """What a window of one row needs."""

    datum: Any
    key: PRNGKeyArray
    rate: Array


class Position(NamedTuple):
    """Where each of B rows stands; every leaf has the leading axis B."""

    climber: Climber
    best: Any
    best_value: Array
    halvings: Array


def maximize(value: Value, parameters: Any, data: Any, keys: PRNGKeyArray, search: Search) -> Maximum:
    """Maximise ``value`` for each row on its own; a row stops by itself, and the call ends with the last.

    Args:
        value: what to maximise, by draws.
        parameters: where to start, a PyTree of arrays (B, ...).
        data: a PyTree of arrays (B, ...), such as a batch.
        keys: B keys.
        search: how far and how finely.
    """
    judge_keys = jax.vmap(lambda key: jax.random.fold_in(key, 0))(keys)
    judged = jax.vmap(lambda parameters, datum, key: value(parameters, datum, key, search.judge_samples))

    def unfinished(carry: tuple[Array, Position]) -> Array:
        done, position = carry
        return (done * search.window < search.max_steps) & jnp.any(position.halvings < search.halvings)

    def window(carry: tuple[Array, Position]) -> tuple[Array, Position]:
        done, position = carry
        step_keys = jax.vmap(lambda key: jax.random.fold_in(key, done + 1))(keys)
        rate = search.learning_rate * 0.5**position.halvings
        climber = jax.vmap(partial(_climb, value, search))(position.climber, Visit(data, step_keys, rate))
        after = _judge(position, climber, judged(climber.mean, data, judge_keys), search.tolerance)
        resting = position.halvings >= search.halvings
        return done + 1, jax.tree.map(lambda old, new: _choose(resting, old, new), position, after)

    climber = Climber(parameters, jax.vmap(DIRECTION.init)(parameters), parameters)
    start = Position(climber, parameters, judged(parameters, data, judge_keys), jnp.zeros(len(keys), jnp.int32))
    _, end = jax.lax.while_loop(unfinished, window, (jnp.int32(0), start))
    return Maximum(end.best, end.best_value, end.halvings >= search.halvings)


def _climb(value: Value, search: Search, start: Climber, visit: Visit) -> Climber:
    """One window of one row."""
    datum, key, rate = visit
    descent = jax.grad(lambda parameters, key: -value(parameters, datum, key, search.samples))
    counted = search.window - search.window // 2

    def step(at: Climber, index: Array) -> tuple[Climber, None]:
        direction, moments = DIRECTION.update(descent(at.parameters, jax.random.fold_in(key, index)), at.moments)
        parameters = jax.tree.map(lambda a, d: (a - rate * d).astype(a.dtype), at.parameters, direction)
        share = jnp.where(index >= search.window - counted, 1.0 / counted, 0.0)
        mean = jax.tree.map(lambda m, a: (m + share * a).astype(m.dtype), at.mean, parameters)
        return Climber(parameters, moments, mean), None

    fresh = start._replace(mean=jax.tree.map(jnp.zeros_like, start.mean))
    return jax.lax.scan(step, fresh, jnp.arange(search.window))[0]


def _judge(position: Position, climber: Climber, value: Array, tolerance: float) -> Position:
    """Keep what is better; where the gain is less than ``tolerance``, halve the step size."""
    better = value > position.best_value
    stalled = ~(value > position.best_value + tolerance)
    return Position(
        climber=climber,
        best=jax.tree.map(lambda old, new: _choose(better, new, old), position.best, climber.mean),
        best_value=jnp.where(better, value, position.best_value),
        halvings=position.halvings + stalled,
    )


def _choose(rows: Array, chosen: Array, other: Array) -> Array:
    """``chosen`` where ``rows`` (B,) is true, else ``other``, both (B, ...)."""
    return jnp.where(rows.reshape(-1, *(1,) * (chosen.ndim - 1)), chosen, other)
