"""The divergence of two chains, latent by latent: in closed form within a layer, by draws of what it is given."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array
from numpyro.distributions import Distribution

from reparam.probability.distributions.chain import Chain
from reparam.probability.distributions.location_scale import LocationScale
from reparam.probability.divergences import kl_diagonal_normal_terms


def conditional_kl(q: Distribution, p: Distribution, z: Array) -> Array | None:
    r"""What each latent adds to KL(q‖p) at draws z of q: the mean over q is the divergence, summed over latents.

    A layer that q and p draw given the same, or given nothing, has the closed form of its Gaussians, which is no
    estimate but for what is given: every layer of a ladder, and the top one upward. Of another layer it is
    :math:`\ln q(z_{lk}|z_{l-1}) - \ln p(z_{lk}|z_{l+1})`, whose mean over a latent may be below zero.

    Args:
        q: a chain either way.
        p: a chain downward, of the same layers.
        z: draws of q, shape (..., K).

    Returns:
        Nats, shape (..., K); None where q and p are no such chains.
    """
    if not (isinstance(q, Chain) and isinstance(p, Chain)):
        return None
    top = len(q.layers) - 1
    terms = []
    for layer, (part, own, prior) in enumerate(zip(q.split(z), q.laws(z), p.laws(z), strict=True)):
        closed = layer == top or not q.upward
        term = kl_diagonal_normal_terms(own, prior) if closed else _log_probs(own, part) - _log_probs(prior, part)
        terms.append(jnp.broadcast_to(term, part.shape))
    return jnp.concatenate(terms, axis=-1)


def _log_probs(law: LocationScale, z: Array) -> Array:
    """The log density of each coordinate, (..., K)."""
    apart = LocationScale(law.loc, law.scale, log_scale=law.log_scale, event_dim=0)
    return apart.log_prob(z)
