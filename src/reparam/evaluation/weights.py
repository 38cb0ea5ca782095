r"""Importance weights ln p(x, z) − ln q(z|x) of draws from q, and the K-sample bound that they make."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Iterator
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp
from jaxtyping import Array, PRNGKeyArray
from numpy.typing import NDArray

from reparam.batch import Batch
from reparam.data import Schema
from reparam.evaluation.rows import Progress, map_rows, row_keys, row_numbers, rows_of_draws
from reparam.model import Model
from reparam.objectives import kl_per_dimension
from reparam.probability.conditional import conditional_kl
from reparam.probability.divergences import has_closed_form, kl_divergence
from reparam.probability.reparameterization import draw_noise, reparameterize_with_log_prob

SAMPLE_CHUNK = 250
KEPT_WEIGHTS = 2**24
GRID_FACTORS = (5, 2)


class BoundAt(NamedTuple):
    """The mean over rows of the k-sample bound, nats per datum."""

    samples: int
    bound: float


Growth = tuple[BoundAt, ...]


class RowBounds(NamedTuple):
    """What K draws say of each of N rows, in nats; densities are those of the schema's units."""

    bound: Any  # (N,) the K-sample bound
    reconstruction: Any  # (N,) E_q ln p(x|z)
    kl: Any  # (N,) KL(q‖p), exact where a closed form exists
    kl_per_dimension: Any  # (N, K) each latent's part of it, or (N, 0) where it has none
    effective_samples: Any  # (N,) (Σw)² / Σw², between 1 and K
    growth: Any  # (N, len(sample_counts(K))) the k-sample bound at growing k

    @property
    def elbo(self) -> Any:
        """Reconstruction − KL, (N,)."""
        return self.reconstruction - self.kl

    def in_units(self, log_volume: NDArray[np.float64] | float) -> RowBounds:
        """The same of densities in units in which a datum takes e^log_volume times the room; one for all or (N,)."""
        names = ("bound", "reconstruction", "growth")
        return self._replace(**{name: less(getattr(self, name), log_volume) for name in names})


