r"""Bounds on ln p(x) of given rows: the ELBO in its parts, and the K-sample bound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp
from jaxtyping import Array, PRNGKeyArray
from numpy.typing import NDArray

from reparam.data import Schema
from reparam.evaluation.latents import posterior_moments
from reparam.evaluation.rows import map_rows, row_keys
from reparam.model import Model
from reparam.objectives import ELBO, kl_per_dimension
from reparam.probability.reparameterization import draw_noise, reparameterize_with_log_prob
from reparam.training.metrics import ACTIVE_VARIANCE

SAMPLE_CHUNK = 50


@dataclass(frozen=True)
class Evaluation:
    """Means over rows, in nats per datum; ``standard_error`` is that of ``bound``'s mean over the rows."""

    rows: int
    elbo: float
    reconstruction: float
    kl: float
    kl_per_dimension: tuple[float, ...] | None
    bound: float
    samples: int
    standard_error: float
    active_units: int
    units: str

    def to_json(self) -> dict[str, Any]:
        """The fields as plain values."""
        return {**vars(self), "kl_per_dimension": self.kl_per_dimension and list(self.kl_per_dimension)}


def evaluate(model: Model, rows: NDArray[Any], schema: Schema, key: PRNGKeyArray, samples: int = 100) -> Evaluation:
    """Measure a model on rows.

    The ELBO uses ``samples`` draws for the reconstruction and the exact divergence where one is known; ``bound`` is
    :func:`importance_bound` with the same number.

    Args:
        model: what is measured.
        rows: data as stored, shape (N, P).
        schema: how stored rows become the model's values; its units are the units of every density.
        key: the noise.
        samples: K.
    """
    elbo_key, bound_key, moments_key = jax.random.split(key, 3)
    parts = map_rows(lambda chunk: _elbo_parts(model, chunk, elbo_key, schema, samples), rows)
    bound = importance_bound(model, rows, schema, bound_key, samples)
    means, _ = posterior_moments(model, rows, schema, moments_key)
    per_dimension = parts["kl_per_dimension"].mean(axis=0, dtype=np.float64)
    return Evaluation(
        rows=len(rows),
        elbo=_mean(parts["bound"]),
        reconstruction=_mean(parts["reconstruction"]),
        kl=_mean(parts["kl"]),
        kl_per_dimension=tuple(per_dimension.tolist()) or None,
        bound=_mean(bound),
        samples=samples,
        standard_error=float(np.std(bound, ddof=1, dtype=np.float64) / np.sqrt(len(bound))) if len(bound) > 1 else 0.0,
        active_units=int(np.sum(np.var(means, axis=0, dtype=np.float64) > ACTIVE_VARIANCE)),
        units=schema.units,
    )


def importance_bound(
    model: Model, rows: NDArray[Any], schema: Schema, key: PRNGKeyArray, samples: int = 100
) -> NDArray[np.float32]:
    r"""The K-sample bound of each row, :math:`\ln \frac1K \sum_k p(x, z_k)/q(z_k|x)`, which rises to ln p(x) with K.

    Returns:
        Nats, shape (N,).

    Source: Burda, Grosse & Salakhutdinov (2016), Equation 8.
    """
    chunk = max(1, min(256, 2**24 // (SAMPLE_CHUNK * schema.size)))
    return np.asarray(map_rows(lambda part: _log_mean_weight(model, part, key, schema, samples), rows, chunk))


@eqx.filter_jit
def _elbo_parts(model: Model, rows: Array, key: PRNGKeyArray, schema: Schema, samples: int) -> dict[str, Array]:
    x = schema.apply(rows)
    p = model.prior_distribution()

    def parts(total: dict[str, Array], index: Array) -> tuple[dict[str, Array], None]:
        keys = row_keys(jax.random.fold_in(key, index), x)
        terms = jax.vmap(lambda row, key: ELBO()(model, row[None], key))(x, keys)
        drawn = {"bound": terms.bound[:, 0], "reconstruction": terms.reconstruction[:, 0], "kl": terms.kl[:, 0]}
        return jax.tree.map(lambda a, b: a + b / samples, total, drawn), None

    zeros = jnp.zeros(len(rows))
    start = {"bound": zeros, "reconstruction": zeros, "kl": zeros}
    total, _ = jax.lax.scan(parts, start, jnp.arange(samples))
    per_dimension = kl_per_dimension(model.encode(x), p)
    return {**total, "kl_per_dimension": jnp.zeros((len(rows), 0)) if per_dimension is None else per_dimension}


@eqx.filter_jit
def _log_mean_weight(model: Model, rows: Array, key: PRNGKeyArray, schema: Schema, samples: int) -> Array:
    """Draw after draw in chunks, so that memory does not grow with K."""
    x = schema.apply(rows)
    chunk = min(samples, SAMPLE_CHUNK)
    chunks = -(-samples // chunk)

    def accumulate(total: Array, index: Array) -> tuple[Array, None]:
        log_weight = log_weights(model, x, row_keys(jax.random.fold_in(key, index), x), chunk)  # (N, chunk)
        kept = index * chunk + jnp.arange(chunk) < samples
        return jnp.logaddexp(total, logsumexp(jnp.where(kept, log_weight, -jnp.inf), axis=-1)), None

    total, _ = jax.lax.scan(accumulate, jnp.full(len(rows), -jnp.inf), jnp.arange(chunks))
    return total - jnp.log(samples)


def log_weights(model: Model, x: Array, keys: PRNGKeyArray, samples: int) -> Array:
    """Ln p(x, z) − ln q(z|x) for draws of each row: x (N, P) and N keys → (N, samples), nats."""
    p = model.prior_distribution()

    def of_row(x: Array, key: PRNGKeyArray) -> Array:
        q = model.encode(x)
        z, log_q = reparameterize_with_log_prob(q, draw_noise(q, key, (samples,)))
        return jnp.asarray(model.decode(z).log_prob(x) + p.log_prob(z) - log_q)

    return jax.vmap(of_row)(x, keys)


def _mean(values: NDArray[Any]) -> float:
    return float(np.mean(values, dtype=np.float64))
