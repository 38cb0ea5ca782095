"""What a careful person writes in JAX: one jitted scan per epoch, data on the device, optax."""

from __future__ import annotations

import itertools
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.scipy.special import logsumexp

from benchmarks.throughput.configurations import (
    BITS,
    LEVELS,
    RATE,
    REAL,
    SEMI_AMORTIZED_DRAWS,
    SEMI_AMORTIZED_RATE,
    SEMI_AMORTIZED_STEPS,
    Configuration,
    by_hand,
)
from benchmarks.throughput.contenders import Epoch

LN_2PI = 1.8378770664093453


def epoch(configuration: Configuration) -> Epoch:
    data = jnp.asarray(by_hand(configuration))
    position: Any = start(configuration)
    optimizer, number = optax.adam(RATE), 0
    moments = optimizer.init(position)
    batches = configuration.rows // configuration.batch

    @jax.jit
    def whole(parameters: Any, moments: Any, key: jax.Array) -> Any:
        order_key, noise_key = jax.random.split(key)
        order = jax.random.permutation(order_key, configuration.rows).reshape(batches, configuration.batch)

        def step(carry: Any, this: Any) -> Any:
            parameters, moments = carry
            rows, key = this
            value, gradient = jax.value_and_grad(partial(loss, configuration))(parameters, data[rows], key)
            updates, moments = optimizer.update(gradient, moments, parameters)
            return (optax.apply_updates(parameters, updates), moments), value

        (parameters, moments), losses = jax.lax.scan(
            step, (parameters, moments), (order, jax.random.split(noise_key, batches))
        )
        return parameters, moments, jnp.mean(losses)

    def run() -> float:
        nonlocal position, moments, number
        position, moments, value = whole(position, moments, jax.random.fold_in(jax.random.key(2), number))
        number += 1
        return float(value)

    return run


def layers(key: jax.Array, sizes: tuple[int, ...]) -> list[tuple[jax.Array, jax.Array]]:
    glorot, keys = jax.nn.initializers.glorot_uniform(), jax.random.split(key, len(sizes) - 1)
    return [(glorot(k, s), jnp.zeros(s[1])) for k, s in zip(keys, itertools.pairwise(sizes), strict=True)]


def start(configuration: Configuration) -> dict[str, Any]:
    one, other = jax.random.split(jax.random.key(0))
    encoder = layers(one, (configuration.entering, *configuration.hidden, configuration.raw_size))
    decoder = layers(other, (configuration.latents, *configuration.hidden[::-1], configuration.leaving))
    return {"encoder": encoder, "decoder": decoder, "log_noise": jnp.zeros(REAL)}


def along(weights: list[tuple[jax.Array, jax.Array]], x: jax.Array, activation: str) -> jax.Array:
    for weight, bias in weights[:-1]:
        x = getattr(jax.nn, activation)(x @ weight + bias)
    return x @ weights[-1][0] + weights[-1][1]


def drawn(configuration: Configuration, raw: jax.Array, eps: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """z (..., B, K), KL (B,) and ln q(z|x) (..., B)."""
    loc, rest = raw[..., : configuration.latents], raw[..., configuration.latents :]
    square = jnp.sum(eps**2, -1)
    if configuration.posterior == "full":
        size = configuration.latents
        matrix = jnp.eye(size) + rest.reshape(*rest.shape[:-1], size, size)
        log_det = jnp.linalg.slogdet(matrix)[1]
        kl = 0.5 * (jnp.sum(matrix**2, (-2, -1)) + jnp.sum(loc**2, -1) - size - 2 * log_det)
        z = loc + jnp.einsum("bij,...bj->...bi", matrix, eps)
        return z, kl, -0.5 * (square + size * LN_2PI) - log_det
    kl = 0.5 * jnp.sum(jnp.exp(rest) - 1.0 - rest + loc**2, -1)
    return loc + jnp.exp(0.5 * rest) * eps, kl, -0.5 * jnp.sum(eps**2 + rest + LN_2PI, -1)


def log_likelihood(configuration: Configuration, log_noise: jax.Array, x: jax.Array, out: jax.Array) -> jax.Array:
    if configuration.kind != "table":
        return jnp.sum(x * out - jax.nn.softplus(out), -1)
    error = (x[..., :REAL] - out[..., :REAL]) * jnp.exp(-log_noise)
    found = -0.5 * jnp.sum(error**2 + 2 * log_noise + LN_2PI, -1)
    yes, logits = x[..., REAL : REAL + BITS], out[..., REAL : REAL + BITS]
    found += jnp.sum(yes * logits - jax.nn.softplus(logits), -1)
    place = REAL + BITS
    for count in LEVELS:
        level = slice(place, place + count)
        found += jnp.sum(x[..., level] * out[..., level], -1) - logsumexp(out[..., level], -1)
        place += count
    return found


def elbo(configuration: Configuration, parameters: Any, raw: jax.Array, x: jax.Array, eps: jax.Array) -> jax.Array:
    z, kl, _ = drawn(configuration, raw, eps)
    out = along(parameters["decoder"], z, configuration.activation)
    return log_likelihood(configuration, parameters["log_noise"], x, out) - kl


def loss(configuration: Configuration, parameters: Any, x: jax.Array, key: jax.Array) -> jax.Array:
    raw = along(parameters["encoder"], x, configuration.activation)
    shape = (len(x), configuration.latents)
    if configuration.refined:
        raw = refined(configuration, parameters, raw, x, key)
    if configuration.draws == 1:
        return -jnp.mean(elbo(configuration, parameters, raw, x, jax.random.normal(key, shape)))
    z, _, log_q = drawn(configuration, raw, jax.random.normal(key, (configuration.draws, *shape)))
    out = along(parameters["decoder"], z, configuration.activation)
    log_p = log_likelihood(configuration, parameters["log_noise"], x, out)
    log_weights = log_p - 0.5 * jnp.sum(z**2 + LN_2PI, -1) - log_q
    return jnp.log(configuration.draws) - jnp.mean(logsumexp(log_weights, 0))


def refined(configuration: Configuration, parameters: Any, raw: jax.Array, x: jax.Array, key: jax.Array) -> jax.Array:
    """Some steps up the ELBO of each row, that count as constants."""

    def total(moved: jax.Array, key: jax.Array) -> jax.Array:
        eps = jax.random.normal(key, (SEMI_AMORTIZED_DRAWS, len(x), configuration.latents))
        return jnp.sum(jnp.mean(elbo(configuration, parameters, moved, x, eps), 0))

    moved, square = raw, jnp.zeros_like(raw)
    for step in range(SEMI_AMORTIZED_STEPS):
        gradient = jax.grad(total)(moved, jax.random.fold_in(key, step))
        square += gradient**2
        moved += SEMI_AMORTIZED_RATE * gradient * jax.lax.rsqrt(square / (step + 1) + 1e-8)
    return raw + jax.lax.stop_gradient(moved - raw)