def row_bounds(
    model: Model,
    rows: NDArray[Any],
    schema: Schema,
    key: PRNGKeyArray,
    samples: int,
    *,
    raw: NDArray[Any] | Array,
    report: Progress | None = None,
) -> RowBounds:
    """Bounds on ln p(x) of each row from one set of draws, chunked: memory grows neither with N nor with the data.

    A row's K weights are held at once, and for some ten million rows × K together.

    Args:
        model: p(x, z) and the family of q.
        rows: as stored, shape (N, P).
        schema: how stored rows become the model's values.
        key: the noise; each row has its own.
        samples: K.
        raw: q of each row, shape (N, R).
        report: called with the rows done and N.
    """
    width = -(-samples // -(-samples // SAMPLE_CHUNK))
    chunk = max(1, min(rows_of_draws(model, width), KEPT_WEIGHTS // samples))

    def bounds(rows: Array, raw: Array, numbers: Array) -> RowBounds:
        return _row_bounds(model, rows, raw, row_keys(key, numbers), schema=schema, samples=samples, width=width)

    done: RowBounds = map_rows(bounds, rows, raw, row_numbers(rows), chunk=chunk, report=report)
    return done.in_units(schema.log_volume_of(rows))


def less(log_density: NDArray[Any], log_volume: NDArray[np.float64] | float) -> NDArray[Any]:
    """Log densities (N, ...) less the log-volume of each row, one for all or (N,), in their own precision."""
    if isinstance(log_volume, float):
        return log_density - log_volume
    lifted = log_volume.reshape(-1, *(1,) * (log_density.ndim - 1))
    return np.asarray(log_density - lifted, log_density.dtype)


def importance_bound(
    model: Model,
    rows: NDArray[Any],
    schema: Schema,
    key: PRNGKeyArray,
    samples: int = 100,
    *,
    raw: NDArray[Any] | None = None,
    report: Progress | None = None,
) -> NDArray[Any]:
    r"""The K-sample bound of each row, :math:`\ln \frac1K \sum_k p(x, z_k)/q(z_k|x)`, which rises to ln p(x) with K.

    Args:
        model: p(x, z) and q.
        rows: as stored, shape (N, P).
        schema: how stored rows become the model's values.
        key: the noise.
        samples: K.
        raw: q of each row, shape (N, R); by default the encoder's.
        report: called with the rows done and N.

    Returns:
        Nats, shape (N,).

    Source: Burda, Grosse & Salakhutdinov (2016), Equation 8.
    """
    raw = encoded(model, rows, schema) if raw is None else raw
    return np.asarray(row_bounds(model, rows, schema, key, samples, raw=raw, report=report).bound)


def encoded(model: Model, rows: NDArray[Any], schema: Schema) -> NDArray[Any]:
    """The encoder's raw vectors, shape (N, R), in chunks for throughput."""
    return np.asarray(map_rows(lambda chunk: _encoded(model, chunk, schema), rows))


@eqx.filter_jit
def _encoded(model: Model, rows: Array, schema: Schema) -> Array:
    return model.raw(Batch.of_rows(rows, schema))


def sample_counts(samples: int) -> tuple[int, ...]:
    """1, 5, 10, 50, 100, 500, … up to ``samples``, which comes last.

    >>> sample_counts(30)
    (1, 5, 10, 30)
    """
    counts: Iterator[int] = itertools.accumulate(itertools.cycle(GRID_FACTORS), operator.mul, initial=1)
    return (*itertools.takewhile(lambda count: count < samples, counts), samples)


def growth(bounds: RowBounds, samples: int) -> Growth:
    """The mean over rows of the k-sample bound, for each k of ``sample_counts(samples)``."""
    means = np.mean(np.asarray(bounds.growth, np.float64), axis=0)
    return tuple(BoundAt(count, float(mean)) for count, mean in zip(sample_counts(samples), means, strict=True))


def mean_weight_growth(log_weights: Array) -> Array:
    """The k-sample bound for each k of ``sample_counts(K)``, (..., K) → (..., counts).

    The K draws are cut into groups of k, whose bounds are averaged: each is unbiased for the k-sample bound.
    """
    samples = log_weights.shape[-1]
    counts = sample_counts(samples)[:-1]
    bounds, sums = [], log_weights  # (..., groups): ln Σ w of each group
    for count, factor in zip(counts, itertools.cycle(GRID_FACTORS), strict=False):
        bounds.append(jnp.mean(sums, axis=-1) - jnp.log(count))
        groups = sums.shape[-1] // factor
        grouped = sums[..., : groups * factor].reshape(*sums.shape[:-1], groups, factor)
        sums = logsumexp(grouped, axis=-1)
    bounds.append(logsumexp(log_weights, axis=-1) - jnp.log(samples))
    return jnp.stack(bounds, axis=-1)


def effective_samples(log_weights: Array) -> Array:
    r"""Kish's effective sample size, :math:`(\sum_k w_k)^2 / \sum_k w_k^2`, (..., K) → (...); 0 if all weights are 0.

    >>> effective_samples(jnp.zeros(8)).item()
    8.0
    """
    log_size = 2.0 * logsumexp(log_weights, axis=-1) - logsumexp(2.0 * log_weights, axis=-1)
    return jnp.where(jnp.isnan(log_size), 0.0, jnp.exp(log_size))


@eqx.filter_jit
def _row_bounds(
    model: Model, rows: Array, raw: Array, keys: PRNGKeyArray, *, schema: Schema, samples: int, width: int
) -> RowBounds:
    batch = Batch.of_rows(rows, schema)
    q, p = model.family.distribution(raw), model.prior_distribution(batch)
    reconstruction, log_ratio, parts = weight_parts(model, batch, raw, keys, samples, width=width)
    growth = mean_weight_growth(reconstruction - log_ratio)
    kl = jnp.mean(log_ratio, axis=-1) if parts is None else jnp.sum(parts, axis=-1)
    parts = kl_per_dimension(q, p) if parts is None else parts
    return RowBounds(
        bound=growth[:, -1],
        reconstruction=jnp.mean(reconstruction, axis=-1),
        kl=kl_divergence(q, p) if has_closed_form(q, p) else kl,
        kl_per_dimension=jnp.zeros((len(raw), 0)) if parts is None else parts,
        effective_samples=effective_samples(reconstruction - log_ratio),
        growth=growth,
    )


def weight_parts(
    model: Model, batch: Batch, raw: Array, keys: PRNGKeyArray, samples: int, *, width: int = SAMPLE_CHUNK
) -> tuple[Array, Array, Array | None]:
    """Ln p(x|z) and ln q(z|x) − ln p(z) of draws from each row's q, both (N, samples), ``width`` draws at a time.

    Of several layers also each latent's part of the divergence, (N, K), by the mean of all draws.
    """
    prior = model.prior_of()

    def of_row(datum: Batch, raw: Array, key: PRNGKeyArray) -> tuple[Array, Array, Array | None]:
        q, p = model.family.distribution(raw), prior(datum)
        z, log_q = reparameterize_with_log_prob(q, draw_noise(q, key, (width,)))
        kl = conditional_kl(q, p, z)
        log_ratio = jnp.asarray(log_q - p.log_prob(z))
        return model.log_likelihood(z, datum), log_ratio, None if kl is None else jnp.mean(kl, axis=0)

    def draw(index: Array) -> tuple[Array, Array, Array | None]:
        return jax.vmap(of_row)(batch, raw, jax.vmap(lambda key: jax.random.fold_in(key, index))(keys))

    *weights, kl = jax.lax.map(draw, jnp.arange(-(-samples // width)))  # (chunks, N, width), and (chunks, N, K)
    reconstruction, log_ratio = (jnp.swapaxes(part, 0, 1).reshape(len(raw), -1)[:, :samples] for part in weights)
    return reconstruction, log_ratio, None if kl is None else jnp.mean(kl, axis=0)
