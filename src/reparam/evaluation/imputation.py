r"""Missing cells from those that were seen, by importance sampling with q(z|x) as the proposal.

With K draws :math:`z_k \sim q(z|x_{obs})`, weights :math:`w_k = p(x_{obs}|z_k)\,p(z_k)/q(z_k|x_{obs})` and
:math:`\bar w_k = w_k / \sum_l w_l`,

.. math:: E[h(x_{mis}) | x_{obs}] \approx \sum_k \bar w_k\, E[h(x_{mis}) | z_k]

and a draw of :math:`x_{mis}` given :math:`x_{obs}` is one of :math:`p(x_{mis}|z_k)`, k drawn by :math:`\bar w`. Both
are exact as K → ∞, whatever q is. Source: Rubin (1987) on sampling-importance-resampling and multiple imputation;
Mattei & Frellsen (2019), Section 3.2.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray
from numpy.typing import NDArray

from reparam.batch import Batch
from reparam.data import Schema
from reparam.evaluation.rows import Progress, map_rows, row_keys, row_numbers, rows_of_draws
from reparam.model import Model
from reparam.probability.reparameterization import draw_noise, reparameterize_with_log_prob


class Expected(NamedTuple):
    """What is expected of every cell of N rows given those that were seen, as the model sees data, (N, P).

    ``centre`` is the mean of a number, the most probable code of a level; ``deviation`` the posterior predictive
    standard deviation of a number, and of a code the probability that another is true.
    """

    centre: Any
    deviation: Any


def expected_cells(
    model: Model,
    rows: NDArray[Any],
    schema: Schema,
    key: PRNGKeyArray,
    samples: int,
    *,
    raw: NDArray[Any],
    report: Progress | None = None,
) -> Expected:
    """The mean or mode of every cell given those that were seen.

    Args:
        model: p(x, z) and the family of q.
        rows: as stored, shape (N, P), NaN where a cell is missing.
        schema: how stored rows become the model's values.
        key: the noise; each row has its own.
        samples: K.
        raw: q of each row, shape (N, R).
        report: called with the rows done and N.
    """

    def cells(rows: Array, raw: Array, numbers: Array) -> Expected:
        return _expected(model, rows, raw, row_keys(key, numbers), schema=schema, samples=samples)

    found: Expected = map_rows(cells, rows, raw, row_numbers(rows), chunk=rows_of_draws(model, samples), report=report)
    return found


def drawn_cells(
    model: Model,
    rows: NDArray[Any],
    schema: Schema,
    key: PRNGKeyArray,
    samples: int,
    *,
    draws: int,
    raw: NDArray[Any],
    report: Progress | None = None,
) -> NDArray[Any]:
    """Draws of every cell given those that were seen, as the model sees data, shape (N, draws, P).

    The cells of one draw belong together: they are drawn at one z. Arguments as of :func:`expected_cells`.
    """

    def cells(rows: Array, raw: Array, numbers: Array) -> Array:
        keys = row_keys(key, numbers)
        return _drawn(model, rows, raw, keys, schema=schema, samples=samples, draws=draws)

    chunk = rows_of_draws(model, samples + draws)
    return np.asarray(map_rows(cells, rows, raw, row_numbers(rows), chunk=chunk, report=report))


def _weighted_draws(model: Model, datum: Batch, raw: Array, key: PRNGKeyArray, samples: int) -> tuple[Array, Array]:
    """Draws of q(z|x) of one row, (K, D), and the logarithms of their weights, (K,)."""
    q = model.family.distribution(raw)
    z, log_q = reparameterize_with_log_prob(q, draw_noise(q, key, (samples,)))
    log_w = model.log_likelihood(z, datum) + model.prior_distribution(datum).log_prob(z) - log_q
    return z, jnp.where(jnp.any(jnp.isfinite(log_w)), log_w, 0.0)  # where none has a weight, all count alike


@eqx.filter_jit
def _expected(model: Model, rows: Array, raw: Array, keys: PRNGKeyArray, *, schema: Schema, samples: int) -> Expected:
    likelihood = model.likelihood

    def of_row(datum: Batch, raw: Array, key: PRNGKeyArray) -> Expected:
        z, log_w = _weighted_draws(model, datum, raw, key, samples)
        laws, weights = model.laws(z, datum), jax.nn.softmax(log_w)
        expectation = weights @ likelihood.expectation(laws)
        square = weights @ (laws.variance + laws.mean**2)
        return Expected(likelihood.centre(expectation), likelihood.deviation(expectation, square))

    found: Expected = jax.vmap(of_row)(Batch.of_rows(rows, schema), raw, keys)
    return found


@eqx.filter_jit
def _drawn(
    model: Model, rows: Array, raw: Array, keys: PRNGKeyArray, *, schema: Schema, samples: int, draws: int
) -> Array:
    def of_row(datum: Batch, raw: Array, key: PRNGKeyArray) -> Array:
        proposal_key, choice_key, cell_key = jax.random.split(key, 3)
        z, log_w = _weighted_draws(model, datum, raw, proposal_key, samples)
        below = jnp.cumsum(jax.nn.softmax(log_w))
        chosen = jnp.searchsorted(below, below[-1] * jax.random.uniform(choice_key, (draws,)), side="right")
        return jnp.asarray(model.laws(z[jnp.minimum(chosen, samples - 1)], datum).sample(cell_key))

    drawn: Array = jax.vmap(of_row)(Batch.of_rows(rows, schema), raw, keys)
    return drawn
