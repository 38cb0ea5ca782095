"""K draws of z for each datum, and what the model says of them."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeVar

import equinox as eqx
import jax
from jax.extend.core import ClosedJaxpr, Jaxpr
from jaxtyping import Array, PRNGKeyArray
from numpyro.distributions import Distribution

from reparam.batch import Batch
from reparam.model import Model
from reparam.probability.conditional import conditional_kl
from reparam.probability.reparameterization import draw_noise, reparameterize_with_log_prob

Tree = TypeVar("Tree")

CHUNK_BYTES = 2**31
"""How much memory the draws that are evaluated at once, and their gradients, may take: 2 GiB.

Every number that is formed between z and the log densities is counted, and once more for the backward pass; a compiled
program stores few of them, and takes an eighth or less where the likelihood is most of the work.
"""


class Draws(NamedTuple):
    """Log densities of K draws for each datum, in nats, each of shape (K, B)."""

    log_likelihood: Array  # ln p(x|z)
    log_prior: Array  # ln p(z)
    log_q: Array  # ln q(z|x)
    kl: Array | None = None  # (K, B, latents), of several layers what each latent adds to KL(q‖p) at the draw


def evaluate_draws(
    model: Model,
    sampler: Distribution,
    density: Distribution | None = None,
    *,
    batch: Batch,
    key: PRNGKeyArray,
    count: int,
) -> Draws:
    """What the model says of K draws z = g(sampler, ε).

    More draws than memory holds are taken chunk after chunk, and once more in the backward pass; the noise, and so the
    result, is the same. The least that is taken at once is one draw for each datum.

    Args:
        model: p(x, z).
        sampler: q(z|x), through which gradients reach z.
        density: q(z|x) again, through which gradients reach ln q(z|x); by default the sampler.
        batch: B data.
        key: the noise.
        count: K.
    """
    p = model.prior_distribution(batch)
    eps = draw_noise(sampler, key, (count,))

    def draws(eps: Array) -> Draws:
        z, log_q = draw_with_log_prob(sampler, eps, density)
        return Draws(model.log_likelihood(z, batch), p.log_prob(z), log_q, conditional_kl(sampler, p, z))

    chunk = count if count == 1 else max(1, CHUNK_BYTES // (2 * _bytes(jax.make_jaxpr(draws)(eps[:1]).jaxpr)))
    if count <= chunk:
        return draws(eps)
    chunked: Draws = jax.lax.map(jax.checkpoint(draws), eps, batch_size=chunk)
    return chunked


def draw_with_log_prob(sampler: Distribution, eps: Array, density: Distribution | None) -> tuple[Array, Array]:
    """z = g(sampler, ε) and ln q(z), the latter differentiated through ``density`` where there is one."""
    z, log_q = reparameterize_with_log_prob(sampler, eps)
    if density is None:
        return z, log_q
    differentiated = density.log_prob(z)  # the same value but for rounding
    return z, differentiated + jax.lax.stop_gradient(log_q - differentiated)


def detached(tree: Tree) -> Tree:
    """The same distribution, model or array as a constant: no gradient reaches its parameters."""
    stopped: Tree = jax.tree.map(lambda leaf: jax.lax.stop_gradient(leaf) if eqx.is_inexact_array(leaf) else leaf, tree)
    return stopped


def _bytes(jaxpr: Jaxpr) -> int:
    """Of all numbers that a computation forms, the turns of its loops included where their number is known."""
    total = 0
    for equation in jaxpr.eqns:
        parameters = jax.tree.leaves(list(equation.params.values()))
        inner = [p.jaxpr if isinstance(p, ClosedJaxpr) else p for p in parameters if isinstance(p, ClosedJaxpr | Jaxpr)]
        formed: list[Any] = [] if inner else [variable.aval for variable in equation.outvars]
        total += int(equation.params.get("length", 1)) * sum(map(_bytes, inner))
        total += sum(array.size * array.dtype.itemsize for array in formed)
    return total
