r"""What each cell adds to a row's ELBO.

.. math:: \mathrm{ELBO}(x) = \sum_j c_j(x) - KL(q(z|x) \| p(z)), \qquad c_j(x) = E_{q(z|x)} \ln p(x_j|z)

in nats of the density in the data's own units. A cell that was not seen adds nothing. A low :math:`c_j` beside those of
the same column in other rows is a cell that the rest of its row does not explain.
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
from reparam.probability.conditional import conditional_kl
from reparam.probability.divergences import has_closed_form, kl_divergence
from reparam.probability.reparameterization import draw_noise, reparameterize_with_log_prob


class Contributions(NamedTuple):
    """Of N rows, in nats: what each cell adds, (N, P), and the divergence, (N,); rows sum to the ELBO."""

    cells: Any
    kl: Any


def row_contributions(
    model: Model,
    rows: NDArray[Any],
    schema: Schema,
    key: PRNGKeyArray,
    samples: int,
    *,
    raw: NDArray[Any],
    report: Progress | None = None,
) -> Contributions:
    """What each cell adds to the ELBO of its row, by the mean over K draws; the KL exact where a closed form is known.

    Args:
        model: p(x, z) and the family of q.
        rows: as stored, shape (N, P).
        schema: how stored rows become the model's values.
        key: the noise; each row has its own.
        samples: K.
        raw: q of each row, shape (N, R).
        report: called with the rows done and N.
    """

    def of_chunk(rows: Array, raw: Array, numbers: Array) -> Contributions:
        return _contributions(model, rows, raw, row_keys(key, numbers), schema=schema, samples=samples)

    chunk = rows_of_draws(model, samples)
    found: Contributions = map_rows(of_chunk, rows, raw, row_numbers(rows), chunk=chunk, report=report)
    volumes = np.where(np.isnan(rows), 0.0, schema.log_volumes) if schema.missing else schema.log_volumes
    return found._replace(cells=np.asarray(found.cells, np.float64) - volumes)


@eqx.filter_jit
def _contributions(
    model: Model, rows: Array, raw: Array, keys: PRNGKeyArray, *, schema: Schema, samples: int
) -> Contributions:
    prior = model.prior_of()

    def of_row(datum: Batch, raw: Array, key: PRNGKeyArray) -> Contributions:
        q, p = model.family.distribution(raw), prior(datum)
        z, log_q = reparameterize_with_log_prob(q, draw_noise(q, key, (samples,)))
        parts = conditional_kl(q, p, z)
        drawn = jnp.mean(log_q - p.log_prob(z) if parts is None else jnp.sum(parts, axis=-1))
        kl = kl_divergence(q, p) if has_closed_form(q, p) else drawn
        return Contributions(jnp.mean(model.log_likelihoods(z, datum), axis=0), kl)

    found: Contributions = jax.vmap(of_row)(Batch.of_rows(rows, schema), raw, keys)
    return found
