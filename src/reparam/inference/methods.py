"""The methods with an encoder: amortised, and amortised with a few steps of refinement."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from reparam.batch import Batch
from reparam.errors import ParameterError
from reparam.inference.base import Found, Inference, all_converged, row_elbo
from reparam.model import Model
from reparam.specification import positive_int, real_number, requirement

DIRECTION_EPS = 1e-8


class Amortized(Inference):
    """q(z|x) straight from the encoder: one pass for a datum that was never seen (Kingma & Welling 2014).

    >>> from reparam.model import build_model
    >>> model = build_model(jnp.zeros((4, 6)), jax.random.key(0), latent_dim=2, hidden=())
    >>> Amortized().find(model, Batch(jnp.zeros((3, 6))), jax.random.split(jax.random.key(0), 3)).raw.shape
    (3, 4)
    """

    samples: int = eqx.field(static=True, default=0)

    def find(self, model: Model, batch: Batch, keys: PRNGKeyArray) -> Found:
        """One pass of the encoder."""
        return all_converged(model.raw(batch))


AMORTIZED = Amortized()


class SemiAmortized(Inference):
    r"""The encoder's raw vector refined by k steps up the ELBO of the datum at hand.

    :math:`\lambda_{i+1} = \lambda_i + \alpha\, \nabla_\lambda L(\lambda_i) / \sqrt{v_i}`, with v a running mean of
    squared gradients, so that one α serves every scale of data.

    Args:
        steps: k.
        learning_rate: α, in raw units.
        gradient: ``stopped``: in training the steps count as constants, which spares second derivatives;
            ``through``: they are differentiated.
        samples: draws of each step.

    Raises:
        ParameterError: an argument lies outside its domain.

    Source: Kim, Wiseman, Miller, Sontag & Rush (2018), Section 3.
    """

    steps: int = eqx.field(static=True)
    learning_rate: float = eqx.field(static=True)
    gradient: str = eqx.field(static=True)
    samples: int = eqx.field(static=True)

    def __init__(self, steps: int = 5, learning_rate: float = 0.05, gradient: str = "stopped", samples: int = 4):
        owner = "inference 'semi_amortized'"
        self.steps = positive_int("steps", steps, owner, most=10**6)
        self.learning_rate = real_number("learning_rate", learning_rate, owner, above=0.0)
        if gradient not in ("through", "stopped"):
            raise ParameterError(requirement("gradient", owner, "'through' or 'stopped'", gradient))
        self.gradient = gradient
        self.samples = positive_int("samples", samples, owner, most=10**6)

    def find(self, model: Model, batch: Batch, keys: PRNGKeyArray) -> Found:
        """One pass of the encoder, then k steps."""
        raw = model.raw(batch)
        refined = self._refined(model, raw, batch, keys)
        return all_converged(refined if self.gradient == "through" else raw + jax.lax.stop_gradient(refined - raw))

    def _refined(self, model: Model, raw: Array, batch: Batch, keys: PRNGKeyArray) -> Array:
        def total(raw: Array, keys: PRNGKeyArray) -> Array:
            rows = jax.vmap(lambda raw, datum, key: row_elbo(model, raw, datum, key, self.samples))(raw, batch, keys)
            return jnp.sum(rows)

        def step(carry: tuple[Array, Array], index: Array) -> tuple[tuple[Array, Array], None]:
            raw, square = carry
            gradient = jax.grad(total)(raw, jax.vmap(lambda key: jax.random.fold_in(key, index))(keys))
            square = square + gradient**2
            scale = jax.lax.rsqrt(square / (index + 1) + DIRECTION_EPS)
            return (raw + self.learning_rate * gradient * scale, square), None

        (raw, _), _ = jax.lax.scan(step, (raw, jnp.zeros_like(raw)), jnp.arange(self.steps))
        return raw
