r"""What the codes tell of the data: mutual information, and the divergence of the aggregate posterior."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp
from jaxtyping import Array, PRNGKeyArray
from numpy.typing import NDArray
from numpyro.distributions import Distribution

from reparam.evaluation.results import mean_of
from reparam.evaluation.rows import map_rows
from reparam.probability.distributions.affine_normal import AffineNormal
from reparam.probability.distributions.flow import FlowDistribution
from reparam.probability.posteriors import Posterior

DRAWS = 4096
DRAWS_OF_FLOW = 256  # its density costs K passes for each pair of a draw and a row
PAIR_VALUES = 2**24


class Information(NamedTuple):
    """Mutual information in nats, the standard error of its draws, and how many rows were left out."""

    value: float
    standard_error: float | None
    left_out: int


def mutual_information(family: Posterior, raw: NDArray[Any], key: PRNGKeyArray) -> Information:
    r"""The mutual information of a row's index n and its code, :math:`I = E_n E_{q(z|x_n)}[\ln q(z|x_n) - \ln q(z)]`.

    :math:`q(z) = \frac1N \sum_n q(z|x_n)` is summed exactly over the N rows; the expectation is by draws from rows
    evenly spaced. What remains of the mean KL is that of the aggregate: :math:`E_n KL(q(z|x_n)\|p) = I + KL(q(z)\|p)`.

    Args:
        family: of q.
        raw: q of each row, shape (N, R).
        key: the draws.

    Returns:
        Nats, at most ln N in expectation, with the standard error of the draws. A row whose q has no density, its
        matrix being singular or its raw vector not finite, is left out and counted.

    Source: Hoffman & Johnson (2016), Equation 10.
    """
    dense = map_rows(lambda raw: _has_density(family, raw), raw)
    left_out, raw = int(np.sum(~dense)), raw[dense]
    if not len(raw):
        return Information(math.nan, None, left_out)
    flows = isinstance(eqx.filter_eval_shape(family.distribution, raw[:1]), FlowDistribution)
    count = DRAWS_OF_FLOW if flows else DRAWS
    own = np.arange(count) * len(raw) // count
    chunk = max(1, min(count, PAIR_VALUES // (len(raw) * family.latent_dim)))
    padded = np.resize(own, math.ceil(count / chunk) * chunk).reshape(-1, chunk)
    terms = _log_ratio_to_aggregate(family, jax.device_put(raw), jax.device_put(padded), key)
    return Information(*mean_of(np.asarray(terms).ravel()[:count]), left_out)


@eqx.filter_jit
def _has_density(family: Posterior, raw: Array) -> Array:
    """Whether ln q is finite at a draw of each row's q, (N, R) → (N,)."""
    q = family.distribution(raw)
    return jnp.isfinite(q.log_prob(q.sample(jax.random.key(0))))


@eqx.filter_jit
def _log_ratio_to_aggregate(family: Posterior, raw: Array, own: Array, key: PRNGKeyArray) -> Array:
    """Ln q(z|x_n) − ln q(z) of a draw for each number n in ``own`` (chunks, chunk), in its shape."""
    log_density = log_densities(family.distribution(raw))
    keys = jax.random.split(key, own.shape)

    def chunk(own_and_keys: tuple[Array, PRNGKeyArray]) -> Array:
        own, keys = own_and_keys
        z = jax.vmap(lambda raw, key: family.distribution(raw).sample(key))(raw[own], keys)
        pairs = log_density(z)  # (chunk, N)
        conditional = jnp.take_along_axis(pairs, own[:, None], axis=1)[:, 0]
        ratio: Array = conditional - logsumexp(pairs, axis=1) + jnp.log(raw.shape[0])
        return ratio

    terms: Array = jax.lax.map(chunk, (own, keys))
    return terms


def log_densities(q: Distribution) -> Callable[[Array], Array]:
    """Ln q_n(z_m) of points (M, K) under each of N distributions, (M, N); matrices are inverted once."""
    if not isinstance(q, AffineNormal):
        return lambda z: jnp.asarray(q.log_prob(z[:, None, :]))
    inverse = jnp.linalg.inv(q.matrix)
    centre = jnp.einsum("nij,nj->ni", inverse, q.loc)
    return lambda z: q.log_prob_of_noise(jnp.einsum("nij,mj->mni", inverse, z) - centre)
