"""What every way of finding q has in common."""

from __future__ import annotations

from abc import abstractmethod
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from reparam.batch import Batch
from reparam.model import Model
from reparam.objectives import ELBO


class Found(NamedTuple):
    """q of each datum as its raw vector, (B, R), and whether the search for it came to rest, (B,)."""

    raw: Array
    converged: Array


class Inference(eqx.Module):
    """A way to find q(z|x); concrete ones are final, and hold settings but no weights.

    ``samples`` is how many draws a step of the search makes for each datum, 0 where nothing is searched or drawn.
    """

    samples: eqx.AbstractVar[int]

    @abstractmethod
    def find(self, model: Model, batch: Batch, keys: PRNGKeyArray) -> Found:
        """Find q of a batch.

        Args:
            model: p(x, z), the family of q, and an encoder where the method has one.
            batch: B data.
            keys: B keys, the noise of each datum.
        """

    def prepare(self, model: Model) -> Model:
        """The model with the parts that the method needs, and no others."""
        return model


def row_elbo(model: Model, raw: Array, datum: Batch, key: PRNGKeyArray, samples: int) -> Array:
    """The ELBO of one datum under q of ``raw`` (R,) by ``samples`` draws, nats, shape ()."""
    q = model.family.distribution(raw[None])
    return ELBO(samples)(model, datum.alone, key, q=q).bound[0]


def all_converged(raw: Array) -> Found:
    """A result of a method that does not search."""
    return Found(raw, jnp.ones(raw.shape[0], bool))
