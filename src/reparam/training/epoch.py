"""One epoch, compiled into one call."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray
from numpyro.distributions import Distribution

from reparam.data import Schema
from reparam.inference import AMORTIZED, Inference
from reparam.model import Model
from reparam.objectives import Objective
from reparam.training.adam import Moments
from reparam.training.metrics import Sums, batch_sums
from reparam.training.state import ADAM

CALIBRATION_ROWS = 4096
INFERENCE_NOISE = 1  # what sets the noise of the search for q apart from the objective's


@eqx.filter_jit
def train_epoch(
    model: Model,
    moments: Moments,
    rows: Array,
    key: PRNGKeyArray,
    learning_rate: Array,
    *,
    epoch: Array,
    objective: Objective,
    schema: Schema,
    batch_size: int,
    inference: Inference = AMORTIZED,
) -> tuple[Model, Moments, Sums]:
    """Visit every row once, in an order drawn from ``key``, one step of Adam per batch.

    Rows stay on the device as they are stored and become the model's values batch by batch. The last batch is filled
    up with rows of weight zero, so that one shape is compiled. ``epoch`` counts from 0: a warm-up reads the time by it.
    """
    order_key, noise_key = jax.random.split(key)
    batches, weights = padded_batches(random_order(order_key, rows.shape[0]), batch_size)
    trained, fixed = eqx.partition(model, eqx.is_inexact_array)

    def loss(trained: Any, x: Array, weight: Array, step: Array, key: PRNGKeyArray) -> tuple[Array, Sums]:
        model = eqx.combine(trained, fixed)
        q = find_posterior(inference, model, x, key)
        terms = objective.at(step, len(batches))(model, x, key, q=q, weight=weight)
        sums = batch_sums(terms, q, model.prior_distribution(), weight)
        return -(weight @ terms.surrogate) / sums.weight, sums

    def update(carry: tuple[Any, Moments], batch: tuple[Array, Array, Array, PRNGKeyArray]) -> tuple[Any, Sums]:
        trained, moments = carry
        indices, weight, step, key = batch
        x = schema.apply(rows[indices])  # (B, P)
        gradient, sums = jax.grad(loss, has_aux=True)(trained, x, weight, step, key)
        return ADAM.step(trained, gradient, moments, learning_rate), sums

    steps = epoch * len(batches) + jnp.arange(len(batches))
    keys = jax.random.split(noise_key, len(batches))
    (trained, moments), sums = jax.lax.scan(update, (trained, moments), (batches, weights, steps, keys))
    return eqx.combine(trained, fixed), moments, sums


@eqx.filter_jit
def evaluate_epoch(
    model: Model,
    rows: Array,
    key: PRNGKeyArray,
    *,
    objective: Objective,
    schema: Schema,
    batch_size: int,
    inference: Inference = AMORTIZED,
) -> Sums:
    """The objective's terms over every row once, without training; the same key gives the same noise."""
    batches, weights = padded_batches(jnp.arange(rows.shape[0]), batch_size)

    def step(carry: None, batch: tuple[Array, Array, PRNGKeyArray]) -> tuple[None, Sums]:
        indices, weight, key = batch
        x = schema.apply(rows[indices])
        q = find_posterior(inference, model, x, key)
        terms = objective(model, x, key, q=q, weight=weight)
        return None, batch_sums(terms, q, model.prior_distribution(), weight)

    return jax.lax.scan(step, None, (batches, weights, jax.random.split(key, len(batches))))[1]


@eqx.filter_jit
def calibrate(
    model: Model, rows: Array, key: PRNGKeyArray, *, schema: Schema, inference: Inference = AMORTIZED
) -> Model:
    """Set noise that has a maximum-likelihood value in closed form, by one draw of z for each of some thousand rows."""
    rows_key, noise_key = jax.random.split(key)
    x = schema.apply(rows[jax.random.permutation(rows_key, rows.shape[0])[:CALIBRATION_ROWS]])
    raw = model.decoder(find_posterior(inference, model, x, noise_key).sample(noise_key))
    calibrated: Model = eqx.tree_at(lambda m: m.likelihood, model, model.likelihood.refit(raw, x))
    return calibrated


def find_posterior(inference: Inference, model: Model, x: Array, key: PRNGKeyArray) -> Distribution:
    """q(z|x) of a batch x (B, P) as the method finds it."""
    keys = jax.random.split(jax.random.fold_in(key, INFERENCE_NOISE), len(x))
    return model.posterior.distribution(inference.find(model, x, keys).raw)


def random_order(key: PRNGKeyArray, count: int) -> Array:
    """A permutation by one sort of random 32-bit numbers; half the time of jax.random.permutation, of two sorts."""
    return jax.lax.sort_key_val(jax.random.bits(key, (count,)), jnp.arange(count, dtype=jnp.int32))[1]


def padded_batches(order: Array, batch_size: int) -> tuple[Array, Array]:
    """Row numbers and weights, both (batches, B): the last batch is filled up from the first rows, at weight 0."""
    count = order.shape[0]
    batches = -(-count // batch_size)
    positions = jnp.arange(batches * batch_size)
    indices = order[positions % count]
    weights = (positions < count).astype(jnp.float32)
    return indices.reshape(batches, batch_size), weights.reshape(batches, batch_size)
