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

ADAM = optax.scale_by_adam(b2=0.99)

Value = Callable[[Any, Array, PRNGKeyArray, int], Array]
"""(parameters of one row, x (P,), key, draws) → an unbiased estimate, shape ()."""


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


class Position(NamedTuple):
    """Where each of B rows stands; every leaf has the leading axis B."""

    parameters: Any
    moments: Any
    best: Any
    best_value: Array
    halvings: Array


def maximize(value: Value, parameters: Any, x: Array, keys: PRNGKeyArray, search: Search) -> tuple[Any, Array, Array]:
    """Maximise ``value`` for each row on its own; a row stops by itself, and the call ends with the last.

    Args:
        value: what to maximise, by draws.
        parameters: where to start, a PyTree of arrays (B, ...).
        x: data, (B, P).
        keys: B keys.
        search: how far and how finely.

    Returns:
        The best parameters that were judged (the start among them), their judged values (B,), and whether each row
        converged, (B,).
    """
    judge_keys = jax.vmap(lambda key: jax.random.fold_in(key, 0))(keys)
    judged = jax.vmap(lambda parameters, x, key: value(parameters, x, key, search.judge_samples))

    def unfinished(carry: tuple[Array, Position]) -> Array:
        done, position = carry
        return (done * search.window < search.max_steps) & jnp.any(position.halvings < search.halvings)

    def window(carry: tuple[Array, Position]) -> tuple[Array, Position]:
        done, position = carry
        step_keys = jax.vmap(lambda key: jax.random.fold_in(key, done + 1))(keys)
        rate = search.learning_rate * 0.5**position.halvings
        parameters, moments, mean = jax.vmap(partial(_climb, value, search))(
            (position.parameters, position.moments), (x, step_keys, rate)
        )
        moved = position._replace(parameters=parameters, moments=moments)
        after = _judge(moved, mean, judged(mean, x, judge_keys), search.tolerance)
        resting = position.halvings >= search.halvings
        return done + 1, jax.tree.map(lambda old, new: _choose(resting, old, new), position, after)

    start = Position(
        parameters=parameters,
        moments=jax.vmap(ADAM.init)(parameters),
        best=parameters,
        best_value=judged(parameters, x, judge_keys),
        halvings=jnp.zeros(len(x), jnp.int32),
    )
    _, end = jax.lax.while_loop(unfinished, window, (jnp.int32(0), start))
    return end.best, end.best_value, end.halvings >= search.halvings


def _climb(
    value: Value, search: Search, where: tuple[Any, Any], how: tuple[Array, PRNGKeyArray, Array]
) -> tuple[Any, Any, Any]:
    """One window of one row: the parameters, Adam's moments, and the mean of the parameters over the latter half."""
    (parameters, moments), (x, key, rate) = where, how
    ascent = jax.grad(lambda parameters, key: -value(parameters, x, key, search.samples))
    counted = search.window - search.window // 2

    def step(carry: tuple[Any, Any, Any], index: Array) -> tuple[tuple[Any, Any, Any], None]:
        parameters, moments, mean = carry
        direction, moments = ADAM.update(ascent(parameters, jax.random.fold_in(key, index)), moments)
        parameters = jax.tree.map(lambda a, d: a - rate * d, parameters, direction)
        share = jnp.where(index >= search.window - counted, 1.0 / counted, 0.0)
        return (parameters, moments, jax.tree.map(lambda m, a: m + share * a, mean, parameters)), None

    start = (parameters, moments, jax.tree.map(jnp.zeros_like, parameters))
    end, _ = jax.lax.scan(step, start, jnp.arange(search.window))
    return end


def _judge(position: Position, mean: Any, value: Array, tolerance: float) -> Position:
    """Keep what is better; where the gain is less than ``tolerance``, halve the step size."""
    better = value > position.best_value
    stalled = ~(value > position.best_value + tolerance)
    return position._replace(
        best=jax.tree.map(lambda old, new: _choose(better, new, old), position.best, mean),
        best_value=jnp.where(better, value, position.best_value),
        halvings=position.halvings + stalled,
    )


def _choose(rows: Array, chosen: Array, other: Array) -> Array:
    """``chosen`` where ``rows`` (B,) is true, else ``other``, both (B, ...)."""
    return jnp.where(rows.reshape(-1, *(1,) * (chosen.ndim - 1)), chosen, other)
