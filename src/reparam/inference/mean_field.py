"""The traditional method: each datum has a q of its own, and there is no encoder."""

from __future__ import annotations

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from reparam.batch import Batch
from reparam.errors import ParameterError
from reparam.inference.base import Found, Inference, row_elbo
from reparam.inference.search import Search, maximize
from reparam.model import Model
from reparam.specification import positive_int, real_number


class NoEncoder(eqx.Module):
    """Stands where the encoder of other models stands, and says that there is none."""

    def __call__(self, x: Array) -> Array:
        """Refuse.

        Raises:
            ParameterError: always.
        """
        raise ParameterError(
            "This model has no encoder: with inference='mean_field' every datum has its own q(z), found by "
            "optimisation. A VampPrior, which is made of the encoder, needs inference='amortized'."
        )


class MeanField(Inference):
    """One free q for each datum, optimised in turn with the model (Jordan et al. 1999; Hoffman et al. 2013).

    In training a visit makes ``e_steps`` steps of Adam on the q of the batch's rows, then one on the weights, and
    touches no other row. New data are fitted at use, each row from N(0, I) until it no longer gains.

    Args:
        e_steps: steps on q per visit.
        learning_rate: their size, in raw units.

    Raises:
        ParameterError: an argument lies outside its domain.
    """

    e_steps: int = eqx.field(static=True)
    learning_rate: float = eqx.field(static=True)
    search: Search = eqx.field(static=True)
    samples: int = eqx.field(static=True)

    def __init__(self, e_steps: int = 5, learning_rate: float = 0.05):
        self.e_steps = positive_int("e_steps", e_steps, "inference 'mean_field'", most=10**6)
        self.learning_rate = real_number("learning_rate", learning_rate, "inference 'mean_field'", above=0.0)
        self.search = Search()
        self.samples = self.search.samples

    def find(self, model: Model, batch: Batch, keys: PRNGKeyArray) -> Found:
        """Optimise each row's q from N(0, I) until it converges."""
        start = jnp.tile(model.posterior.initial_raw(), (len(batch), 1))
        return find_locally(model, batch, keys, start, self.search)

    def prepare(self, model: Model) -> Model:
        """The model without its encoder."""
        bare: Model = eqx.tree_at(lambda model: model.encoder, model, NoEncoder())
        if model.given is None:
            bare.prior_distribution()  # a prior that needs the encoder refuses here
        return bare


def find_locally(model: Model, batch: Batch, keys: PRNGKeyArray, start: Array, search: Search) -> Found:
    """The q in the model's family that maximises each row's ELBO, from raw vectors ``start`` (B, R)."""
    end = maximize(partial(row_elbo, model), start, batch, keys, search)
    return Found(jax.lax.stop_gradient(end.parameters), end.converged)
