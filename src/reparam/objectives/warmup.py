"""A weight that grows while training goes on."""

from __future__ import annotations

from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray
from numpyro.distributions import Distribution

from reparam.errors import UnknownNameError
from reparam.model import Model
from reparam.objectives.base import Objective, Terms
from reparam.specification import lookup, real_number

Shape = Callable[[Array], Array]

SHAPES: dict[str, Shape] = {
    "linear": lambda time: jnp.minimum(time, 1.0),
    "cyclic": lambda time: jnp.minimum(2.0 * (time % 1.0), 1.0),
}


class Warmup(Objective):
    r"""An objective with one of its weights multiplied by a schedule of training time t, in [0, 1].

    ``linear``: :math:`\min(t/T, 1)` (Bowman et al. 2016; Sønderby et al. 2016). ``cyclic``: again and again, growing
    over the first half of each period T and staying over the second (Fu et al. 2019, with R = ½).

    Args:
        objective: what is varied.
        length: T.
        unit: ``epochs`` or ``steps``; an epoch is as many steps as it has batches, so that the weight grows within it.
        weight: the name of a weight of the objective: ``beta``, of ``mmd`` also ``mmd_weight``.
        shape: ``linear`` or ``cyclic``.

    Raises:
        ParameterError: an argument lies outside its domain.

    >>> from reparam.objectives import ELBO
    >>> Warmup(ELBO(beta=4.0), 10).at(jnp.array(50), steps_per_epoch=10).weights()
    {'beta': 2.0}
    """

    objective: Objective
    length: float = eqx.field(static=True)
    unit: str = eqx.field(static=True)
    weight: str = eqx.field(static=True)
    shape: str = eqx.field(static=True)

    def __init__(
        self, objective: Objective, length: float, unit: str = "epochs", weight: str = "beta", *, shape: str = "linear"
    ):
        for kind, value, known in (
            ("unit of a warm-up", unit, ("epochs", "steps")),
            ("weight", weight, objective.weight_names),
            ("warm-up", shape, SHAPES),
        ):
            if value not in known:
                raise UnknownNameError(kind, value, known)
        self.objective, self.unit, self.weight, self.shape = objective, unit, weight, shape
        self.length = real_number("length", length, "the warm-up", above=0.0)

    def terms(self, model: Model, x: Array, key: PRNGKeyArray, q: Distribution, weight: Array) -> Terms:
        """The objective as it is once it is warm."""
        return self.objective.terms(model, x, key, q, weight)

    def at(self, step: Array, steps_per_epoch: int) -> Objective:
        """The objective with its weight of this step."""
        period = self.length * (steps_per_epoch if self.unit == "epochs" else 1)
        factor = SHAPES[self.shape](step / period)
        varied: Objective = eqx.tree_at(
            lambda o: getattr(o, self.weight), self.objective, replace_fn=lambda w: w * factor
        )
        return varied

    def weights(self) -> dict[str, float]:
        """The weights once they are warm."""
        return self.objective.weights()


def warmed(objective: Objective, specification: str) -> Objective:
    """The objective in the warm-up that is named: ``none``, ``linear:10``, ``cyclic:500,steps,mmd_weight``."""
    name, arguments = lookup("warmup", {"none": "none", **{shape: shape for shape in SHAPES}}, specification)
    return objective if name == "none" else Warmup(objective, *arguments, shape=name)
