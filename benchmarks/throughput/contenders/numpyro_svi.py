"""NumPyro's SVI, an epoch in one ``fori_loop``."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from numpyro.infer import SVI, RenyiELBO, Trace_ELBO

from benchmarks.throughput.configurations import RATE, Configuration, by_hand
from benchmarks.throughput.contenders import Epoch
from benchmarks.throughput.contenders.jax_by_hand import along, start


def epoch(configuration: Configuration) -> Epoch:
    data, initial = jnp.asarray(by_hand(configuration)), start(configuration)
    batches, activation = configuration.rows // configuration.batch, configuration.activation

    def weights(name: str) -> list[tuple[Any, Any]]:
        return [
            (numpyro.param(f"{name}_w{i}", weight), numpyro.param(f"{name}_b{i}", bias))
            for i, (weight, bias) in enumerate(initial[name])
        ]

    def model(x: jax.Array) -> None:
        decoder = weights("decoder")
        with numpyro.plate("rows", configuration.batch):
            z = numpyro.sample("z", dist.Normal(jnp.zeros(configuration.latents), 1.0).to_event(1))
            numpyro.sample("x", dist.Bernoulli(logits=along(decoder, z, activation)).to_event(1), obs=x)

    def guide(x: jax.Array) -> None:
        loc, log_variance = jnp.split(along(weights("encoder"), x, activation), 2, axis=-1)
        with numpyro.plate("rows", configuration.batch):
            numpyro.sample("z", dist.Normal(loc, jnp.exp(0.5 * log_variance)).to_event(1))

    bound = Trace_ELBO() if configuration.draws == 1 else RenyiELBO(alpha=0.0, num_particles=configuration.draws)
    svi = SVI(model, guide, numpyro.optim.Adam(RATE), bound)

    @jax.jit
    def whole(state: Any, key: jax.Array) -> Any:
        order = jax.random.permutation(key, configuration.rows)

        def step(i: Any, carry: Any) -> Any:
            rows = jax.lax.dynamic_slice_in_dim(order, i * configuration.batch, configuration.batch)
            state, value = svi.update(carry[0], data[rows])
            return state, carry[1] + value

        return jax.lax.fori_loop(0, batches, step, (state, 0.0))

    state, number = svi.init(jax.random.key(1), data[: configuration.batch]), 0

    def run() -> float:
        nonlocal state, number
        state, total = whole(state, jax.random.fold_in(jax.random.key(2), number))
        number += 1
        return float(total) / configuration.rows

    return run
