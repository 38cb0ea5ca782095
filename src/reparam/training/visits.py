"""How q of the rows that are trained on is found: by what is trained, or by parameters that each row owns.

A row's own q, and the moments of its own optimiser, are touched only when the row is visited. Rows held out have a q
too, which follows the weights; the weights never see them.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, PRNGKeyArray

from reparam.batch import Batch
from reparam.inference import Inference, MeanField
from reparam.model import Model
from reparam.objectives import Objective

OWN_OPTIMIZER = optax.adam(1.0)
INFERENCE_NOISE = 1  # what sets the noise of the search for q apart from the objective's


class Local(NamedTuple):
    """q of each row, addressed by its number, and the moments of its own optimiser; every leaf has N rows."""

    raw: Array  # (N, R)
    moments: Any


class Visited(NamedTuple):
    """A batch and the numbers of its rows."""

    indices: Array  # (B,)
    batch: Batch


class Visit(eqx.Module):
    """What is done about q when a batch is visited; concrete ones are final."""

    @abstractmethod
    def start(self, model: Model, count: int) -> Local | None:
        """What ``count`` rows own before they are visited."""

    @abstractmethod
    def improve(self, model: Model, local: Any, rows: Visited, key: PRNGKeyArray, objective: Objective) -> Any:
        """What the rows own after steps on the q of this batch."""

    @abstractmethod
    def raw(self, model: Model, local: Any, rows: Visited, key: PRNGKeyArray) -> Array:
        """The raw vectors of q of the batch, (B, R), through which the model may be differentiated."""


class Shared(Visit):
    """q by an encoder, alone or refined: rows own nothing."""

    inference: Inference

    def start(self, model: Model, count: int) -> None:
        """Nothing."""

    def improve(self, model: Model, local: None, rows: Visited, key: PRNGKeyArray, objective: Objective) -> None:
        """Nothing."""

    def raw(self, model: Model, local: None, rows: Visited, key: PRNGKeyArray) -> Array:
        """As the method finds it, each row by a key of its own."""
        keys = jax.random.split(jax.random.fold_in(key, INFERENCE_NOISE), len(rows.batch))
        return self.inference.find(model, rows.batch, keys).raw


class Owned(Visit):
    """A free q for each row, moved by ``e_steps`` steps at each visit (Hoffman et al. 2013)."""

    inference: MeanField

    def start(self, model: Model, count: int) -> Local:
        """Every q is N(0, I), or the nearest to it in the family."""
        raw = jnp.tile(model.posterior.initial_raw(), (count, 1))
        return Local(raw, jax.vmap(OWN_OPTIMIZER.init)(raw))

    def improve(self, model: Model, local: Local, rows: Visited, key: PRNGKeyArray, objective: Objective) -> Local:
        """Steps on the q of the batch's rows; those of weight 0, and all others, stay as they are."""
        indices, batch = rows
        weight = batch.weights

        def loss(raw: Array, key: PRNGKeyArray) -> Array:
            terms = objective(model, batch, key, q=model.family.distribution(raw))
            return -jnp.sum(weight * terms.surrogate)

        def step(visited: Local, key: PRNGKeyArray) -> tuple[Local, None]:
            gradient = jax.grad(loss)(visited.raw, key)
            updates, moments = jax.vmap(OWN_OPTIMIZER.update)(gradient, visited.moments)
            return Local(visited.raw + self.inference.learning_rate * updates, moments), None

        visited = jax.tree.map(lambda leaf: leaf[indices], local)
        moved, _ = jax.lax.scan(step, visited, jax.random.split(key, self.inference.e_steps))
        kept = jnp.where(weight > 0, indices, len(local.raw))  # out of bounds: dropped
        stored: Local = jax.tree.map(lambda leaf, new: leaf.at[kept].set(new, mode="drop"), local, moved)
        return stored

    def raw(self, model: Model, local: Local, rows: Visited, key: PRNGKeyArray) -> Array:
        """Those that the rows own."""
        return local.raw[rows.indices]


def visit_by(inference: Inference) -> Visit:
    """How rows are visited by a way of inference."""
    return Owned(inference) if isinstance(inference, MeanField) else Shared(inference)
